package flow

import (
	"context"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/train"
)

// embedRevision is raised when the computation of representations changes its results.
const embedRevision = 1

// The files of a stage of representations: they, and what computed them.
const (
	representationsFile = "representations.arrow"
	representationsBy   = "representations.json"
)

// evalOptions are those of computing representations: 64 objects at once fill the machine and take little memory, and a
// user for whom it is still too much lowers the training's batch. The bits of a representation do not depend on it.
func (f *Flow) evalOptions(p *resolved) engine.Options {
	const arms = 2 // the learned encoder's and the untrained one's are both in memory
	return engine.Options{Mode: engine.Infer, Batch: min(64, f.x.Train.Batch), Precision: engine.Precision(f.x.Train.Precision), Threads: f.Threads, Seed: f.x.Seed,
		Beside: engine.Beside{Fixed: programsBytes + arms*4*p.objects()*model.Size(p.graph.Outputs["representation"].Shape), Sample: p.slotBytes["eval"]}}
}

// embed computes the representation of every object with the learned encoder, and with the same encoder as it was before
// learning, which every result is held against.
func (f *Flow) embed(ctx context.Context, w *work) (err error) {
	w.learned, err = f.represent(ctx, w, "embed", "representations of every object by the learned encoder", map[string]any{"train": w.trainKey}, w.weights)
	if err != nil {
		return err
	}
	if err := f.Cache.Link(w.learned.key, f.dir.Path); err != nil {
		return err
	}
	if !f.heldAgainst(run.Untrained) {
		return nil
	}
	w.untrained, err = f.represent(ctx, w, "untrained", "the same by the encoder with drawn weights, to hold results against", map[string]any{"seed": f.x.Seed}, "")
	return err
}

// represent makes or reuses the representations of one set of weights; no file means the initial ones.
func (f *Flow) represent(ctx context.Context, w *work, name, what string, source map[string]any, weights string) (arm, error) {
	encoder, err := modelDigest(f.plan.eval)
	if err != nil {
		return arm{}, err
	}
	from := recipe{"embed", map[string]any{
		"revision": embedRevision, "engine": f.engineKey(), "data": w.digest, "source": source,
		"views": f.components(f.x.Views["eval"]), "statistics": f.statistics(w, "eval"), "encoder": encoder,
	}}
	r, err := f.stage(ctx, name, what, from, func(ctx context.Context, dir string) error {
		var arrays []engine.Array
		if weights != "" {
			var err error
			if arrays, _, err = engine.ReadArrays(weights); err != nil {
				return err
			}
		}
		representations, err := f.compute(ctx, w, f.evalSight(), arrays, w.all())
		if err != nil {
			return err
		}
		if err := run.WriteJSON(filepath.Join(dir, representationsBy), []run.Computed{f.computes()}); err != nil {
			return err
		}
		return representations.write(filepath.Join(dir, representationsFile), w.store.ID)
	})
	if err != nil {
		return arm{}, err
	}
	if err := f.recordComputed(filepath.Join(r.Dir, representationsBy)); err != nil {
		return arm{}, err
	}
	representations, err := readRepresentations(filepath.Join(r.Dir, representationsFile), w.store.Len())
	return arm{key: from.key(), representations: representations}, err
}

// Inference is an encoder compiled to compute representations.
type Inference struct {
	Width   int // of a representation
	network engine.Network
}

// The program of an inference.
const evalPass, evalTap = "eval", "representation"

// InferenceProgram is what an inference computes: the encoder alone.
func InferenceProgram(encoder *protocol.Model) engine.Program {
	return engine.Program{
		Encoder: encoder,
		Passes:  []*protocol.Pass{{Name: evalPass, View: evalPass}},
		Taps:    []*protocol.Tap{{Name: evalTap, Pass: evalPass, Output: evalTap}},
	}
}

