package plugin_test

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

// twin gives the native engine in a process of its own, configured to fail as told, and what is told of restarts.
func twin(t *testing.T, patience plugin.Patience, config string) (*plugin.Host, *plugin.Engine, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var told []string
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "twin", Version: "1.0.0", Command: []string{twinEngine}}, nil
	}, plugin.Options{StartTimeout: 30 * time.Second, Backoff: time.Millisecond, Patience: patience, Restarted: func(name, why string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, name+": "+why)
	}})
	t.Cleanup(func() { h.Close() })
	e, err := h.Engine(background, plugin.Ref{Name: "twin.engine", Config: []byte(config), Path: "engine", Where: "file.cue:3:2"})
	if err != nil {
		t.Fatal(err)
	}
	return h, e, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
}

// linear is a head of one layer.
func linear(name string, in, out int64) *protocol.Head {
	b := sdk.NewModel([]int64{in})
	b.Output("out", b.Linear("fc", b.Input(), sdk.LinearOptions{Out: out}))
	return &protocol.Head{Name: name, Model: must(b.Model()), Input: "representation"}
}

// programs are those of momentum contrast over a ResNet, of a network that draws, and of a supervised one.
func programs(t *testing.T) map[string]engine.Program {
	r18 := must(sdktest.Configure(t, resnet.Plugin(), "r18", `{width: 4, stem: "small"}`).(sdk.Architecture).Describe([]int64{16, 16, 3}))
	b := sdk.NewModel([]int64{8, 8, 3})
	x := b.Reshape("tokens", b.Conv("patch", b.Input(), sdk.ConvOptions{Out: 12, Kernel: 2, Stride: 2, Bias: true}), 16, 12)
	x = b.Gather("seen", x, b.Slice("some", b.TokenOrder("order", x), 0, 0, 9))
	x = b.Add("add", x, b.Dropout("dropped", b.SelfAttention("attention", b.LayerNorm("norm", x, sdk.NormOptions{}), 3), 0.3))
	b.Output("features", x)
	b.Output("representation", b.GlobalAveragePool("mean", x))
	return map[string]engine.Program{
		"momentum": {Encoder: r18, Heads: []*protocol.Head{linear("projector", 32, 8)}, Momentum: true,
			Passes: []*protocol.Pass{{Name: "query", Heads: []string{"projector"}, Gradient: true, NormGroups: 2}, {Name: "key", Network: protocol.Network_MOMENTUM, Heads: []string{"projector"}, NormGroups: 2}},
			Taps:   []*protocol.Tap{{Name: "q", Pass: "query", Output: "projector"}, {Name: "k", Pass: "key", Output: "projector"}}},
		"drawn": {Encoder: must(b.Model()),
			Passes: []*protocol.Pass{{Name: "one", Gradient: true}, {Name: "two", Gradient: true}},
			Taps:   []*protocol.Tap{{Name: "a", Pass: "one", Output: "representation"}, {Name: "b", Pass: "two", Output: "features"}}},
		"labelled": {Encoder: r18, Heads: []*protocol.Head{linear("classes", 32, 5)}, Passes: []*protocol.Pass{{Name: "only", Heads: []string{"classes"}, Gradient: true}},
			Taps: []*protocol.Tap{{Name: "out", Pass: "only", Output: "classes"}, {Name: "map", Pass: "only", Output: "features"}}},
	}
}

// draw fills values by their name and the step.
func draw(values []float32, name string, step uint64) {
	s := key.New(5, "test", name).At(step, 0)
	for i := range values {
		values[i] = float32(s.Normal())
	}
}

// learn takes a network through a step and notes what lies at the taps.
func learn(n engine.Network, p engine.Program, batch int, step uint64, seen map[string][]float32) error {
	for _, q := range p.Passes {
		draw(n.Input(q.Name), q.Name, step)
		if err := n.Forward(q.Name, batch, step); err != nil {
			return err
		}
	}
	for _, t := range p.Taps {
		seen[fmt.Sprint(t.Name, " in step ", step)] = slices.Clone(n.Tap(t.Name))
		for i, v := range n.Tap(t.Name) {
			if g := n.TapGradient(t.Name); g != nil {
				g[i] = v/8 - 0.01*float32(i%3)
			}
		}
	}
	for _, q := range p.Passes {
		if q.Gradient {
			if err := n.Backward(q.Name); err != nil {
				return err
			}
		}
	}
	if err := n.Step(engine.Optimiser{LR: 0.02, Momentum: 0.9, WeightDecay: 1e-3, Encoder: 0.5}); err != nil {
		return err
	}
	if p.Momentum {
		return n.UpdateMomentum(0.9)
	}
	return nil
}

