package native

import (
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The builder's layers of opset 2 that normalise, bend, attend and drop.

func (b *builder) layerNorm(name, weight, bias, from string, epsilon float64) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_LayerNorm{LayerNorm: &protocol.LayerNorm{Weight: weight, Bias: bias, Epsilon: epsilon}}}, from)
}

func (b *builder) groupNorm(name, weight, bias, from string, groups int64, epsilon float64) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_GroupNorm{GroupNorm: &protocol.GroupNorm{Weight: weight, Bias: bias, Groups: groups, Epsilon: epsilon}}}, from)
}

// function adds an activation; a leaky ReLU has the slope 0.2.
func (b *builder) function(function, name, from string) string {
	a := &protocol.Activation{Function: protocol.Activation_Function(protocol.Activation_Function_value[strings.ToUpper(function)])}
	if function == "leaky_relu" {
		a.Slope = 0.2
	}
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Activation{Activation: a}}, from)
}

func (b *builder) softmax(name, from string) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Softmax{Softmax: &protocol.Softmax{}}}, from)
}

func (b *builder) attention(name string, heads int64, from ...string) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Attention{Attention: &protocol.Attention{Heads: heads}}}, from...)
}

func (b *builder) dropout(name, from string, rate float64) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Dropout{Dropout: &protocol.Dropout{Rate: rate}}}, from)
}

// vectors adds a weight and a bias of n values.
func (b *builder) vectors(n int64) (weight, bias string) {
	return b.param("layer.weight", uniform(1), n), b.param("layer.bias", uniform(1), n)
}

// transformerBlock is a block of a vision transformer with dropout.
func transformerBlock(b *builder, x string, channels int64) string {
	weights := func(name string, out, in int64) string { return b.param("layer."+name, uniform(1), out, in) }
	norm := func(name, from string) string {
		return b.layerNorm("norm"+name, b.param("layer.n"+name, uniform(1), channels), b.param("layer.b"+name, uniform(1), channels), from, 1e-6)
	}
	qkv := b.linearOf("qkv", weights("qkv", 3*channels, channels), "", norm("1", x), false)
	y := b.linearOf("projection", weights("out", channels, channels), "", b.attention("attention", 3, qkv), false)
	x = b.add("x1", x, b.dropout("first", y, 0.1))
	y = b.function("gelu", "gelu", b.linearOf("up", weights("up", 4*channels, channels), "", norm("2", x), false))
	return b.add("x2", x, b.dropout("second", b.linearOf("down", weights("down", channels, 4*channels), "", y, false), 0.1))
}

