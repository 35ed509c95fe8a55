package native

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"pgregory.net/rapid"
)

// randomModel is a graph of layers that may read any earlier value, several times or never: fan-outs, unused layers,
// activations of sums of norms, norms of activations, one map added to itself, views of views.
func randomModel(t *rapid.T, channels int64) *protocol.Model {
	b := newBuilder(4, 4, channels)
	names := []string{b.conv("c", "input", channels, channels, 3, 1, 1)}
	for i := range rapid.IntRange(1, 12).Draw(t, "layers") {
		name, from := fmt.Sprintf("l%d", i), rapid.SampledFrom(names).Draw(t, "from")
		kind := rapid.SampledFrom([]string{"conv", "norm", "norm", "relu", "relu", "add", "add", "pool", "unit", "linear", "gate", "place", "swap", "stop", "mask", "depthwise", "transposed", "resampled",
			"layer norm", "group norm", "function", "softmax", "attention", "dropout"}).Draw(t, "kind")
		switch kind {
		case "conv":
			b.conv(name, from, channels, channels, 3, 1, 1)
		case "norm":
			b.norm(name, from, channels, 1)
		case "relu":
			b.relu(name, from)
		case "add":
			b.add(name, from, rapid.SampledFrom(names).Draw(t, "other"))
		case "pool": // that keeps the size
			b.pool(name, from)
			b.Layers[len(b.Layers)-1].GetMaxPool().Stride = repeat(1, 2)
		case "unit":
			b.unit(name, from)
		case "linear":
			b.linearOf(name, b.param(name+".weight", uniform(1), channels, channels), "", from, rapid.Bool().Draw(t, "unit norm"))
		case "gate": // by another map, or by channels of it
			gate := b.unit(name+".unit", rapid.SampledFrom(names).Draw(t, "other"))
			if rapid.Bool().Draw(t, "channels") {
				gate = b.mean(name+".mean", gate)
			}
			b.combine("multiply", name, from, gate)
		case "place": // learned values, on one side or the other
			shape := rapid.SampledFrom([][]int64{{channels}, {4, channels}, {4, 4, channels}}).Draw(t, "shape")
			value := b.learned(name+".learned", b.param(name+".value", uniform(1), shape...))
			if len(shape) == 3 && rapid.Bool().Draw(t, "first") {
				from, value = value, from
			}
			b.combine(rapid.SampledFrom([]string{"add", "multiply"}).Draw(t, "op"), name, from, value)
		case "swap": // the halves along an axis
			axis := rapid.Int64Range(0, 1).Draw(t, "axis")
			b.concat(name, axis, b.slice(name+".second", from, axis, 2, 2), b.slice(name+".first", from, axis, 0, 2))
		case "stop":
			b.stop(name, from)
		case "layer norm", "group norm":
			var w, c string
			if rapid.Bool().Draw(t, "weight") {
				w = b.param(name+".weight", uniform(1), channels)
			}
			if rapid.Bool().Draw(t, "bias") {
				c = b.param(name+".bias", uniform(1), channels)
			}
			if kind == "layer norm" {
				b.layerNorm(name, w, c, from, 0.1)
			} else {
				b.groupNorm(name, w, c, from, channels, 0.1)
			}
		case "function":
			b.function(rapid.SampledFrom([]string{"gelu", "silu", "sigmoid", "tanh", "leaky_relu"}).Draw(t, "function"), name, from)
		case "softmax":
			b.softmax(name, from)
		case "attention": // of a map to others
			of := func(part, from string) string { return b.reshape(name+"."+part, from, 16, channels) }
			q, k, v := of("query", from), of("key", rapid.SampledFrom(names).Draw(t, "key")), of("value", rapid.SampledFrom(names).Draw(t, "value"))
			b.reshape(name, b.attention(name+".all", 1, q, k, v), 4, 4, channels)
		case "dropout":
			b.dropout(name, from, rapid.SampledFrom([]float64{0, 0.3}).Draw(t, "rate"))
		case "depthwise":
			b.grouped(name, from, &protocol.Conv{Stride: repeat(1, 2), Padding: repeat(1, 2), Dilation: repeat(1, 2), Groups: channels}, []int64{channels, 1, 3, 3}, true)
		case "transposed": // in groups or not
			groups := rapid.SampledFrom([]int64{1, channels}).Draw(t, "groups")
			b.transposed(name, from, &protocol.ConvTranspose{Stride: repeat(1, 2), Padding: repeat(1, 2), OutputPadding: repeat(0, 2), Dilation: repeat(1, 2), Groups: groups},
				[]int64{channels, channels / groups, 3, 3}, rapid.Bool().Draw(t, "bias"))
		case "resampled":
			larger := b.upsample(name+".larger", from, rapid.SampledFrom([]protocol.Upsample_Mode{protocol.Upsample_NEAREST, protocol.Upsample_LINEAR}).Draw(t, "mode"), 2, 2)
			b.average(name, larger, repeat(2, 2), repeat(2, 2), repeat(0, 2))
		case "mask": // some tokens stand among a learned one, or the mean
			tokens := b.reshape(name+".tokens", from, 16, channels)
			some := b.slice(name+".some", b.order(name+".order", tokens), 0, 3, 7)
			filling := b.mean(name+".mean", tokens)
			if rapid.Bool().Draw(t, "learned") {
				filling = b.learned(name+".filling", b.param(name+".mask", uniform(1), channels))
			}
			b.reshape(name, b.scatter(name+".all", 16, b.gather(name+".seen", tokens, some), some, filling), 4, 4, channels)
		}
		names = append(names, name)
	}
	b.Outputs["features"] = rapid.SampledFrom(names).Draw(t, "features")
	b.Outputs["representation"] = b.mean("mean", rapid.SampledFrom(names).Draw(t, "last"))
	return b.Model
}

