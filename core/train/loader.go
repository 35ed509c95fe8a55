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

// LoaderBatches is how many batches a Loader has memory for: those ahead, the one being made, the one being computed.
const LoaderBatches = ahead + 2

// Batch is one step's samples in all their views.
type Batch struct {
	Views  map[string][]float32 // by the program's name of the view: [batch, spatial…, bands]
	Labels map[string][]float64 // by column: [batch], NaN where missing
	Name   func(i int) string   // of a sample; nil where they have none

	rows  []int
	slots map[string]*plugin.Slot
}

// Source gives a training its batches, one after the other. Loader is the one that brings stored samples through views.
type Source interface {
	// Len is the number of samples of a pass over the data.
	Len() int
	// Shape is that of a sample in a view.
	Shape(view string) []int64
	// Start begins with the batches of the steps from, from+1, … before to.
	Start(from, to int)
	// Next gives the next of them. It is the caller's until the following Next.
	Next(ctx context.Context) (*Batch, error)
	// Restart goes on with the steps from, from+1, … instead: the network is back at an earlier step.
	Restart(from, to int)
	// Stop ends what Start began, and returns when it has ended.
	Stop()
}

// Loader draws the batches of each pass over the data and brings them through the views, ahead of the loop.
type Loader struct {
	Store  *data.Store
	Rows   []int                       // training rows that a pass over the data visits
	Views  map[string]*plugin.Pipeline // by the program's names of its views
	Labels []string                    // columns that the objective wants
	Batch  int
	Seed   uint64

	ready chan *Batch
	free  chan *Batch
	made  []*Batch // all that there is memory for
	given *Batch   // the caller has this one
	err   error    // set before ready is closed
	stop  func()
	pause func() // ends without cutting a batch short: its memory is used again
	epoch int    // of order
	order []int
}

// Len is the number of training rows.
func (l *Loader) Len() int { return len(l.Rows) }

// Shape is that of a sample in a view.
func (l *Loader) Shape(view string) []int64 { return l.Views[view].Out().Shape }

// Start makes the batches of steps [from, to) in the background until Stop is called.
func (l *Loader) Start(from, to int) {
	l.made = nil
	l.start(from, to)
}

func (l *Loader) start(from, to int) {
	l.ready, l.free, l.given, l.err, l.epoch = make(chan *Batch, ahead), make(chan *Batch, LoaderBatches), nil, nil, -1
	ctx, cancel := context.WithCancel(context.Background())
	waits, pause := context.WithCancel(ctx)
	done := make(chan struct{})
	l.stop = func() { cancel(); <-done }
	l.pause = func() { pause(); <-done }
	go func() {
		defer close(done)
		defer close(l.ready)
		for len(l.made) < LoaderBatches {
			b, err := l.room()
			if err != nil {
				l.err = err
				return
			}
			l.made = append(l.made, b)
		}
		for _, b := range l.made {
			l.free <- b
		}
		for step := from; step < to; step++ {
			var b *Batch
			select {
			case b = <-l.free:
			case <-waits.Done():
				return
			}
			if err := l.fill(ctx, b, step); err != nil {
				l.err = err
				return
			}
			select {
			case l.ready <- b:
			case <-waits.Done():
				return
			}
		}
	}()
}

// Restart makes the batches of other steps.
func (l *Loader) Restart(from, to int) {
	l.pause()
	l.start(from, to)
}

// Next waits for the next batch and takes the last one back.
func (l *Loader) Next(ctx context.Context) (*Batch, error) {
	if l.given != nil {
		l.free <- l.given
		l.given = nil
	}
	select {
	case b, ok := <-l.ready:
		if !ok {
			return nil, l.err
		}
		l.given = b
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stop ends the making of batches.
func (l *Loader) Stop() { l.stop() }

// room makes the memory of one batch.
func (l *Loader) room() (*Batch, error) {
	b := &Batch{rows: make([]int, l.Batch), slots: map[string]*plugin.Slot{}, Views: map[string][]float32{}, Labels: map[string][]float64{}}
	b.Name = func(i int) string { return l.Store.ID(b.rows[i]) }
	for name, p := range l.Views {
		s, err := p.Slot(l.Batch)
		if err != nil {
			return nil, err
		}
		b.slots[name], b.Views[name] = s, s.Out
	}
	for _, name := range l.Labels {
		b.Labels[name] = make([]float64, l.Batch)
	}
	return b, nil
}

// fill draws the batch of a step: a keyed permutation of the training rows for each pass over the data, cut in order.
func (l *Loader) fill(ctx context.Context, b *Batch, step int) error {
	perEpoch := len(l.Rows) / l.Batch
	epoch, i := step/perEpoch, step%perEpoch
	if epoch != l.epoch {
		l.order, l.epoch = key.New(l.Seed, "shuffle").At(uint64(epoch), 0).Shuffle(len(l.Rows)), epoch
	}
	for k := range b.rows {
		b.rows[k] = l.Rows[l.order[i*l.Batch+k]]
	}
	for name, values := range b.Labels {
		column, ok := l.Store.Column(name)
		for k, r := range b.rows {
			values[k] = math.NaN()
			if ok {
				values[k] = column.Values[r]
			}
		}
	}
	errs := make(chan error, len(b.slots))
	var views sync.WaitGroup
	for name, slot := range b.slots {
		views.Go(func() { errs <- View(ctx, l.Store, l.Views[name], slot, b.rows, l.Seed, uint64(epoch)) })
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
