package native

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

func fillInputs(n *network, names ...string) {
	for _, name := range names {
		copy(n.Input(name), drawn("test", name, len(n.Input(name))))
	}
}

func step(t testing.TB, n *network) {
	t.Helper()
	must(t, n.Forward("query", n.batch, 0))
	n.UpdateMomentum(0.9)
	must(t, n.Forward("key", n.batch, 0))
	must(t, n.Backward("query"))
	must(t, n.Step(engine.Optimiser{LR: 0.1, Momentum: 0.9, WeightDecay: 1e-3}))
}

func tinyMoco(t testing.TB, o engine.Options) *network {
	n := compile(t, moco(tinyEncoder(), projector(10, 10, 8), 2), o)
	fillInputs(n, "query", "key")
	copy(n.TapGradient("q"), drawn("test", "gradient", len(n.TapGradient("q"))))
	return n
}

func TestBitsDoNotDependOnThreadsOrRuns(t *testing.T) {
	for name, p := range map[string]engine.Program{"tiny": moco(tinyEncoder(), projector(10, 10, 8), 2), "r18": moco(resnet(18, 32, 5, "imagenet", false), projector(512, 64, 8), 2)} {
		for _, precision := range precisions() {
			var first []engine.Array
			for _, threads := range []int{1, 2, 3, 2} {
				n := compile(t, p, engine.Options{Batch: 24, Threads: threads, Seed: 3, Precision: precision})
				fillInputs(n, "query", "key")
				copy(n.TapGradient("q"), drawn("test", "gradient", len(n.TapGradient("q"))))
				step(t, n)
				step(t, n)
				state := stateOf(n)
				n.Close()
				if first == nil {
					first = state
				}
				for i, a := range state {
					if !slices.Equal(a.Data, first[i].Data) {
						t.Fatalf("%s in %s: %s differs with %d threads", name, precision, a.Name, threads)
					}
				}
			}
		}
	}
}

func TestAStepAllocatesNothing(t *testing.T) {
	if strings.HasPrefix(kernel.Describe(), "portable") {
		t.Skip("the portable kernels allocate a little")
	}
	for _, p := range precisions() {
		n := tinyMoco(t, engine.Options{Batch: 32, Precision: p})
		step(t, n)
		if a := steady(func() { step(t, n) }); a != 0 {
			t.Errorf("a step in %s allocates %v times", p, a)
		}
	}
}

// gradients gives the network's gradients by parameter, copied.
func gradients(n *network) map[string][]float32 {
	g := map[string][]float32{}
	for _, name := range n.names {
		if p := n.params[name]; !p.buffer {
			g[name] = n.values(p, n.slabs.gradients)
		}
	}
	return g
}

// close32 fails unless a is within tolerance of b, relative to b's norm.
func close32(t *testing.T, what string, a, b []float32, tolerance float64) {
	t.Helper()
	var d float64
	for i := range b {
		d = math.Hypot(d, float64(a[i])-float64(b[i]))
	}
	if !(d <= tolerance*norm(b)) {
		t.Errorf("%s differs by %.2g of %.2g", what, d, norm(b))
	}
}

