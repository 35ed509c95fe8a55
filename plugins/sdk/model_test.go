package sdk_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// TestModelGeometry compares shapes with the definition of a convolution: the number of places where a window fits.
func TestModelGeometry(t *testing.T) {
	places := func(n, kernel, stride, padding, dilation int64) int64 {
		count := int64(0)
		for at := -padding; at+dilation*(kernel-1) < n+padding; at += stride {
			count++
		}
		return count
	}
	rapid.Check(t, func(t *rapid.T) {
		rank := rapid.IntRange(1, 3).Draw(t, "rank")
		input := append(rapid.SliceOfN(rapid.Int64Range(1, 20), rank, rank).Draw(t, "space"), 5)
		o := sdk.ConvOptions{Out: 7, Kernel: rapid.Int64Range(1, 7).Draw(t, "kernel"), Stride: rapid.Int64Range(1, 4).Draw(t, "stride"),
			Padding: rapid.Int64Range(0, 4).Draw(t, "padding"), Dilation: rapid.Int64Range(1, 3).Draw(t, "dilation"), Bias: true}
		m := sdk.NewModel(input)
		x := m.Conv("conv", m.Input(), o)
		m.Output("out", x)
		model, err := m.Model()
		want := []int64{}
		for _, n := range input[:rank] {
			want = append(want, places(n, o.Kernel, o.Stride, o.Padding, o.Dilation))
		}
		if slices.Contains(want, 0) {
			if err == nil || !strings.Contains(err.Error(), "too small") {
				t.Fatalf("%v of %v: %v", o, input, err)
			}
			return
		}
		if err != nil || !slices.Equal(x.Shape, append(want, 7)) {
			t.Fatalf("%v of %v: %v, want %v; %v", o, input, x.Shape, want, err)
		}
		weight := []int64{7, 5}
		for range rank {
			weight = append(weight, o.Kernel)
		}
		if p := model.Parameters; p[0].Name != "conv.weight" || !slices.Equal(p[0].Shape, weight) || p[1].Name != "conv.bias" || !slices.Equal(p[1].Shape, []int64{7}) {
			t.Fatalf("parameters %v", p)
		}
	})
}

