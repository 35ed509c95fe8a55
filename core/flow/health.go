package flow

import (
	"context"
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/health"
	"github.com/asterism-ssl/asterism/core/run"
)

// While an encoder learns, its representations of some objects are looked at. Nothing of the training depends on it.

const (
	lookObjects = 256  // whose two views are compared
	askFit      = 512  // training objects that the monitor knows
	askScore    = 256  // validation objects that it is asked about
	lookEvery   = 2000 // objects learned from between two looks, at least: looking costs some hundredths of learning
)

// look is what a training is watched by.
type look struct {
	every   int       // epochs
	rows    []int     // of the training part
	monitor *question // nil: none
	both    []int     // rows that the monitor sees
	found   *run.Field
}

// planMonitor asks the task that watches the training for its labels.
func (f *Flow) planMonitor(ctx context.Context, p *resolved) error {
	m := f.x.Train.Monitor
	if m == nil {
		return nil
	}
	if f.x.Data.Split.Valid == 0 {
		return &fault.Error{Op: "plan", Kind: fault.Config, Plugin: m.Name, Path: m.Path, Where: m.Where, What: "it is asked about the validation part, and data.split.valid is 0",
			Do: "give data.split.valid a share, or leave train.monitor out"}
	}
	samples, labels := f.expected(p)
	var err error
	p.monitor, err = f.planTask(ctx, p, *m, samples, labels)
	return err
}

// newLook chooses the objects to look at; from draws them, so that others in the data move none.
func (f *Flow) newLook(ctx context.Context, w *work) (*look, error) {
	perEpoch := max(1, len(w.parts.Train)/f.x.Train.Batch*f.x.Train.Batch)
	l := &look{every: (lookEvery + perEpoch - 1) / perEpoch, rows: f.some(w, w.parts.Train, lookObjects)}
	m := f.x.Train.Monitor
	if m == nil {
		return l, nil
	}
	q := &question{task: experiment.Task{Name: "monitor", Component: *m, Judge: "valid"}, plugin: f.plan.monitor}
	if err := f.parted(ctx, w, q); err != nil {
		return nil, err
	}
	q.fit, q.score = f.some(w, q.fit, askFit), f.some(w, q.score, askScore)
	l.monitor, l.both = q, seen(q.fit, q.score)
	return l, nil
}

// some draws at most n of the rows.
func (f *Flow) some(w *work, rows []int, n int) []int {
	return Draw(f.x.Seed, 0, rows, min(n, len(rows)), w.store.Sample)
}

// at looks at a network that has learned for so many epochs; an empty answer means that it is not time.
func (l *look) at(ctx context.Context, f *Flow, w *work, arrays []engine.Array, epochs int) (map[string]float64, error) {
	if epochs%l.every != 0 && epochs != f.x.Train.Epochs {
		return nil, nil
	}
	arrays = encoderOnly(arrays)
	found := map[string]float64{}
	keep := func(name string, v float64) {
		if !math.IsNaN(v) && !math.IsInf(v, 0) { // JSON cannot hold it, and no curve can show it
			found[name] = v
		}
	}
	silent := func(int, int) {}
	var views [2]*Representations
	for i := range views {
		var err error
		if views[i], err = f.compute(ctx, w, sight{f.plan.encoder, f.learnedFrom()[0], fmt.Sprintf("look/%d", i), silent}, arrays, l.rows); err != nil {
			return nil, err
		}
	}
	x, width := views[0].Values, views[0].Width
	keep("alignment", health.Alignment(x, views[1].Values, width))
	keep("uniformity", health.Uniformity(x, width))
	keep("effective rank", health.EffectiveRank(x, width))
	keep("spread", health.Spread(x, width))
	if l.monitor == nil {
		return found, nil
	}
	by := f.evalSight()
	by.tell = silent
	r, err := f.compute(ctx, w, by, arrays, l.both)
	if err != nil {
		return nil, err
	}
	answer, err := f.once(ctx, w, l.monitor, r.of(l.both), l.monitor.fit, "", false)
	if err != nil {
		return nil, err
	}
	for i, m := range answer.Metrics {
		keep("validation "+m.Name, m.Value)
		if i == 0 {
			l.found = &run.Field{Name: "validation " + m.Name, Value: fmt.Sprintf("%.3f", m.Value)}
		}
	}
	return found, nil
}