// Two passes with gradient through the same weights, both forward before either backward (SimCLR), are one pass over
// both batches whose batch norm takes statistics over each half.
func TestGradientsOfTwoPassesAddUp(t *testing.T) {
	head := projector(10, 10, 8)
	two := compile(t, engine.Program{Encoder: tinyEncoder(), Heads: []*protocol.Head{head},
		Passes: []*protocol.Pass{{Name: "a", Heads: []string{"projector"}, Gradient: true}, {Name: "b", Heads: []string{"projector"}, Gradient: true}},
		Taps:   []*protocol.Tap{{Name: "za", Pass: "a", Output: "projector"}, {Name: "zb", Pass: "b", Output: "projector"}}}, engine.Options{Batch: 8})
	one := compile(t, engine.Program{Encoder: tinyEncoder(), Heads: []*protocol.Head{head},
		Passes: []*protocol.Pass{{Name: "ab", Heads: []string{"projector"}, Gradient: true, NormGroups: 2}},
		Taps:   []*protocol.Tap{{Name: "z", Pass: "ab", Output: "projector"}}}, engine.Options{Batch: 16})
	fillInputs(one, "ab")
	half := len(one.Input("ab")) / 2
	copy(two.Input("a"), one.Input("ab")[:half])
	copy(two.Input("b"), one.Input("ab")[half:])
	g := drawn("test", "gradient", 16*8)
	copy(one.TapGradient("z"), g)
	copy(two.TapGradient("za"), g[:64])
	copy(two.TapGradient("zb"), g[64:])
	must(t, one.Forward("ab", 16, 0))
	must(t, one.Backward("ab"))
	must(t, two.Forward("a", 8, 0))
	must(t, two.Forward("b", 8, 0))
	must(t, two.Backward("a"))
	must(t, two.Backward("b"))
	want := gradients(one)
	for name, g := range gradients(two) {
		close32(t, name, g, want[name], 1e-5)
	}
	// Running statistics move twice: r ← 0.9·(0.9·r + 0.1·a) + 0.1·b, while the groups' mean moves them once.
	mean := func(n *network) float32 { return n.params["encoder.bn1.running_mean"].of(n.slabs.online)[0] }
	if mean(two) == mean(one) || mean(two) == 0 {
		t.Errorf("running means %v after two passes, %v after one", mean(two), mean(one))
	}
}

// Taps of one pass may stand anywhere: on the representation, behind a head, twice on one output.
func TestGradientsOfSeveralTapsAddUp(t *testing.T) {
	p := engine.Program{Encoder: tinyEncoder(), Heads: []*protocol.Head{projector(10, 10, 8)},
		Passes: []*protocol.Pass{{Name: "a", Heads: []string{"projector"}, Gradient: true}},
		Taps: []*protocol.Tap{{Name: "z", Pass: "a", Output: "projector"}, {Name: "z again", Pass: "a", Output: "projector"},
			{Name: "h", Pass: "a", Output: "representation"}, {Name: "map", Pass: "a", Output: "features"}}}
	n := compile(t, p, engine.Options{Batch: 4})
	fillInputs(n, "a")
	run := func(taps ...string) map[string][]float32 {
		clear(n.slabs.gradients)
		for _, tap := range p.Taps {
			clear(n.TapGradient(tap.Name))
		}
		for _, name := range taps {
			copy(n.TapGradient(name), drawn("test", "gradient "+name, len(n.TapGradient(name))))
		}
		must(t, n.Forward("a", 4, 0))
		must(t, n.Backward("a"))
		return gradients(n)
	}
	all := run("z", "z again", "h", "map")
	parts := []map[string][]float32{run("z"), run("z again"), run("h"), run("map")}
	for name, g := range all {
		sum := make([]float32, len(g))
		for _, part := range parts {
			for i, v := range part[name] {
				sum[i] += v
			}
		}
		close32(t, name, g, sum, 1e-5)
	}
	if !slices.Equal(n.Tap("z"), n.Tap("z again")) || slices.Equal(n.TapShape("map"), n.TapShape("h")) || n.TapShape("map")[2] != 10 {
		t.Error("taps are not what they name")
	}
}