func TestModelMistakes(t *testing.T) {
	for want, build := range map[string]func(m *sdk.ModelBuilder, x sdk.Node){
		"no output":              func(m *sdk.ModelBuilder, x sdk.Node) {},
		"adds the shapes":        func(m *sdk.ModelBuilder, x sdk.Node) { m.Add("a", m.GlobalAveragePool("p", x), x) },
		"empty or taken":         func(m *sdk.ModelBuilder, x sdk.Node) { m.Relu("r", m.Relu("r", x)) },
		"wants a width":          func(m *sdk.ModelBuilder, x sdk.Node) { m.Linear("l", x, sdk.LinearOptions{}) },
		"no layer of this model": func(m *sdk.ModelBuilder, x sdk.Node) { m.Relu("r", sdk.NewModel([]int64{1}).Input()) },
		"an output twice":        func(m *sdk.ModelBuilder, x sdk.Node) { m.Output("o", x); m.Output("o", x) },
		"impossible geometry":    func(m *sdk.ModelBuilder, x sdk.Node) { m.MaxPool("p", x, 2, 0, 0) },
		"wants a spatial axis": func(m *sdk.ModelBuilder, x sdk.Node) {
			m.Conv("c", m.GlobalAveragePool("p", x), sdk.ConvOptions{Out: 1, Kernel: 1})
		},
		"multiplies the shapes":        func(m *sdk.ModelBuilder, x sdk.Node) { m.Multiply("a", x, m.Reshape("r", x, 8, 24)) },
		"cannot turn the shape":        func(m *sdk.ModelBuilder, x sdk.Node) { m.Reshape("r", x, 8, 23) },
		"cannot take 2 from 7":         func(m *sdk.ModelBuilder, x sdk.Node) { m.Slice("s", x, 1, 7, 2) },
		"joins the shapes":             func(m *sdk.ModelBuilder, x sdk.Node) { m.Concat("c", -1, x, m.Slice("s", x, 0, 0, 2)) },
		"joins along axis 3":           func(m *sdk.ModelBuilder, x sdk.Node) { m.Concat("c", 3, x, x) },
		"2 heads share equally":        func(m *sdk.ModelBuilder, x sdk.Node) { m.SelfAttention("a", m.Reshape("r", x, 64, 3), 2) },
		"3 channels into 2":            func(m *sdk.ModelBuilder, x sdk.Node) { m.GroupNorm("g", x, 2, sdk.NormOptions{}) },
		"3 channels into 4 by 2":       func(m *sdk.ModelBuilder, x sdk.Node) { m.Conv("c", x, sdk.ConvOptions{Out: 4, Kernel: 1, Groups: 2}) },
		"below 1, not 1":               func(m *sdk.ModelBuilder, x sdk.Node) { m.Dropout("d", x, 1) },
		"wants tokens, not":            func(m *sdk.ModelBuilder, x sdk.Node) { m.TokenOrder("o", x) },
		"wants a shape and a start":    func(m *sdk.ModelBuilder, x sdk.Node) { m.Learned("l", sdk.LearnedOptions{}) },
		"wants tokens and a vector of": func(m *sdk.ModelBuilder, x sdk.Node) { m.Gather("g", x, x) },
		"impossible geometry over": func(m *sdk.ModelBuilder, x sdk.Node) {
			m.ConvTranspose("c", x, sdk.ConvTransposeOptions{Out: 1, Kernel: 2, OutputPadding: 1})
		},
		"pools over space; its":     func(m *sdk.ModelBuilder, x sdk.Node) { m.GlobalAveragePool("q", m.GlobalAveragePool("p", x)) },
		"layer c has an impossible": func(m *sdk.ModelBuilder, x sdk.Node) { m.Conv("c", x, sdk.ConvOptions{Out: 1}); m.Relu("", x) }, // the first mistake
	} {
		m := sdk.NewModel([]int64{8, 8, 3})
		build(m, m.Input())
		if _, err := m.Model(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := sdk.NewModel([]int64{0, 8, 3}).Model(); err == nil {
		t.Error("a model for empty samples")
	}
}

// The host understands every layer that the builder writes, and finds the shape that the builder found.
func TestModelShapesAreTheHosts(t *testing.T) {
	b := sdk.NewModel([]int64{12, 9, 6})
	var nodes []sdk.Node
	keep := func(n sdk.Node) sdk.Node { nodes = append(nodes, n); return n }
	x := keep(b.Conv("conv", b.Input(), sdk.ConvOptions{Out: 8, Kernel: 3, Stride: 2, Padding: 1, Groups: 2, Bias: true}))
	x = keep(b.BatchNorm("batch_norm", x, sdk.BatchNormOptions{}))
	x = keep(b.LayerNorm("layer_norm", keep(b.Relu("relu", x)), sdk.NormOptions{}))
	x = keep(b.GroupNorm("group_norm", x, 4, sdk.NormOptions{Epsilon: 1e-3}))
	x = keep(b.Silu("silu", keep(b.Gelu("gelu", x))))
	x = keep(b.LeakyRelu("leaky_relu", keep(b.Tanh("tanh", keep(b.Sigmoid("sigmoid", x)))), 0.1))
	x = keep(b.ConvTranspose("conv_transpose", x, sdk.ConvTransposeOptions{Out: 12, Kernel: 3, Stride: 2, Padding: 1, OutputPadding: 1, Groups: 4, Bias: true}))
	x = keep(b.AveragePool("average_pool", keep(b.MaxPool("max_pool", x, 3, 2, 1)), 2, 1, 0))
	x = keep(b.UpsampleLinear("upsample_linear", keep(b.UpsampleNearest("upsample_nearest", x, 2)), 3))
	x = keep(b.Linear("map", x, sdk.LinearOptions{Out: 5, UnitNorm: true, NoBias: true}))
	x = keep(b.Multiply("scaled", x, keep(b.Learned("scale", sdk.LearnedOptions{Shape: []int64{5}, Init: sdk.Constant(1)}))))
	x = keep(b.Add("sum", x, keep(b.StopGradient("stop_gradient", x))))
	x = keep(b.Softmax("softmax", keep(b.Dropout("dropout", x, 0.1))))
	tokens := keep(b.Reshape("tokens", x, x.Shape[0]*x.Shape[1]*x.Shape[2]/4, 4))
	order := keep(b.TokenOrder("order", tokens))
	some := keep(b.Slice("some", order, 0, 3, 10))
	seen := keep(b.Gather("seen", tokens, some))
	filling := keep(b.Learned("filling", sdk.LearnedOptions{Shape: []int64{4}, Init: sdk.Normal(0.02)}))
	full := keep(b.Scatter("full", keep(b.SelfAttention("self", seen, 2)), some, filling, tokens.Shape[0]))
	full = keep(b.Attention("cross", full, seen, seen, 4))
	full = keep(b.Concat("joined", -1, full, tokens))
	b.Output("unit", keep(b.L2Normalise("unit", keep(b.GlobalAveragePool("mean", full)))))
	described, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	g, err := model.Check(described)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if l, ok := g.Layer(n.Name); !ok || !slices.Equal(l.Shape, n.Shape) {
			t.Errorf("%s: the builder says %v", n.Name, n.Shape)
		}
	}
}

// A model asks for the oldest opset that has its layers.
func TestModelOpset(t *testing.T) {
	for want, build := range map[string]func(m *sdk.ModelBuilder, x sdk.Node) sdk.Node{
		"1 conv": func(m *sdk.ModelBuilder, x sdk.Node) sdk.Node {
			return m.Conv("c", x, sdk.ConvOptions{Out: 6, Kernel: 1})
		},
		"1 add": func(m *sdk.ModelBuilder, x sdk.Node) sdk.Node { return m.Add("a", x, x) },
		"1 linear": func(m *sdk.ModelBuilder, x sdk.Node) sdk.Node {
			return m.Linear("l", m.GlobalAveragePool("p", x), sdk.LinearOptions{Out: 2})
		},
		"2 conv": func(m *sdk.ModelBuilder, x sdk.Node) sdk.Node {
			return m.Conv("c", x, sdk.ConvOptions{Out: 6, Kernel: 1, Groups: 3})
		},
		"2 add":    func(m *sdk.ModelBuilder, x sdk.Node) sdk.Node { return m.Add("a", x, m.GlobalAveragePool("p", x)) },
		"2 linear": func(m *sdk.ModelBuilder, x sdk.Node) sdk.Node { return m.Linear("l", x, sdk.LinearOptions{Out: 2}) },
		"2 gelu":   func(m *sdk.ModelBuilder, x sdk.Node) sdk.Node { return m.Gelu("g", x) },
	} {
		m := sdk.NewModel([]int64{8, 8, 3})
		m.Output("out", build(m, m.Input()))
		if model, err := m.Model(); err != nil || fmt.Sprint(model.Opset) != want[:1] {
			t.Errorf("%s: opset %d, %v", want, model.GetOpset(), err)
		}
	}
}

// Vectors are left out of weight decay where the author says so, and running statistics are nobody's business.
func TestDecayMatricesOnly(t *testing.T) {
	for _, only := range []bool{false, true} {
		m := sdk.NewModel([]int64{8, 8, 3})
		if only {
			m.DecayMatricesOnly()
		}
		x := m.BatchNorm("n", m.Conv("c", m.Input(), sdk.ConvOptions{Out: 6, Kernel: 1, Bias: true}), sdk.BatchNormOptions{})
		m.Output("out", x)
		model, err := m.Model()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range model.Parameters {
			if want := only && p.Name != "c.weight" && !p.Buffer; p.NoDecay != want {
				t.Errorf("%s: no_decay is %v", p.Name, p.NoDecay)
			}
		}
	}
}

func TestInitialisers(t *testing.T) {
	shape := []int64{64, 32, 3, 3}
	if got, want := sdk.HeFanOut(shape).GetNormal(), math.Sqrt(2.0/(64*9)); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := sdk.FanInUniform(shape).GetUniform(), 1/math.Sqrt(32*9); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := sdk.XavierUniform(shape).GetUniform(), math.Sqrt(6./(96*9)); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func ExampleNewModel() {
	m := sdk.NewModel([]int64{64, 64, 5})
	x := m.Conv("conv1", m.Input(), sdk.ConvOptions{Out: 64, Kernel: 7, Stride: 2, Padding: 3, Init: sdk.HeFanOut})
	x = m.Relu("relu", m.BatchNorm("bn1", x, sdk.BatchNormOptions{}))
	x = m.MaxPool("maxpool", x, 3, 2, 1)
	m.Output("features", x)
	m.Output("representation", m.GlobalAveragePool("avgpool", x))
	model, err := m.Model()
	fmt.Println(x.Shape, err)
	for _, p := range model.Parameters {
		fmt.Println(p.Name, p.Shape)
	}
	// Output:
	// [16 16 64] <nil>
	// conv1.weight [64 5 7 7]
	// bn1.weight [64]
	// bn1.bias [64]
	// bn1.running_mean [64]
	// bn1.running_var [64]
}