// NewInference compiles an encoder with its initial weights. The mode of the options is set here.
func NewInference(e engine.Engine, encoder *protocol.Model, o engine.Options) (*Inference, error) {
	o.Mode = engine.Infer
	network, err := e.Compile(InferenceProgram(encoder), o)
	if err != nil {
		return nil, err
	}
	return &Inference{Width: int(model.Size(network.TapShape(evalTap))), network: network}, nil
}

// SetWeights puts the weights of an encoder on the network, named as in a run's: others than its own are left out.
func (i *Inference) SetWeights(arrays []engine.Array) error {
	return i.network.SetParams(encoderOnly(arrays))
}

// Represent computes the representations [n, Width] of n samples, at most the batch of the options.
func (i *Inference) Represent(samples []float32, n int, representations []float32) error {
	copy(i.network.Input(evalPass), samples)
	if err := i.network.Forward(evalPass, n, 0); err != nil {
		return err
	}
	copy(representations, i.network.Tap(evalTap)[:n*i.Width])
	return nil
}

// Close gives the memory back.
func (i *Inference) Close() error { return i.network.Close() }

// sight is how objects are looked at: through a pipeline of views, with the name that keys its draws, by an encoder that
// takes what leaves it.
type sight struct {
	encoder        *protocol.Model
	pipeline, name string
	tell           func(done, total int)
}

// evalSight is that of every result.
func (f *Flow) evalSight() sight {
	return sight{f.plan.eval, "eval", evalPass, func(done, total int) { f.Progress.Update(done, total) }}
}

// compute brings objects through views and an encoder with the given weights, or its initial ones.
func (f *Flow) compute(ctx context.Context, w *work, by sight, arrays []engine.Array, rows []int) (*Representations, error) {
	o := f.evalOptions(f.plan)
	o.Beside = engine.Beside{} // the plan has looked at it, and some of it is taken by now
	inference, err := NewInference(f.Engine, by.encoder, o)
	if err != nil {
		return nil, f.at(err, "encoder")
	}
	defer inference.Close()
	if arrays != nil {
		if err := inference.SetWeights(arrays); err != nil {
			return nil, err
		}
	}
	width := inference.Width
	r := &Representations{Width: width, Values: make([]float32, len(rows)*width)}
	err = f.view(ctx, w, by, o.Batch, rows, func(first int, samples []float32, n int) error {
		return inference.Represent(samples, n, r.Values[first*width:])
	})
	return r, err
}

// view brings objects through views, a batch at a time; first counts in rows.
func (f *Flow) view(ctx context.Context, w *work, by sight, batch int, rows []int, do func(first int, samples []float32, n int) error) error {
	chain, err := f.Host.Pipeline(ctx, refs(f.x.Views[by.pipeline]), by.name, f.plan.facts)
	if err != nil {
		return err
	}
	defer chain.Close()
	if chain.NeedsStatistics() {
		chain.SetStatistics(w.statistics)
	}
	slot, err := chain.Slot(batch)
	if err != nil {
		return err
	}
	for first := 0; first < len(rows); first += batch {
		if err := ctx.Err(); err != nil {
			return &fault.Error{Op: "embed", Kind: fault.Interrupted, What: "stopped while computing representations", Do: "run the same command again to continue; finished stages are kept"}
		}
		part := rows[first:min(first+batch, len(rows))]
		if err := train.View(ctx, w.store, chain, slot, part, f.x.Seed, 0); err != nil {
			return err
		}
		if err := do(first, slot.Out, len(part)); err != nil {
			return err
		}
		by.tell(first+len(part), len(rows))
	}
	return nil
}

// all are the rows of every object.
func (w *work) all() []int {
	rows := make([]int, w.store.Len())
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// encoderOnly leaves out the heads, which inference does not have.
func encoderOnly(arrays []engine.Array) []engine.Array {
	var keep []engine.Array
	for _, a := range arrays {
		if len(a.Name) > len("encoder.") && a.Name[:len("encoder.")] == "encoder." {
			keep = append(keep, a)
		}
	}
	return keep
}
