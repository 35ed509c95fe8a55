package flow

import (
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/weights"
)

// momentumPrefix begins the names of the second network's arrays in an engine's state.
const momentumPrefix = "momentum."

// planWeights finds the weights that the encoder starts with, where the experiment gives some, and sees that they fit.
func (f *Flow) planWeights(p *resolved) error {
	if f.x.From == "" {
		return nil
	}
	file, err := weights.Find(f.Runs, f.x.From)
	if err != nil {
		return f.at(err, "encoder.from")
	}
	if own := run.ID(f.x.Name, f.x.Resolved); filepath.Base(filepath.Dir(file)) == own {
		return f.at(&fault.Error{Op: "plan", Kind: fault.Config, What: "the weights of " + f.x.From + " are those that this very experiment has learned", Do: "name the run in full that is meant: asterism runs list shows them"}, "encoder.from")
	}
	w, err := weights.Load(file, p.encoder)
	if err != nil {
		return f.at(err, "encoder.from")
	}
	digest, err := f.Cache.FileDigest(file)
	if err != nil {
		return f.at(err, "encoder.from")
	}
	if file, err = filepath.Abs(file); err != nil {
		return err
	}
	given := &run.PlanWeights{From: f.x.From, File: file, SHA256: digest, Prefix: w.Prefix, Left: w.Left}
	p.public.Encoder.Weights = given
	p.public.Facts = append(p.public.Facts, run.PlanFact{Name: "initial weights", Value: given.String()})
	return nil
}

// start puts the given weights, if there are some, onto a network that is about to learn, and onto its second, slower one.
func (f *Flow) start(n engine.Network, program *protocol.Program) error {
	from := f.plan.public.Encoder.Weights
	if from == nil {
		return nil
	}
	w, err := weights.Load(from.File, f.plan.encoder)
	if digest, unread := f.Cache.FileDigest(from.File); unread != nil || digest != from.SHA256 { // the stage's key stands for what was there
		err = &fault.Error{Op: "train", Kind: fault.Data, What: from.File + " has changed since this run began", Err: unread, Do: "run the same command again, to begin with what it holds now"}
	}
	if err != nil {
		return f.at(err, "encoder.from")
	}
	arrays := w.Arrays
	if program.Momentum > 0 {
		for _, a := range w.Arrays {
			a.Name = momentumPrefix + a.Name
			arrays = append(arrays, a)
		}
	}
	return n.SetState(arrays)
}
