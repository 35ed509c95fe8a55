package torch_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/plugins/contrast"
	"github.com/asterism-ssl/asterism/plugins/convnext"
	"github.com/asterism-ssl/asterism/plugins/mlp"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
	"github.com/asterism-ssl/asterism/plugins/supervised"
	"github.com/asterism-ssl/asterism/plugins/vit"
)

// network is an encoder for an input.
type network struct {
	plugin     sdk.Plugin
	name       string
	config     string
	input      []int64
	objectives []string // empty: all
	long       bool
}

func (n network) String() string {
	return fmt.Sprintf("%s.%s %s of %v", n.plugin.Name, n.name, n.config, n.input)
}

var encoders = []network{
	{plugin: mlp.Plugin(), name: "encoder", config: `{hidden: [24, 16]}`, input: []int64{12}},
	{plugin: mlp.Plugin(), name: "encoder", config: `{hidden: [24, 16], norm: "layer"}`, input: []int64{20, 2}, long: true},
	{plugin: mlp.Plugin(), name: "encoder", config: `{hidden: [24, 16], norm: "none"}`, input: []int64{4, 4, 3, 1}, long: true},
	{plugin: resnet.Plugin(), name: "r18", config: `{width: 8, stem: "small", zero_init_residual: true}`, input: []int64{16, 16, 3}},
	{plugin: resnet.Plugin(), name: "r18", config: `{width: 8, zero_init_residual: true}`, input: []int64{256, 2}, long: true},
	{plugin: resnet.Plugin(), name: "r18", config: `{width: 4, stem: "small", zero_init_residual: true}`, input: []int64{16, 16, 16, 1}, objectives: []string{"moco"}, long: true},
	{plugin: resnet.Plugin(), name: "r34", config: `{width: 8, stem: "small", zero_init_residual: true}`, input: []int64{16, 16, 5}, objectives: []string{"moco", "regress"}, long: true},
	{plugin: resnet.Plugin(), name: "r50", config: `{width: 4, stem: "paper", zero_init_residual: true}`, input: []int64{16, 16, 5}, objectives: []string{"moco", "simclr"}, long: true},
	{plugin: resnet.Plugin(), name: "r101", config: `{width: 4, stem: "small", zero_init_residual: true}`, input: []int64{16, 16, 1}, objectives: []string{"moco"}, long: true},
	{plugin: resnet.Plugin(), name: "r18", config: `{width: 8, stem: "small"}`, input: []int64{16, 16, 3}, objectives: []string{"moco"}, long: true},
	{plugin: convnext.Plugin(), name: "atto", config: `{patch: 1}`, input: []int64{8, 8, 3}, objectives: []string{"moco", "simclr"}},
	{plugin: convnext.Plugin(), name: "atto", config: `{patch: 2, layer_scale: 0.1}`, input: []int64{32, 2}, objectives: []string{"moco"}, long: true},
	{plugin: convnext.Plugin(), name: "atto", config: `{patch: 1}`, input: []int64{8, 8, 8, 1}, objectives: []string{"classify"}, long: true},
	{plugin: vit.Plugin(), name: "tiny", config: `{patch: 4}`, input: []int64{16, 16, 3}, objectives: []string{"moco"}},
	{plugin: vit.Plugin(), name: "tiny", config: `{patch: 8, pooling: "mean"}`, input: []int64{64, 1}, objectives: []string{"simclr"}, long: true},
	{plugin: vit.Plugin(), name: "tiny", config: `{patch: 4, pooling: "mean"}`, input: []int64{8, 8, 8, 1}, objectives: []string{"regress"}, long: true},

	// Some at the sizes that are used, which take minutes.
	{plugin: resnet.Plugin(), name: "r18", config: `{zero_init_residual: true}`, input: []int64{64, 64, 5}, long: true},
	{plugin: resnet.Plugin(), name: "r34", config: `{zero_init_residual: true}`, input: []int64{64, 64, 5}, long: true, objectives: []string{"regress"}},
	{plugin: resnet.Plugin(), name: "r50", config: `{zero_init_residual: true}`, input: []int64{64, 64, 5}, long: true, objectives: []string{"classify"}},
	{plugin: convnext.Plugin(), name: "femto", config: `{patch: 2}`, input: []int64{32, 32, 3}, long: true, objectives: []string{"moco"}},
	{plugin: convnext.Plugin(), name: "pico", config: `{patch: 2}`, input: []int64{32, 32, 3}, long: true, objectives: []string{"simclr"}},
	{plugin: convnext.Plugin(), name: "nano", config: `{patch: 2}`, input: []int64{32, 32, 3}, long: true, objectives: []string{"classify"}},
	{plugin: convnext.Plugin(), name: "tiny", config: `{}`, input: []int64{64, 64, 3}, long: true, objectives: []string{"regress"}},
	{plugin: vit.Plugin(), name: "tiny", config: `{}`, input: []int64{64, 64, 5}, long: true, objectives: []string{"regress"}},
	{plugin: vit.Plugin(), name: "small", config: `{}`, input: []int64{64, 64, 5}, long: true, objectives: []string{"moco", "classify"}},
}