// A parameter used by two layers gets the sum of the gradients that two equal parameters would get.
func TestSharedParametersAddUp(t *testing.T) {
	build := func(second string) *protocol.Model {
		b := newBuilder(6, 6, 4)
		x := b.conv("one", "input", 4, 4, 3, 1, 1)
		y := b.conv("two", x, 4, 4, 3, 1, 1)
		b.Layers[1].GetConv().Weight = second
		if second == "one.weight" {
			b.Parameters = b.Parameters[:1]
		}
		b.Outputs["representation"] = b.mean("mean", b.add("sum", b.add("add", x, y), x))
		return b.Model
	}
	run := func(second string) map[string][]float32 {
		n := compile(t, alone(build(second)), engine.Options{Batch: 2})
		for name, p := range n.params {
			n.setValues(p, n.slabs.online, drawn("test", "shared", p.size))
			_ = name
		}
		fillInputs(n, "only")
		copy(n.TapGradient("out"), drawn("test", "gradient", 8))
		must(t, n.Forward("only", 2, 0))
		must(t, n.Backward("only"))
		return gradients(n)
	}
	shared, apart := run("one.weight"), run("two.weight")
	want := apart["encoder.one.weight"]
	for i, v := range apart["encoder.two.weight"] {
		want[i] += v
	}
	close32(t, "the shared weight's gradient", shared["encoder.one.weight"], want, 1e-5)
}

// Weights that convolutions share are turned for the gradient of each one's input by its own stride and dilation.
func TestSharedWeightsOfDifferentStrides(t *testing.T) {
	run := func(shared bool) []float32 {
		b := newBuilder(11, 11, 4)
		x := b.conv("stem", "input", 4, 4, 3, 1, 1)
		x = b.conv("one", x, 4, 4, 3, 1, 1)
		x = b.conv("two", x, 4, 4, 3, 2, 1)
		x = b.conv("three", x, 4, 4, 3, 2, 2)
		b.Layers[3].GetConv().Dilation = repeat(2, 2)
		if shared {
			b.Layers[2].GetConv().Weight, b.Layers[3].GetConv().Weight = "one.weight", "one.weight"
			b.Parameters = b.Parameters[:2]
		}
		b.Outputs["representation"] = b.mean("mean", x)
		n := compile(t, alone(b.Model), engine.Options{Batch: 2})
		for _, p := range n.params {
			n.setValues(p, n.slabs.online, drawn("test", "shared", p.size))
		}
		fillInputs(n, "only")
		copy(n.TapGradient("out"), drawn("test", "gradient", 8))
		must(t, n.Forward("only", 2, 0))
		must(t, n.Backward("only"))
		return gradients(n)["encoder.stem.weight"]
	}
	close32(t, "the gradient before the shared weights", run(true), run(false), 1e-5)
}

func TestMomentumNetworkStartsAsACopyAndFollows(t *testing.T) {
	n := tinyMoco(t, engine.Options{Batch: 8, Seed: 5})
	get := func(name string) []float32 {
		for _, a := range stateOf(n) {
			if a.Name == name {
				return a.Data
			}
		}
		t.Fatalf("no array %q in the state", name)
		return nil
	}
	if !slices.Equal(get("encoder.conv1.weight"), get("momentum.encoder.conv1.weight")) {
		t.Error("the momentum network does not start as a copy")
	}
	before := get("momentum.encoder.conv1.weight")
	step(t, n)
	running := get("momentum.encoder.bn1.running_mean")
	if slices.Equal(running, get("encoder.bn1.running_mean")) || norm(running) == 0 {
		t.Error("the momentum network's running statistics are not its own")
	}
	online := get("encoder.conv1.weight")
	n.UpdateMomentum(0.75)
	after := get("momentum.encoder.conv1.weight")
	for i := range after {
		if want := 0.75*float64(before[i]) + 0.25*float64(online[i]); math.Abs(float64(after[i])-want) > 1e-6 {
			t.Fatalf("value %d became %v, want %v", i, after[i], want)
		}
	}
	if !slices.Equal(running, get("momentum.encoder.bn1.running_mean")) {
		t.Error("UpdateMomentum moved running statistics")
	}
}

