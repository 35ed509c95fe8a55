package conformance

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// An engine is held against the native one, which is held against float64 and PyTorch elsewhere.
var engineChecks = []check{
	{name: "report", says: []string{"7.7"}, run: report, gate: true},
	{name: "layers", says: []string{"7.1"}, run: layers},
	{name: "draws", says: []string{"7.4"}, run: draws},
	{name: "step", says: []string{"7.2"}, run: trainingStep},
	{name: "arrays", says: []string{"7.3"}, run: arrays},
	{name: "notfinite", says: []string{"7.5"}, run: stepNotFinite},
	{name: "inference", says: []string{"7.8"}, run: inference},
	{name: "refusals", says: []string{"7.6"}, run: noSuchPrecision},
}

// How far what an engine computes may be from what the native one does: each layer is within 1e-5 of float64, and so is the
// native one's; gradients of a network whose residual branches start at zero are within 2e-4.
const (
	layerDistance    = 2e-5
	gradientDistance = 2e-4
)

// engine configures the engine of the trial in a host.
func (t *trial) engine(h *home) (*plugin.Engine, error) { return h.Engine(t.ctx, t.ref()) }

// report asks twice what the engine can do.
func report(t *trial) error {
	d, id, err := t.instance(t.shared())
	if err != nil {
		return err
	}
	var said [2]*protocol.Capabilities
	for i := range said {
		if said[i], err = protocol.NewEngineClient(d.Conn()).Report(t.ctx, &protocol.ReportRequest{Instance: id}); err != nil {
			return err
		}
	}
	wrong := func(expected, seen string) error {
		return &broken{paragraph: "7.7", expected: expected, seen: seen}
	}
	switch c := said[0]; {
	case c.Opset < 1:
		return wrong("an opset from 1", fmt.Sprint(c.Opset))
	case c.Device == "" || strings.ContainsAny(c.Device, "\r\n"):
		return wrong("the name of a device, in one line", fmt.Sprintf("%q", c.Device))
	case c.Device != said[1].Device:
		return wrong("the same device the second time", fmt.Sprintf("%q and %q", c.Device, said[1].Device))
	case !slices.Contains(c.Precisions, string(engine.Float32)):
		return wrong("float32 among the precisions", fmt.Sprintf("%q", c.Precisions))
	}
	return nil
}

// pair is a program in both engines.
type pair struct {
	program    engine.Program
	here, want engine.Network
	batch      int
}

func (t *trial) pair(e *plugin.Engine, p engine.Program, o engine.Options) (*pair, error) {
	want, err := native.New().Compile(p, o)
	if err != nil {
		return nil, err
	}
	here, err := e.Compile(p, o)
	if err != nil {
		want.Close()
		return nil, err
	}
	return &pair{p, here, want, o.Batch}, nil
}

func (p *pair) close() {
	p.here.Close()
	p.want.Close()
}

