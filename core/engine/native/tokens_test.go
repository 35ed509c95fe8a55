package native

import (
	"fmt"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The builder's layers of opset 2 that combine, move and choose values. The model's opset is 2 from the first of them on.

func (b *builder) layer2(l *protocol.Layer, inputs ...string) string {
	b.Opset = 2
	return b.layer(l, inputs...)
}

func (b *builder) linearOf(name, weight, bias, from string, unit bool) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: weight, Bias: bias, UnitNorm: unit}}}, from)
}

// combine adds an "add" or a "multiply".
func (b *builder) combine(op, name, x, y string) string {
	if op == "add" {
		return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, x, y)
	}
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Multiply{Multiply: &protocol.Multiply{}}}, x, y)
}

func (b *builder) concat(name string, axis int64, from ...string) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Concat{Concat: &protocol.Concat{Axis: axis}}}, from...)
}

func (b *builder) slice(name, from string, axis, start, size int64) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Slice{Slice: &protocol.Slice{Axis: axis, Start: start, Size: size}}}, from)
}

func (b *builder) reshape(name, from string, shape ...int64) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: shape}}}, from)
}

func (b *builder) stop(name, from string) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_StopGradient{StopGradient: &protocol.StopGradient{}}}, from)
}

func (b *builder) learned(name, parameter string) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Learned{Learned: &protocol.Learned{Parameter: parameter}}})
}

func (b *builder) order(name, from string) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_TokenOrder{TokenOrder: &protocol.TokenOrder{}}}, from)
}

func (b *builder) gather(name, from, indices string) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Gather{Gather: &protocol.GatherTokens{}}}, from, indices)
}

func (b *builder) scatter(name string, tokens int64, from, indices, filling string) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Scatter{Scatter: &protocol.ScatterTokens{Tokens: tokens}}}, from, indices, filling)
}

// value adds a parameter and the layer that reads it.
func (b *builder) value(name string, shape ...int64) string {
	return b.learned(name, b.param("layer."+name, uniform(1), shape...))
}

type layerOf struct {
	input []int64 // with the batch
	layer func(b *builder, x string) string
}

