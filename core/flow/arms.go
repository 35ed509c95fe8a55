package flow

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/train"
)

// The arms of a task: sets of representations, from each of which it is answered in the same way.

// armRevision is raised when what an arm is held against changes its results.
const armRevision = 1

// heldAgainst says whether some task is held against a baseline.
func (f *Flow) heldAgainst(name string) bool {
	return slices.ContainsFunc(f.x.Tasks, func(t experiment.Task) bool { return slices.Contains(t.Against, name) })
}

// arms names those of a question, the learned one first.
func (q *question) arms() []string {
	names := []string{run.Learned}
	for _, a := range run.Arms {
		// Without labels there is nothing to predict without information, and nothing to train with.
		labels := a.Name == run.Constant || a.Name == run.Finetuned || a.Name == run.Supervised
		if slices.Contains(q.task.Against, a.Name) && (len(q.labels) > 0 || !labels) {
			names = append(names, a.Name)
		}
	}
	return names
}

// arm gives the representations of one; file is where those are that were taught with a draw of labels.
func (f *Flow) arm(w *work, q *question, name, file string, rows []int) (*Representations, error) {
	switch name {
	case run.Learned:
		return w.learned.representations, nil
	case run.Untrained:
		return w.untrained.representations, nil
	case run.Pixels:
		return w.pixels.representations, nil
	case run.Constant:
		return &Representations{Width: 1, Values: make([]float32, w.store.Len())}, nil
	}
	both := seen(rows, q.score)
	r, err := readRepresentations(file, len(both))
	if err != nil {
		return nil, err
	}
	return r.of(both), nil
}

// seen are the rows that a task sees with one draw of labels.
func seen(fit, score []int) []int { return slices.Concat(fit, score) }

// mostPixels is how many values the pixels of a sample may become, for a linear answer to be quick and not all noise.
const mostPixels = 1024

// pixels brings every object through the eval views and averages its pixels in blocks, where a task is held against that.
func (f *Flow) pixels(ctx context.Context, w *work) error {
	if !f.heldAgainst(run.Pixels) {
		return nil
	}
	shape := ints(f.plan.evalShape)
	block := 1
	for blocks(shape, block) > mostPixels && block < slices.Max(shape) {
		block++
	}
	from := recipe{"pixels", map[string]any{"revision": armRevision, "data": w.digest, "views": f.components(f.x.Views["eval"]), "statistics": f.statistics(w, "eval"), "seed": f.x.Seed, "block": block}}
	width := blocks(shape, block)
	r, err := f.stage(ctx, run.Pixels, fmt.Sprintf("pixels averaged in blocks of %d, %d values an object, to hold results against", block, width), from, func(ctx context.Context, dir string) error {
		r := &Representations{Width: width, Values: make([]float32, w.store.Len()*width)}
		size := int(model.Size(f.plan.evalShape))
		err := f.view(ctx, w, f.evalSight(), f.evalOptions(f.plan).Batch, w.all(), func(first int, samples []float32, n int) error {
			for i := range n {
				average(samples[i*size:(i+1)*size], shape, block, r.Values[(first+i)*width:(first+i+1)*width])
			}
			return nil
		})
		if err != nil {
			return err
		}
		return r.write(filepath.Join(dir, representationsFile), w.store.ID)
	})
	if err != nil {
		return err
	}
	w.pixels = arm{key: from.key()}
	w.pixels.representations, err = readRepresentations(filepath.Join(r.Dir, representationsFile), w.store.Len())
	return err
}

// blocks is how many values a sample [spatial…, bands] becomes.
func blocks(shape []int, block int) int {
	n := shape[len(shape)-1]
	for _, d := range shape[:len(shape)-1] {
		n *= (d + block - 1) / block
	}
	return n
}

// average writes the means of blocks, those at the upper ends of the axes being smaller where the sides are no multiples.
func average(x []float32, shape []int, block int, y []float32) {
	rank := len(shape) - 1
	bands := shape[rank]
	sums, counts := make([]float64, len(y)), make([]int, len(y)/bands)
	at := make([]int, rank)
	for pixel := range len(x) / bands {
		cell, rest := 0, pixel
		for i := rank - 1; i >= 0; i-- {
			at[i], rest = rest%shape[i], rest/shape[i]
		}
		for i, v := range at {
			cell = cell*((shape[i]+block-1)/block) + v/block
		}
		counts[cell]++
		for b := range bands {
			sums[cell*bands+b] += float64(x[pixel*bands+b])
		}
	}
	for i, s := range sums {
		y[i] = float32(s / float64(counts[i/bands]))
	}
}

func ints(shape []int64) []int {
	n := make([]int, len(shape))
	for i, d := range shape {
		n[i] = int(d)
	}
	return n
}