// same compares arrays bit for bit.
func same(t *testing.T, what string, got, want map[string][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d arrays, not %d", what, len(got), len(want))
	}
	for name, w := range want {
		if !slices.EqualFunc(got[name], w, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

func byName(arrays []engine.Array, err error) map[string][]float32 {
	if err != nil {
		panic(err)
	}
	m := map[string][]float32{}
	for _, a := range arrays {
		m[a.Name] = a.Data
	}
	return m
}

const steps = 4

// inProcess trains with the native engine itself.
func inProcess(t *testing.T, p engine.Program, o engine.Options) (state, seen map[string][]float32) {
	t.Helper()
	n := must(native.New().Compile(p, o))
	defer n.Close()
	seen = map[string][]float32{}
	for step := range uint64(steps) {
		if err := learn(n, p, o.Batch, step, seen); err != nil {
			t.Fatal(err)
		}
	}
	return byName(n.State()), seen
}

// An engine in a process of its own gives what the same engine gives in this one, bit for bit: first weights, taps, what
// layers draw, and the state after several steps.
func TestEngineInItsOwnProcess(t *testing.T) {
	_, e, _ := twin(t, plugin.Patience{}, "{}")
	if e.Name() != "twin.engine" || e.Revision() != 3 || e.Describe() != "cpu" {
		t.Errorf("%s, revision %d: %s", e.Name(), e.Revision(), e.Describe())
	}
	for name, p := range programs(t) {
		o := engine.Options{Batch: 4, Seed: 11, Threads: 1}
		state, seen := inProcess(t, p, o)
		n := must(e.Compile(p, o))
		first := must(native.New().Compile(p, o))
		same(t, name+" at the start", byName(n.State()), byName(first.State()))
		first.Close()
		got := map[string][]float32{}
		for step := range uint64(steps) {
			if err := learn(n, p, o.Batch, step, got); err != nil {
				t.Fatal(err)
			}
		}
		same(t, name+": taps", got, seen)
		same(t, name+": state", byName(n.State()), state)
		if shape := n.TapShape(p.Taps[0].Name); shape[len(shape)-1] < 5 {
			t.Errorf("%s: the first tap has the shape %v", name, shape)
		}
		cost, exact := must(e.Cost(p, o)), must(native.New().Cost(p, o))
		if cost.Parameters != exact.Parameters || cost.ForwardFLOPs != exact.ForwardFLOPs || cost.StepFLOPs < exact.StepFLOPs || cost.StepFLOPs > 2*exact.StepFLOPs {
			t.Errorf("%s: it costs %+v, the native one %+v", name, cost, exact)
		}

		// Weights go over to inference, of part of a batch.
		trained := must(n.Params())
		o.Mode, o.Batch = engine.Infer, 6
		i, j := must(e.Compile(p, o)), must(native.New().Compile(p, o))
		for _, m := range []engine.Network{i, j} {
			if err := m.SetParams(trained); err != nil {
				t.Fatal(err)
			}
			draw(m.Input(p.Passes[0].Name), "inference", 0)
			if err := m.Forward(p.Passes[0].Name, 5, 0); err != nil {
				t.Fatal(err)
			}
		}
		tap := p.Taps[0].Name
		size := len(j.Tap(tap)) / 6 * 5
		same(t, name+" in inference", map[string][]float32{tap: i.Tap(tap)[:size]}, map[string][]float32{tap: j.Tap(tap)[:size]})
		for _, m := range []engine.Network{i, j, n} {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// What a network has learned goes with its process, which is said; from a state that was read before, the steps since give
// the same bits.
func TestEngineThatEndsIsGivenItsStateAgain(t *testing.T) {
	p := programs(t)["momentum"]
	o := engine.Options{Batch: 4, Seed: 11, Threads: 1}
	want, _ := inProcess(t, p, o)
	for _, how := range []string{"crash", "hang"} {
		for _, at := range []string{"Forward 0", "Forward 2", "Backward 3", "Step 0", "Momentum 1", "Read 1", "Write 2"} {
			if how == "hang" && at != "Forward 2" {
				continue
			}
			var call, step string
			fmt.Sscan(at, &call, &step)
			var patience plugin.Patience
			if how == "hang" {
				patience = plugin.Patience{First: 20 * time.Second, Least: 3 * time.Second}
			}
			_, e, told := twin(t, patience,
				fmt.Sprintf(`{"how": %q, "call": %q, "at": %s, "file": %q}`, how, call, step, filepath.Join(t.TempDir(), "done")))
			n := must(e.Compile(p, o))
			held := must(n.State())
			from, lost := uint64(0), 0
			for done := false; !done; {
				var err error
				for step := from; step < steps && err == nil; step++ {
					if err = learn(n, p, o.Batch, step, map[string][]float32{}); err == nil && step == 1 {
						var state []engine.Array
						if state, err = n.State(); err == nil {
							held, from = state, 2
						}
					}
					if err == nil && step == 2 { // writing what is there changes nothing
						var state []engine.Array
						if state, err = n.State(); err == nil {
							err = n.SetState(state)
						}
					}
				}
				switch {
				case err == nil:
					done = true
				case errors.Is(err, engine.ErrLost):
					lost++
					isFault(t, err, fault.Plugin, "twin.engine", "what the network had learned went with it")
					if n.Forward("query", o.Batch, 0) == nil {
						t.Error("a network that is lost goes on")
					}
					if err := n.SetState(held); err != nil {
						t.Fatal(err)
					}
				default:
					t.Fatalf("%s in %s: %v", how, at, err)
				}
			}
			same(t, how+" in "+at, byName(n.State()), want)
			wantLost := 1
			if at == "Forward 0" || at == "Write 2" { // nothing had been learned; what is written is all there is
				wantLost = 0
			}
			if lost != wantLost || len(told()) != 1 {
				t.Errorf("%s in %s: lost %d times, told %q", how, at, lost, told())
			}
		}
	}
}

// A network for inference has nothing to lose: the call is answered by the next process.
func TestInferenceGoesOnAfterARestart(t *testing.T) {
	h, e, told := twin(t, plugin.Patience{}, "{}")
	p := programs(t)["labelled"]
	n := must(e.Compile(p, engine.Options{Mode: engine.Infer, Batch: 3, Seed: 2}))
	params := must(n.Params())
	for _, a := range params {
		for i := range a.Data {
			a.Data[i] *= 1.5
		}
	}
	if err := n.SetParams(params[:len(params)/2]); err != nil {
		t.Fatal(err)
	}
	compute := func() map[string][]float32 {
		draw(n.Input("only"), "only", 0)
		if err := n.Forward("only", 3, 0); err != nil {
			t.Fatal(err)
		}
		return map[string][]float32{"out": slices.Clone(n.Tap("out"))}
	}
	before, weights := compute(), byName(n.Params())
	for range 3 {
		pid := fmt.Sprint(h.Processes()["twin"])
		if err := exec.Command("kill", "-9", pid).Run(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the plugin lives on", func() bool { return gone(pid) })
		same(t, "after a restart", compute(), before)
		same(t, "after a restart", byName(n.Params()), weights)
	}
	if len(told()) != 3 {
		t.Errorf("told %q", told())
	}
}

func TestEngineThatEndsTooOften(t *testing.T) {
	_, e, told := twin(t, plugin.Patience{}, fmt.Sprintf(`{"how": "crash", "times": 9, "file": %q}`, filepath.Join(t.TempDir(), "done")))
	p := programs(t)["labelled"]
	n := must(e.Compile(p, engine.Options{Batch: 4}))
	err := learn(n, p, 4, 0, map[string][]float32{})
	isFault(t, err, fault.Plugin, "file.cue:3:2: engine: twin.engine: the plugin's process ended during Forward (exit status 3)", "the device is on fire", "3 times")
	if len(told()) != 3 {
		t.Errorf("told %q", told())
	}
}

// What an engine must not answer is refused, and it is named.
func TestEngineThatAnswersWrongly(t *testing.T) {
	p := programs(t)["momentum"]
	for config, says := range map[string]string{
		`{"how": "nan"}`:                  "answers with values that are not finite at the tap q in the forward pass of query, step 1, though its inputs and weights are, and nothing can overflow",
		`{"how": "unwritten"}`:            "leaves values of the tap q unwritten in the forward pass of query",
		`{"how": "name", "call": "Step"}`: `says that "encoder.nothing" is not finite, which is neither a parameter nor a running statistic`,
	} {
		_, e, _ := twin(t, plugin.Patience{}, config)
		n := must(e.Compile(p, engine.Options{Batch: 4}))
		isFault(t, learn(n, p, 4, 0, map[string][]float32{}), fault.Plugin, "twin.engine", says)
	}
}

// Where weights are so large that a network may overflow, the engine is not to blame.
func TestOverflowIsNoDefect(t *testing.T) {
	_, e, _ := twin(t, plugin.Patience{}, "{}")
	p := programs(t)["labelled"]
	n := must(e.Compile(p, engine.Options{Batch: 4}))
	params := must(n.Params())
	for _, a := range params {
		if strings.HasPrefix(a.Name, "head") {
			for i := range a.Data {
				a.Data[i] = float32(1.9e39 * float64(a.Data[i]))
			}
		}
	}
	if err := n.SetParams(params); err != nil {
		t.Fatal(err)
	}
	isFault(t, learn(n, p, 4, 0, map[string][]float32{}), fault.Diverged, "is not finite")
	if c := n.Blame(); c == nil || !strings.Contains(c.String(), "in the forward pass of only, what the tap out holds is the first that is not finite; in which layer that began the engine does not tell") {
		t.Errorf("%v", c)
	}
}

// What diverges does so as in the native engine, and what can be told of it without a look into layers is told.
func TestEngineTellsOfDivergence(t *testing.T) {
	_, e, _ := twin(t, plugin.Patience{}, "{}")
	p := programs(t)["momentum"]
	n := must(e.Compile(p, engine.Options{Batch: 4}))
	blame := func(input, gradient float32) string {
		draw(n.Input("query"), "query", 0)
		draw(n.Input("key"), "key", 0)
		n.Input("query")[2*16*16*3] *= input
		for _, name := range []string{"query", "key"} {
			if err := n.Forward(name, 4, 0); err != nil {
				t.Fatal(err)
			}
		}
		clear(n.TapGradient("q"))
		n.TapGradient("q")[8] = gradient
		if err := n.Backward("query"); err != nil {
			t.Fatal(err)
		}
		before := byName(n.State())
		isFault(t, n.Step(engine.Optimiser{LR: 1}), fault.Diverged, "is not finite")
		c := n.Blame()
		for name, v := range byName(n.State()) {
			if !strings.Contains(name, "running") && !slices.Equal(v, before[name]) {
				t.Errorf("a step that diverged has changed %s", name)
			}
		}
		if c == nil {
			return ""
		}
		return c.String()
	}
	inf := float32(math.Inf(1))
	if got := blame(1, inf); got != "the gradient at the tap q is not finite for sample 2 of the batch, as it enters the backward pass of query" {
		t.Errorf("a gradient: %s", got)
	}
	if got := blame(1, math.MaxFloat32); !strings.Contains(got, "all that enters the backward passes is finite, and the gradient of encoder.") {
		t.Errorf("a large gradient: %s", got)
	}
	if got := blame(inf, 1); got != "sample 3 of the batch is not finite as it enters the forward pass of query" {
		t.Errorf("an input: %s", got)
	}
}

func TestEnginesAreAskedForWhatTheyCan(t *testing.T) {
	_, e, _ := twin(t, plugin.Patience{}, `{"device": "cuda:0 (a card)"}`)
	p := programs(t)["drawn"]
	_, err := e.Cost(p, engine.Options{Batch: 4, Precision: "float16"})
	isFault(t, err, fault.Config, "twin.engine: this engine does not compute in float16 here", "cuda:0 (a card)", "choose float32")
	if !errors.Is(err, engine.ErrPrecision) {
		t.Error("the precision is not to blame")
	}
	p.Encoder.Opset = 3
	if _, err = e.Compile(p, engine.Options{Batch: 4}); err == nil {
		t.Error("an opset that nobody knows is compiled")
	}
	p.Encoder.Opset = 2
	if c := must(e.Cost(p, engine.Options{Batch: 4})); c.Elsewhere <= 0 || c.Elsewhere >= c.Bytes {
		t.Errorf("%+v", c)
	}
	_, err = e.Cost(p, engine.Options{Batch: 1 << 22, Beside: engine.Beside{Sample: 1 << 20}})
	isFault(t, err, fault.Resource, "are available", "choose a batch of at most")
	n := must(e.Compile(p, engine.Options{Batch: 4}))
	isFault(t, n.SetParams([]engine.Array{{Name: "encoder.none"}}), fault.Data, `the network has no array "encoder.none"`)
	isFault(t, n.SetState([]engine.Array{{Name: "encoder.patch.bias", Shape: []int64{3}, Data: make([]float32, 3)}}), fault.Data, "has the shape [3]")
	for _, err := range []error{n.Forward("none", 4, 0), n.Forward("one", 3, 0), n.Backward("one"), n.UpdateMomentum(0.5)} {
		isFault(t, err, fault.Internal)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	isFault(t, n.Forward("one", 4, 0), fault.Internal, "is closed")
}