// randomProgram computes a random model, with a gradient or without.
func randomProgram(t *rapid.T, channels int64) engine.Program {
	p := alone(randomModel(t, channels))
	p.Taps = append(p.Taps, &protocol.Tap{Name: "map", Pass: "only", Output: "features"})
	p.Passes[0].NormGroups = uint32(rapid.IntRange(1, 2).Draw(t, "groups"))
	p.Passes[0].Gradient = rapid.Bool().Draw(t, "gradient")
	return p
}

// Whatever the graph, fusion and shared memory change nothing but the order of a few roundings.
func TestRandomGraphsAgreeWithPlainPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := randomProgram(t, rapid.Int64Range(3, 4).Draw(t, "channels"))
		comparePlans(t, p, engine.Options{Batch: 4, Threads: 1, Mode: rapid.SampledFrom([]engine.Mode{engine.Train, engine.Infer}).Draw(t, "mode")})
	})
}

// In bfloat16 fusion saves roundings, and a graph may enlarge what is left of them, or turn one into another choice of a
// maximum: how far the plain plan is from float32 tells how much. The graphs are the same in every run.
func TestRandomGraphsInBFloat16AgreeWithPlainPlans(t *testing.T) {
	if !kernel.HasBFloat16() {
		t.Skip("needs instructions for bfloat16")
	}
	const graphs = 300
	calm := 0
	for seed := range graphs {
		p := rapid.Custom(func(t *rapid.T) engine.Program { return randomProgram(t, rapid.Int64Range(3, 4).Draw(t, "channels")) }).Example(seed)
		o := engine.Options{Batch: 16, Threads: 1}
		if seed%4 == 0 {
			o.Mode = engine.Infer
		}
		exact := results(t, computed(t, p, o, true))
		o.Precision = engine.BFloat16
		plain, fused := results(t, computed(t, p, o, true)), results(t, computed(t, p, o, false))
		distance := func(a, b map[string][]float32) (worst float64) {
			for name := range a {
				var off float64
				for i, v := range b[name] {
					off = math.Hypot(off, float64(a[name][i]-v))
				}
				worst = max(worst, off/(norm(b[name])+1e-3))
			}
			return worst
		}
		own, d := distance(plain, exact), distance(fused, plain)
		if own <= 0.1 {
			calm++
		}
		if !(d <= max(4*own, 0.1)) {
			t.Errorf("graph %d: with fusion an array differs by %.2g of its norm; bfloat16 itself makes %.2g", seed, d, own)
		}
	}
	if calm < graphs/2 {
		t.Errorf("only %d of %d graphs tell rounding from defects", calm, graphs)
	}
}