// objectives are those of the experiments, as the networks are small.
var objectives = map[string]struct {
	plugin sdk.Plugin
	config string
}{
	"moco":     {contrast.Plugin(), `{queue: 64, dim: 16, norm_groups: 2, momentum: 0.9}`},
	"simclr":   {contrast.Plugin(), `{dim: 16}`},
	"classify": {supervised.Plugin(), `{label: "kind"}`},
	"regress":  {supervised.Plugin(), `{label: "z"}`},
}

const (
	batch = 8
	seed  = 7
)

// learning is a program with the objective that it is of, and what that is told.
type learning struct {
	sdk.Learner
	program engine.Program
	shift   float64 // of the momentum network
	labels  map[string]sdk.Tensor
}

func learn(t testing.TB, n network, objective string) *learning {
	t.Helper()
	m := describe(t, n.plugin, n.name, n.config, n.input...)
	g, err := model.Check(m)
	must(t, err)
	o := objectives[objective]
	l := &learning{Learner: sdktest.Configure(t, o.plugin, objective, o.config).(sdk.Learner), labels: map[string]sdk.Tensor{}}
	kind, z := make([]float64, batch), make([]float64, batch)
	for i := range batch {
		kind[i], z[i] = float64(i*i%3), float64(i)/batch
	}
	l.labels["kind"], l.labels["z"] = sdk.Tensor{Name: "kind", Shape: []int{batch}, F64: kind}, sdk.Tensor{Name: "z", Shape: []int{batch}, F64: z}
	p, err := l.Plan(&sdk.ProgramRequest{
		Representation: g.Outputs["representation"].Shape, Features: g.Outputs["features"].Shape, Batch: batch, Samples: 100, Seed: seed,
		Labels: []*sdk.LabelFacts{{Column: "kind", Categories: []string{"a", "b", "c"}, Count: 100, Maximum: 2, Type: sdk.String}, {Column: "z", Count: 100, Maximum: 1, Type: sdk.Number}},
	})
	must(t, err)
	l.shift = p.Momentum
	l.program = engine.Program{Encoder: m, Heads: p.Heads, Passes: p.Passes, Taps: p.Taps, Momentum: p.Momentum > 0}
	return l
}

func describe(t testing.TB, p sdk.Plugin, name, config string, input ...int64) *sdk.Model {
	t.Helper()
	m, err := sdktest.Configure(t, p, name, config).(sdk.Architecture).Describe(input)
	must(t, err)
	return m
}

// forward computes every pass in every network.
func (c *trio) forward(t testing.TB, step uint64) {
	t.Helper()
	for _, p := range c.Passes {
		for _, n := range c.networks {
			draw(n.Input(p.Name), p.View, fmt.Sprint(step))
		}
		c.each(t, func(n engine.Network) error { return n.Forward(p.Name, batch, step) })
	}
}

// loss gives every network the gradient of the loss at float64's taps.
func (l *learning) loss(t testing.TB, c *trio, step uint64) {
	t.Helper()
	s := &sdk.Step{Step: step, Taps: map[string]sdk.Tensor{}, Gradients: map[string]sdk.Tensor{}, Labels: l.labels}
	for _, tap := range c.Taps {
		n := c.networks[exact]
		shape := []int{batch}
		for _, d := range n.TapShape(tap.Name) {
			shape = append(shape, int(d))
		}
		s.Taps[tap.Name] = sdk.Tensor{Name: tap.Name, Shape: shape, F32: n.Tap(tap.Name)}
		if g := n.TapGradient(tap.Name); g != nil {
			s.Gradients[tap.Name] = sdk.Tensor{Name: tap.Name, Shape: shape, F32: g}
		}
	}
	_, err := l.Loss(s)
	must(t, err)
	for name, g := range s.Gradients {
		for _, n := range c.networks {
			copy(n.TapGradient(name), g.F32)
		}
	}
}

// backward computes the gradients and steps.
func (l *learning) backward(n engine.Network, o engine.Optimiser) error {
	for _, p := range l.program.Passes {
		if p.Gradient {
			if err := n.Backward(p.Name); err != nil {
				return err
			}
		}
	}
	if err := n.Step(o); err != nil || l.shift == 0 {
		return err
	}
	return n.UpdateMomentum(l.shift)
}

// step computes a training step in every network, from a state that all have.
func (l *learning) step(t testing.TB, c *trio, step uint64, o engine.Optimiser, before state) comparison {
	t.Helper()
	c.forward(t, step)
	l.loss(t, c, step)
	c.each(t, func(n engine.Network) error { return l.backward(n, o) })
	return c.compare(t, before, c.states(t), gradientBound)
}