func TestInferenceTakesPartOfABatch(t *testing.T) {
	p := alone(tinyEncoder())
	n := compile(t, p, engine.Options{Batch: 7, Mode: engine.Infer, Seed: 2})
	fillInputs(n, "only")
	must(t, n.Forward("only", 7, 0))
	all := slices.Clone(n.Tap("out"))
	for samples := 1; samples < 7; samples++ {
		clear(n.Tap("out"))
		must(t, n.Forward("only", samples, 0))
		close32(t, "a part of the batch", n.Tap("out")[:10*samples], all[:10*samples], 1e-6)
		if norm(n.Tap("out")[10*samples:]) != 0 {
			t.Fatal("rows that were not asked for were written")
		}
	}
	if n.TapGradient("out") != nil || n.Backward("only") == nil || n.Step(engine.Optimiser{}) == nil {
		t.Error("a network for inference takes gradients")
	}
}

func TestStateComesBack(t *testing.T) {
	for _, p := range precisions() {
		a := tinyMoco(t, engine.Options{Batch: 8, Seed: 5, Precision: p})
		step(t, a)
		b := tinyMoco(t, engine.Options{Batch: 8, Seed: 6, Precision: p})
		must(t, b.SetState(stateOf(a)))
		step(t, a)
		step(t, b)
		state := stateOf(b)
		for i, want := range stateOf(a) {
			if !slices.Equal(want.Data, state[i].Data) {
				t.Errorf("%s in %s differs after the state was carried over", want.Name, p)
			}
		}
	}
}

// Weights, running statistics and velocities are float32 in every precision: what one trains another continues and embeds.
func TestStateGoesFromOnePrecisionToAnother(t *testing.T) {
	for _, from := range precisions() {
		for _, to := range precisions() {
			a := tinyMoco(t, engine.Options{Batch: 8, Seed: 5, Precision: from})
			step(t, a)
			b := tinyMoco(t, engine.Options{Batch: 8, Seed: 6, Precision: to})
			must(t, b.SetState(stateOf(a)))
			state := stateOf(b)
			for i, want := range stateOf(a) {
				if !slices.Equal(want.Data, state[i].Data) {
					t.Errorf("%s is changed by going from %s to %s", want.Name, from, to)
				}
			}
			var outs [][]float32
			for _, p := range []engine.Precision{from, to} {
				n := compile(t, alone(tinyEncoder()), engine.Options{Batch: 8, Mode: engine.Infer, Precision: p})
				var encoder []engine.Array
				for _, w := range paramsOf(a) {
					if strings.HasPrefix(w.Name, "encoder.") {
						encoder = append(encoder, w)
					}
				}
				must(t, n.SetParams(encoder))
				fillInputs(n, "only")
				must(t, n.Forward("only", 8, 0))
				outs = append(outs, n.Tap("out"))
			}
			close32(t, fmt.Sprintf("what %s trains and %s embeds", from, to), outs[1], outs[0], 2e-2)
		}
	}
}

func TestWrongWeightsChangeNothing(t *testing.T) {
	n := tinyMoco(t, engine.Options{Batch: 8})
	before := paramsOf(n)
	if !slices.IsSortedFunc(before, func(a, b engine.Array) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("Params are not sorted by name")
	}
	good := engine.Array{Name: "encoder.bn1.bias", Shape: []int64{6}, Data: make([]float32, 6)}
	good.Data[0] = 42
	for say, bad := range map[string]engine.Array{
		`no array "encoder.bn9.bias"`: {Name: "encoder.bn9.bias", Shape: []int64{6}, Data: make([]float32, 6)},
		`has the shape [5]`:           {Name: "encoder.bn1.weight", Shape: []int64{5}, Data: make([]float32, 5)},
		`and 5 values`:                {Name: "encoder.bn1.weight", Shape: []int64{6}, Data: make([]float32, 5)},
		`no array "optimiser.`:        {Name: "optimiser.encoder.bn1.bias", Shape: []int64{6}, Data: make([]float32, 6)},
	} {
		err := n.SetParams([]engine.Array{good, bad})
		if err == nil || !strings.Contains(err.Error(), say) || fault.KindOf(err) != fault.Data {
			t.Errorf("want %q, got %v", say, err)
		}
	}
	for i, a := range paramsOf(n) {
		if !slices.Equal(a.Data, before[i].Data) {
			t.Errorf("%s changed", a.Name)
		}
	}
}

