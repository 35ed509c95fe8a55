package native

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// scale multiplies a parameter, of the momentum network where the name begins so.
func scale(t *testing.T, n *network, name string, by float32) {
	t.Helper()
	online, momentum := strings.CutPrefix(name, momentumPrefix)
	p := n.params[online]
	if p == nil {
		t.Fatalf("no parameter %s", name)
	}
	values := n.values(p, n.slab(momentum))
	for i := range values {
		values[i] *= by
	}
	n.setValues(p, n.slab(momentum), values)
	n.changed(momentum)
}

// chain is two linear layers and the mean of what they give, without anything that holds values down.
func chain() engine.Program {
	b := newBuilder(4, 6)
	b.Opset = 2
	x := b.linear("a", "input", 6, 6)
	b.Outputs["representation"] = b.mean("mean", b.linear("b", x, 6, 6))
	return alone(b.Model)
}

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

func TestBlameNamesWhatFirstIsNotFinite(t *testing.T) {
	two := func() engine.Program { // as SimCLR has them: both forward, then both back
		p := chain()
		p.Passes = append(p.Passes, &protocol.Pass{Name: "other", Gradient: true})
		p.Taps = append(p.Taps, &protocol.Tap{Name: "other", Pass: "other", Output: "representation"})
		return p
	}
	joined := func() engine.Program { // x + norm(x), which only the addition lets overflow
		b := newBuilder(4, 4, 4)
		x := b.conv("c", "input", 4, 4, 1, 1, 0)
		b.Outputs["representation"] = b.mean("mean", b.relu("relu", b.add("add", b.norm("bn", x, 4, 1), x)))
		return alone(b.Model)
	}
	concat := func() engine.Program {
		b := newBuilder(4, 6)
		x := b.linear("a", "input", 6, 6)
		x = b.concat("cat", 1, x, b.linear("b", x, 6, 6))
		b.Outputs["representation"] = b.mean("mean", b.linear("c", x, 12, 6))
		return alone(b.Model)
	}
	meeting := func() engine.Program { // where gradients of a fan-out meet, and the sum alone overflows
		b := newBuilder(4, 6)
		x := b.linear("a", "input", 6, 6)
		y := b.function("sigmoid", "s", x)
		b.Outputs["representation"], b.Outputs["features"] = b.mean("mean", y), y
		p := alone(b.Model)
		p.Taps = append(p.Taps, &protocol.Tap{Name: "map", Pass: "only", Output: "features"})
		return p
	}
	tiny := func() engine.Program { return moco(tinyEncoder(), projector(10, 10, 8), 2) }
	for name, c := range map[string]struct {
		program func() engine.Program
		spoil   func(n *network)
		want    engine.Culprit
	}{
		"a convolution": {tiny, func(n *network) { scale(t, n, "encoder.a2.weight", 1e38); scale(t, n, "encoder.abn1.weight", 1e5) },
			engine.Culprit{Place: engine.InForward, Name: "encoder.a2", Pass: "query"}},
		"the statistics that a convolution takes on the way": {tiny, func(n *network) { scale(t, n, "encoder.down.weight", 1e30) },
			engine.Culprit{Place: engine.InForward, Name: "encoder.dbn", Pass: "query"}},
		"statistics of the first layer": {tiny, func(n *network) { scale(t, n, "encoder.conv1.weight", 1e30) },
			engine.Culprit{Place: engine.InForward, Name: "encoder.bn1", Pass: "query"}},
		"the momentum network alone": {tiny, func(n *network) { scale(t, n, "momentum.encoder.b2.weight", 1e30) },
			engine.Culprit{Place: engine.InForward, Name: "encoder.bbn2", Pass: "key"}},
		"a head": {tiny, func(n *network) {
			scale(t, n, "head.projector.fc1.weight", 1e38)
			scale(t, n, "encoder.dbn.weight", 1e5)
		},
			engine.Culprit{Place: engine.InForward, Name: "head.projector.fc1", Pass: "query"}},
		"a norm with what is added": {joined, func(n *network) { scale(t, n, "encoder.bn.weight", 1.5e38) },
			engine.Culprit{Place: engine.InForward, Name: "encoder.bn", With: []string{"encoder.add", "encoder.relu"}, Pass: "only"}},
		"both passes": {two, func(n *network) { scale(t, n, "encoder.b.weight", 1e38); n.Input("other")[50] = 1e9 },
			engine.Culprit{Place: engine.InForward, Name: "encoder.b", Pass: "other"}},

		"what a layer gives back": {chain, func(n *network) { shrink(n, 1e-20); scale(t, n, "encoder.b.weight", 1e20); grow(n, 1e30) },
			engine.Culprit{Place: engine.InBackward, Name: "encoder.b", Pass: "only"}},
		"the gradient of a weight": {chain, func(n *network) { shrink(n, 1e20); grow(n, 1e30); scale(t, n, "encoder.b.weight", 1e-20) },
			engine.Culprit{Place: engine.InBackward, Name: "encoder.b", Parameter: "encoder.b.weight", Pass: "only"}},
		"through a concatenation": {concat, func(n *network) { shrink(n, 1e-20); scale(t, n, "encoder.c.weight", 1e20); grow(n, 1e30) },
			engine.Culprit{Place: engine.InBackward, Name: "encoder.c", Pass: "only"}},
		"where gradients meet": {meeting, func(n *network) {
			n.pool.Fill(3e38, n.TapGradient("out")) // of which the mean gives back a quarter
			n.pool.Fill(3e38, n.TapGradient("map"))
		}, engine.Culprit{Place: engine.InBackward, Name: "encoder.s", Pass: "only"}},

		"a sample": {tiny, func(n *network) { n.Input("key")[5*8*8*3+7] = nan },
			engine.Culprit{Place: engine.InInput, Pass: "key", Sample: 5}},
		"the loss's gradient": {tiny, func(n *network) { n.TapGradient("q")[3*8+1] = inf },
			engine.Culprit{Place: engine.InTapGradient, Name: "q", Pass: "query", Sample: 3}},
		"a weight": {tiny, func(n *network) { scale(t, n, "encoder.b1.weight", nan) },
			engine.Culprit{Place: engine.InParameter, Name: "encoder.b1.weight"}},
		"a weight of the momentum network": {tiny, func(n *network) { scale(t, n, "momentum.encoder.bn1.bias", nan) },
			engine.Culprit{Place: engine.InParameter, Name: "momentum.encoder.bn1.bias"}},
		"a running mean": {tiny, func(n *network) { n.params["encoder.abn2.running_mean"].of(n.slabs.online)[2] = nan },
			engine.Culprit{Place: engine.InParameter, Name: "encoder.abn2.running_mean"}},
		"a running variance": {tiny, func(n *network) { n.params["encoder.bbn1.running_var"].of(n.slabs.momentum)[2] = inf },
			engine.Culprit{Place: engine.InParameter, Name: "momentum.encoder.bbn1.running_var"}},
	} {
		for _, precision := range precisions() {
			t.Run(name+" in "+string(precision), func(t *testing.T) {
				p := c.program()
				n := compile(t, p, engine.Options{Batch: 8, Seed: 5, Precision: precision})
				for _, pass := range p.Passes {
					fillInputs(n, pass.Name)
				}
				for _, tap := range p.Taps {
					copy(n.TapGradient(tap.Name), drawn("test", "gradient", len(n.TapGradient(tap.Name))))
				}
				c.spoil(n)
				before := stateOf(n)
				for _, pass := range p.Passes {
					must(t, n.Forward(pass.Name, 8, 3))
				}
				if c.want.Place < engine.InTapGradient { // as if the loss told of it
					blamed(t, n, c.want)
				}
				for _, pass := range p.Passes {
					if pass.Gradient {
						must(t, n.Backward(pass.Name))
					}
				}
				told := slices.ContainsFunc(p.Taps, func(tap *protocol.Tap) bool { return !n.pool.Finite(n.Tap(tap.Name)) }) // by the loss
				if err := n.Step(engine.Optimiser{LR: 0.1}); err != nil && fault.KindOf(err) != fault.Diverged || err == nil && !told {
					t.Fatalf("the step gave %v", err)
				} else if err == nil {
					return
				}
				blamed(t, n, c.want)
				for i, a := range stateOf(n) {
					if !strings.Contains(a.Name, "running") && !same(a.Data, before[i].Data) {
						t.Errorf("%s changed", a.Name)
					}
				}
			})
		}
	}
}