// attentionCases are the cases of testdata/golden_attention.py.
func attentionCases() map[string]layerOf {
	s := func(v ...int64) []int64 { return v }
	cases := map[string]layerOf{
		"group norm of vectors": {s(5, 24), func(b *builder, x string) string {
			w, c := b.vectors(24)
			return b.groupNorm("layer", w, c, x, 3, 1e-3)
		}},
		"plain layer norm": {s(3, 7, 33), func(b *builder, x string) string { return b.layerNorm("layer", "", "", x, 1e-2) }},
		"layer norm without bias": {s(3, 7, 33), func(b *builder, x string) string {
			return b.layerNorm("layer", b.param("layer.weight", uniform(1), 33), "", x, 1e-6)
		}},
		"layer norm without weight": {s(3, 7, 33), func(b *builder, x string) string {
			return b.layerNorm("layer", "", b.param("layer.bias", uniform(1), 33), x, 1e-6)
		}},
		"plain group norm": {s(3, 7, 12), func(b *builder, x string) string { return b.groupNorm("layer", "", "", x, 1, 1e-2) }},
		"group norm without bias": {s(3, 7, 12), func(b *builder, x string) string {
			return b.groupNorm("layer", b.param("layer.weight", uniform(1), 12), "", x, 12, 1e-5)
		}},
		"group norm without weight": {s(3, 7, 12), func(b *builder, x string) string {
			return b.groupNorm("layer", "", b.param("layer.bias", uniform(1), 12), x, 6, 1e-5)
		}},
		"one layer norm twice": {s(3, 7, 9), func(b *builder, x string) string {
			w, c := b.vectors(9)
			return b.layerNorm("layer", w, c, b.function("gelu", "gelu", b.layerNorm("first", w, c, x, 1e-5)), 1e-5)
		}},
		"attention":             {s(2, 9, 24), func(b *builder, x string) string { return b.attention("layer", 2, x) }},
		"attention of one head": {s(2, 5, 9), func(b *builder, x string) string { return b.attention("layer", 1, x) }},
		"attention of many tokens": {s(2, 70, 24), func(b *builder, x string) string {
			twice := b.add("twice", x, x)
			return b.attention("layer", 4, b.add("four times", twice, twice))
		}},
		"attention of three": {s(2, 9, 12), func(b *builder, x string) string {
			return b.attention("layer", 3, b.value("value", 5, 12), x, b.relu("r", x))
		}},
		"attention to itself": {s(2, 9, 12), func(b *builder, x string) string { return b.attention("layer", 3, x, x, x) }},
		"attention between parts": {s(2, 9, 12), func(b *builder, x string) string {
			rest := b.slice("rest", x, 0, 2, 7)
			return b.attention("layer", 3, b.slice("some", x, 0, 0, 2), rest, rest)
		}},
		"dropout of nothing": {s(3, 5, 6), func(b *builder, x string) string { return b.dropout("layer", x, 0) }},
		"transformer block":  {s(3, 10, 12), func(b *builder, x string) string { return transformerBlock(b, x, 12) }},
	}
	for of, shape := range map[string][]int64{"a vector": s(6, 19), "a spectrum": s(3, 17, 12), "a map": s(2, 4, 3, 20), "a volume": s(2, 2, 3, 2, 8)} {
		channels := shape[len(shape)-1]
		cases["layer norm of "+of] = layerOf{shape, func(b *builder, x string) string {
			w, c := b.vectors(channels)
			return b.layerNorm("layer", w, c, x, 1e-5)
		}}
		if channels%4 == 0 {
			cases["group norm of "+of] = layerOf{shape, func(b *builder, x string) string {
				w, c := b.vectors(channels)
				return b.groupNorm("layer", w, c, x, 4, 1e-5)
			}}
		}
		cases["softmax of "+of] = layerOf{shape, func(b *builder, x string) string { return b.softmax("layer", x) }}
		cases["dropout of "+of] = layerOf{shape, func(b *builder, x string) string { return b.dropout("layer", x, 0.3) }}
		for _, f := range []string{"gelu", "silu", "sigmoid", "tanh", "leaky_relu"} {
			cases[f+" of "+of] = layerOf{shape, func(b *builder, x string) string { return b.function(f, "layer", x) }}
		}
	}
	return cases
}

func TestAttentionLayersAgreeWithPyTorch(t *testing.T) {
	agree(t, "attention.json", attentionCases())
}

// dropping is the program of two passes through a block with dropout.
func dropping() engine.Program {
	b := newBuilder(10, 12)
	b.Outputs["representation"] = transformerBlock(b, "input", 12)
	p := alone(b.Model)
	p.Passes = append(p.Passes, &protocol.Pass{Name: "other", Gradient: true})
	p.Taps = append(p.Taps, &protocol.Tap{Name: "other", Pass: "other", Output: "representation"})
	return p
}

func TestDropoutFollowsSeedPassStepAndPlace(t *testing.T) {
	run := func(o engine.Options, pass string, step uint64) []float32 {
		o.Batch = 4
		n := compile(t, dropping(), o)
		size := len(n.Input(pass)) / 4
		for i := range 4 { // the same sample in every place
			copy(n.Input(pass)[i*size:], drawn("dropout", "input", size))
		}
		give(t, n, func(q *param) []float32 { return drawn("dropout", q.Name, q.size) })
		must(t, n.Forward(pass, 4, step))
		return slices.Clone(n.Tap(map[string]string{"only": "out", "other": "other"}[pass]))
	}
	first := run(engine.Options{Seed: 1}, "only", 5)
	if !slices.Equal(first, run(engine.Options{Seed: 1, Threads: 3}, "only", 5)) {
		t.Error("the same draws differ")
	}
	for what, other := range map[string][]float32{"seed": run(engine.Options{Seed: 2}, "only", 5), "pass": run(engine.Options{Seed: 1}, "other", 5), "step": run(engine.Options{Seed: 1}, "only", 6)} {
		if slices.Equal(first, other) {
			t.Errorf("another %s draws the same", what)
		}
	}
	if slices.Equal(first[:120], first[120:240]) {
		t.Error("another place in the batch draws the same")
	}
	if still := run(engine.Options{Seed: 1, Mode: engine.Infer}, "only", 5); !slices.Equal(still[:120], still[120:240]) {
		t.Error("inference drops something")
	}
}

