package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
)

// resolved is an experiment whose plugins have answered: everything that is known before any data are read.
type resolved struct {
	public     *run.Plan
	datasets   []*plugin.Dataset
	catalogues []*protocol.Catalogue
	facts      *protocol.SampleFacts // of a sample in the store
	fields     []*protocol.Field     // of all sources
	trainShape []int64               // of a view that enters the encoder in training
	evalShape  []int64
	encoder    *protocol.Model // for trainShape
	eval       *protocol.Model // for evalShape
	graph      *model.Graph
	heads      map[string]*model.Graph
	statistics map[string]bool  // pipelines that need those of the training split
	slotBytes  map[string]int64 // of a sample on its way through each pipeline
	memory     room
	objective  *plugin.Objective
	program    *protocol.Program // as far as headers tell: the training plans again with the labels read
	engine     <-chan startedEngine
	monitor    *plugin.Task // nil: none
	tasks      []*plugin.Task
	finetune   map[string]*protocol.Program // by task, as far as headers tell
}

// Plan resolves the experiment: it starts the plugins, reads headers, and brings shapes through every view and layer.
func (f *Flow) Plan(ctx context.Context) (*run.Plan, error) {
	if f.plan != nil {
		return f.plan.public, nil
	}
	p := &resolved{statistics: map[string]bool{}, slotBytes: map[string]int64{}, heads: map[string]*model.Graph{}, finetune: map[string]*protocol.Program{}, public: &run.Plan{Name: f.x.Name, Objective: f.x.Train.Objective.Name, Epochs: f.x.Train.Epochs}}
	f.Host.Start(ctx, f.pluginNames()...)
	p.engine = f.startEngine(ctx)
	for _, step := range []func(context.Context, *resolved) error{f.planSources, f.planViews, f.planEncoder, f.planEngine, f.planObjective, f.planMonitor, f.planTasks} {
		if err := step(ctx, p); err != nil {
			return nil, f.locate(err)
		}
	}
	f.plan = p
	return p.public, nil
}

// planSources opens every dataset and brings its samples to the frame.
func (f *Flow) planSources(ctx context.Context, p *resolved) error {
	for _, c := range f.x.Data.Sources {
		d, err := f.Host.Dataset(ctx, Ref(c))
		if err != nil {
			return err
		}
		catalogue, err := d.Open(ctx)
		if err != nil {
			return err
		}
		if catalogue.Count == 0 {
			return &fault.Error{Op: "plan", Kind: fault.Data, Plugin: c.Name, Path: c.Path, Where: c.Where, What: "the dataset is empty", Do: "check that it names the right folder or file"}
		}
		p.datasets, p.catalogues = append(p.datasets, d), append(p.catalogues, catalogue)
		source := run.PlanSource{Component: c.Name, Count: int(catalogue.Count), Sample: shape(catalogue.Facts)}
		for _, n := range catalogue.Notices {
			source.Notices = append(source.Notices, run.Notice{Where: c.Path + " " + c.Name, What: n.What, Count: int(n.Count), Examples: n.Examples})
		}
		for _, field := range catalogue.Fields {
			source.Columns = append(source.Columns, field.Name)
		}
		p.public.Sources = append(p.public.Sources, source)
	}
	facts, fields, err := data.Layout(p.catalogues, f.frame(), refs(f.x.Data.Sources))
	if err != nil {
		return f.at(err, "data.frame")
	}
	p.facts, p.fields, p.public.Frame = facts, fields, shape(facts)
	return nil
}

