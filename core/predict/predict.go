// Package predict uses what a run has learned on new data: it brings objects through the run's frame, eval views, encoder
// and tasks, and finds the training objects that are most like them.
//
//	p, err := predict.Open(ctx, experiment, "runs/efigi-1a2b3c4d", predict.Options{Host: host, Engine: native.New(), Nearest: 5})
//	err = p.Run(ctx, experiment.Data.Sources, predict.Visitor{Batch: func(b *predict.Batch) error { … }})
//
// It needs the run directory, not the data that it was made of. Objects stream through in batches, so that there may be
// any number of them, and an object has the same representation as if it had been in the run.
package predict

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/trained"
)

// Options say with what is predicted.
type Options struct {
	Host    *plugin.Host
	Engine  engine.Engine
	Threads int          // 0: all processors
	Nearest int          // how many training objects are looked for; 0: none
	Picture bool         // whether batches have pictures
	Tasks   bool         // whether the run's tasks are asked
	Note    func(string) // is told what a user should know; may be nil
	Each    func(n int)  // is told how many records have been read; may be nil
}

// Predictor is a run, opened for use.
type Predictor struct {
	Options
	Dir   string
	Width int    // of a representation
	Index *Index // of the run's objects; nil where none are looked for

	x         *experiment.Experiment
	inputs    run.Inputs
	views     *plugin.Pipeline
	slot      *plugin.Slot
	batch     int
	inference *flow.Inference
	tasks     []*task
	reading   *reading // nil: no file has been asked about
}

// task is a question of the run with what it learned.
type task struct {
	experiment.Task
	plugin *plugin.Task
	state  []plugin.Tensor
	rows   int      // that it was fitted on
	ids    []string // of them, found when they are needed
}

// Open reads a run directory. The experiment is the run's own, but for its data.
func Open(ctx context.Context, x *experiment.Experiment, dir string, o Options) (opened *Predictor, err error) {
	e, err := trained.Open(ctx, o.Host, dir)
	if err != nil {
		return nil, err
	}
	p := &Predictor{Options: o, Dir: dir, x: x, batch: min(64, x.Train.Batch)}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if err := run.ReadJSON(filepath.Join(dir, run.InputsFile), &p.inputs); err != nil {
		return nil, trained.Damaged(dir, err)
	}
	const view = "eval"
	var links []plugin.Ref
	for _, c := range x.Views[view] {
		links = append(links, flow.Ref(c))
	}
	if p.views, err = o.Host.Pipeline(ctx, links, view, p.inputs.Facts); err != nil {
		return nil, err
	}
	if out := p.views.Out().Shape; !slices.Equal(out, e.Sample.Shape) {
		return nil, trained.Damaged(dir, fmt.Errorf("views.eval leave samples of the shape %v, and the encoder takes %v", out, e.Sample.Shape))
	}
	if p.views.NeedsStatistics() {
		if len(p.inputs.Statistics) == 0 {
			return nil, trained.Damaged(dir, errors.New("the statistics that views.eval need are not recorded"))
		}
		p.views.SetStatistics(p.inputs.Statistics)
	}
	if p.slot, err = p.views.Slot(p.batch); err != nil {
		return nil, err
	}
	options := engine.Options{Batch: p.batch, Precision: engine.Precision(x.Train.Precision), Threads: o.Threads, Seed: x.Seed}
	p.inference, err = flow.NewInference(o.Engine, e.Graph.Model, options)
	if errors.Is(err, engine.ErrPrecision) { // it was computed elsewhere
		if o.Note != nil {
			o.Note(fmt.Sprintf("%s cannot be computed here: representations are computed in %s, and differ in the third digit from those of the run", options.Precision, engine.Float32))
		}
		options.Precision = engine.Float32
		p.inference, err = flow.NewInference(o.Engine, e.Graph.Model, options)
	}
	if err != nil {
		return nil, err
	}
	if err := p.inference.SetWeights(e.Weights); err != nil {
		return nil, err
	}
	p.Width = p.inference.Width
	if o.Tasks {
		if err := p.openTasks(ctx); err != nil {
			return nil, err
		}
	}
	if o.Nearest > 0 {
		if p.Index, err = OpenIndex(dir, o.Threads, true); err != nil {
			return nil, err
		}
		if w := p.Index.Width(); w != p.Width {
			return nil, trained.Damaged(dir, fmt.Errorf("its representations have %d values, and its encoder gives %d", w, p.Width))
		}
	}
	return p, nil
}

