package sdk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
)

type augmentationServer struct {
	protocol.UnimplementedAugmentationServer
	*server
}

// Plan asks the author's Plan and checks its answer.
func (s augmentationServer) Plan(_ context.Context, r *protocol.AugmentationPlanRequest) (*protocol.AugmentationPlan, error) {
	i, a, err := find[Augmenter](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	var plan *protocol.AugmentationPlan
	err = protect(i.name, func() (err error) {
		plan, err = a.Plan(proto.CloneOf(r.Facts))
		return err
	})
	if err != nil {
		return nil, err
	}
	if plan == nil || !validShape(plan.GetLeaves().GetShape()) {
		return nil, fmt.Errorf("Plan gave neither an error nor the shape of what it leaves")
	}
	i.plan.Store(plan)
	return plan, nil
}

// link is one augmentation of a chain as it is run.
type link struct {
	name       string // "sky.rotate"
	position   uint32 // from 1
	augmenter  Augmenter
	facts      *protocol.SampleFacts
	statistics []*protocol.BandStatistics
	key        key.Key
	shape      []int64 // of what it leaves
	size       int     // its number of values
	columns    []column
	adds       []column
}

// column is a label of the batch, [batch].
type column struct {
	name   string
	values []float64
}

// linkError says which link failed.
type linkError struct {
	position uint32
	err      error
}

// Error is the author's text.
func (e linkError) Error() string { return e.err.Error() }

// Unwrap gives the author's error.
func (e linkError) Unwrap() error { return e.err }

// chain checks a request and resolves everything that does not depend on the sample.
func (s augmentationServer) chain(c *call, r *protocol.ApplyRequest) ([]link, error) {
	batch := len(r.Samples)
	named := func(list []*protocol.NamedTensor, write bool) ([]column, error) {
		var cs []column
		for _, n := range list {
			v, err := view[float64](c, n.Tensor, write)
			if err != nil || len(v) != batch {
				return nil, fmt.Errorf("the column %q is not one number a sample: %w", n.Name, err)
			}
			cs = append(cs, column{n.Name, v})
		}
		return cs, nil
	}
	columns, err := named(r.Columns, false)
	if err != nil {
		return nil, err
	}
	added, err := named(r.Added, true)
	if err != nil {
		return nil, err
	}
	pick := func(name string, from ...column) (column, error) {
		for _, f := range from {
			if f.name == name {
				return f, nil
			}
		}
		return column{}, fmt.Errorf("the host gave no column %q", name)
	}
	links := make([]link, len(r.Chain))
	for k, request := range r.Chain {
		i, a, err := find[Augmenter](s.server, request.Instance)
		if err != nil {
			return nil, err
		}
		plan := i.plan.Load()
		if plan == nil {
			return nil, fmt.Errorf("%s was not planned", i.name)
		}
		l := link{name: i.name, position: uint32(k + 1), augmenter: a, facts: request.Facts, statistics: request.Statistics,
			key: key.New(r.Seed, "view", r.View, request.Path), shape: plan.Leaves.Shape}
		after := r.Out.GetShape()[1:]
		if k+1 < len(r.Chain) {
			after = r.Chain[k+1].GetFacts().GetShape()
		}
		if !slices.Equal(after, l.shape) {
			return nil, fmt.Errorf("%s leaves samples of shape %v, the host expects %v", i.name, l.shape, after)
		}
		n, _ := protocol.Count(l.shape)
		l.size = int(n)
		for _, name := range plan.Columns {
			col, err := pick(name, append(slices.Clip(columns), added...)...)
			if err != nil {
				return nil, err
			}
			l.columns = append(l.columns, col)
		}
		for _, f := range plan.Adds {
			col, err := pick(f.Name, added...)
			if err != nil {
				return nil, err
			}
			l.adds = append(l.adds, col)
		}
		links[k] = l
	}
	return links, nil
}

// scratch is what one worker needs to take samples through a chain.
type scratch struct {
	samples []Sample // one a link
	buffers [2][]float32
	sources []key.Source
}

func newScratch(links []link) *scratch {
	s := &scratch{samples: make([]Sample, len(links)), sources: make([]key.Source, len(links))}
	largest := 0
	for _, l := range links[:len(links)-1] {
		largest = max(largest, l.size)
	}
	if len(links) > 1 {
		s.buffers = [2][]float32{make([]float32, largest), make([]float32, largest)}
	}
	for k, l := range links {
		s.samples[k] = Sample{Facts: l.facts, OutShape: l.shape, Statistics: l.statistics,
			Column: make(map[string]float64, len(l.columns)), Add: make(map[string]float64, len(l.adds)), Random: &s.sources[k]}
	}
	return s
}

// Apply takes a batch through a chain, samples spread over the processors, each with its own keyed source.
func (s augmentationServer) Apply(ctx context.Context, r *protocol.ApplyRequest) (*protocol.Applied, error) {
	c := &call{server: s.server}
	defer c.end()
	batch := len(r.Samples)
	if len(r.Chain) == 0 || len(r.In.GetShape()) < 2 || len(r.Out.GetShape()) < 2 ||
		r.In.Shape[0] != int64(batch) || r.Out.Shape[0] != int64(batch) || !slices.Equal(r.In.Shape[1:], r.Chain[0].GetFacts().GetShape()) {
		return nil, fmt.Errorf("a batch whose shapes do not belong together")
	}
	in, err := view[float32](c, r.In, false)
	if err != nil {
		return nil, err
	}
	out, err := view[float32](c, r.Out, true)
	if err != nil {
		return nil, err
	}
	links, err := s.chain(c, r)
	if err != nil || batch == 0 {
		return &protocol.Applied{}, err
	}
	inSize, outSize := len(in)/batch, len(out)/batch
	var spoilt atomic.Bool
	scratches := make([]*scratch, workers(batch))
	err = spread(ctx, s.plugin.Name, len(scratches), batch, func(worker, i int) error {
		w := scratches[worker]
		if w == nil {
			w = newScratch(links)
			scratches[worker] = w
		}
		o := out[i*outSize : (i+1)*outSize : (i+1)*outSize]
		err := w.run(links, in[i*inSize:(i+1)*inSize:(i+1)*inSize], o, i, r.Epoch, r.Samples[i])
		if err == nil && !protocol.Finite(o) { // here, where it is in the cache
			spoilt.Store(true)
		}
		return err
	})
	if err != nil && errors.Is(err, ctx.Err()) {
		return nil, ctx.Err()
	}
	return &protocol.Applied{Finite: !spoilt.Load()}, err
}

// run takes one sample, the i-th of its batch, from in through the chain into out.
func (w *scratch) run(links []link, in, out []float32, i int, epoch, id uint64) error {
	for k := range links {
		l, sample := &links[k], &w.samples[k]
		sample.In, sample.Out = in, out
		if k < len(links)-1 {
			sample.Out = w.buffers[k%2][:l.size:l.size]
		}
		w.sources[k] = *l.key.At(epoch, id)
		for _, col := range l.columns {
			sample.Column[col.name] = col.values[i]
		}
		for _, col := range l.adds {
			sample.Add[col.name] = math.NaN()
		}
		if err := step(l, sample); err != nil {
			return linkError{l.position, err}
		}
		for _, col := range l.adds {
			col.values[i] = sample.Add[col.name]
		}
		in = sample.Out
	}
	return nil
}

// step runs one link on one sample; a panic is the link's error.
func step(l *link, s *Sample) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = recovered(l.name, r)
		}
	}()
	return l.augmenter.Apply(s)
}