// switching is how far the gradients of float64 move when weights are moved at random until outputs differ by so much: then
// units near zero switch. It is the largest distance over some draws. The inputs and the gradients at taps are those at
// hand.
func (l *learning) switching(t testing.TB, c *trio, start state, forward float64) (largest float64) {
	t.Helper()
	n := c.networks[exact]
	params, err := n.State()
	must(t, err)
	var outputs map[string][]float32
	var velocities state
	moved := func(by float64, path string) (off, together float64) {
		arrays := slices.Clone(params)
		for i, a := range arrays {
			arrays[i].Data = start[a.Name]
			if strings.HasPrefix(a.Name, engine.OptimiserPrefix) {
				arrays[i].Data = make([]float32, len(a.Data))
			} else if !strings.Contains(a.Name, "running_") {
				u := draw(make([]float32, len(a.Data)), path, a.Name)
				for j, v := range start[a.Name] {
					u[j] = v * float32(1+by*float64(u[j]))
				}
				arrays[i].Data = u
			}
		}
		must(t, n.SetState(arrays))
		taps := map[string][]float32{}
		for _, p := range c.Passes {
			must(t, n.Forward(p.Name, batch, 0))
		}
		for _, tap := range c.Taps {
			taps[tap.Name] = slices.Clone(n.Tap(tap.Name))
			if outputs != nil {
				off = max(off, apart(t, tap.Name, taps[tap.Name], outputs[tap.Name])/norm(outputs[tap.Name]))
			}
		}
		must(t, l.backward(n, engine.Optimiser{})) // a velocity is the gradient then
		after := c.state(t, exact)
		if outputs == nil {
			outputs, velocities = taps, after
			return 0, 0
		}
		var d, all float64
		for _, name := range velocities.under(engine.OptimiserPrefix) {
			d, all = math.Hypot(d, apart(t, name, after[name], velocities[name])), math.Hypot(all, norm(velocities[name]))
		}
		return off, d / all
	}
	moved(0, "")
	by := 0x1p-22
	off, _ := moved(by, "first")
	by *= forward / off
	for i := range 16 {
		_, together := moved(by, fmt.Sprint(i))
		largest = max(largest, together)
	}
	return largest
}

// give hands the state of one network to the others.
func (c *trio) give(t testing.TB, from int) {
	t.Helper()
	state, err := c.networks[from].State()
	must(t, err)
	for side, n := range c.networks {
		if side != from {
			must(t, n.SetState(state))
		}
	}
}

// Every encoder under every objective computes the same in both engines; and what one has learned the other goes on with:
// the first step is from the initial state, the second from the native engine's, the third from PyTorch's. Outputs are
// within 1e-5 of float64 and gradients within 2e-4; where a unit switches with the last bits, it is all gradients together
// that are, or that are within twice what that does to float64 itself, or to the other engine.
func TestNetworks(t *testing.T) {
	torch := pytorch(t)
	for _, n := range encoders {
		if n.long && os.Getenv("ASTERISM_LONG") == "" {
			continue
		}
		for objective := range objectives {
			if len(n.objectives) > 0 && !slices.Contains(n.objectives, objective) {
				continue
			}
			t.Run(strings.ReplaceAll(n.String(), " ", "_")+"_"+objective, func(t *testing.T) {
				l := learn(t, n, objective)
				c := compile(t, torch, l.program, engine.Options{Batch: batch, Seed: seed, Threads: 1})
				start := c.state(t, ours)
				var worst comparison
				for step, o := range []engine.Optimiser{{}, sgd, sgd} { // the first changes no weight, and leaves the gradient as velocity
					if step > 0 {
						from := []int{ours, theirs}[step-1]
						start = c.state(t, from)
						c.give(t, from)
					}
					r := l.step(t, c, uint64(step), o, start)
					worst.worst(r)
					if len(r.switched) == 0 {
						continue
					}
					own := l.switching(t, c, start, max(r.outputs[ours], r.outputs[theirs]))
					t.Logf("step %d: gradients differ by %.2g here and %.2g in PyTorch, and by %.2g in float64 whose outputs are as far off", step, r.gradients[ours], r.gradients[theirs], own)
					for side, d := range r.gradients {
						limit := max(gradientBound, 2*own, 2*r.gradients[1-side])
						if !(d <= limit) {
							t.Errorf("all gradients of %s together differ by %.2g; at most %.2g is allowed:\n%s", sides[side], d, limit, strings.Join(r.switched, "\n"))
						}
					}
				}
				t.Logf("from float64: outputs %.1e here, %.1e in PyTorch; gradients %.1e here, %.1e in PyTorch",
					worst.outputs[ours], worst.outputs[theirs], worst.gradients[ours], worst.gradients[theirs])
			})
		}
	}
}

var sgd = engine.Optimiser{LR: 0.05, Momentum: 0.9, WeightDecay: 1e-2, Encoder: 0.5}
