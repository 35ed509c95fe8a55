package plugin

import (
	"context"
	"fmt"
	"sync"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bytes of the slot that records come in: what is wanted, within these; more only when one record needs it.
const (
	smallSlot = 1 << 20
	largeSlot = 64 << 20
	hugeSlot  = 1 << 30
)

// Dataset is a configured dataset. Its calls come one at a time.
type Dataset struct {
	c         *configured
	mu        sync.Mutex
	catalogue *protocol.Catalogue
	one       uint64 // bytes of one record of the catalogue's shape
	slot      *memory
}

// Dataset configures a dataset.
func (h *Host) Dataset(ctx context.Context, r Ref) (*Dataset, error) {
	c, err := h.configure(ctx, r, protocol.Kind_DATASET)
	if err != nil {
		return nil, err
	}
	return &Dataset{c: c}, nil
}

// Open looks at the data and says what there is. It comes first; later calls give the same answer.
func (d *Dataset) Open(ctx context.Context) (*protocol.Catalogue, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.catalogue != nil {
		return d.catalogue, nil
	}
	c, err := call(ctx, d.c, "Open", d.c.dataset.Open, &protocol.OpenRequest{Instance: d.c.instance})
	if err != nil {
		return nil, err
	}
	t := &protocol.Tensor{Dtype: c.Dtype, Shape: c.GetFacts().GetShape()}
	one, err := t.Bytes()
	if err != nil || one == 0 || c.Dtype != protocol.DType_U8 && c.Dtype != protocol.DType_F32 {
		return nil, d.c.broken("the catalogue has pixels of type %v and shape %v", c.Dtype, t.Shape)
	}
	for _, f := range c.Fields {
		if f.Name == "" || f.Type != protocol.Field_NUMBER && f.Type != protocol.Field_STRING {
			return nil, d.c.broken("the catalogue has a field %q of type %v", f.Name, f.Type)
		}
	}
	d.catalogue, d.one = c, protocol.AlignUp(one)
	return c, nil
}

// Read reads up to count records from first; fewer when memory for them is short, but at least one. The pixels are
// valid until the next Read or ReadFile.
func (d *Dataset) Read(ctx context.Context, first, count int) ([]Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.catalogue == nil {
		return nil, &fault.Error{Kind: fault.Internal, Plugin: d.c.ref.Name, What: "Read before Open"}
	}
	if first < 0 || count < 0 || uint64(first) > d.catalogue.Count {
		return nil, &fault.Error{Kind: fault.Internal, Plugin: d.c.ref.Name, What: fmt.Sprintf("records from %d of %d were asked for", first, d.catalogue.Count)}
	}
	count = int(min(uint64(count), d.catalogue.Count-uint64(first)))
	if count == 0 {
		return nil, nil
	}
	return d.fill(uint64(count), func(slot *protocol.Slot) (*protocol.Records, error) {
		n := min(uint64(count), max(1, slot.Size/d.one))
		return call(ctx, d.c, "Read", d.c.dataset.Read, &protocol.ReadRequest{Instance: d.c.instance, First: uint64(first), Count: n, Slot: slot})
	}, func(i int, r *protocol.Record) bool { return r.Index == uint64(first+i) && i < count })
}

// ReadsFiles says whether the dataset reads single files at all. It need not be open.
func (d *Dataset) ReadsFiles(ctx context.Context) bool {
	_, err := d.c.dataset.ReadFile(ctx, &protocol.ReadFileRequest{Instance: d.c.instance}) // nothing can be read without a path and a slot
	return status.Code(err) != codes.Unimplemented
}

// ReadFile reads one given file as a record; its Index means nothing.
func (d *Dataset) ReadFile(ctx context.Context, path string) (Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.catalogue == nil {
		return Record{}, &fault.Error{Kind: fault.Internal, Plugin: d.c.ref.Name, What: "ReadFile before Open"}
	}
	rs, err := d.fill(1, func(slot *protocol.Slot) (*protocol.Records, error) {
		return call(ctx, d.c, "ReadFile", d.c.dataset.ReadFile, &protocol.ReadFileRequest{Instance: d.c.instance, Path: path, Slot: slot})
	}, func(i int, r *protocol.Record) bool { return i == 0 })
	if err != nil {
		return Record{}, err
	}
	return rs[0], nil
}

// fill has the slot filled and makes it larger as long as not a single record fits.
func (d *Dataset) fill(count uint64, ask func(*protocol.Slot) (*protocol.Records, error), expected func(i int, r *protocol.Record) bool) ([]Record, error) {
	size := uint64(largeSlot)
	if count < largeSlot/d.one {
		size = max(count*d.one, smallSlot)
	}
	size = max(size, d.one)
	if d.slot != nil {
		size = max(size, d.slot.Size())
	}
	for ; ; size *= 2 {
		if d.slot == nil || d.slot.Size() < size {
			d.slot.close()
			d.slot = nil
			m, _, err := d.c.shared(size, protocol.PluginWrites)
			if err != nil {
				return nil, err
			}
			d.slot = m
		}
		slot := &protocol.Slot{Arena: d.slot.ids[d.c.supervisor], Size: d.slot.Size()}
		answer, err := ask(slot)
		if err != nil {
			return nil, err
		}
		if len(answer.Records) > 0 {
			return d.records(slot, answer.Records, expected)
		}
		if size >= hugeSlot && size >= 4*d.one {
			return nil, d.c.broken("not one record fits into %d MB", size>>20)
		}
	}
}

func (d *Dataset) records(slot *protocol.Slot, answer []*protocol.Record, expected func(i int, r *protocol.Record) bool) ([]Record, error) {
	list := make([]Record, len(answer))
	for i, r := range answer {
		if !expected(i, r) {
			return nil, d.c.broken("the component answered with record %d in place %d", r.Index, i)
		}
		list[i] = Record{Index: int(r.Index), ID: r.Id, Bad: r.Bad}
		if r.Bad != "" {
			continue
		}
		if r.Id == "" || len(r.Values) != len(d.catalogue.Fields) {
			return nil, d.c.broken("record %d has the id %q and %d values for %d fields", r.Index, r.Id, len(r.Values), len(d.catalogue.Fields))
		}
		err := inside(r.Pixels, slot)
		if err == nil && d.catalogue.Dtype == protocol.DType_U8 {
			list[i].U8, err = protocol.View[uint8](d.slot.Bytes(), r.Pixels)
		} else if err == nil {
			list[i].F32, err = protocol.View[float32](d.slot.Bytes(), r.Pixels)
		}
		if err != nil {
			return nil, d.c.broken("the component answered with %v for record %d (%s)", err, r.Index, r.Id)
		}
		for _, n := range r.Pixels.Shape {
			list[i].Shape = append(list[i].Shape, int(n))
		}
		list[i].Values = r.Values
	}
	return list, nil
}

// Close releases the instance and its memory: pixels of earlier records must not be used afterwards.
func (d *Dataset) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slot.close()
	d.slot = nil
	return d.c.release()
}
