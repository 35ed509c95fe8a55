package flow

import (
	"context"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
)

// Samples are the stored data of an experiment and its views, for those who want to look at views without learning.
type Samples struct {
	Store *data.Store
	Rows  []int // of the training split
	Facts *protocol.SampleFacts
	Views map[string][]plugin.Ref

	parts *data.Parts
}

// Samples plans the experiment and brings its data into the store, or opens what is there. The store is the caller's to
// close. Like Run it keeps a record in a directory under Runs.
func (f *Flow) Samples(ctx context.Context) (s *Samples, err error) {
	if _, err := f.Plan(ctx); err != nil {
		return nil, err
	}
	if f.dir, err = run.OpenDir(f.Runs, run.ID(f.x.Name, f.x.Resolved)); err != nil {
		return nil, err
	}
	defer f.dir.Close()
	store, err := f.data(ctx)
	if err != nil {
		return nil, err
	}
	parts, err := data.Split(store, f.x.Data.Split.By, f.x.Data.Split.Valid, f.x.Data.Split.Test, f.x.Seed)
	if err != nil {
		store.Close()
		return nil, f.at(err, "data.split.by")
	}
	s = &Samples{Store: store, Rows: parts.Train, Facts: f.plan.facts, parts: parts, Views: map[string][]plugin.Ref{}}
	for name, chain := range f.x.Views {
		s.Views[name] = refs(chain)
	}
	return s, nil
}