// planViews brings the shapes through every pipeline.
func (f *Flow) planViews(ctx context.Context, p *resolved) error {
	names := make([]string, 0, len(f.x.Views))
	for name := range f.x.Views {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		chain, err := f.Host.Pipeline(ctx, refs(f.x.Views[name]), name, p.facts)
		if err != nil {
			return err
		}
		view := run.PlanView{Name: name}
		for i, facts := range chain.Facts() {
			view.Links = append(view.Links, run.PlanLink{Component: f.x.Views[name][i].Name, Leaves: shape(facts)})
		}
		if from, size := chain.Seen(); from != nil {
			view.Seen = &run.Box{From: from, Size: size}
		}
		p.public.Views = append(p.public.Views, view)
		p.statistics[name], p.slotBytes[name] = chain.NeedsStatistics(), chain.SampleBytes()
		if name == "eval" {
			p.evalShape = chain.Out().Shape
		}
		for _, column := range chain.Columns() {
			if !slices.ContainsFunc(p.fields, func(g *protocol.Field) bool { return g.Name == column }) {
				return &fault.Error{Op: "plan", Kind: fault.Config, Path: "views." + name, Where: f.x.Where("views." + name),
					What: fmt.Sprintf("a view reads the column %q, which no source has", column), Do: "the sources have " + f.columnNames(p)}
			}
		}
		if err := chain.Close(); err != nil {
			return err
		}
	}
	return nil
}

// planObjective asks for the program of the training and compiles it on paper.
func (f *Flow) planObjective(ctx context.Context, p *resolved) error {
	objective, err := f.Host.Objective(ctx, Ref(f.x.Train.Objective))
	if err != nil {
		return err
	}
	p.objective = objective
	samples, labels := f.expected(p)
	if samples < f.x.Train.Batch && f.x.Train.Epochs > 0 {
		return &fault.Error{Op: "plan", Kind: fault.Config, Path: "train.batch", Where: f.x.Where("train.batch"),
			What: fmt.Sprintf("a batch of %d is larger than the training split, which has about %d objects", f.x.Train.Batch, samples), Do: "lower train.batch, or give more data"}
	}
	program, err := objective.Plan(ctx, f.programRequest(p, f.x.Train.Batch, samples, labels))
	if err != nil {
		return err
	}
	if err := f.checkProgram(p, program, f.x.Train.Objective, f.x.Train.Batch); err != nil {
		return err
	}
	p.program = program
	for _, h := range program.Heads {
		graph, err := model.Check(h.Model)
		if err != nil {
			return &fault.Error{Op: "plan", Kind: fault.Plugin, Plugin: f.x.Train.Objective.Name, Path: f.x.Train.Objective.Path, Where: f.x.Train.Objective.Where, What: "head " + h.Name + " does not work", Err: err}
		}
		p.heads[h.Name] = graph
		p.public.Heads = append(p.public.Heads, run.PlanNetwork{Name: h.Name, Parameters: graph.Parameters(), FLOPs: graph.FLOPs(), Output: graph.Outputs["out"].Shape})
	}
	p.memory = p.trainingMemory(program, f.x.Train.Batch)
	if f.x.Engine != nil {
		p.memory.held = p.memory.checkpoint + int64(program.StateBytes)
	}
	looking, err := f.Engine.Cost(InferenceProgram(p.eval), f.evalOptions(p))
	var cost engine.Cost
	if err == nil {
		p.memory.looking = looking.Bytes - looking.Elsewhere
		cost, err = f.Engine.Cost(f.engineProgram(p, program), f.trainOptions(p, f.x.Train.Batch))
	}
	switch {
	case errors.Is(err, engine.ErrPrecision):
		return f.at(err, "train.precision")
	case fault.KindOf(err) == fault.Resource:
		return f.at(err, "train.batch")
	case err != nil:
		return f.at(err, "encoder")
	}
	perEpoch := samples / f.x.Train.Batch
	fact := func(name, format string, a ...any) {
		p.public.Facts = append(p.public.Facts, run.PlanFact{Name: name, Value: fmt.Sprintf(format, a...)})
	}
	fact("training objects", "about %d", samples)
	epochs := "epochs"
	if f.x.Train.Epochs == 1 {
		epochs = "epoch"
	}
	fact("steps", "about %d (%d %s of %d)", perEpoch*f.x.Train.Epochs, f.x.Train.Epochs, epochs, perEpoch)
	fact("trained parameters", "%d", cost.Parameters)
	fact("work of a step", "%.1f GFLOP", float64(cost.StepFLOPs)/1e9)
	fact("memory of training", "%s", p.memory.describe(cost.Bytes-cost.Elsewhere, f.x.Train.Batch))
	if cost.Elsewhere > 0 {
		fact("memory of the engine", "about %d MiB of its own", mib(cost.Elsewhere))
	}
	fact("stored data", "about %d MiB, in memory as far as there is room", mib(p.dataBytes()))
	fact("precision", "%s", f.x.Train.Precision)
	fact("engine", "%s, %d threads", f.computes(), f.threads())
	if norm := p.normFact(program, f.x.Train.Batch); norm != "" {
		fact("batch norm", "%s", norm)
	}
	for _, x := range program.Facts {
		fact(x.Name, "%s", x.Value)
	}
	return nil
}

