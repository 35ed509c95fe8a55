package train

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
)

// ahead is how many batches are made while the network computes: one to hide the views' time, one to even it out.
const ahead = 2

// batch is one step's samples in all their views.
type batch struct {
	rows   []int
	views  map[string]*plugin.Slot
	labels map[string][]float64
}

// loader draws the batches of each pass over the data and brings them through the views, ahead of the loop.
type loader struct {
	job      *Job
	perEpoch int
	ready    chan *batch
	free     chan *batch
	err      error // set before ready is closed
	epoch    int   // of order
	order    []int
}

func newLoader(j *Job, perEpoch int) *loader {
	return &loader{job: j, perEpoch: perEpoch, epoch: -1, ready: make(chan *batch, ahead), free: make(chan *batch, ahead+2)}
}

// start makes the batches of steps [from, to) in the background until stop is called, which waits for the end.
func (l *loader) start(from, to int) (batches <-chan *batch, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(l.ready)
		for i := 0; i < ahead+2; i++ {
			b, err := l.room()
			if err != nil {
				l.err = err
				return
			}
			l.free <- b
		}
		for step := from; step < to; step++ {
			var b *batch
			select {
			case b = <-l.free:
			case <-ctx.Done():
				return
			}
			if err := l.fill(ctx, b, step); err != nil {
				l.err = err
				return
			}
			select {
			case l.ready <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return l.ready, func() { cancel(); <-done }
}

func (l *loader) recycle(b *batch) { l.free <- b }

// room makes the memory of one batch.
func (l *loader) room() (*batch, error) {
	b := &batch{rows: make([]int, l.job.Batch), views: map[string]*plugin.Slot{}, labels: map[string][]float64{}}
	for name, p := range l.job.Views {
		s, err := p.Slot(l.job.Batch)
		if err != nil {
			return nil, err
		}
		b.views[name] = s
	}
	for _, name := range l.job.Program.Labels {
		b.labels[name] = make([]float64, l.job.Batch)
	}
	return b, nil
}

// fill draws the batch of a step: a keyed permutation of the training rows for each pass over the data, cut in order.
func (l *loader) fill(ctx context.Context, b *batch, step int) error {
	epoch, i := step/l.perEpoch, step%l.perEpoch
	if epoch != l.epoch {
		l.order, l.epoch = key.New(l.job.Seed, "shuffle").At(uint64(epoch), 0).Shuffle(len(l.job.Rows)), epoch
	}
	for k := range b.rows {
		b.rows[k] = l.job.Rows[l.order[i*l.job.Batch+k]]
	}
	for name, values := range b.labels {
		column, ok := l.job.Store.Column(name)
		for k, r := range b.rows {
			values[k] = math.NaN()
			if ok {
				values[k] = column.Values[r]
			}
		}
	}
	errs := make(chan error, len(b.views))
	var views sync.WaitGroup
	for name, slot := range b.views {
		views.Go(func() { errs <- View(ctx, l.job.Store, l.job.Views[name], slot, b.rows, l.job.Seed, uint64(epoch)) })
	}
	views.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// View gathers rows of the store into a slot and applies its pipeline.
func View(ctx context.Context, store *data.Store, p *plugin.Pipeline, s *plugin.Slot, rows []int, seed, epoch uint64) error {
	w := len(s.In) / len(s.Samples)
	if err := store.Gather(s.In[:len(rows)*w], rows); err != nil {
		return err
	}
	for k, r := range rows {
		s.Samples[k] = store.Sample(r)
	}
	for name, values := range s.Columns {
		column, ok := store.Column(name)
		if !ok {
			return &fault.Error{Op: "views", Kind: fault.Config, What: fmt.Sprintf("a view reads the column %q, which the data do not have", name)}
		}
		for k, r := range rows {
			values[k] = column.Values[r]
		}
	}
	return p.Apply(ctx, s, len(rows), seed, epoch)
}