// openTasks reads what each task learned.
func (p *Predictor) openTasks(ctx context.Context) error {
	for _, t := range p.x.Tasks {
		q := &task{Task: t}
		folder := filepath.Join(p.Dir, "tasks", t.Name)
		var result run.TaskResult
		err := run.ReadJSON(filepath.Join(folder, "result.json"), &result)
		if err == nil {
			q.state, err = plugin.ReadTensors(filepath.Join(folder, "state.safetensors"))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return &fault.Error{Op: "predict", Kind: fault.Config, Path: "tasks." + t.Name, What: "the task was not answered in " + p.Dir, Do: "run its experiment to the end; asterism predict --no-tasks does without"}
		}
		if err != nil {
			return trained.Damaged(p.Dir, err)
		}
		q.rows = result.FitRows
		if n, err := strconv.Atoi(flow.MostLabels(t.Labels)); err == nil {
			q.rows = n
		}
		if q.plugin, err = p.Host.Task(ctx, flow.Ref(t.Component)); err != nil {
			return err
		}
		p.tasks = append(p.tasks, q)
	}
	return nil
}

// Close gives everything back but the host.
func (p *Predictor) Close() error {
	var err error
	for _, t := range p.tasks {
		err = errors.Join(err, t.plugin.Close())
	}
	if p.reading != nil {
		err = errors.Join(err, p.reading.d.Close())
	}
	if p.views != nil {
		err = errors.Join(err, p.views.Close())
	}
	if p.inference != nil {
		err = errors.Join(err, p.inference.Close())
	}
	if p.Index != nil {
		err = errors.Join(err, p.Index.Close())
	}
	return err
}

// Batch is what is said of some objects.
type Batch struct {
	IDs             []string
	Width           int
	Representations []float32       // [objects, Width]
	Columns         []plugin.Tensor // what the tasks predict, [objects] or [objects, k], called task.column
	Texts           []TextColumn    // predictions that are objects of the run
	Pictures        [][]byte        // [objects] PNG, of what is in the frame; nil: none
	Nearest         []string        // [objects, k] ids of training objects, nearest first; "" where there are fewer
	Distance        []float32       // [objects, k] from them: 1 − cosine
}

// TextColumn is a column of names, [objects, K].
type TextColumn struct {
	Name string
	K    int
	Text []string
}

// K is how many training objects are named for each object.
func (b *Batch) K() int {
	if len(b.IDs) == 0 {
		return 0
	}
	return len(b.Nearest) / len(b.IDs)
}

// Values gives what the tasks predict of one object, by column: a number or a name, or a value for each category, or a list.
func (b *Batch) Values(i int) map[string]any {
	values := map[string]any{}
	for _, t := range b.Columns {
		if len(t.Shape) == 1 {
			values[t.Name] = value(t, i)
			continue
		}
		k := int(t.Shape[1])
		if len(t.Categories) == k && t.I64 == nil {
			each := map[string]any{}
			for j, name := range t.Categories {
				each[name] = value(t, i*k+j)
			}
			values[t.Name] = each
			continue
		}
		list := make([]any, k)
		for j := range list {
			list[j] = value(t, i*k+j)
		}
		values[t.Name] = list
	}
	for _, t := range b.Texts {
		values[t.Name] = t.Text[i*t.K : (i+1)*t.K]
	}
	return values
}

