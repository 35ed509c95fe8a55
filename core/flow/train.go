package flow

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/stage"
	"github.com/asterism-ssl/asterism/core/train"
)

// trainRevision is raised when the training loop changes its results.
const trainRevision = 1

// The files of a training.
const (
	weightsFile = "weights.safetensors"
	weightsBy   = "weights.json" // what computed them
	metricsFile = "metrics.jsonl"

	checkpointsDir = "checkpoints"
)

// train learns the encoder, or takes the one that was learned before.
func (f *Flow) train(ctx context.Context, w *work) error {
	encoder, err := modelDigest(f.plan.encoder)
	if err != nil {
		return err
	}
	t := f.x.Train
	parts := map[string]any{
		"revision": trainRevision, "engine": f.engineKey(), "data": w.digest, "split": f.x.Data.Split, "seed": f.x.Seed,
		"views": f.pipelines(f.learnedFrom()), "statistics": f.statistics(w, f.learnedFrom()...), "encoder": encoder, "objective": f.component(t.Objective),
		"epochs": t.Epochs, "batch": t.Batch, "optimizer": t.Optimizer, "schedule": t.Schedule, "precision": t.Precision,
	}
	what := fmt.Sprintf("%s, %d epochs of %d objects, batch %d", t.Objective.Name, t.Epochs, len(w.parts.Train), t.Batch)
	if t.Monitor != nil { // the weights do not depend on it, what is kept of the training does
		parts["monitor"] = f.component(*t.Monitor)
	}
	if given := f.plan.public.Encoder.Weights; given != nil {
		parts["from"] = given.SHA256
		what += ", from " + given.From
	}
	from := recipe{"train", parts}
	w.trainKey = from.key()
	byAny := maps.Clone(parts)
	delete(byAny, "engine")
	w.training = recipe{"training", byAny}.key()
	r, err := f.stage(ctx, "train", what, from, func(ctx context.Context, dir string) error { return f.learn(ctx, w, dir) })
	if err != nil {
		return err
	}
	if err := f.recordComputed(filepath.Join(r.Dir, weightsBy)); err != nil {
		return err
	}
	w.weights = filepath.Join(r.Dir, weightsFile)
	if err := os.RemoveAll(f.dir.File(checkpointsDir)); err != nil { // the training is complete
		return err
	}
	return f.Cache.Link(w.trainKey, f.dir.Path)
}

// pipelines is what stands for views in a key: the components of each.
func (f *Flow) pipelines(names []string) map[string]any {
	parts := map[string]any{}
	for _, name := range names {
		parts[name] = f.components(f.x.Views[name])
	}
	return parts
}

// learnedFrom names the pipelines that the training uses.
func (f *Flow) learnedFrom() []string { return pipelinesOf(f.plan.program) }

// pipelinesOf names the pipelines that a program uses.
func pipelinesOf(program *protocol.Program) []string {
	var names []string
	for _, v := range program.Views {
		names = append(names, v.Pipeline)
	}
	return names
}