// each does something to both networks.
func (p *pair) each(do func(n engine.Network) error) error {
	for _, n := range []engine.Network{p.want, p.here} {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}

// forward computes a pass of made-up samples in both.
func (p *pair) forward(pass string, samples int, step uint64) error {
	return p.each(func(n engine.Network) error {
		normals(n.Input(pass), "input "+pass, step)
		return n.Forward(pass, samples, step)
	})
}

// backward computes the gradient of a pass from made-up gradients at its taps.
func (p *pair) backward(pass string, step uint64) error {
	return p.each(func(n engine.Network) error {
		for _, tap := range p.program.Taps {
			if tap.Pass == pass {
				normals(n.TapGradient(tap.Name), "gradient "+tap.Name, step)
			}
		}
		return n.Backward(pass)
	})
}

// state gives the arrays of both.
func (p *pair) state() (here, want map[string][]float32, err error) {
	here, err = arraysOf(p.here)
	if err == nil {
		want, err = arraysOf(p.want)
	}
	return here, want, err
}

func arraysOf(n engine.Network) (map[string][]float32, error) {
	list, err := n.State()
	all := map[string][]float32{}
	for _, a := range list {
		all[a.Name] = a.Data
	}
	return all, err
}

func normals(values []float32, name string, step uint64) {
	s := key.New(1, "conformance", name).At(step, 0)
	for i := range values {
		values[i] = float32(s.Normal())
	}
}

// apart is the distance of two arrays as a part of the second one's length.
func apart(a, b []float32) float64 {
	var d, n float64
	for i, v := range b {
		d += (float64(a[i]) - float64(v)) * (float64(a[i]) - float64(v))
		n += float64(v) * float64(v)
	}
	if d == 0 {
		return 0
	}
	return math.Sqrt(d / n)
}

// layers computes every layer alone, with its gradients, and compares.
func layers(t *trial) error {
	e, err := t.engine(t.shared())
	if err != nil {
		return err
	}
	for _, l := range layerCases() {
		if l.model.Opset > e.Opset() {
			continue
		}
		if err := t.layer(e, l); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) layer(e *plugin.Engine, l layerCase) error {
	p, err := t.pair(e, onlyPass(l.model), engine.Options{Batch: 4, Seed: 3})
	if err != nil {
		return err
	}
	defer p.close()
	differs := func(what string, d float64) error {
		return &broken{paragraph: "7.1", expected: fmt.Sprintf("the layer %s as asterism.proto says", l.name), seen: fmt.Sprintf("%s differs from the native engine's by %.2g of it", what, d)}
	}
	if err := p.forward("only", p.batch, 1); err != nil {
		return err
	}
	if d := apart(p.here.Tap("out"), p.want.Tap("out")); !(d <= layerDistance) {
		return differs("what it computes", d)
	}
	if err := p.backward("only", 1); err != nil {
		return err
	}
	if err := p.each(func(n engine.Network) error { return n.Step(engine.Optimiser{}) }); err != nil { // a velocity is the gradient then
		return err
	}
	here, want, err := p.state()
	if err != nil {
		return err
	}
	for name, w := range want {
		gradient, is := strings.CutPrefix(name, engine.OptimiserPrefix)
		what := "the running statistic " + name
		if is {
			what = "the gradient of " + gradient
			if gradient == "encoder.shift" {
				what = "the gradient of its input"
			}
		}
		if d := apart(here[name], w); !(d <= layerDistance) {
			return differs(what, d)
		}
	}
	return nil
}

// onlyPass is one pass through a model, with a gradient.
func onlyPass(m *protocol.Model) engine.Program {
	return engine.Program{Encoder: m, Passes: []*protocol.Pass{{Name: "only", Gradient: true}}, Taps: []*protocol.Tap{{Name: "out", Pass: "only", Output: "representation"}}}
}

// draws compares what dropout and token orders draw, value by value.
func draws(t *trial) error {
	e, err := t.engine(t.shared())
	if err != nil {
		return err
	}
	if e.Opset() < 2 {
		return notApplicable("it knows no layer that draws")
	}
	s := newSketch(9, 5)
	s.output("features", s.add(&protocol.Layer{Name: "dropped", Op: &protocol.Layer_Dropout{Dropout: &protocol.Dropout{Rate: 0.4}}}, "input"))
	order := s.add(&protocol.Layer{Name: "order", Op: &protocol.Layer_TokenOrder{TokenOrder: &protocol.TokenOrder{}}}, "input")
	s.output("representation", s.add(&protocol.Layer{Name: "placed", Op: &protocol.Layer_Gather{Gather: &protocol.GatherTokens{}}}, "input", order))
	program := engine.Program{Encoder: s.Model, Passes: []*protocol.Pass{{Name: "one"}, {Name: "two"}}}
	for _, pass := range program.Passes {
		program.Taps = append(program.Taps, &protocol.Tap{Name: "dropped " + pass.Name, Pass: pass.Name, Output: "features"}, &protocol.Tap{Name: "placed " + pass.Name, Pass: pass.Name, Output: "representation"})
	}
	p, err := t.pair(e, program, engine.Options{Batch: 6, Seed: 17})
	if err != nil {
		return err
	}
	defer p.close()
	for _, step := range []uint64{0, 1, 1<<32 + 5} {
		for _, pass := range program.Passes {
			if err := p.forward(pass.Name, p.batch, step); err != nil {
				return err
			}
			for kind, tap := range map[string]string{"dropout": "dropped " + pass.Name, "a token order": "placed " + pass.Name} {
				want := p.want.Tap(tap)
				for i, v := range p.here.Tap(tap) {
					if (v == 0) != (want[i] == 0) || math.Abs(float64(v-want[i])) > 1e-5*math.Abs(float64(want[i])) {
						return &broken{paragraph: "7.4", expected: "the draws that asterism.proto says", seen: fmt.Sprintf("%s in step %d drew otherwise, in value %d", kind, step, i),
							advice: "compare the key and the counters with those of core/key"}
					}
				}
			}
		}
	}
	return nil
}

// whole is the program of a training with everything that a step has: a momentum network, groups of batch norm, a head,
// parameters with weight decay and without, and a residual branch that starts at zero.
func whole() engine.Program {
	s := newSketch(8, 8, 3)
	trunk := s.relu("relu", s.norm("bn1", s.conv("conv1", "input", 3, 6), 6, 1))
	branch := s.norm("bn2", s.conv("conv2", trunk, 6, 6), 6, 0)
	x := s.relu("relu2", s.add(&protocol.Layer{Name: "sum", Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, branch, trunk))
	s.output("features", x)
	s.output("representation", s.add(&protocol.Layer{Name: "mean", Op: &protocol.Layer_GlobalAveragePool{GlobalAveragePool: &protocol.GlobalAveragePool{}}}, x))
	h := newSketch(6)
	h.output("out", h.linear("fc", "input", 6, 4))
	for _, m := range []*protocol.Model{s.Model, h.Model} {
		m.Opset = 1
	}
	return engine.Program{Encoder: s.Model, Heads: []*protocol.Head{{Name: "projector", Model: h.Model, Input: "representation"}}, Momentum: true,
		Passes: []*protocol.Pass{{Name: "query", Heads: []string{"projector"}, Gradient: true, NormGroups: 2}, {Name: "key", Network: protocol.Network_MOMENTUM, Heads: []string{"projector"}, NormGroups: 2}},
		Taps:   []*protocol.Tap{{Name: "q", Pass: "query", Output: "projector"}, {Name: "k", Pass: "key", Output: "projector"}}}
}

// trainingStep trains, each step from the native engine's state.
func trainingStep(t *trial) error {
	e, err := t.engine(t.shared())
	if err != nil {
		return err
	}
	p, err := t.pair(e, whole(), engine.Options{Batch: 8, Seed: 3})
	if err != nil {
		return err
	}
	defer p.close()
	differs := func(step uint64, what string, d float64) error {
		return &broken{paragraph: "7.2", expected: "a step as the native engine's", seen: fmt.Sprintf("in step %d, from its state, %s differs by %.2g", step, what, d)}
	}
	for step := range uint64(3) {
		state, err := p.want.State()
		if err != nil {
			return err
		}
		if err := p.here.SetState(state); err != nil {
			return err
		}
		for _, pass := range p.program.Passes {
			if err := p.forward(pass.Name, p.batch, step); err != nil {
				return err
			}
		}
		for _, tap := range p.program.Taps {
			if d := apart(p.here.Tap(tap.Name), p.want.Tap(tap.Name)); !(d <= layerDistance) {
				return differs(step, "the tap "+tap.Name, d)
			}
		}
		if err := p.backward("query", step); err != nil {
			return err
		}
		err = p.each(func(n engine.Network) error {
			if err := n.Step(engine.Optimiser{LR: 0.1, Momentum: 0.9, WeightDecay: 0.05, Encoder: 0.5}); err != nil {
				return err
			}
			return n.UpdateMomentum(0.75)
		})
		if err != nil {
			return err
		}
		here, want, err := p.state()
		if err != nil {
			return err
		}
		for name, w := range want {
			if d := apart(here[name], w); !(d <= gradientDistance) {
				return differs(step, "afterwards "+name, d)
			}
		}
	}
	return nil
}

// wholeNetwork compiles whole for training.
func (t *trial) wholeNetwork(h *home, batch int) (engine.Network, error) {
	e, err := t.engine(h)
	if err != nil {
		return nil, err
	}
	return e.Compile(whole(), engine.Options{Batch: batch, Seed: 5})
}

// arrays writes a state and reads it.
func arrays(t *trial) error {
	n, err := t.wholeNetwork(t.shared(), 4)
	if err != nil {
		return err
	}
	defer n.Close()
	state, err := n.State()
	if err != nil {
		return err
	}
	for _, a := range state {
		normals(a.Data, a.Name, 0)
	}
	if err := n.SetState(state); err != nil {
		return err
	}
	same := func(when string) error {
		read, err := n.State()
		if err != nil {
			return err
		}
		for i, a := range read {
			if !slices.Equal(a.Data, state[i].Data) {
				return &broken{paragraph: "7.3", expected: "the arrays that were written, to the bit", seen: fmt.Sprintf("others in %s, %s", a.Name, when)}
			}
		}
		return nil
	}
	if err := same("when all are read"); err != nil {
		return err
	}
	for _, a := range state { // one alone leaves the others
		if a.Name == "encoder.conv1.weight" || a.Name == "momentum.encoder.bn1.running_var" || a.Name == "optimiser.head.projector.fc.bias" {
			normals(a.Data, a.Name, 1)
			if err := n.SetState([]engine.Array{a}); err != nil {
				return err
			}
		}
	}
	return same("after some were written alone")
}

// stepNotFinite makes a gradient overflow.
func stepNotFinite(t *trial) error {
	n, err := t.wholeNetwork(t.shared(), 4)
	if err != nil {
		return err
	}
	defer n.Close()
	normals(n.Input("query"), "input", 0)
	if err := n.Forward("query", 4, 0); err != nil {
		return err
	}
	before, err := arraysOf(n)
	if err != nil {
		return err
	}
	normals(n.TapGradient("q"), "gradient", 0)
	n.TapGradient("q")[5] = float32(math.Inf(1))
	if err := n.Backward("query"); err != nil {
		return err
	}
	expected := "a step with a gradient that is not finite named as such, and nothing changed"
	if err := n.Step(engine.Optimiser{LR: 0.1, Momentum: 0.9}); err == nil {
		return &broken{paragraph: "7.5", expected: expected, seen: "it was taken"}
	} else if fault.KindOf(err) != fault.Diverged {
		return &broken{paragraph: "7.5", expected: expected, seen: words(err)}
	}
	after, err := arraysOf(n)
	if err != nil {
		return err
	}
	for name, v := range before {
		if !slices.Equal(after[name], v) {
			return &broken{paragraph: "7.5", expected: expected, seen: name + " changed"}
		}
	}
	return nil
}

// inference computes part of a batch with running statistics.
func inference(t *trial) error {
	e, err := t.engine(t.shared())
	if err != nil {
		return err
	}
	program := whole()
	p, err := t.pair(e, program, engine.Options{Mode: engine.Infer, Batch: 6, Seed: 5})
	if err != nil {
		return err
	}
	defer p.close()
	state, err := p.want.State()
	if err != nil {
		return err
	}
	for _, a := range state {
		if normals(a.Data, a.Name, 0); strings.HasSuffix(a.Name, "running_var") {
			for i, v := range a.Data {
				a.Data[i] = 0.5 + v*v
			}
		}
	}
	if err := p.each(func(n engine.Network) error { return n.SetState(state) }); err != nil {
		return err
	}
	for _, pass := range program.Passes {
		for _, samples := range []int{6, 5, 1} {
			if err := p.forward(pass.Name, samples, 0); err != nil {
				return err
			}
			for _, tap := range program.Taps {
				if tap.Pass != pass.Name {
					continue
				}
				n := len(p.want.Tap(tap.Name)) / p.batch * samples
				if d := apart(p.here.Tap(tap.Name)[:n], p.want.Tap(tap.Name)[:n]); !(d <= layerDistance) {
					return &broken{paragraph: "7.8", expected: "outputs with running statistics, for the samples that there are", seen: fmt.Sprintf("with %d of 6 samples the tap %s differs by %.2g", samples, tap.Name, d)}
				}
			}
		}
	}
	here, want, err := p.state()
	if err != nil {
		return err
	}
	for name, w := range want {
		if !slices.Equal(here[name], w) {
			return &broken{paragraph: "7.8", expected: "nothing changed by inference", seen: name + " changed"}
		}
	}
	return nil
}

// noSuchPrecision asks for numbers that no engine has.
func noSuchPrecision(t *trial) error {
	d, id, err := t.instance(t.shared())
	if err != nil {
		return err
	}
	g := &ground{}
	program := whole()
	request := &protocol.CompileRequest{Instance: id, Network: 1 << 20, Encoder: program.Encoder, Heads: program.Heads, Passes: program.Passes, Taps: program.Taps, Second: true, Batch: 2, Precision: "float7"}
	for _, pass := range program.Passes {
		tensor, err := g.place("the input of "+pass.Name, protocol.DType_F32, 2, 8, 8, 3)
		if err != nil {
			return err
		}
		request.Inputs = append(request.Inputs, &protocol.NamedTensor{Name: pass.Name, Tensor: tensor})
	}
	for _, tap := range program.Taps {
		tensor, err := g.place("the tap "+tap.Name, protocol.DType_F32, 2, 4)
		if err != nil {
			return err
		}
		request.Outputs = append(request.Outputs, &protocol.NamedTensor{Name: tap.Name, Tensor: tensor})
	}
	if err := g.share(t.ctx, d); err != nil {
		return err
	}
	defer g.close()
	_, err = protocol.NewEngineClient(d.Conn()).Compile(t.ctx, request)
	if f := faultOf(err); f == nil || f.Cause != protocol.Fault_CONFIG {
		seen := "it was compiled"
		if err != nil {
			seen = words(said(err))
		}
		return &broken{paragraph: "7.6", expected: `a fault of the cause CONFIG where a program is to be compiled in "float7"`, seen: seen}
	}
	return nil
}

// engineBatches trains on.
func engineBatches(t *trial, h *home) (func(i int) error, int64, error) {
	n, err := t.wholeNetwork(h, 16)
	if err != nil {
		return nil, 0, err
	}
	return func(i int) error {
		for _, pass := range []string{"query", "key"} {
			if err := n.Forward(pass, 16, uint64(i)); err != nil {
				return err
			}
		}
		if err := n.Backward("query"); err != nil {
			return err
		}
		return n.Step(engine.Optimiser{})
	}, int64(4 * len(n.Input("query"))), nil
}