// expected is what headers say of the training split: about how many objects, and which columns, their values unseen.
func (f *Flow) expected(p *resolved) (samples int, labels []*protocol.LabelFacts) {
	samples = int(float64(p.objects()) * (1 - f.x.Data.Split.Valid - f.x.Data.Split.Test))
	for _, field := range p.fields {
		labels = append(labels, &protocol.LabelFacts{Column: field.Name, Count: uint64(samples), Type: field.Type, Unread: true})
	}
	return samples, labels
}

// programRequest is what an objective is told.
func (f *Flow) programRequest(p *resolved, batch, samples int, labels []*protocol.LabelFacts) *protocol.ProgramRequest {
	return &protocol.ProgramRequest{
		Representation: p.graph.Outputs["representation"].Shape, Features: p.graph.Outputs["features"].Shape,
		Batch: uint32(batch), Samples: uint64(samples), Labels: labels, Seed: f.x.Seed,
	}
}

// checkProgram refuses programs that name what is not there, and views of different shapes, which no objective needs yet.
func (f *Flow) checkProgram(p *resolved, program *protocol.Program, objective experiment.Component, batch int) error {
	refuse := func(format string, a ...any) error {
		return &fault.Error{Op: "plan", Kind: fault.Plugin, Plugin: objective.Name, Path: objective.Path, Where: objective.Where, What: fmt.Sprintf(format, a...)}
	}
	if len(program.Views) == 0 || len(program.Passes) == 0 || len(program.Taps) == 0 {
		return refuse("the program has no view, no pass or no tap")
	}
	for _, v := range program.Views {
		if _, ok := f.x.Views[v.Pipeline]; !ok {
			have := slices.Sorted(maps.Keys(f.x.Views))
			do := "views has " + strings.Join(have, ", ")
			if near := fault.Nearest(v.Pipeline, have); near != "" {
				do = fmt.Sprintf("did you mean %q?", near)
			}
			return &fault.Error{Op: "plan", Kind: fault.Config, Plugin: objective.Name, Path: objective.Path, Where: objective.Where,
				What: fmt.Sprintf("it learns from views.%s, which the experiment does not have", v.Pipeline), Do: do}
		}
		i := slices.IndexFunc(p.public.Views, func(view run.PlanView) bool { return view.Name == v.Pipeline })
		if left := f.outShape(p, p.public.Views[i]); !slices.Equal(left, p.trainShape) {
			path := "views." + v.Pipeline
			return &fault.Error{Op: "plan", Kind: fault.Config, Path: path, Where: f.x.Where(path), Plugin: objective.Name,
				What: fmt.Sprintf("samples leave it as %s, and views.train as %s: an encoder learns from one shape", run.Shape{Shape: left}, run.Shape{Shape: p.trainShape}), Do: "let both end in the same size"}
		}
	}
	for _, pass := range program.Passes {
		if !slices.ContainsFunc(program.Views, func(v *protocol.ViewNeed) bool { return v.Name == pass.View }) {
			return refuse("pass %s is on the view %q, which the program does not have", pass.Name, pass.View)
		}
		if groups := max(1, int(pass.NormGroups)); batch%groups != 0 {
			return &fault.Error{Op: "plan", Kind: fault.Config, Plugin: objective.Name, Path: objective.Path, Where: objective.Where,
				What: fmt.Sprintf("a batch of %d cannot be parted into %d equal groups for batch norm", batch, groups), Do: fmt.Sprintf("choose a batch that is a multiple of %d", groups)}
		}
	}
	if free, known := protocol.AvailableMemory(); known && program.StateBytes > uint64(free) {
		return &fault.Error{Op: "plan", Kind: fault.Resource, Plugin: objective.Name, Path: objective.Path, Where: objective.Where,
			What: fmt.Sprintf("its state (a queue, say) takes %d MiB of memory, and %d MiB are available", program.StateBytes>>20, free>>20), Do: "choose a smaller one"}
	}
	for _, name := range program.Labels {
		if err := f.checkColumn(p, name, objective, "label"); err != nil {
			return err
		}
	}
	return nil
}