// learn runs the training loop in the run directory and leaves its results in the stage's folder.
func (f *Flow) learn(ctx context.Context, w *work, dir string) (err error) {
	if f.Fresh {
		if err := os.RemoveAll(f.dir.File(checkpointsDir)); err != nil {
			return err
		}
	}
	t := f.x.Train
	checkpoints := &train.Checkpoints{Dir: f.dir.File(checkpointsDir), Job: w.trainKey, Training: w.training}
	if err := f.goOn(checkpoints); err != nil {
		return err
	}
	log := &trainLog{dir: f.dir}
	defer func() { err = errors.Join(err, log.close()) }()
	l := lesson{
		path: "train", objective: f.plan.objective, component: t.Objective, rows: w.parts.Train, columns: w.columns,
		epochs: t.Epochs, batch: t.Batch, optimizer: t.Optimizer, schedule: t.Schedule, start: f.start,
		look: w.look,
		job: func(job *train.Job) {
			job.StopAfter = f.StopAfter
			job.Checkpoints = checkpoints
			job.CheckpointEvery = time.Duration(t.CheckpointMinutes * float64(time.Minute))
			job.Marks, job.Rewind = log.marks, log.rewind
		},
		observe: log.observe,
	}
	return f.teach(ctx, w, l, func(job *train.Job) error {
		if err := log.sync(); err != nil {
			return err
		}
		if err := run.WriteJSON(filepath.Join(dir, weightsBy), job.Computed); err != nil {
			return err
		}
		if err := engine.WriteArrays(filepath.Join(dir, weightsFile), job.Learned, nil); err != nil {
			return err
		}
		for _, name := range []string{metricsFile, run.EventsFile} {
			if err := copyFile(filepath.Join(dir, name), f.dir.File(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// holdEvery is how much of a training a crash of the engine may cost: to read the state takes a step's time or less.
const holdEvery = 30 * time.Second

// lesson is one training of the encoder.
type lesson struct {
	path       string // of the field that asks for it
	objective  *plugin.Objective
	component  experiment.Component // the objective's
	rows       []int
	columns    []*protocol.LabelFacts
	epochs     int
	leastSteps int
	batch      int
	optimizer  experiment.Optimizer
	schedule   experiment.Schedule
	encoderLR  float64                                       // as train.Job.Encoder
	start      func(engine.Network, *protocol.Program) error // gives the network the weights that it begins with
	look       *look                                         // may be nil
	job        func(*train.Job)                              // may be nil
	observe    func(train.Progress, map[string]float64)      // with the shares of time waited for plugins; may be nil
}

// teach runs the training loop and hands on what was learned.
func (f *Flow) teach(ctx context.Context, w *work, l lesson, end func(*train.Job) error) error {
	program, err := l.objective.Plan(ctx, f.programRequest(f.plan, l.batch, len(l.rows), l.columns))
	if err != nil {
		return err
	}
	rows := l.rows
	if program.LabelledOnly {
		if rows = labelled(w.store, rows, program.Labels); len(rows) == 0 {
			return &fault.Error{Op: "train", Kind: fault.Data, Plugin: l.component.Name, Path: l.component.Path, Where: l.component.Where,
				What: fmt.Sprintf("no training object has a value for %v", program.Labels), Do: "name another label column, or a source that has it"}
		}
	}
	network, err := f.Engine.Compile(f.engineProgram(f.plan, program), f.trainOptions(f.plan, l.batch))
	if err != nil {
		return f.at(err, l.path+".batch")
	}
	defer network.Close()
	if err := l.start(network, program); err != nil {
		return err
	}
	widths := map[string][]int64{}
	for _, t := range program.Taps {
		widths[t.Name] = network.TapShape(t.Name)
	}
	if err := l.objective.Bind(l.batch, widths, program.Labels); err != nil {
		return err
	}
	views := map[string]*plugin.Pipeline{}
	for _, v := range program.Views {
		chain, err := f.Host.Pipeline(ctx, refs(f.x.Views[v.Pipeline]), v.Name, f.plan.facts)
		if err != nil {
			return err
		}
		defer chain.Close()
		if chain.NeedsStatistics() {
			chain.SetStatistics(w.statistics)
		}
		views[v.Name] = chain
	}
	job := &train.Job{
		Source:  &train.Loader{Store: w.store, Rows: rows, Views: views, Labels: program.Labels, Batch: l.batch, Seed: f.x.Seed},
		Program: program, Network: network, Objective: l.objective,
		Seed: f.x.Seed, Batch: l.batch, Epochs: l.epochs, Momentum: l.optimizer.Momentum, Decay: l.optimizer.WeightDecay, Encoder: l.encoderLR,
		Engine: f.computes(),
		Note:   func(format string, a ...any) { f.Progress.Note(fmt.Sprintf(format, a...)) },
	}
	if l.look != nil {
		job.Look = func(ctx context.Context, epochs int) (map[string]float64, error) {
			params, err := network.Params()
			if err != nil {
				return nil, err
			}
			return l.look.at(ctx, f, w, params, epochs)
		}
	}
	if f.x.Engine != nil {
		job.Hold = cmp.Or(f.Hold, holdEvery)
	}
	if l.job != nil {
		l.job(job)
	}
	perEpoch, _ := job.Steps()
	if perEpoch > 0 {
		job.Epochs = max(job.Epochs, (l.leastSteps+perEpoch-1)/perEpoch)
	}
	_, total := job.Steps()
	job.Schedule = train.Schedule{Base: l.optimizer.LR, Kind: l.schedule.Kind, Warmup: int(l.schedule.WarmupEpochs * float64(perEpoch)), Total: total}
	job.Observe = func(p train.Progress) {
		fields := []run.Field{{Name: "epoch", Value: fmt.Sprintf("%.1f", p.Epoch)}, {Name: "loss", Value: fmt.Sprintf("%.3f", p.Loss)}, {Value: fmt.Sprintf("%.0f images/s", p.ImagesPS)}}
		if l.look != nil && l.look.found != nil {
			fields = append(fields, *l.look.found)
		}
		shares := waits(p, views, l.component.Plugin)
		if f.x.Engine != nil {
			shares[f.x.Engine.Plugin] += p.Engine
		}
		if text := run.WaitText(shares, 0.01); text != "" {
			fields = append(fields, run.Field{Name: "waiting for", Value: text})
		}
		f.Progress.Update(p.Step, p.Steps, fields...)
		if l.observe != nil {
			l.observe(p, shares)
		}
	}
	if err := train.Run(ctx, job); err != nil {
		if of, ok := errors.AsType[*fault.Error](err); ok && of.Kind == fault.Plugin && of.Plugin == "" { // the objective's answer
			e := *of
			e.Plugin, e.Path, e.Where = l.component.Name, l.component.Path, l.component.Where
			return &e
		}
		return f.at(err, l.path)
	}
	return end(job)
}

// waits is the share of the training's time that was spent waiting for each plugin. What was waited for views is parted
// among the plugins of their pipelines as their work was; with none there, reading the data is "data".
func waits(p train.Progress, views map[string]*plugin.Pipeline, objective string) map[string]float64 {
	shares := map[string]float64{objective: p.Asked}
	busy, total := map[string]float64{}, 0.0
	for _, chain := range views {
		for name, d := range chain.Busy() {
			busy[name] += d.Seconds()
			total += d.Seconds()
		}
	}
	if total == 0 {
		shares["data"] += p.Stall
	}
	for name, s := range busy {
		shares[name] += p.Stall * s / total
	}
	return shares
}

// labelled keeps the rows that have every column.
func labelled(s *data.Store, rows []int, columns []string) []int {
	var values [][]float64
	for _, name := range columns {
		c, ok := s.Column(name)
		if !ok {
			return nil
		}
		values = append(values, c.Values)
	}
	var keep []int
	for _, r := range rows {
		complete := true
		for _, v := range values {
			complete = complete && !math.IsNaN(v[r])
		}
		if complete {
			keep = append(keep, r)
		}
	}
	return keep
}

// labelFacts describes every column over the given rows.
func labelFacts(s *data.Store, rows []int) []*protocol.LabelFacts {
	var facts []*protocol.LabelFacts
	for _, name := range s.Columns() {
		c, _ := s.Column(name)
		l := &protocol.LabelFacts{Column: name, Categories: c.Categories, Minimum: math.Inf(1), Maximum: math.Inf(-1), Type: protocol.Field_NUMBER}
		if len(c.Categories) > 0 {
			l.Type = protocol.Field_STRING
		}
		for _, r := range rows {
			if v := c.Values[r]; !math.IsNaN(v) {
				l.Count++
				l.Minimum, l.Maximum = min(l.Minimum, v), max(l.Maximum, v)
			}
		}
		if l.Count == 0 {
			l.Minimum, l.Maximum = 0, 0
		}
		facts = append(facts, l)
	}
	return facts
}

// modelDigest stands for a model description in a key.
func modelDigest(m *protocol.Model) (string, error) {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return stage.Key("model", text), err
}

// trainLog writes the two files that grow with a training: metrics.jsonl and the TensorBoard events.
type trainLog struct {
	dir     *run.Dir
	metrics *os.File
	buffer  *bufio.Writer
	events  *run.EventWriter
	err     error
}

// rewind opens both files at a checkpoint's offsets; nil begins them anew.
func (l *trainLog) rewind(marks map[string]int64) error {
	var err error
	if l.metrics, err = run.Continue(l.dir.File(metricsFile), marks["metrics"]); err != nil {
		return err
	}
	l.buffer = bufio.NewWriter(l.metrics)
	l.events, err = run.OpenEvents(l.dir.File(run.EventsFile), marks["events"])
	return err
}

func (l *trainLog) observe(p train.Progress, waits map[string]float64) {
	line := run.MetricLine{Step: uint64(p.Step), Epoch: p.Epoch, Seconds: p.Seconds, Loss: p.Loss, LR: p.LR, ImagesPS: p.ImagesPS, StallFrac: p.Stall, Metrics: map[string]float64{}}
	scalars := []run.Scalar{{Tag: "loss", Value: p.Loss}, {Tag: "learning rate", Value: p.LR}, {Tag: "images per second", Value: p.ImagesPS}}
	for _, m := range p.Metrics {
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			continue // JSON cannot hold it, and no curve can show it
		}
		line.Metrics[m.Name] = m.Value
		scalars = append(scalars, run.Scalar{Tag: m.Name, Value: m.Value})
	}
	line.Health, line.Waits = p.Health, waits
	for _, name := range slices.Sorted(maps.Keys(p.Health)) {
		scalars = append(scalars, run.Scalar{Tag: "health/" + name, Value: p.Health[name]})
	}
	text, err := json.Marshal(line)
	if err == nil {
		_, err = l.buffer.Write(append(text, '\n'))
	}
	if err == nil {
		err = l.events.Scalars(line.Step, time.Now(), scalars...)
	}
	if l.err == nil {
		l.err = err
	}
}

// sync brings both files to the disk and reports what went wrong on the way.
func (l *trainLog) sync() error {
	return errors.Join(l.err, l.buffer.Flush(), l.metrics.Sync(), l.events.Sync())
}

// marks are the offsets for a checkpoint.
func (l *trainLog) marks() (map[string]int64, error) {
	if err := l.sync(); err != nil {
		return nil, err
	}
	at, err := l.metrics.Seek(0, io.SeekCurrent)
	return map[string]int64{"metrics": at, "events": l.events.Offset()}, err
}

func (l *trainLog) close() error {
	var err error
	if l.metrics != nil {
		err = errors.Join(l.buffer.Flush(), l.metrics.Close())
	}
	if l.events != nil {
		err = errors.Join(err, l.events.Close())
	}
	return err
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
