package native

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/kernel"
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
	for name, shape := range map[string][]int64{"one value": s(1, 1), "one token of one channel": s(1, 1, 1), "one pixel of one channel": s(1, 1, 1, 1)} {
		cases[name] = layerOf{shape, func(b *builder, x string) string {
			v := b.value("value", 1)
			y := b.combine("multiply", "y", x, v)
			z := b.add("sum", y, x)
			z = b.combine("add", "placed", b.combine("multiply", "square", z, z), v)
			return b.slice("layer", b.concat("all", 0, z, x, y), 0, 0, 2)
		}}
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

func TestTokenLayersAgreeWithPyTorch(t *testing.T) { agree(t, "tokens.json", tokenCases()) }

// agree compares layers with their goldens, in every precision.
func agree(t *testing.T, file string, cases map[string]layerOf) {
	t.Helper()
	var golden map[string]map[string]summary
	readGolden(t, file, &golden)
	if len(golden) != len(cases) {
		t.Errorf("%d goldens for %d cases", len(golden), len(cases))
	}
	half := readYardsticks(t)
	for name, c := range cases {
		for _, p := range precisions() {
			c.agree(t, name, p, golden[name], func(array string) float64 { return half.allowed(p, name, array) })
		}
	}
}

// agree compares a layer with its golden: in training, twice, and a part of a batch in inference.
func (c layerOf) agree(t *testing.T, name string, precision engine.Precision, golden map[string]summary, allowed func(array string) float64) {
	t.Helper()
	what := fmt.Sprintf("%s in %s", name, precision)
	check := func(array string, got []float32) {
		t.Helper()
		nearOf(t, what, name, array, got, golden[array], allowed(array))
	}
	p := alone(layerCase(c.input[1:], c.layer))
	p.Passes[0].NormGroups = normGroups[name]
	n := compile(t, p, engine.Options{Batch: int(c.input[0]), Precision: precision})
	give(t, n, func(q *param) []float32 { return drawn(name, q.Name, q.size) })
	copy(n.Input("only"), drawn(name, "input", len(n.Input("only"))))
	copy(n.TapGradient("out"), drawn(name, "gradient", len(n.TapGradient("out"))))
	for again := range 2 { // nothing of the first time may be left
		clear(n.slabs.gradients)
		must(t, n.Forward("only", n.batch, 0))
		check("out", n.Tap("out"))
		must(t, n.Backward("only"))
		for full, q := range n.params {
			if q.buffer && again == 0 {
				check(q.Name, n.values(n.params[full], n.slabs.online))
			}
		}
	}
	for full, g := range gradients(n) {
		check("gradient "+n.params[full].Name, g)
	}

	// In inference a part of a batch gives what training gives, where nothing is drawn and no statistics are taken.
	if slices.ContainsFunc(p.Encoder.Layers, func(l *protocol.Layer) bool {
		return l.GetTokenOrder() != nil || l.GetDropout().GetRate() > 0 || l.GetBatchNorm() != nil
	}) {
		return
	}
	i := compile(t, p, engine.Options{Batch: n.batch + 2, Mode: engine.Infer, Precision: precision})
	must(t, i.SetParams(paramsOf(n)))
	copy(i.Input("only"), n.Input("only"))
	must(t, i.Forward("only", n.batch, 0))
	check("out", i.Tap("out")[:len(n.Tap("out"))])
	if norm(i.Tap("out")[len(n.Tap("out")):]) != 0 {
		t.Errorf("%s: samples that were not asked for were written", what)
	}
}

// give sets every trained parameter.
func give(t *testing.T, n *network, values func(q *param) []float32) {
	t.Helper()
	var arrays []engine.Array
	for _, full := range n.names {
		if n.params[full].buffer {
			continue
		}
		arrays = append(arrays, engine.Array{Name: full, Shape: n.params[full].Shape, Data: values(n.params[full])})
	}
	must(t, n.SetParams(arrays))
}

// orders gives the indices of a network of one layer that orders tokens, as gathered tokens.
func orders(t *testing.T, o engine.Options) func(pass string, step uint64) []float32 {
	b := newBuilder(9, 1)
	b.Outputs["representation"] = b.gather("gather", "input", b.order("order", "input"))
	b.Outputs["features"] = b.gather("gather again", "input", b.order("another order", "input"))
	n := compile(t, engine.Program{Encoder: b.Model, Passes: []*protocol.Pass{{Name: "a"}, {Name: "b"}},
		Taps: []*protocol.Tap{{Name: "a", Pass: "a", Output: "representation"}, {Name: "another a", Pass: "a", Output: "features"}, {Name: "b", Pass: "b", Output: "representation"}}}, o)
	for i, pass := 0, []string{"a", "b"}; i < len(pass); i++ {
		for j := range n.Input(pass[i]) {
			n.Input(pass[i])[j] = float32(j % 9)
		}
	}
	return func(tap string, step uint64) []float32 {
		must(t, n.Forward(tap[len(tap)-1:], o.Batch, step))
		return slices.Clone(n.Tap(tap))
	}
}

func TestOrdersAreDrawnAnewForEachSampleStepPassAndLayer(t *testing.T) {
	draw := orders(t, engine.Options{Batch: 40, Seed: 7, Threads: 3})
	first := draw("a", 3)
	seen := map[string]bool{}
	for i := 0; i < len(first); i += 9 {
		order := slices.Clone(first[i : i+9])
		seen[fmt.Sprint(order)] = true
		slices.Sort(order)
		if !slices.Equal(order, []float32{0, 1, 2, 3, 4, 5, 6, 7, 8}) {
			t.Fatalf("sample %d has the order %v", i/9, first[i:i+9])
		}
	}
	if len(seen) < 38 {
		t.Errorf("40 samples have %d orders", len(seen))
	}
	other := orders(t, engine.Options{Batch: 40, Seed: 8})
	for what, order := range map[string][]float32{"step": draw("a", 4), "pass": draw("b", 3), "layer": draw("another a", 3), "seed": other("a", 3)} {
		if slices.Equal(order, first) {
			t.Errorf("another %s draws the same", what)
		}
	}
	if !slices.Equal(draw("a", 3), first) || !slices.Equal(orders(t, engine.Options{Batch: 20, Seed: 7})("a", 3), first[:20*9]) {
		t.Error("the same step draws something else, or the batch matters")
	}
}

func TestTokensAreInOrderInInference(t *testing.T) {
	order := orders(t, engine.Options{Batch: 5, Mode: engine.Infer})("a", 3)
	for i, v := range order {
		if v != float32(i%9) {
			t.Fatalf("the order is %v", order)
		}
	}
}

// tokenNetwork trains masked tokens behind a unit-norm head, with a momentum network beside.
func tokenNetwork(t *testing.T, o engine.Options) *network {
	encoder := layerCase([]int64{11, 6}, maskedTokens)
	encoder.Outputs["representation"] = encoder.Layers[len(encoder.Layers)-1].Name
	b := newBuilder(12, 6)
	b.Outputs["out"] = b.linearOf("fc", b.param("weight", uniform(1), 30, 6), "", b.mean("mean", "input"), true)
	n := compile(t, moco(encoder, &protocol.Head{Name: "projector", Model: b.Model, Input: "representation"}, 1), o)
	give(t, n, func(q *param) []float32 { return drawn("test", q.name, q.size) })
	fillInputs(n, "query", "key")
	copy(n.TapGradient("q"), drawn("test", "gradient", len(n.TapGradient("q"))))
	return n
}

func TestBitsOfTokensDoNotDependOnThreads(t *testing.T) {
	for _, precision := range precisions() {
		var first []engine.Array
		for threads := 1; threads <= 4; threads++ {
			n := tokenNetwork(t, engine.Options{Batch: 200, Threads: threads, Precision: precision})
			step(t, n)
			step(t, n)
			state := stateOf(n)
			if first == nil {
				first = state
			}
			for i, a := range state {
				if !slices.Equal(a.Data, first[i].Data) {
					t.Errorf("%s differs with %d threads in %s", a.Name, threads, precision)
				}
			}
		}
	}
}

func TestAStepWithTokensAllocatesNothing(t *testing.T) {
	if strings.HasPrefix(kernel.Describe(), "portable") {
		t.Skip("the portable kernels allocate a little")
	}
	n := tokenNetwork(t, engine.Options{Batch: 32})
	clear(n.TapGradient("q")) // so that no number of steps leads anywhere
	step(t, n)
	if a := steady(func() { step(t, n) }); a != 0 {
		t.Errorf("a step allocates %v times", a)
	}
}

// A unit-norm layer follows its weights, online and momentum, as a plain one follows weights of rows of length one.
func TestUnitNormFollowsTheWeights(t *testing.T) {
	build := func(unit bool) *network {
		b := newBuilder(5, 7)
		b.Outputs["representation"] = b.linearOf("fc", b.param("weight", uniform(1), 9, 7), "", "input", unit)
		n := compile(t, engine.Program{Encoder: b.Model, Momentum: true,
			Passes: []*protocol.Pass{{Name: "query", Gradient: true}, {Name: "key", Network: protocol.Network_MOMENTUM}},
			Taps:   []*protocol.Tap{{Name: "q", Pass: "query", Output: "representation"}, {Name: "k", Pass: "key", Output: "representation"}}}, engine.Options{Batch: 3})
		fillInputs(n, "query", "key")
		return n
	}
	unit, plain := build(true), build(false)
	copy(unit.TapGradient("q"), drawn("test", "gradient", len(unit.TapGradient("q"))))
	for range 3 {
		step(t, unit)
		must(t, unit.Forward("query", 3, 0))
		must(t, unit.Forward("key", 3, 0))
		var state []engine.Array
		for _, a := range stateOf(unit) {
			for i := 0; i < len(a.Data) && !strings.HasPrefix(a.Name, "optimiser."); i += 7 {
				row := a.Data[i : i+7]
				for j, l := 0, norm(row); j < 7; j++ {
					row[j] = float32(float64(row[j]) / l)
				}
			}
			state = append(state, a)
		}
		must(t, plain.SetState(state))
		must(t, plain.Forward("query", 3, 0))
		must(t, plain.Forward("key", 3, 0))
		close32(t, "the output", unit.Tap("q"), plain.Tap("q"), 1e-6)
		close32(t, "the momentum network's output", unit.Tap("k"), plain.Tap("k"), 1e-6)
	}
}

// A network's memory tells what is stored: learned values that are added or multiplied are not repeated for the batch,
// and what only sees values otherwise takes no memory.
func TestLearnedValuesAndViewsTakeNoMemory(t *testing.T) {
	const batch, values = 1000, 4 * 6
	bytes := func(layer func(b *builder, x string) string) int64 {
		m := layerCase([]int64{4, 6}, func(b *builder, x string) string {
			x = layer(b, x)
			return b.linearOf("after", b.param("after.weight", uniform(1), 6, 6), "", x, false)
		})
		cost, err := New().Cost(alone(m), engine.Options{Batch: batch})
		must(t, err)
		return cost.Bytes
	}
	plain := bytes(func(_ *builder, x string) string { return x })
	for name, c := range map[string]struct {
		arrays int64 // of a batch that may be added
		layer  func(b *builder, x string) string
	}{
		"add":      {0, func(b *builder, x string) string { return b.combine("add", "y", x, b.value("v", 4, 6)) }},
		"multiply": {1, func(b *builder, x string) string { return b.combine("multiply", "y", x, b.value("v", 6)) }}, // x is kept
		"reshape": {0, func(b *builder, x string) string {
			return b.reshape("back", b.reshape("there", x, 2, 2, 6), 4, 6)
		}},
		"whole slice": {0, func(b *builder, x string) string { return b.slice("y", x, 1, 0, 6) }},
	} {
		if more := bytes(c.layer) - plain; more > 4*(c.arrays*batch*values+1000) {
			t.Errorf("%s takes %d more values than nothing", name, more/4)
		}
	}
	stopped := func(stop bool) int64 {
		return bytes(func(b *builder, x string) string {
			y := x
			if stop {
				y = b.stop("stop", x)
			}
			return b.add("sum", x, y)
		})
	}
	if a, b := stopped(true), stopped(false); a > b {
		t.Errorf("a stopped gradient takes %d bytes more", a-b)
	}
}

// An output that is the input in another shape stays as it was while the caller writes the next input.
func TestAnOutputIsNeverTheInputsMemory(t *testing.T) {
	b := newBuilder(2, 3)
	b.Outputs["representation"] = b.reshape("flat", b.stop("stop", "input"), 6)
	n := compile(t, alone(b.Model), engine.Options{Batch: 2, Mode: engine.Infer})
	fillInputs(n, "only")
	want := slices.Clone(n.Input("only"))
	must(t, n.Forward("only", 2, 0))
	clear(n.Input("only"))
	if !slices.Equal(n.Tap("out"), want) {
		t.Errorf("the output is %v, want %v", n.Tap("out"), want)
	}
}

// Two outputs that are one value in two shapes get both gradients.
func TestGradientsOfTwoShapesAddUp(t *testing.T) {
	m := layerCase([]int64{4, 3}, func(b *builder, x string) string {
		b.Outputs["features"] = x
		return b.reshape("flat", x, 12)
	})
	p := alone(m)
	p.Taps = append(p.Taps, &protocol.Tap{Name: "map", Pass: "only", Output: "features"})
	n := compile(t, p, engine.Options{Batch: 2})
	fillInputs(n, "only")
	run := func(taps ...string) []float32 {
		clear(n.slabs.gradients)
		for _, tap := range []string{"out", "map"} {
			clear(n.TapGradient(tap))
		}
		for _, tap := range taps {
			copy(n.TapGradient(tap), drawn("test", tap, 24))
		}
		must(t, n.Forward("only", 2, 0))
		must(t, n.Backward("only"))
		return gradients(n)["encoder.before.weight"]
	}
	both, sum := run("out", "map"), run("out")
	for i, v := range run("map") {
		sum[i] += v
	}
	close32(t, "the gradient", both, sum, 1e-6)
}

func TestAProductTooLargeForTheKernelsIsAnError(t *testing.T) {
	b := newBuilder(1)
	b.Outputs["representation"] = b.linear("fc", "input", 1, 1<<24)
	_, err := New().Cost(alone(b.Model), engine.Options{Batch: 1})
	if err == nil || !strings.Contains(err.Error(), "encoder.fc") {
		t.Errorf("got %v", err)
	}
}