func TestMisuseIsAnError(t *testing.T) {
	n := tinyMoco(t, engine.Options{Batch: 8})
	for name, err := range map[string]error{
		"unknown pass":    n.Forward("nothing", 8, 0),
		"part of a batch": n.Forward("query", 7, 0),
		"too many":        n.Forward("query", 9, 0),
		"backward first":  n.Backward("query"),
		"no gradient":     n.Backward("key"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	must(t, n.Forward("query", 8, 0))
	must(t, n.Backward("query"))
	if n.Backward("query") == nil {
		t.Error("backward twice: no error")
	}
	must(t, n.Close())
	must(t, n.Close())
	n.UpdateMomentum(0.5)
	if n.Forward("query", 8, 0) == nil || n.Backward("query") == nil || n.Step(engine.Optimiser{}) == nil || n.SetState(nil) == nil || paramsOf(n) != nil || n.Input("query") != nil || n.Tap("q") != nil {
		t.Error("a closed network answers")
	}
}

func TestStepRefusesWhatIsNotFinite(t *testing.T) {
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		n := tinyMoco(t, engine.Options{Batch: 8})
		before := stateOf(n)
		must(t, n.Forward("query", 8, 0))
		n.TapGradient("q")[3] = v
		must(t, n.Backward("query"))
		err := n.Step(engine.Optimiser{LR: 0.1})
		if err == nil || fault.KindOf(err) != fault.Diverged || !strings.Contains(err.Error(), "the gradient of encoder.") {
			t.Fatalf("%v: got %v", v, err)
		}
		for i, a := range stateOf(n) {
			if !strings.Contains(a.Name, "running") && !slices.Equal(a.Data, before[i].Data) {
				t.Errorf("%s changed", a.Name)
			}
		}
		copy(n.TapGradient("q"), drawn("test", "gradient", 64))
		must(t, n.Forward("query", 8, 0))
		must(t, n.Backward("query"))
		must(t, n.Step(engine.Optimiser{LR: 0.1})) // the refused gradient is gone
	}
}

func TestWeightsAreKeyedByTheirNames(t *testing.T) {
	n := compile(t, alone(tinyEncoder()), engine.Options{Batch: 4, Seed: 11})
	m := tinyMoco(t, engine.Options{Batch: 8, Seed: 11})
	w := n.values(n.params["encoder.b1.weight"], n.slabs.online)
	if !slices.Equal(w, m.values(m.params["encoder.b1.weight"], m.slabs.online)) {
		t.Error("an encoder's weights depend on the heads")
	}
	s := key.New(11, "init", "encoder.b1.weight").At(0, 3)
	bound := math.Sqrt(6.0 / 90)
	if a, b := float32(s.Between(-bound, bound)), float32(s.Between(-bound, bound)); w[6] != a || w[7] != b {
		t.Errorf("values 6 and 7 are %v, want %v and %v", w[6:8], a, b)
	}
	if other := compile(t, alone(tinyEncoder()), engine.Options{Batch: 4, Seed: 12}); slices.Equal(w, other.values(other.params["encoder.b1.weight"], other.slabs.online)) {
		t.Error("another seed gives the same weights")
	}
	g := newBuilder(64)
	g.Outputs["representation"] = g.linear("fc", "input", 64, 512)
	g.Parameters[0].Init = &protocol.Init{Is: &protocol.Init_Normal{Normal: 0.25}}
	k := compile(t, alone(g.Model), engine.Options{Batch: 1})
	v := k.values(k.params["encoder.fc.weight"], k.slabs.online)
	var mean float64
	for _, x := range v {
		mean += float64(x) / float64(len(v))
	}
	if d := norm(v) / math.Sqrt(float64(len(v))); math.Abs(d-0.25) > 0.005 || math.Abs(mean) > 0.005 {
		t.Errorf("normal weights have mean %v and deviation %v, want 0 and 0.25", mean, d)
	}
}

func TestShortMemoryIsSaidBeforehand(t *testing.T) {
	for _, p := range precisions() {
		t.Run(string(p), func(t *testing.T) { shortMemory(t, p) })
	}
}

func shortMemory(t *testing.T, precision engine.Precision) {
	defer func(f func() (int64, bool)) { availableMemory = f }(availableMemory)
	p := moco(tinyEncoder(), projector(10, 10, 8), 2)
	cost := func(batch int) int64 {
		l, err := planned(p, engine.Options{Batch: batch, Precision: precision})
		must(t, err)
		return l.cost.Bytes
	}
	have := cost(38) + 10
	availableMemory = func() (int64, bool) { return have, true }
	_, err := New().Compile(p, engine.Options{Batch: 1024, Precision: precision})
	var b strings.Builder
	fault.Print(&b, err)
	if fault.KindOf(err) != fault.Resource || !strings.Contains(b.String(), "a batch of at most 38,") || !strings.Contains(b.String(), "for a batch of 1024") {
		t.Errorf("got %s", b.String())
	}
	if cost(40) <= have {
		t.Error("a larger batch would have fitted")
	}
	if _, err := New().Cost(p, engine.Options{Batch: 40, Precision: precision}); fault.KindOf(err) != fault.Resource {
		t.Errorf("the plan says %v", err)
	}
	n, err := New().Compile(p, engine.Options{Batch: 38, Precision: precision})
	must(t, err)
	if m := n.(*network).memory; int64(4*len(m)) != cost(38) || n.Cost().Bytes != cost(38) {
		t.Errorf("took %d bytes, Cost says %d", 4*len(m), cost(38))
	}
	n.Close()
	// What the caller takes beside it is counted, and shrinks with the batch.
	have += 20 * 1000
	_, err = New().Cost(p, engine.Options{Batch: 1024, Precision: precision, Beside: engine.Beside{Fixed: 500, Sample: 1000}})
	b.Reset()
	fault.Print(&b, err)
	fits := 0
	for cost(fits+2)+500+int64(fits+2)*1000 <= have {
		fits += 2
	}
	if fits < 2 || fits >= 38 || !strings.Contains(b.String(), fmt.Sprintf("a batch of at most %d,", fits)) || !strings.Contains(b.String(), "and what goes with it 1.0 MiB") {
		t.Errorf("with more beside it %d would fit, got %s", fits, b.String())
	}
	availableMemory = func() (int64, bool) { return 100, true }
	_, err = New().Compile(p, engine.Options{Batch: 1024, Precision: precision})
	b.Reset()
	if fault.Print(&b, err); !strings.Contains(b.String(), "no batch would fit") {
		t.Errorf("got %s", b.String())
	}
}

func TestCostCountsEveryPass(t *testing.T) {
	c, err := New().Cost(moco(resnet(18, 64, 5, "imagenet", false), projector(512, 512, 128), 1), engine.Options{Batch: 2})
	must(t, err)
	// torchvision's ResNet-18 has 11 689 512 parameters with a last layer of 513 000 and three bands in the first.
	if want := int64(11689512 - 513000 + 2*64*49 + 512*513 + 128*513); c.Parameters != want {
		t.Errorf("%d parameters, want %d", c.Parameters, want)
	}
	// Two passes forward and one back, which is two forward without the input gradient of the first convolution.
	head, first := int64(2*(512*512+512*128)), int64(2*32*32*64*49*5)
	if want := 2 * (4*(c.ForwardFLOPs+head) - first); c.StepFLOPs != want {
		t.Errorf("%d FLOPs a step, want %d", c.StepFLOPs, want)
	}
}

// bfloat16 without instructions for it is refused, with the reason; it is never emulated.
func TestBFloat16NeedsItsInstructions(t *testing.T) {
	defer func() { must(t, kernel.Select(os.Getenv("ASTERISM_KERNEL"))) }()
	p := moco(tinyEncoder(), projector(10, 10, 8), 2)
	for _, set := range []string{"avx2", "portable"} {
		if kernel.Select(set) != nil {
			continue // not on this machine
		}
		for _, o := range []engine.Options{{Batch: 8, Precision: engine.BFloat16}, {Batch: 8, Precision: engine.BFloat16, Mode: engine.Infer}} {
			_, cost := New().Cost(p, o)
			_, compiled := New().Compile(p, o)
			for _, err := range []error{cost, compiled} {
				if fault.KindOf(err) != fault.Config || !errors.Is(err, engine.ErrPrecision) || !strings.Contains(err.Error(), "the kernels compute with "+kernel.Describe()) {
					t.Errorf("%s: got %v", set, err)
				}
			}
		}
		if _, err := New().Cost(p, engine.Options{Batch: 8}); err != nil {
			t.Errorf("%s: float32: %v", set, err)
		}
	}
}

func TestBrokenProgramsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(p *engine.Program, o *engine.Options)
		say   string
		kind  fault.Kind
	}{
		"precision":        {func(p *engine.Program, o *engine.Options) { o.Precision = "float8" }, `does not compute in "float8"`, fault.Config},
		"batch":            {func(p *engine.Program, o *engine.Options) { o.Batch = 0 }, "a batch of 0", fault.Config},
		"groups":           {func(p *engine.Program, o *engine.Options) { o.Batch = 9 }, "a batch of 9 cannot be split into the 2 batch-norm groups", fault.Config},
		"one value":        {func(p *engine.Program, o *engine.Options) { p.Encoder = flat(); o.Batch = 2 }, `layer "bn" of the encoder cannot take statistics over a single value`, fault.Config},
		"no encoder":       {func(p *engine.Program, o *engine.Options) { p.Encoder = nil }, "there is no model", fault.Plugin},
		"head's input":     {func(p *engine.Program, o *engine.Options) { p.Heads[0].Input = "tokens" }, `reads the output "tokens"`, fault.Plugin},
		"head's shape":     {func(p *engine.Program, o *engine.Options) { p.Heads[0].Input = "features" }, "takes the shape [10]", fault.Plugin},
		"head's output":    {func(p *engine.Program, o *engine.Options) { p.Heads[0].Model.Outputs = map[string]string{"in": "relu"} }, `no output "out"`, fault.Plugin},
		"head's name":      {func(p *engine.Program, o *engine.Options) { p.Heads[0].Name = "features" }, `the name "features" of a head`, fault.Plugin},
		"pass's head":      {func(p *engine.Program, o *engine.Options) { p.Passes[0].Heads[0] = "predictor" }, `computes the head "predictor"`, fault.Plugin},
		"no momentum":      {func(p *engine.Program, o *engine.Options) { p.Momentum = false }, "the program has none", fault.Plugin},
		"momentum learns":  {func(p *engine.Program, o *engine.Options) { p.Passes[1].Gradient = true }, "asks for a gradient through the momentum network", fault.Plugin},
		"same pass":        {func(p *engine.Program, o *engine.Options) { p.Passes[1].Name = "query" }, `the name "query"`, fault.Plugin},
		"tap's pass":       {func(p *engine.Program, o *engine.Options) { p.Taps[0].Pass = "third" }, `looks at the pass "third"`, fault.Plugin},
		"tap's output":     {func(p *engine.Program, o *engine.Options) { p.Taps[0].Output = "predictor" }, `looks at "predictor"`, fault.Plugin},
		"same tap":         {func(p *engine.Program, o *engine.Options) { p.Taps[1].Name = "q" }, `the name "q"`, fault.Plugin},
		"nil in the lists": {func(p *engine.Program, o *engine.Options) { p.Heads[0] = nil }, `the name "" of a head`, fault.Plugin},
	} {
		p, o := moco(tinyEncoder(), projector(10, 10, 8), 2), engine.Options{Batch: 8}
		c.spoil(&p, &o)
		n, err := New().Compile(p, o)
		if err == nil || n != nil || !strings.Contains(err.Error(), c.say) || fault.KindOf(err) != c.kind {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// flat is a network of vectors with batch norm.
func flat() *protocol.Model {
	b := newBuilder(4)
	x := b.norm("bn", b.linear("fc", "input", 4, 10), 10, 1)
	b.Outputs["features"], b.Outputs["representation"] = x, x
	return b.Model
}

// Values that are alive at once never share memory, unless one is handed on to an instruction that may overwrite it.
func TestPlannedValuesDoNotOverlap(t *testing.T) {
	for name, p := range map[string]engine.Program{
		"moco": moco(tinyEncoder(), projector(10, 10, 8), 2), "r50": moco(resnet(50, 64, 5, "imagenet", false), projector(2048, 64, 8), 1),
	} {
		for _, o := range []engine.Options{{Batch: 4}, {Batch: 4, Mode: engine.Infer}, {Batch: 4, Precision: engine.BFloat16}, {Batch: 4, Mode: engine.Infer, Precision: engine.BFloat16}} {
			if o.Precision != "" && !slices.Contains(precisions(), o.Precision) {
				continue
			}
			l, err := planned(p, o)
			must(t, err)
			for _, q := range l.passes {
				var live []*value
				for _, v := range q.values {
					if v.place == inArena && v.made != nil && !v.made.gone && v.size(4) > 0 {
						live = append(live, v)
					}
				}
				var most int
				for i, a := range live {
					most = max(most, a.offset+a.room(4))
					for _, b := range live[:i] {
						apart := a.offset+a.room(4) <= b.offset || b.offset+b.room(4) <= a.offset
						early, late := a, b
						if b.first < a.first {
							early, late = b, a
						}
						handed := early.last == late.first && early.offset == late.offset && slices.Contains(late.made.reads(), early)
						if !apart && early.last >= late.first && !handed {
							t.Fatalf("%s, pass %s: values of %s and %s overlap", name, q.Name, a.made.op, b.made.op)
						}
					}
				}
				if most > q.arena || len(live) < 10 {
					t.Errorf("%s: %d values reach to %d of %d", name, len(live), most, q.arena)
				}
			}
		}
	}
}

// With a share of the learning rate for the encoder its parameters go that share of the way, those of heads the whole, and
// weight decay with them; a share of one changes no bit.
func TestTheEncoderMayLearnSlower(t *testing.T) {
	parameters := func(encoder float64, steps int) map[string][]float32 {
		n := tinyMoco(t, engine.Options{Batch: 24, Seed: 3})
		defer n.Close()
		for range steps {
			must(t, n.Forward("query", n.batch, 0))
			must(t, n.Backward("query"))
			must(t, n.Step(engine.Optimiser{LR: 0.1, Momentum: 0.9, WeightDecay: 1e-3, Encoder: encoder}))
		}
		all := map[string][]float32{}
		for _, a := range paramsOf(n) {
			if p := n.params[a.Name]; !p.buffer {
				all[a.Name] = slices.Clone(a.Data)
			}
		}
		return all
	}
	before, whole, one, slow := parameters(0, 0), parameters(0, 1), parameters(1, 1), parameters(0.25, 1)
	heads, encoders := 0, 0
	for name, from := range before {
		share := 1.
		if strings.HasPrefix(name, "encoder.") {
			share = 0.25
			encoders++
		} else {
			heads++
		}
		if !slices.Equal(whole[name], one[name]) {
			t.Errorf("%s: a share of one is not all", name)
		}
		for i, w := range from {
			full, part := float64(whole[name][i]-w), float64(slow[name][i]-w)
			if math.Abs(part-share*full) > 1e-6*(math.Abs(float64(w))+math.Abs(full)) {
				t.Fatalf("%s: moved by %v, and by %v with the share %v", name, full, part, share)
			}
		}
	}
	if heads == 0 || encoders == 0 {
		t.Fatalf("%d parameters of heads and %d of encoders", heads, encoders)
	}
}