// shrink and grow multiply the inputs and the gradients at the taps of the pass "only".
func shrink(n *network, by float32) { multiply(n.Input("only"), by) }
func grow(n *network, by float32)   { multiply(n.TapGradient("out"), by) }

func multiply(s []float32, by float32) {
	for i := range s {
		s[i] *= by
	}
}

// same compares bits.
func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// blamed fails unless the network names the culprit, and leaves weights and running statistics as they are.
func blamed(t *testing.T, n *network, want engine.Culprit) {
	t.Helper()
	before := stateOf(n)
	got := n.Blame()
	if got == nil || !slices.Equal(got.With, want.With) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	g := *got
	g.With, want.With = nil, nil
	if g.Place != want.Place || g.String() != want.String() {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for i, a := range stateOf(n) {
		if !same(a.Data, before[i].Data) {
			t.Errorf("%s changed", a.Name)
		}
	}
	for name, g := range gradients(n) {
		if norm(g) != 0 {
			t.Errorf("the gradient of %s is left", name)
		}
	}
}

// Nothing is to blame where all is finite, and the pass gives the same once more, whatever its layers draw.
func TestBlameOfAStepThatIsFinite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := engine.Options{Batch: 4, Threads: 1, Precision: rapid.SampledFrom(precisions()).Draw(t, "precision")}
		n := computed(t, randomProgram(t, 4), o, false)
		defer n.Close()
		taps := [][]float32{slices.Clone(n.Tap("out")), slices.Clone(n.Tap("map"))}
		var before []float32
		if n.training {
			before = slices.Clone(n.slabs.online)
		}
		if c := n.Blame(); c != nil {
			t.Fatalf("blamed: %v", c)
		}
		if n.training && !same(before, n.slabs.online) {
			t.Error("weights or running statistics moved")
		}
		for i, name := range []string{"out", "map"} {
			var off float64
			for k, v := range n.Tap(name) {
				off = math.Hypot(off, float64(v-taps[i][k]))
			}
			if off > 1e-4*norm(taps[i])+1e-5 && o.Precision == engine.Float32 {
				t.Errorf("%s differs by %.2g of %.2g", name, off, norm(taps[i]))
			}
		}
	})
}