// value is one value of a column for JSON, nil where it is not a finite number.
func value(t plugin.Tensor, i int) any {
	switch {
	case t.I64 != nil && len(t.Categories) > 0:
		return cell(t, i)
	case t.I64 != nil:
		return t.I64[i]
	case t.U8 != nil:
		return t.U8[i]
	}
	v := 0.0
	if t.F64 != nil {
		v = t.F64[i]
	} else {
		v = float64(t.F32[i])
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}

// Questions names the tasks that are asked.
func (p *Predictor) Questions() []string {
	names := make([]string, len(p.tasks))
	for i, t := range p.tasks {
		names[i] = t.Name
	}
	return names
}

// ask asks every task about representations.
func (p *Predictor) ask(ctx context.Context, b *Batch) error {
	x := plugin.Tensor{Name: "x", Shape: []int64{int64(len(b.IDs)), int64(b.Width)}, F32: b.Representations}
	for _, t := range p.tasks {
		needs, err := t.plugin.Needs(ctx, &protocol.TaskNeedsRequest{Width: uint32(b.Width), FitRows: uint64(t.rows), PredictRows: uint64(len(b.IDs)), Labels: p.inputs.Columns})
		if err != nil {
			return err
		}
		columns, err := t.plugin.Predict(ctx, t.state, x, needs.PredictionBytes)
		if err != nil {
			return err
		}
		for _, c := range columns {
			if len(c.Shape) == 0 || len(c.Shape) > 2 || c.Shape[0] != int64(len(b.IDs)) {
				return &fault.Error{Op: "predict", Kind: fault.Plugin, Plugin: t.Component.Name, What: fmt.Sprintf("its column %s has the shape %v for %d objects", c.Name, c.Shape, len(b.IDs)), Do: "report this to the plugin's author"}
			}
			name := t.Name + "." + c.Name
			if c.Fitted {
				text, err := p.fitted(t, needs.Labels, c)
				if err != nil {
					return err
				}
				b.Texts = append(b.Texts, TextColumn{Name: name, K: len(c.I64) / len(b.IDs), Text: text})
				continue
			}
			c.Name = name
			b.Columns = append(b.Columns, c)
		}
	}
	return nil
}

// fitted gives the ids of rows of what a task was fitted on.
func (p *Predictor) fitted(t *task, labels []string, c plugin.Tensor) ([]string, error) {
	if t.ids == nil {
		objects, err := p.objects()
		if err != nil {
			return nil, err
		}
		var rows []int
		for row, part := range objects.Parts {
			has := part == run.Train
			for _, name := range labels {
				column, ok := objects.Column(name)
				has = has && ok && !math.IsNaN(column.Values[row])
			}
			if has {
				rows = append(rows, row)
			}
		}
		if t.rows > len(rows) {
			return nil, trained.Damaged(p.Dir, fmt.Errorf("the task %s learned from %d objects, and %s has %d", t.Name, t.rows, run.ObjectsFile, len(rows)))
		}
		if t.rows < len(rows) {
			rows = flow.Draw(p.x.Seed, 0, rows, t.rows, func(row int) uint64 { return key.Sample(objects.IDs[row]) })
		}
		for _, row := range rows {
			t.ids = append(t.ids, objects.IDs[row])
		}
	}
	text := make([]string, len(c.I64))
	for i, row := range c.I64 {
		if row < 0 || row >= int64(len(t.ids)) {
			return nil, &fault.Error{Op: "predict", Kind: fault.Plugin, Plugin: t.Component.Name, What: fmt.Sprintf("its column %s names row %d of %d", c.Name, row, len(t.ids)), Do: "report this to the plugin's author"}
		}
		text[i] = t.ids[row]
	}
	return text, nil
}

// objects are those of the run.
func (p *Predictor) objects() (*run.Objects, error) {
	if p.Index != nil {
		return p.Index.Objects, nil
	}
	o, err := run.ReadObjects(filepath.Join(p.Dir, run.ObjectsFile))
	if err != nil {
		return nil, trained.Damaged(p.Dir, err)
	}
	return o, nil
}

// compare finds the nearest training objects.
func (p *Predictor) compare(b *Batch) {
	if p.Index == nil {
		return
	}
	all := p.Index.like(b.Representations, p.Nearest)
	k := min(p.Nearest, len(p.Index.Objects.IDs))
	b.Nearest, b.Distance = make([]string, len(all)*k), make([]float32, len(all)*k)
	for i, found := range all {
		for j := range k {
			b.Distance[i*k+j] = float32(math.NaN())
			if j < len(found) {
				b.Nearest[i*k+j], b.Distance[i*k+j] = found[j].ID, max(0, 1-found[j].Cosine) // not less by rounding
			}
		}
	}
}
