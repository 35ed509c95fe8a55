package native

import (
	"fmt"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/protocol"
	"pgregory.net/rapid"
)

// randomModel is a graph of layers that may read any earlier value, several times or never: fan-outs, unused layers,
// activations of sums of norms, norms of activations, one map added to itself, views of views.
func randomModel(t *rapid.T) *protocol.Model {
	const channels = 3
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
				b.groupNorm(name, w, c, from, 3, 0.1)
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

// Whatever the graph, fusion and shared memory change nothing but the order of a few roundings.
func TestRandomGraphsAgreeWithPlainPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := alone(randomModel(t))
		p.Taps = append(p.Taps, &protocol.Tap{Name: "map", Pass: "only", Output: "features"})
		p.Passes[0].NormGroups = uint32(rapid.IntRange(1, 2).Draw(t, "groups"))
		p.Passes[0].Gradient = rapid.Bool().Draw(t, "gradient")
		o := engine.Options{Batch: 4, Threads: 1, Mode: rapid.SampledFrom([]engine.Mode{engine.Train, engine.Infer}).Draw(t, "mode")}
		comparePlans(t, p, o)
	})
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

// comparePlans computes a program with a tap "out" and a tap "map" by a plain plan and by the usual one.
func comparePlans(t interface {
	Fatal(args ...any)
	Errorf(format string, args ...any)
}, p engine.Program, o engine.Options) {
	checked, err := check(p, o)
	if err != nil {
		t.Fatal(err)
	}
	var nets []*network
	for _, plain := range []bool{true, false} {
		l, err := newPlan(checked, o, plain)
		if err != nil {
			t.Fatal(err)
		}
		n, err := newNetwork(l, o, make([]float32, l.total))
		if err != nil {
			t.Fatal(err)
		}
		n.memory = nil // it is Go's
		defer n.Close()
		for i := range n.slabs.online {
			n.slabs.online[i] += float32(i%7) / 20 // γ and β that differ
		}
		n.changed(false)
		copy(n.Input("only"), drawn("random", "input", len(n.Input("only"))))
		if err := n.Forward("only", 4, 0); err != nil {
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
		nets = append(nets, n)
	}
	plain, fused := nets[0], nets[1]
	if a, b := fused.passes["only"].arena, plain.passes["only"].arena; a > b {
		t.Errorf("sharing memory takes %d values, not sharing %d", a, b)
	}
	same := func(what string, a, b []float32) {
		var off, size float64
		for i := range b {
			off += float64(a[i]-b[i]) * float64(a[i]-b[i])
			size += float64(b[i]) * float64(b[i])
		}
		if !(off <= 1e-8*size+1e-10) {
			t.Errorf("%s differs by %.2g of %.2g", what, off, size)
		}
	}
	same("out", fused.Tap("out"), plain.Tap("out"))
	same("map", fused.Tap("map"), plain.Tap("map"))
	for _, name := range plain.names {
		q := plain.params[name]
		same(name, fused.values(q, fused.slabs.online), plain.values(q, plain.slabs.online))
		if plain.training && !q.buffer {
			same("the gradient of "+name, fused.values(q, fused.slabs.gradients), plain.values(q, plain.slabs.gradients))
		}
	}
}