// planFinetune asks the objective of a task's trained baselines for its program, and whether the machine has room for it.
func (f *Flow) planFinetune(ctx context.Context, p *resolved, t experiment.Task) error {
	if t.Finetune == nil {
		return nil
	}
	u := t.Finetune
	objective, err := f.Host.Objective(ctx, Ref(u.Objective))
	if err != nil {
		return err
	}
	defer objective.Close()
	samples, labels := f.expected(p)
	program, err := objective.Plan(ctx, f.programRequest(p, u.Batch, samples, labels))
	if err != nil {
		return err
	}
	if err := f.checkProgram(p, program, u.Objective, u.Batch); err != nil {
		return err
	}
	if len(program.Labels) == 0 {
		return &fault.Error{Op: "plan", Kind: fault.Config, Plugin: u.Objective.Name, Path: u.Objective.Path, Where: u.Objective.Where,
			What: "this objective learns without labels", Do: `choose one that has a label, such as {"supervised.classify": {label: "…"}}`}
	}
	if _, err := f.Engine.Cost(f.engineProgram(p, program), f.trainOptions(p, u.Batch)); err != nil {
		return f.at(err, "tasks."+t.Name+".finetune.batch")
	}
	p.finetune[t.Name] = program
	return nil
}

// finetuneKey is the part of a task's key that says how its trained baselines are trained.
func (f *Flow) finetuneKey(t experiment.Task) any {
	u := t.Finetune
	if u == nil || !slices.Contains(t.Against, run.Finetuned) && !slices.Contains(t.Against, run.Supervised) {
		return nil
	}
	return map[string]any{"objective": f.component(u.Objective), "epochs": u.Epochs, "least_steps": u.LeastSteps, "batch": u.Batch,
		"optimizer": u.Optimizer, "schedule": u.Schedule, "encoder_lr": u.EncoderLR, "precision": f.x.Train.Precision}
}

// lessonOf names one training with labels.
type lessonOf struct {
	arm    string
	labels string
	draw   int
}

// taught trains an encoder for each baseline, number of labels and draw of them, each a stage of its own, and gives the
// files of what they make of the objects that the task sees. Where the task has been answered nothing is done.
func (f *Flow) taught(ctx context.Context, w *work, q *question, answered string) (map[lessonOf]string, error) {
	files := map[lessonOf]string{}
	if _, ok := f.Cache.Lookup(answered); ok && !f.Fresh {
		return files, nil
	}
	encoder, err := modelDigest(f.plan.encoder)
	if err != nil {
		return nil, err
	}
	for _, name := range q.arms() {
		if name != run.Finetuned && name != run.Supervised {
			continue
		}
		views := pipelinesOf(f.plan.finetune[q.task.Name])
		for _, labels := range q.task.Labels {
			for draw := range q.draws(labels) {
				rows := f.draw(w, q, labels, draw)
				parts := map[string]any{
					"revision": []int{armRevision, trainRevision, embedRevision}, "engine": f.engineKey(), "data": w.digest, "split": f.x.Data.Split, "seed": f.x.Seed,
					"views": f.pipelines(append(views, "eval")), "statistics": f.statistics(w, append(views, "eval")...), "encoder": encoder, "how": f.finetuneKey(q.task),
					"asked": q.labels, "judge": q.task.Judge, "labels": labels, "draw": draw, "arm": name,
				}
				if name == run.Finetuned {
					parts["from"] = w.trainKey
				}
				from := recipe{name, parts}
				title := fmt.Sprintf("%s %s, %s labels", name, q.task.Name, labels)
				if q.draws(labels) > 1 {
					title += fmt.Sprintf(", draw %d", draw+1)
				}
				r, err := f.stage(ctx, title, fmt.Sprintf("%s on %d objects", q.task.Finetune.Objective.Name, len(rows)), from, func(ctx context.Context, dir string) error {
					return f.lesson(ctx, w, q, name, rows, dir)
				})
				if err != nil {
					return nil, err
				}
				files[lessonOf{name, labels, draw}] = filepath.Join(r.Dir, representationsFile)
			}
		}
	}
	return files, nil
}

// lesson trains one encoder with the labels of some rows, and leaves what it makes of them and of the rows to be judged.
func (f *Flow) lesson(ctx context.Context, w *work, q *question, name string, rows []int, dir string) error {
	u := q.task.Finetune
	objective, err := f.Host.Objective(ctx, Ref(u.Objective))
	if err != nil {
		return err
	}
	defer objective.Close()
	l := lesson{
		path: "tasks." + q.task.Name + ".finetune", objective: objective, component: u.Objective, rows: rows, columns: w.columns,
		epochs: u.Epochs, leastSteps: u.LeastSteps, batch: min(u.Batch, len(rows)), optimizer: u.Optimizer, schedule: u.Schedule,
		start: func(engine.Network, *protocol.Program) error { return nil },
	}
	if name == run.Finetuned {
		l.encoderLR = u.EncoderLR
		l.start = func(n engine.Network, _ *protocol.Program) error {
			arrays, _, err := engine.ReadArrays(w.weights)
			if err != nil {
				return err
			}
			return n.SetParams(encoderOnly(arrays))
		}
	}
	both := seen(rows, q.score)
	return f.teach(ctx, w, l, func(job *train.Job) error {
		r, err := f.compute(ctx, w, f.evalSight(), encoderOnly(job.Learned), both)
		if err != nil {
			return err
		}
		return r.write(filepath.Join(dir, representationsFile), func(i int) string { return w.store.ID(both[i]) })
	})
}