// tokenCases are the cases of testdata/golden_tokens.py.
func tokenCases() map[string]layerOf {
	s := func(v ...int64) []int64 { return v }
	linear := func(out int64, unit, bias bool) func(b *builder, x string) string {
		return func(b *builder, x string) string {
			w, c := b.param("layer.weight", uniform(1), out, b.Input[len(b.Input)-1]), ""
			if bias {
				c = b.param("layer.bias", uniform(1), out)
			}
			return b.linearOf("layer", w, c, x, unit)
		}
	}
	cases := map[string]layerOf{
		"linear of a spectrum":  {s(3, 17, 5), linear(33, false, true)},
		"linear of a map":       {s(2, 4, 3, 6), linear(33, false, true)},
		"linear of a volume":    {s(2, 2, 3, 2, 5), linear(33, false, true)},
		"unit linear":           {s(6, 19), linear(37, true, false)},
		"unit linear of tokens": {s(3, 7, 19), linear(21, true, true)},
		"concat of one":         {s(2, 3, 4), func(b *builder, x string) string { return b.concat("layer", 0, x) }},
		"concat of vectors": {s(4, 5), func(b *builder, x string) string {
			return b.concat("layer", 0, x, b.value("value", 3), b.relu("r", x))
		}},
		"concat of volumes": {s(2, 2, 3, 2, 3), func(b *builder, x string) string { return b.concat("layer", -1, x, b.relu("r", x)) }},
		"slice of volumes":  {s(2, 2, 3, 4, 3), func(b *builder, x string) string { return b.slice("layer", x, 2, 1, 3) }},
		"whole slice":       {s(2, 5, 3), func(b *builder, x string) string { return b.slice("layer", x, 0, 0, 5) }},
		"reshape": {s(2, 4, 3, 5), func(b *builder, x string) string {
			y := b.reshape("tokens", x, 12, 5)
			return b.add("layer", b.relu("r", y), y)
		}},
		"reshape of learned": {s(3, 6), func(b *builder, x string) string {
			return b.add("layer", x, b.reshape("flat", b.value("value", 2, 3), 6))
		}},
		"learned": {s(3, 2), func(b *builder, x string) string { return b.value("value", 4, 3) }},
		"stop gradient": {s(3, 4, 5), func(b *builder, x string) string {
			y := b.stop("stop", x)
			return b.add("layer", b.combine("multiply", "square", x, y), y)
		}},
		"shared weights": {s(3, 4, 5), func(b *builder, x string) string {
			w, v := b.param("layer.weight", uniform(1), 5, 5), b.value("value", 5)
			y := b.combine("multiply", "scaled", b.linearOf("one", w, "", x, false), v)
			y = b.linearOf("two", w, "layer.value", y, false)
			y = b.combine("add", "sum", y, b.linearOf("three", w, "", b.mean("mean", x), true))
			return b.combine("add", "layer", y, v)
		}},
		"gather": {s(3, 11, 6), func(b *builder, x string) string {
			return b.gather("layer", x, b.slice("some", b.order("order", x), 0, 2, 5))
		}},
		"scatter": {s(3, 11, 6), func(b *builder, x string) string {
			some := b.slice("some", b.order("order", x), 0, 0, 5)
			return b.scatter("layer", 11, b.slice("tokens", x, 0, 0, 5), some, b.value("value", 6))
		}},
		"scatter with a filling of each": {s(3, 11, 6), func(b *builder, x string) string {
			some := b.slice("some", b.order("order", x), 0, 0, 5)
			return b.scatter("layer", 11, b.slice("tokens", x, -2, 6, 5), some, b.mean("mean", x))
		}},
		"masked tokens": {s(3, 11, 6), maskedTokens},
	}
	for _, op := range []string{"add", "multiply"} {
		for name, c := range map[string]layerOf{
			"maps":   {s(2, 3, 4, 5), func(b *builder, x string) string { return b.combine(op, "layer", x, b.relu("r", x)) }},
			"itself": {s(2, 3, 4, 5), func(b *builder, x string) string { return b.combine(op, "layer", x, x) }},
			"a spectrum's channels": {s(3, 9, 5), func(b *builder, x string) string {
				return b.combine(op, "layer", x, b.mean("mean", x))
			}},
			"a map's channels": {s(2, 3, 4, 5), func(b *builder, x string) string {
				return b.combine(op, "layer", x, b.mean("mean", x))
			}},
			"a volume's channels": {s(2, 2, 3, 2, 5), func(b *builder, x string) string {
				return b.combine(op, "layer", x, b.mean("mean", x))
			}},
			"lines": {s(2, 3, 4, 5), func(b *builder, x string) string {
				return b.combine(op, "layer", x, b.reshape("line", b.slice("lines", b.relu("r", x), 0, 1, 1), 4, 5))
			}},
			"learned channels": {s(2, 3, 4, 5), func(b *builder, x string) string { return b.combine(op, "layer", x, b.value("value", 5)) }},
			"learned lines":    {s(2, 3, 4, 5), func(b *builder, x string) string { return b.combine(op, "layer", x, b.value("value", 4, 5)) }},
			"a learned map":    {s(2, 3, 4, 5), func(b *builder, x string) string { return b.combine(op, "layer", x, b.value("value", 3, 4, 5)) }},
			"to a learned map": {s(2, 3, 4, 5), func(b *builder, x string) string { return b.combine(op, "layer", b.value("value", 3, 4, 5), x) }},
			"to learned lines": {s(2, 3, 5), func(b *builder, x string) string {
				return b.combine(op, "layer", b.value("value", 4, 5), b.mean("mean", x))
			}},
			"learned twice": {s(3, 5), func(b *builder, x string) string {
				v := b.value("value", 5)
				return b.combine(op, "layer", b.combine(op, "one", x, v), b.combine(op, "two", v, v))
			}},
		} {
			cases[op+" "+name] = c
		}
	}
	for axis := range int64(3) {
		cases[fmt.Sprintf("concat %d", axis)] = layerOf{s(2, 3, 4, 5), func(b *builder, x string) string {
			return b.concat("layer", axis, x, b.relu("r", x), x)
		}}
		cases[fmt.Sprintf("concat %d with learned", axis)] = layerOf{s(2, 3, 4, 5), func(b *builder, x string) string {
			return b.concat("layer", axis, b.value("value", 3, 4, 5), x)
		}}
		cases[fmt.Sprintf("slice %d", axis)] = layerOf{s(2, 4, 5, 6), func(b *builder, x string) string { return b.slice("layer", x, axis, 1, 2) }}
	}
	return cases
}

// maskedTokens is a masked autoencoder without its attention: some tokens with a class token go through a scaled residual
// branch, then stand among the mask token in all other places.
func maskedTokens(b *builder, x string) string {
	positions := b.value("positions", 11, 6)
	x = b.combine("add", "placed", x, positions)
	some := b.slice("some", b.order("order", x), 0, 0, 5)
	t := b.concat("tokens", 0, b.value("class", 1, 6), b.gather("seen", x, some))
	branch := b.linearOf("branch", b.param("layer.weight", uniform(1), 6, 6), "", t, false)
	t = b.combine("add", "residual", t, b.combine("multiply", "scaled", branch, b.value("scale", 6)))
	all := b.scatter("all", 11, b.slice("without class", t, 0, 1, 5), some, b.value("mask", 6))
	return b.concat("layer", 0, b.slice("class again", t, 0, 0, 1), b.combine("add", "placed again", all, positions))
}

func TestTokenLayersAgreeWithPyTorch(t *testing.T) {
	cases := tokenCases()
	var golden map[string]map[string]summary
	readGolden(t, "tokens.json", &golden)
	if len(golden) != len(cases) {
		t.Errorf("%d goldens for %d cases", len(golden), len(cases))
	}
	for name, c := range cases {
		n := compile(t, alone(layerCase(c.input[1:], c.layer)), engine.Options{Batch: int(c.input[0])})
		for _, full := range n.names {
			q := n.params[full]
			copy(q.of(n.slabs.online), drawn(name, q.Name, q.size))
		}
		copy(n.Input("only"), drawn(name, "input", len(n.Input("only"))))
		must(t, n.Forward("only", n.batch, 0))
		near(t, name, "out", n.Tap("out"), golden[name]["out"], 1e-5)
		copy(n.TapGradient("out"), drawn(name, "gradient", len(n.TapGradient("out"))))
		must(t, n.Backward("only"))
		for _, full := range n.names {
			q := n.params[full]
			near(t, name, "gradient "+q.Name, q.of(n.slabs.gradients), golden[name]["gradient "+q.Name], 1e-5)
		}
	}
}
