package sdk

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

type datasetServer struct {
	protocol.UnimplementedDatasetServer
	*server
}

// records is an opened dataset as the instance keeps it.
type records struct {
	Reader
	catalogue atomic.Pointer[protocol.Catalogue]
}

// Close closes the author's reader if it can be closed: embedding hides a method that is not the interface's.
func (r *records) Close() error {
	if c, ok := r.Reader.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// Open asks the author's Open and checks its answer.
func (s datasetServer) Open(_ context.Context, r *protocol.OpenRequest) (*protocol.Catalogue, error) {
	i, reader, err := find[Reader](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	i.turn.Lock()
	defer i.turn.Unlock()
	opened, again := i.value.(*records)
	if again {
		return opened.catalogue.Load(), nil
	}
	var c *protocol.Catalogue
	err = protect(i.name, func() (err error) {
		c, err = reader.Open()
		return err
	})
	if err != nil {
		return nil, err
	}
	if c == nil || c.Facts == nil {
		return nil, fmt.Errorf("Open gave neither an error nor a catalogue with facts")
	}
	if c.Dtype != protocol.DType_U8 && c.Dtype != protocol.DType_F32 {
		return nil, fmt.Errorf("the catalogue says that pixels are %v; they can be U8 or F32", c.Dtype)
	}
	if c.Scale == 0 {
		c.Scale = 1
	}
	opened = &records{Reader: reader}
	opened.catalogue.Store(c)
	s.mu.Lock()
	i.value = opened
	s.mu.Unlock()
	return c, nil
}

// opened gives a dataset that was opened.
func (s datasetServer) opened(id uint32) (*instance, *records, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instances[id]
	if i == nil {
		return nil, nil, fmt.Errorf("there is no instance %d", id)
	}
	r, ok := i.value.(*records)
	if !ok {
		return nil, nil, fmt.Errorf("%s was not opened", i.name)
	}
	return i, r, nil
}

// Read reads records on all processors and puts them into the slot in order, holding a few at a time. It stops before
// the first that does not fit.
func (s datasetServer) Read(ctx context.Context, r *protocol.ReadRequest) (*protocol.Records, error) {
	i, reader, err := s.opened(r.Instance)
	if err != nil {
		return nil, err
	}
	c := &call{server: s.server}
	defer c.end()
	room, err := c.room(r.Slot)
	if err != nil {
		return nil, err
	}
	catalogue := reader.catalogue.Load()
	if r.First > catalogue.Count || r.Count > catalogue.Count-r.First || r.Count > math.MaxInt32 {
		return nil, fmt.Errorf("records %d to %d of %d", r.First, r.First+r.Count, catalogue.Count)
	}
	answer := &protocol.Records{}
	size := 0
	err = ordered(ctx, i.name, int(r.Count), func(k int) (Record, error) {
		var record Record
		err := reader.Read(int(r.First)+k, &record)
		return record, err
	}, func(k int, record Record) (bool, error) {
		m, fits, err := deliver(room, catalogue, record)
		if err != nil {
			return false, fmt.Errorf("record %d: %w", r.First+uint64(k), err)
		}
		if !fits {
			return false, nil
		}
		m.Index = r.First + uint64(k)
		size += proto.Size(m) + 8
		if size > protocol.MaxMessage/2 && k > 0 {
			return false, nil
		}
		answer.Records = append(answer.Records, m)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// ReadFile reads one given file, where the dataset does that.
func (s datasetServer) ReadFile(_ context.Context, r *protocol.ReadFileRequest) (*protocol.Records, error) {
	_, value, err := find[Reader](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	if opened, ok := value.(*records); ok {
		value = opened.Reader
	}
	files, ok := value.(FileReader)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "its records are no files of their own")
	}
	i, reader, err := s.opened(r.Instance)
	if err != nil {
		return nil, err
	}
	c := &call{server: s.server}
	defer c.end()
	room, err := c.room(r.Slot)
	if err != nil {
		return nil, err
	}
	var record Record
	if err := protect(i.name, func() error { return files.ReadFile(r.Path, &record) }); err != nil {
		return nil, err
	}
	m, fits, err := deliver(room, reader.catalogue.Load(), record)
	if err != nil || !fits {
		return &protocol.Records{}, err
	}
	return &protocol.Records{Records: []*protocol.Record{m}}, nil
}

// deliver puts a record's pixels into the slot and makes its message; false when they do not fit.
func deliver(room *room, c *protocol.Catalogue, r Record) (*protocol.Record, bool, error) {
	m := &protocol.Record{Id: r.ID, Bad: r.Bad}
	if r.Bad != "" {
		return m, true, nil
	}
	shape := make([]int64, len(r.Shape))
	for i, n := range r.Shape {
		shape[i] = int64(n)
	}
	if !validShape(shape) {
		return nil, false, fmt.Errorf("%s has the shape %v", r.ID, r.Shape)
	}
	if len(r.Values) != len(c.Fields) {
		return nil, false, fmt.Errorf("%s has %d values for %d fields", r.ID, len(r.Values), len(c.Fields))
	}
	for k, v := range r.Values {
		value := &protocol.Value{Is: &protocol.Value_Missing{Missing: true}}
		number := c.Fields[k].Type == protocol.Field_NUMBER
		switch v := v.(type) {
		case nil:
		case float64:
			if !number {
				return nil, false, fmt.Errorf("%s has a number for %s, which is text", r.ID, c.Fields[k].Name)
			}
			if !math.IsNaN(v) {
				value.Is = &protocol.Value_Number{Number: v}
			}
		case string:
			if number {
				return nil, false, fmt.Errorf("%s has the text %q for %s, which is a number", r.ID, v, c.Fields[k].Name)
			}
			value.Is = &protocol.Value_Text{Text: v}
		default:
			return nil, false, fmt.Errorf("%s has a %T for %s; it can be float64, string or nil", r.ID, v, c.Fields[k].Name)
		}
		m.Values = append(m.Values, value)
	}
	var fits bool
	var err error
	if c.Dtype == protocol.DType_U8 {
		m.Pixels, fits, err = put(room, r.U8, shape)
	} else {
		m.Pixels, fits, err = put(room, r.F32, shape)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", r.ID, err)
	}
	return m, fits, err
}

// ordered makes n things on all processors and takes them in order, with at most two a worker waiting. take says
// whether to go on.
func ordered(ctx context.Context, name string, n int, produce func(k int) (Record, error), take func(k int, r Record) (bool, error)) error {
	type result struct {
		record Record
		err    error
	}
	if n == 0 {
		return nil
	}
	count := workers(n)
	window := 2 * count
	slots := make([]chan result, window)
	for i := range slots {
		slots[i] = make(chan result, 1)
	}
	tickets := make(chan int, window)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range count {
		group.Go(func() {
			for k := range tickets {
				var r result
				select {
				case <-stop:
					r.err = context.Canceled
				default:
					r.err = protect(name, func() (err error) {
						r.record, err = produce(k)
						return err
					})
				}
				slots[k%window] <- r
			}
		})
	}
	defer group.Wait()
	defer close(tickets)
	defer close(stop)
	issued := 0
	for ; issued < min(window, n); issued++ {
		tickets <- issued
	}
	for k := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := <-slots[k%window]
		if r.err != nil {
			return r.err
		}
		more, err := take(k, r.record)
		if err != nil || !more {
			return err
		}
		if issued < n {
			tickets <- issued
			issued++
		}
	}
	return nil
}
