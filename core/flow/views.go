package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/train"
)

// ViewSteps is what a pipeline makes of some samples, step by step.
type ViewSteps struct {
	View  string
	Steps []ViewStep // the first is the stored sample, before any augmentation
	Lines []ViewLine
}

// ViewStep is one augmentation of a pipeline.
type ViewStep struct {
	Component string // empty: what is stored
	Facts     *protocol.SampleFacts
}

// ViewLine is one view of one sample.
type ViewLine struct {
	ID     string
	Name   string      // of the view as the objective has it: "query"
	Epoch  int         // in which training draws it, counted from 0
	Pixels [][]float32 // after each step, [spatial…, bands]
}

// drawing names a draw of a view.
type drawing struct {
	name  string
	epoch int
}

// DrawViews brings samples, spread over the training part, through a pipeline and cuts it off after each augmentation. The
// draws are those of training: the views that the objective compares, in the first epoch and the next. Of a pipeline that
// training does not use, such as eval, there is one draw.
func (f *Flow) DrawViews(ctx context.Context, view string, samples, draws int) (*ViewSteps, error) {
	if _, ok := f.x.Views[view]; !ok {
		have := slices.Sorted(maps.Keys(f.x.Views))
		e := &fault.Error{Op: "views", Kind: fault.Config, What: fmt.Sprintf("the experiment has no views.%s", view), Do: "it has " + strings.Join(have, ", ")}
		if near := fault.Nearest(view, have); near != "" {
			e.Do = fmt.Sprintf("did you mean %q? ", near) + e.Do
		}
		return nil, e
	}
	s, err := f.Samples(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Store.Close()
	w, err := f.workOf(ctx, s, view)
	if err != nil {
		return nil, err
	}
	return f.viewSteps(ctx, w, view, samples, draws)
}

// viewSteps brings samples of the training part through a pipeline.
func (f *Flow) viewSteps(ctx context.Context, w *work, view string, samples, draws int) (*ViewSteps, error) {
	chain, train := f.x.Views[view], w.parts.Train
	rows := make([]int, min(samples, len(train)))
	v := &ViewSteps{View: view}
	list := f.drawings(view, draws)
	for i := range rows {
		rows[i] = train[i*len(train)/len(rows)]
		for _, d := range list {
			v.Lines = append(v.Lines, ViewLine{ID: w.store.ID(rows[i]), Name: d.name, Epoch: d.epoch})
		}
	}
	for n := range len(chain) + 1 {
		step := ViewStep{Facts: f.plan.facts}
		if n > 0 {
			step.Component = chain[n-1].Name
		}
		for k, d := range list {
			facts, err := v.take(ctx, f, w, chain[:n], d, rows, k, len(list))
			if err != nil {
				return nil, err
			}
			step.Facts = facts
		}
		v.Steps = append(v.Steps, step)
	}
	return v, nil
}

// workOf measures the statistics that a view needs.
func (f *Flow) workOf(ctx context.Context, s *Samples, view string) (*work, error) {
	w := &work{store: s.Store, digest: s.Store.Digest(), parts: s.parts}
	if !f.needsStatistics(view) {
		return w, nil
	}
	return w, f.measureFor(ctx, w)
}

// drawings lists the draws of a pipeline that training sees, the views of one epoch first.
func (f *Flow) drawings(view string, n int) []drawing {
	var names []string
	for _, v := range f.plan.program.Views {
		if v.Pipeline == view {
			names = append(names, v.Name)
		}
	}
	if len(names) == 0 {
		return []drawing{{view, 0}}
	}
	list := make([]drawing, n)
	for i := range list {
		list[i] = drawing{names[i%len(names)], i / len(names)}
	}
	return list
}

// take draws the k-th of each sample's lines with the beginning of a pipeline: a draw follows from what it is for, so that
// it is the same as in the whole.
func (v *ViewSteps) take(ctx context.Context, f *Flow, w *work, chain []experiment.Component, d drawing, rows []int, k, each int) (*protocol.SampleFacts, error) {
	p, err := f.Host.Pipeline(ctx, refs(chain), d.name, f.plan.facts)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if p.NeedsStatistics() {
		p.SetStatistics(w.statistics)
	}
	slot, err := p.Slot(len(rows))
	if err != nil {
		return nil, err
	}
	width := len(slot.Out) / len(rows)
	if err := train.View(ctx, w.store, p, slot, rows, f.x.Seed, uint64(d.epoch)); err != nil {
		return nil, err
	}
	for i := range rows {
		l := &v.Lines[i*each+k]
		l.Pixels = append(l.Pixels, slices.Clone(slot.Out[i*width:(i+1)*width]))
	}
	if len(chain) == 0 {
		return f.plan.facts, nil
	}
	return p.Out(), nil
}