// A residual branch of one convolution: where gradients meet, what is added is also what the branch's gradient reads.
func TestResidualOfOneConvolution(t *testing.T) {
	b := newBuilder(4, 4, 3)
	x := b.conv("c", "input", 3, 3, 3, 1, 1)
	b.Outputs["features"] = b.add("add", x, b.conv("branch", x, 3, 3, 3, 1, 1))
	b.Outputs["representation"] = b.mean("mean", "add")
	p := alone(b.Model)
	p.Taps = append(p.Taps, &protocol.Tap{Name: "map", Pass: "only", Output: "features"})
	comparePlans(t, p, engine.Options{Batch: 4, Threads: 1})
}

type failer interface {
	Fatal(args ...any)
	Errorf(format string, args ...any)
}

// comparePlans computes a program with a tap "out" and a tap "map" by a plain plan and by the usual one.
func comparePlans(t failer, p engine.Program, o engine.Options) {
	plain, fused := computed(t, p, o, true), computed(t, p, o, false)
	if a, b := fused.passes["only"].arena, plain.passes["only"].arena; a > b {
		t.Errorf("sharing memory takes %d values, not sharing %d", a, b)
	}
	got := results(t, fused)
	for name, want := range results(t, plain) {
		var off, size float64
		for i, v := range want {
			off += float64(got[name][i]-v) * float64(got[name][i]-v)
			size += float64(v) * float64(v)
		}
		if !(off <= 1e-8*size+1e-10) {
			t.Errorf("%s differs by %.2g of %.2g", name, off, size)
		}
	}
}

// computed is a network after a pass "only", forward and, where it has a gradient, back.
func computed(t failer, p engine.Program, o engine.Options, plain bool) *network {
	checked, err := check(p, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newPlan(checked, o, plain)
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNetwork(l, o, make([]float32, l.total))
	if err != nil {
		t.Fatal(err)
	}
	n.memory = nil // it is Go's
	for _, name := range n.names {
		q := n.params[name]
		values := n.values(q, n.slabs.online)
		for i := range values {
			values[i] += float32(i%7) / 20 // γ and β that differ
		}
		n.setValues(q, n.slabs.online, values)
	}
	n.changed(false)
	copy(n.Input("only"), drawn("random", "input", len(n.Input("only"))))
	if err := n.Forward("only", n.batch, 0); err != nil {
		t.Fatal(err)
	}
	if n.training {
		for _, tap := range []string{"out", "map"} {
			copy(n.TapGradient(tap), drawn("random", tap, len(n.TapGradient(tap))))
		}
		if err := n.Backward("only"); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// results closes a computed network and gives its taps, parameters and gradients.
func results(t failer, n *network) map[string][]float32 {
	r := map[string][]float32{"out": slices.Clone(n.Tap("out")), "map": slices.Clone(n.Tap("map"))}
	for _, name := range n.names {
		q := n.params[name]
		r[name] = n.values(q, n.slabs.online)
		if n.training && !q.buffer {
			r["the gradient of "+name] = n.values(q, n.slabs.gradients)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

// No value at a tap is larger than the model's bound.
func TestBoundsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := randomProgram(t, rapid.Int64Range(3, 4).Draw(t, "channels"))
		o := engine.Options{Batch: 4, Threads: 1, Mode: rapid.SampledFrom([]engine.Mode{engine.Train, engine.Infer}).Draw(t, "mode")}
		n, err := New().Compile(p, o)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		values := map[string][]float32{}
		for _, a := range paramsOf(n) {
			values[a.Name] = a.Data
		}
		largest := 0.
		for i := range n.Input("only") {
			v := float32(math.Sin(float64(7*i))) * 3
			n.Input("only")[i], largest = v, max(largest, math.Abs(float64(v)))
		}
		if err := n.Forward("only", 4, 0); err != nil {
			t.Fatal(err)
		}
		g, err := model.Check(p.Encoder)
		if err != nil {
			t.Fatal(err)
		}
		outputs, worst := g.Bound(largest, 4, o.Mode == engine.Train, func(name string) []float32 { return values["encoder."+name] })
		for _, tap := range p.Taps {
			for _, v := range n.Tap(tap.Name) {
				if b := outputs[tap.Output] * 1.0001; math.Abs(float64(v)) > b || b > 1.0001*worst {
					t.Fatalf("%s: %g is more than %g, or that than %g", tap.Name, v, b, worst)
				}
			}
		}
	})
}