// checkColumn refuses a column that no source has, with the nearest one that there is.
func (f *Flow) checkColumn(p *resolved, name string, c experiment.Component, field string) error {
	if slices.ContainsFunc(p.fields, func(g *protocol.Field) bool { return g.Name == name }) {
		return nil
	}
	path := c.Path + "." + field
	return &fault.Error{Op: "plan", Kind: fault.Config, Plugin: c.Name, Path: path, Where: f.x.Where(path),
		What: fmt.Sprintf("no source has the column %q", name), Do: "the sources have " + f.columnNames(p)}
}

func (f *Flow) columnNames(p *resolved) string {
	if len(p.fields) == 0 {
		return "no columns: name some in the source, as columns: [\"…\"]"
	}
	names := make([]string, len(p.fields))
	for i, g := range p.fields {
		names[i] = g.Name
	}
	return strings.Join(names, ", ")
}

// planEncoder builds the encoder for the shape of each pipeline's samples.
func (f *Flow) planEncoder(ctx context.Context, p *resolved) error {
	c := f.x.Encoder
	for _, v := range p.public.Views {
		if v.Name == "train" {
			p.trainShape = f.outShape(p, v)
		}
	}
	build := func(input []int64) (*protocol.Model, *model.Graph, error) {
		m, err := f.Host.Encoder(ctx, Ref(c), input)
		if err != nil {
			return nil, nil, err
		}
		graph, err := model.Check(m)
		if err != nil {
			return nil, nil, &fault.Error{Op: "plan", Kind: fault.Plugin, Plugin: c.Name, Path: c.Path, Where: c.Where, What: "its model does not work", Err: err}
		}
		for _, output := range []string{"features", "representation"} {
			if graph.Outputs[output] == nil {
				return nil, nil, &fault.Error{Op: "plan", Kind: fault.Plugin, Plugin: c.Name, Path: c.Path, Where: c.Where, What: "its model has no output " + output}
			}
		}
		return m, graph, nil
	}
	var err error
	if p.encoder, p.graph, err = build(p.trainShape); err != nil {
		return err
	}
	p.eval = p.encoder
	if !slices.Equal(p.trainShape, p.evalShape) {
		if p.eval, _, err = build(p.evalShape); err != nil {
			return err
		}
	}
	network := run.PlanNetwork{Name: "encoder", Component: c.Name, Parameters: p.graph.Parameters(), FLOPs: p.graph.FLOPs(), Output: p.graph.Outputs["representation"].Shape}
	for _, l := range p.graph.Layers {
		network.Layers = append(network.Layers, run.PlanLayer{Name: l.Name, Op: string(l.Kind), Shape: l.Shape, FLOPs: l.FLOPs})
	}
	p.public.Encoder = network
	return f.planWeights(p)
}