// The layer that is named is one whose values a plain plan, which fuses nothing and in which every value has memory of its
// own, shows to be not finite where all that it reads is.
func TestBlameAgreesWithPlainPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := alone(randomModel(t, 4))
		p.Taps = append(p.Taps, &protocol.Tap{Name: "map", Pass: "only", Output: "features"})
		o := engine.Options{Batch: 4, Threads: 1}
		plain := computed(t, p, o, true)
		defer plain.Close()
		fused := computed(t, p, o, false)
		defer fused.Close()
		name := rapid.SampledFrom(plain.names).Draw(t, "parameter")
		by := rapid.SampledFrom([]float32{1e20, 1e30, 1e38}).Draw(t, "by")
		for _, n := range []*network{plain, fused} {
			q := n.params[name]
			values := n.values(q, n.slabs.online)
			multiply(values, by)
			if q.buffer || slices.ContainsFunc(values, func(v float32) bool { return v-v != 0 }) {
				t.Skip("no weight, or not finite itself")
			}
			n.setValues(q, n.slabs.online, values)
		}
		for _, err := range []error{plain.Forward("only", 4, 0), fused.Forward("only", 4, 0), fused.Backward("only")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		q := plain.passes["only"]
		broken := func(v *value) bool { return !v.index && firstBroken(v.array(4)) >= 0 }
		first := map[string]bool{}
		for _, i := range q.instructions[:q.schedule.forward] {
			if slices.ContainsFunc(i.writes(), broken) && !slices.ContainsFunc(i.reads(), broken) {
				first[i.layer] = true
			}
		}
		got := fused.Blame()
		switch {
		case len(first) == 0 && (got == nil || got.Place == engine.InBackward):
		case got == nil || got.Place != engine.InForward || !slices.ContainsFunc(append(got.With, got.Name), func(layer string) bool { return first[layer] }):
			t.Errorf("blamed is %+v, and the first that are not finite are %v", got, first)
		}
	})
}