// TestGradientDrawsAsItsForwardPassDid computes another pass, at another step, between forward and backward.
func TestGradientDrawsAsItsForwardPassDid(t *testing.T) {
	var want map[string][]float32
	for _, between := range []bool{false, true} {
		n := compile(t, dropping(), engine.Options{Batch: 4, Seed: 1})
		give(t, n, func(q *param) []float32 { return drawn("dropout", q.Name, q.size) })
		fillInputs(n, "only", "other")
		must(t, n.Forward("only", 4, 1<<33+5))
		if between {
			must(t, n.Forward("other", 4, 6))
		}
		copy(n.TapGradient("out"), drawn("dropout", "gradient", len(n.TapGradient("out"))))
		must(t, n.Backward("only"))
		got := gradients(n)
		if want == nil {
			want = got
		}
		for name := range want {
			if !slices.Equal(got[name], want[name]) {
				t.Errorf("the gradient of %s differs", name)
			}
		}
	}
}

func TestTransformerStepAllocatesNothingAndKeepsItsBits(t *testing.T) {
	for _, precision := range precisions() {
		var first map[string][]float32
		for _, threads := range []int{1, 2, 3, 4} {
			n := compile(t, dropping(), engine.Options{Batch: 8, Threads: threads, Precision: precision})
			give(t, n, func(q *param) []float32 { return drawn("dropout", q.Name, q.size) })
			fillInputs(n, "only", "other")
			for _, tap := range []string{"out", "other"} {
				copy(n.TapGradient(tap), drawn("dropout", tap, len(n.TapGradient(tap))))
			}
			step := func() {
				for _, pass := range []string{"only", "other"} {
					must(t, n.Forward(pass, 8, 3))
					must(t, n.Backward(pass))
				}
			}
			step()
			g := gradients(n)
			if first == nil {
				first = g
			}
			for name := range g {
				if !slices.Equal(g[name], first[name]) {
					t.Errorf("the gradient of %s differs on %d threads in %s", name, threads, precision)
				}
			}
			if a := steady(step); a != 0 && !strings.HasPrefix(kernel.Describe(), "portable") {
				t.Errorf("a step in %s allocates %v times", precision, a)
			}
		}
	}
}

func TestCostCountsAttention(t *testing.T) {
	b := newBuilder(7, 12)
	b.Outputs["representation"] = b.attention("layer", 2, b.linearOf("qkv", b.param("w", uniform(1), 36, 12), "", "input", false))
	n := compile(t, alone(b.Model), engine.Options{Batch: 3})
	const linear, products = 2 * 7 * 12 * 36, 2 * 2 * 7 * 7 * 12
	if want := int64(3 * (2*linear + 3*products)); n.Cost().StepFLOPs != want { // the input has no gradient
		t.Errorf("a step is %d operations, want %d", n.Cost().StepFLOPs, want)
	}
}

// TestTransformerInBFloat16 holds half precision to what its seven bits of fraction allow.
func TestTransformerInBFloat16(t *testing.T) {
	results := map[engine.Precision][]float32{}
	for _, precision := range []engine.Precision{engine.Float32, engine.BFloat16} {
		n, err := New().Compile(dropping(), engine.Options{Batch: 4, Precision: precision})
		if err != nil {
			t.Skip(err)
		}
		net := n.(*network)
		give(t, net, func(q *param) []float32 {
			values := drawn("dropout", q.Name, q.size)
			for i := range values {
				values[i] *= 0.3 // weights so small that attention does not sharpen the rounding
			}
			return values
		})
		fillInputs(net, "only")
		must(t, n.Forward("only", 4, 0))
		copy(n.TapGradient("out"), drawn("dropout", "gradient", len(n.TapGradient("out"))))
		must(t, n.Backward("only"))
		all := slices.Clone(n.Tap("out"))
		for _, name := range net.names {
			all = append(all, gradients(net)[name]...)
		}
		results[precision] = all
		n.Close()
	}
	close32(t, "the output with all gradients", results[engine.BFloat16], results[engine.Float32], 0.02)
}