// outShape is the shape that leaves a planned view.
func (f *Flow) outShape(p *resolved, v run.PlanView) []int64 {
	if len(v.Links) == 0 {
		return p.facts.Shape
	}
	return v.Links[len(v.Links)-1].Leaves.Shape
}

// planTasks asks each task for its labels.
func (f *Flow) planTasks(ctx context.Context, p *resolved) error {
	samples, labels := f.expected(p)
	for _, t := range f.x.Tasks {
		task, err := f.planTask(ctx, p, t.Component, samples, labels)
		if err != nil {
			return err
		}
		p.tasks = append(p.tasks, task)
		if err := f.planFinetune(ctx, p, t); err != nil {
			return err
		}
		p.public.Tasks = append(p.public.Tasks, run.PlanTask{Name: t.Name, Component: t.Component.Name, Labels: t.Labels})
	}
	return nil
}

// planTask configures one and sees that its labels are there.
func (f *Flow) planTask(ctx context.Context, p *resolved, c experiment.Component, samples int, labels []*protocol.LabelFacts) (*plugin.Task, error) {
	task, err := f.Host.Task(ctx, Ref(c))
	if err != nil {
		return nil, err
	}
	needs, err := task.Needs(ctx, &protocol.TaskNeedsRequest{Width: uint32(model.Size(p.graph.Outputs["representation"].Shape)), FitRows: uint64(samples), PredictRows: uint64(samples), Labels: labels})
	if err != nil {
		return nil, err
	}
	for _, name := range needs.Labels {
		if err := f.checkColumn(p, name, c, "label"); err != nil {
			return nil, err
		}
	}
	return task, nil
}

// engineProgram is the program as the engine computes it.
func (f *Flow) engineProgram(p *resolved, program *protocol.Program) engine.Program {
	return engine.Program{Encoder: p.encoder, Heads: program.Heads, Passes: program.Passes, Taps: program.Taps, Momentum: program.Momentum > 0}
}

func (f *Flow) trainOptions(p *resolved, batch int) engine.Options {
	return engine.Options{Mode: engine.Train, Batch: batch, Precision: engine.Precision(f.x.Train.Precision), Threads: f.Threads, Seed: f.x.Seed, Beside: p.memory.beside()}
}

// normFact says where there is batch norm and over what it takes its statistics; empty where there is none.
func (p *resolved) normFact(program *protocol.Program, batch int) string {
	has := func(g *model.Graph) bool {
		return slices.ContainsFunc(g.Layers, func(l *model.Layer) bool { return l.Kind == model.BatchNorm })
	}
	var in []string
	if has(p.graph) {
		in = append(in, "encoder")
	}
	for _, name := range slices.Sorted(maps.Keys(p.heads)) {
		if has(p.heads[name]) {
			in = append(in, name)
		}
	}
	if len(in) == 0 {
		return ""
	}
	var over, shuffled []string
	for _, pass := range program.Passes {
		text := "over the batch"
		if n := int(pass.NormGroups); n > 1 {
			text = fmt.Sprintf("over %d groups of %d", n, batch/n)
		}
		if !slices.Contains(over, text) {
			over = append(over, text)
		}
		if pass.Shuffle {
			shuffled = append(shuffled, pass.Name)
		}
	}
	text := fmt.Sprintf("in the %s, %s", strings.Join(in, " and "), strings.Join(over, " or "))
	if len(shuffled) > 0 {
		text += ", shuffled for " + strings.Join(shuffled, ", ")
	}
	return text
}

func shape(facts *protocol.SampleFacts) run.Shape {
	return run.Shape{Shape: facts.Shape, Bands: facts.Bands, Flux: strings.ToLower(strings.TrimPrefix(facts.Flux.String(), "FLUX_"))}
}
