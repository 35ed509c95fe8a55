package model_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

type shapes map[string][]int64

// sample is a layer "x" to be checked alone. It reads learned values, in the order of their names unless its operation
// says what it reads.
type sample struct {
	op      *protocol.Layer
	learned shapes
	before  []*protocol.Layer // between the learned values and the layer
	params  shapes
	// What Check is to find.
	kind  model.Kind
	shape []int64
	flops int64
	uses  []string
}

func (s sample) model() *protocol.Model {
	m := &protocol.Model{Opset: 2, Input: []int64{1}, Outputs: map[string]string{"out": "x"}}
	normal := &protocol.Init{Is: &protocol.Init_Normal{Normal: 1}}
	x := proto.Clone(s.op).(*protocol.Layer)
	x.Name = "x"
	for _, name := range slices.Sorted(maps.Keys(s.learned)) {
		m.Parameters = append(m.Parameters, &protocol.Parameter{Name: name, Shape: slices.Clone(s.learned[name]), Init: normal})
		m.Layers = append(m.Layers, &protocol.Layer{Name: name, Op: &protocol.Layer_Learned{Learned: &protocol.Learned{Parameter: name}}})
		if s.op.Inputs == nil {
			x.Inputs = append(x.Inputs, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.params)) {
		m.Parameters = append(m.Parameters, &protocol.Parameter{Name: name, Shape: slices.Clone(s.params[name]), Init: normal})
	}
	for _, l := range s.before {
		m.Layers = append(m.Layers, proto.Clone(l).(*protocol.Layer))
	}
	m.Layers = append(m.Layers, x)
	if x.GetTokenOrder() != nil {
		m.Outputs["out"] = x.Inputs[0] // indices cannot be an output
	}
	return m
}

func activation(f protocol.Activation_Function, slope float64) *protocol.Layer {
	return &protocol.Layer{Op: &protocol.Layer_Activation{Activation: &protocol.Activation{Function: f, Slope: slope}}}
}

func order(name, of string) *protocol.Layer {
	return &protocol.Layer{Name: name, Inputs: []string{of}, Op: &protocol.Layer_TokenOrder{TokenOrder: &protocol.TokenOrder{}}}
}

func cut(name, of string, axis, start, size int64) *protocol.Layer {
	return &protocol.Layer{Name: name, Inputs: []string{of}, Op: &protocol.Layer_Slice{Slice: &protocol.Slice{Axis: axis, Start: start, Size: size}}}
}

// samples has every layer of opset 2, and the layers of opset 1 with what opset 2 brought to them.
func samples() map[string]sample {
	map2, tokens := []int64{6, 5, 4}, []int64{7, 6}
	return map[string]sample{
		"groups": {op: &protocol.Layer{Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: "w", Bias: "z", Stride: []int64{1, 1}, Padding: []int64{1, 1}, Dilation: []int64{1, 1}, Groups: 2}}},
			learned: shapes{"a": map2}, params: shapes{"w": {8, 2, 3, 3}, "z": {8}}, kind: model.Conv, shape: []int64{6, 5, 8}, flops: 2 * 6 * 5 * 8 * 2 * 9, uses: []string{"w", "z"}},
		"depthwise": {op: &protocol.Layer{Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: "w", Stride: []int64{1, 1}, Padding: []int64{3, 3}, Dilation: []int64{1, 1}, Groups: 4}}},
			learned: shapes{"a": map2}, params: shapes{"w": {4, 1, 7, 7}}, kind: model.Conv, shape: map2, flops: 2 * 6 * 5 * 4 * 49, uses: []string{"w"}},
		"linear": {op: &protocol.Layer{Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: "w", Bias: "z"}}},
			learned: shapes{"a": map2}, params: shapes{"w": {3, 4}, "z": {3}}, kind: model.Linear, shape: []int64{6, 5, 3}, flops: 2 * 6 * 5 * 4 * 3, uses: []string{"w", "z"}},
		"unit norm": {op: &protocol.Layer{Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: "w", UnitNorm: true}}},
			learned: shapes{"a": {4}}, params: shapes{"w": {3, 4}}, kind: model.Linear, shape: []int64{3}, flops: 2 * 4 * 3, uses: []string{"w"}},
		"add":           {op: &protocol.Layer{Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, learned: shapes{"a": map2, "b": {5, 4}}, kind: model.Add, shape: map2},
		"multiply":      {op: &protocol.Layer{Op: &protocol.Layer_Multiply{Multiply: &protocol.Multiply{}}}, learned: shapes{"a": map2, "b": {4}}, kind: model.Multiply, shape: map2},
		"multiply same": {op: &protocol.Layer{Op: &protocol.Layer_Multiply{Multiply: &protocol.Multiply{}}}, learned: shapes{"a": map2, "b": map2}, kind: model.Multiply, shape: map2},
		"conv_transpose": {op: &protocol.Layer{Op: &protocol.Layer_ConvTranspose{ConvTranspose: &protocol.ConvTranspose{Weight: "w", Bias: "z", Stride: []int64{2, 2}, Padding: []int64{1, 1},
			OutputPadding: []int64{1, 0}, Dilation: []int64{1, 2}, Groups: 2}}},
			learned: shapes{"a": map2}, params: shapes{"w": {4, 3, 3, 3}, "z": {6}}, kind: model.ConvTranspose, shape: []int64{12, 11, 6}, flops: 2 * 6 * 5 * 4 * 3 * 9, uses: []string{"w", "z"}},
		"upsample": {op: &protocol.Layer{Op: &protocol.Layer_Upsample{Upsample: &protocol.Upsample{Scale: []int64{2, 3}, Mode: protocol.Upsample_LINEAR}}},
			learned: shapes{"a": map2}, kind: model.Upsample, shape: []int64{12, 15, 4}},
		"upsample cube": {op: &protocol.Layer{Op: &protocol.Layer_Upsample{Upsample: &protocol.Upsample{Scale: []int64{2, 1, 2}}}},
			learned: shapes{"a": {2, 3, 4, 5}}, kind: model.Upsample, shape: []int64{4, 3, 8, 5}},
		"layer_norm": {op: &protocol.Layer{Op: &protocol.Layer_LayerNorm{LayerNorm: &protocol.LayerNorm{Weight: "w", Bias: "z", Epsilon: 1e-6}}},
			learned: shapes{"a": tokens}, params: shapes{"w": {6}, "z": {6}}, kind: model.LayerNorm, shape: tokens, uses: []string{"w", "z"}},
		"layer_norm bare": {op: &protocol.Layer{Op: &protocol.Layer_LayerNorm{LayerNorm: &protocol.LayerNorm{Epsilon: 1e-6}}}, learned: shapes{"a": tokens}, kind: model.LayerNorm, shape: tokens},
		"group_norm": {op: &protocol.Layer{Op: &protocol.Layer_GroupNorm{GroupNorm: &protocol.GroupNorm{Weight: "w", Bias: "z", Groups: 2, Epsilon: 1e-5}}},
			learned: shapes{"a": map2}, params: shapes{"w": {4}, "z": {4}}, kind: model.GroupNorm, shape: map2, uses: []string{"w", "z"}},
		"group_norm unscaled": {op: &protocol.Layer{Op: &protocol.Layer_GroupNorm{GroupNorm: &protocol.GroupNorm{Bias: "z", Groups: 1, Epsilon: 1e-5}}},
			learned: shapes{"a": map2}, params: shapes{"z": {4}}, kind: model.GroupNorm, shape: map2, uses: []string{"z"}},
		"leaky_relu": {op: activation(protocol.Activation_LEAKY_RELU, 0.01), learned: shapes{"a": map2}, kind: model.LeakyRelu, shape: map2},
		"gelu":       {op: activation(protocol.Activation_GELU, 0), learned: shapes{"a": tokens}, kind: model.Gelu, shape: tokens},
		"silu":       {op: activation(protocol.Activation_SILU, 0), learned: shapes{"a": map2}, kind: model.Silu, shape: map2},
		"sigmoid":    {op: activation(protocol.Activation_SIGMOID, 0), learned: shapes{"a": map2}, kind: model.Sigmoid, shape: map2},
		"tanh":       {op: activation(protocol.Activation_TANH, 0), learned: shapes{"a": {3}}, kind: model.Tanh, shape: []int64{3}},
		"softmax":    {op: &protocol.Layer{Op: &protocol.Layer_Softmax{Softmax: &protocol.Softmax{}}}, learned: shapes{"a": tokens}, kind: model.Softmax, shape: tokens},
		"average_pool": {op: &protocol.Layer{Op: &protocol.Layer_AveragePool{AveragePool: &protocol.AveragePool{Kernel: []int64{3, 3}, Stride: []int64{2, 2}, Padding: []int64{1, 1}}}},
			learned: shapes{"a": map2}, kind: model.AveragePool, shape: []int64{3, 3, 4}},
		"concat":       {op: &protocol.Layer{Op: &protocol.Layer_Concat{Concat: &protocol.Concat{Axis: -1}}}, learned: shapes{"a": {6, 5, 4}, "b": {6, 5, 1}, "c": {6, 5, 2}}, kind: model.Concat, shape: []int64{6, 5, 7}},
		"concat first": {op: &protocol.Layer{Op: &protocol.Layer_Concat{Concat: &protocol.Concat{}}}, learned: shapes{"a": {1, 4}, "b": {9, 4}}, kind: model.Concat, shape: []int64{10, 4}},
		"concat alone": {op: &protocol.Layer{Op: &protocol.Layer_Concat{Concat: &protocol.Concat{Axis: 1}}}, learned: shapes{"a": {1, 4}}, kind: model.Concat, shape: []int64{1, 4}},
		"reshape":      {op: &protocol.Layer{Op: &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: []int64{30, 4}}}}, learned: shapes{"a": map2}, kind: model.Reshape, shape: []int64{30, 4}},
		"slice":        {op: cut("", "a", -3, 2, 4), learned: shapes{"a": map2}, kind: model.Slice, shape: []int64{4, 5, 4}},
		"token_order":  {op: order("", "a"), learned: shapes{"a": tokens}, before: []*protocol.Layer{}, kind: model.TokenOrder, shape: []int64{7}},
		"gather_tokens": {op: &protocol.Layer{Inputs: []string{"a", "kept"}, Op: &protocol.Layer_Gather{Gather: &protocol.GatherTokens{}}}, learned: shapes{"a": tokens},
			before: []*protocol.Layer{order("order", "a"), cut("kept", "order", 0, 0, 3)}, kind: model.GatherTokens, shape: []int64{3, 6}},
		"scatter_tokens": {op: &protocol.Layer{Inputs: []string{"b", "kept", "fill"}, Op: &protocol.Layer_Scatter{Scatter: &protocol.ScatterTokens{Tokens: 7}}},
			learned: shapes{"a": tokens, "b": {3, 2}, "fill": {2}},
			before:  []*protocol.Layer{order("order", "a"), cut("kept", "order", -1, 4, 3)}, kind: model.ScatterTokens, shape: []int64{7, 2}},
		"dropout":       {op: &protocol.Layer{Op: &protocol.Layer_Dropout{Dropout: &protocol.Dropout{Rate: 0.1}}}, learned: shapes{"a": tokens}, kind: model.Dropout, shape: tokens},
		"stop_gradient": {op: &protocol.Layer{Op: &protocol.Layer_StopGradient{StopGradient: &protocol.StopGradient{}}}, learned: shapes{"a": tokens}, kind: model.StopGradient, shape: tokens},
		"attention": {op: &protocol.Layer{Op: &protocol.Layer_Attention{Attention: &protocol.Attention{Heads: 2}}}, learned: shapes{"a": {7, 12}},
			kind: model.Attention, shape: []int64{7, 4}, flops: 2 * 2 * 7 * 7 * 4},
		"attention across": {op: &protocol.Layer{Op: &protocol.Layer_Attention{Attention: &protocol.Attention{Heads: 3}}}, learned: shapes{"a": {7, 6}, "b": {5, 6}, "c": {5, 6}},
			kind: model.Attention, shape: []int64{7, 6}, flops: 2 * 2 * 7 * 5 * 6},
		"learned": {op: &protocol.Layer{Op: &protocol.Layer_Learned{Learned: &protocol.Learned{Parameter: "w"}}}, params: shapes{"w": {7, 6}}, kind: model.Learned, shape: []int64{7, 6}, uses: []string{"w"}},
	}
}

func TestLayersOfOpset2(t *testing.T) {
	for name, s := range samples() {
		g, err := model.Check(s.model())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		l, _ := g.Layer("x")
		if l.Kind != s.kind || !slices.Equal(l.Shape, s.shape) || l.FLOPs != s.flops || !slices.Equal(l.Params, s.uses) {
			t.Errorf("%s: kind %s, shape %v, %d FLOPs, parameters %v; want %s, %v, %d, %v", name, l.Kind, l.Shape, l.FLOPs, l.Params, s.kind, s.shape, s.flops, s.uses)
		}
	}
}

// An engine takes axes and what is an index from the graph.
func TestAxesAndIndices(t *testing.T) {
	for name, want := range map[string]struct {
		layer   string
		axis    int
		indices int64
	}{
		"concat": {"x", 2, 0}, "concat first": {"x", 0, 0}, "slice": {"x", 0, 0},
		"token_order": {"x", 0, 7}, "gather_tokens": {"kept", 0, 7}, "scatter_tokens": {"x", 0, 0},
	} {
		g, err := model.Check(samples()[name].model())
		if err != nil {
			t.Fatal(err)
		}
		if l, _ := g.Layer(want.layer); l.Axis != want.axis || l.Indices != want.indices {
			t.Errorf("%s: axis %d, indices below %d; want %d and %d", name, l.Axis, l.Indices, want.axis, want.indices)
		}
	}
}

// A description that asks for opset 1 may use nothing of opset 2.
func TestOpset1HasNothingOfOpset2(t *testing.T) {
	fields := map[string]string{
		"groups":    `layer "x" (conv): its field groups is of opset 2, and the description asks for opset 1`,
		"depthwise": `layer "x" (conv): its field groups is of opset 2, and the description asks for opset 1`,
		"linear":    `layer "x" (linear): reading a map or tokens is of opset 2, and the description asks for opset 1`,
		"unit norm": `layer "x" (linear): its field unit_norm is of opset 2, and the description asks for opset 1`,
		"add":       `layer "x" (add): a second input of shape [5 4] on a first of [6 5 4] is of opset 2, and the description asks for opset 1`,
	}
	for name, s := range samples() {
		m := s.model()
		m.Opset = 1
		want := fields[name]
		if want == "" {
			want = fmt.Sprintf("layer %q (%s) is of opset 2, and the description asks for opset 1", "x", s.kind)
		}
		// What comes before it would be refused first: the layer reads the input instead, of the same shape.
		before := m.Layers[:len(m.Layers)-1]
		m.Layers = m.Layers[len(before):]
		x := m.Layers[0]
		for i := range x.Inputs {
			x.Inputs[i] = model.Input
		}
		if a := s.learned["a"]; a != nil {
			m.Input = a
		}
		if name == "add" { // a vector of opset 1 that is broadcast
			pool := &protocol.Layer{Name: "pool", Inputs: []string{model.Input}, Op: &protocol.Layer_GlobalAveragePool{GlobalAveragePool: &protocol.GlobalAveragePool{}}}
			m.Layers, x.Inputs[1] = []*protocol.Layer{pool, x}, "pool"
			want = strings.Replace(want, "[5 4]", "[4]", 1)
		}
		if _, err := model.Check(m); err == nil || err.Error() != want || fault.KindOf(err) != fault.Plugin {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestEveryDefectOfOpset2IsNamed(t *testing.T) {
	type spoil = func(m *protocol.Model, x *protocol.Layer)
	shape := func(name string, s ...int64) spoil {
		return func(m *protocol.Model, _ *protocol.Layer) {
			for _, p := range m.Parameters {
				if p.Name == name {
					p.Shape = s
				}
			}
		}
	}
	layer := func(m *protocol.Model, name string) *protocol.Layer {
		return m.Layers[slices.IndexFunc(m.Layers, func(l *protocol.Layer) bool { return l.Name == name })]
	}
	rewire := func(i int, to string) spoil { return func(_ *protocol.Model, x *protocol.Layer) { x.Inputs[i] = to } }
	for _, c := range []struct {
		sample string
		spoil  spoil
		say    string
		kind   fault.Kind
	}{
		{"gelu", func(m *protocol.Model, _ *protocol.Layer) { m.Opset = 3 }, "the model asks for opset 3, and the opsets 1 to 2 are known here", fault.Plugin},
		{"gelu", func(m *protocol.Model, _ *protocol.Layer) { m.Opset = 0 }, "the model asks for opset 0", fault.Plugin},

		{"groups", func(_ *protocol.Model, x *protocol.Layer) { x.GetConv().Groups = 3 }, `layer "x" (conv): its 3 groups do not divide the 4 channels that it reads`, fault.Plugin},
		{"groups", func(_ *protocol.Model, x *protocol.Layer) { x.GetConv().Groups = -2 }, `its -2 groups do not divide the 4 channels that it reads`, fault.Plugin},
		{"groups", shape("w", 7, 2, 3, 3), `layer "x" (conv): its 2 groups do not divide the 7 channels that it gives`, fault.Plugin},
		{"groups", shape("w", 8, 4, 3, 3), `"w" has the shape [8 4 3 3], it must be [any 2 any any]`, fault.Plugin},
		{"groups", shape("z", 4), `its bias "z" has the shape [4], it must be [8]`, fault.Plugin},
		{"groups", shape("a", 4), `layer "x" (conv) reads the shape [4]; it takes one to three dimensions of space`, fault.Plugin},
		{"groups", func(_ *protocol.Model, x *protocol.Layer) { x.GetConv().Padding[0] = 1 << 40 }, `padding [1099511627776 1] must have values of at least 0, at most 16777216`, fault.Plugin},
		{"depthwise", func(m *protocol.Model, x *protocol.Layer) {
			shape("a", 1<<12, 1<<12, 4)(m, x)
			shape("w", 4, 1, 1<<16, 1<<16)(m, x)
			x.GetConv().Padding = []int64{1 << 16, 1 << 16}
		}, `layer "x" (conv) brings the model to`, fault.Plugin},

		{"linear", shape("w", 3, 5), `layer "x" (linear): its weight "w" has the shape [3 5], it must be [any 4]`, fault.Plugin},
		{"linear", shape("z", 4), `layer "x" (linear): its bias "z" has the shape [4], it must be [3]`, fault.Plugin},
		{"linear", func(m *protocol.Model, x *protocol.Layer) {
			shape("a", 1<<24, 1<<2)(m, x)
			shape("w", 1<<24, 4)(m, x)
			shape("z", 1<<24)(m, x)
		}, `layer "x" (linear) would give the shape [16777216 16777216]: it has more than 68719476736 values`, fault.Plugin},

		{"add", shape("b", 6, 5), `layer "x" (add): its inputs have the shapes [6 5 4] and [6 5]; the second must be as the first, or as the first's last axes`, fault.Plugin},
		{"add", shape("a", 4), `have the shapes [4] and [5 4]; the second must be`, fault.Plugin},
		{"multiply", shape("b", 1), `layer "x" (multiply): its inputs have the shapes [6 5 4] and [1]; the second must be`, fault.Plugin},
		{"multiply", func(_ *protocol.Model, x *protocol.Layer) { x.Inputs = x.Inputs[:1] }, `layer "x" (multiply) has 1 inputs, it takes 2`, fault.Plugin},

		{"conv_transpose", func(_ *protocol.Model, x *protocol.Layer) { x.GetConvTranspose().Groups = 3 }, `layer "x" (conv_transpose): its 3 groups do not divide the 4 channels that it reads`, fault.Plugin},
		{"conv_transpose", shape("w", 6, 3, 3, 3), `"w" has the shape [6 3 3 3], it must be [4 any any any]`, fault.Plugin},
		{"conv_transpose", shape("z", 3), `its bias "z" has the shape [3], it must be [6]`, fault.Plugin},
		{"conv_transpose", shape("a", 4), `layer "x" (conv_transpose) reads the shape [4]; it takes one to three dimensions of space`, fault.Plugin},
		{"conv_transpose", func(_ *protocol.Model, x *protocol.Layer) { x.GetConvTranspose().OutputPadding = []int64{1, 2} }, `layer "x" (conv_transpose): output_padding [1 2] must be less than stride [2 2] or dilation [1 2]`, fault.Plugin},
		{"conv_transpose", func(_ *protocol.Model, x *protocol.Layer) { x.GetConvTranspose().OutputPadding = []int64{-1, 0} }, `output_padding [-1 0] must have values of at least 0`, fault.Plugin},
		{"conv_transpose", func(_ *protocol.Model, x *protocol.Layer) { x.GetConvTranspose().Stride = nil }, `stride [] must have 2 values`, fault.Plugin},
		{"conv_transpose", func(_ *protocol.Model, x *protocol.Layer) { x.GetConvTranspose().Padding = []int64{1, -1} }, `padding [1 -1] must have values of at least 0`, fault.Plugin},
		{"conv_transpose", func(_ *protocol.Model, x *protocol.Layer) { x.GetConvTranspose().Dilation[1] = 0 }, `dilation [1 0] must have values of at least 1`, fault.Plugin},
		{"conv_transpose", func(_ *protocol.Model, x *protocol.Layer) { x.GetConvTranspose().Padding = []int64{8, 1} },
			`layer "x" (conv_transpose): its window of [3 3] leaves nothing of the input [6 5 4] with padding [8 1]`, fault.Config},
		{"conv_transpose", func(_ *protocol.Model, x *protocol.Layer) { x.GetConvTranspose().Stride[0] = 1 << 24 }, `layer "x" (conv_transpose) would give the shape [83886082 11 6]: a dimension must be between`, fault.Plugin},
		{"conv_transpose", func(m *protocol.Model, x *protocol.Layer) {
			shape("a", 1<<24, 1<<8, 4)(m, x)
			shape("w", 4, 1<<20, 1<<5, 1<<9)(m, x)
			shape("z", 1<<21)(m, x)
		}, `layer "x" (conv_transpose) brings the model to`, fault.Plugin},

		{"upsample", shape("a", 4), `layer "x" (upsample) reads a vector; there is nothing to enlarge`, fault.Plugin},
		{"upsample", func(_ *protocol.Model, x *protocol.Layer) { x.GetUpsample().Scale = []int64{2} }, `scale [2] must have 2 values, one for each dimension of space`, fault.Plugin},
		{"upsample", func(_ *protocol.Model, x *protocol.Layer) { x.GetUpsample().Scale[0] = 0 }, `scale [0 3] must have values of at least 1`, fault.Plugin},
		{"upsample", func(_ *protocol.Model, x *protocol.Layer) { x.GetUpsample().Mode = 7 }, `layer "x" (upsample) has the mode 7, which opset 2 does not know`, fault.Plugin},
		{"upsample", func(_ *protocol.Model, x *protocol.Layer) { x.GetUpsample().Scale[0] = 1 << 23 }, `would give the shape [50331648 15 4]: a dimension must be between`, fault.Plugin},

		{"layer_norm", shape("w", 7), `layer "x" (layer_norm): its weight "w" has the shape [7], it must be [6]`, fault.Plugin},
		{"layer_norm", shape("z", 6, 1), `layer "x" (layer_norm): its bias "z" has the shape [6 1], it must be [6]`, fault.Plugin},
		{"layer_norm", func(_ *protocol.Model, x *protocol.Layer) { x.GetLayerNorm().Weight = "v" }, `its weight is the parameter "v", which does not exist`, fault.Plugin},
		{"layer_norm", func(_ *protocol.Model, x *protocol.Layer) { x.GetLayerNorm().Epsilon = 0 }, `layer "x" (layer_norm): epsilon 0 must be positive`, fault.Plugin},
		{"layer_norm", func(_ *protocol.Model, x *protocol.Layer) { x.GetLayerNorm().Epsilon = 1e-60 }, `epsilon 1e-60 must be positive, in float32 too`, fault.Plugin},
		{"layer_norm", func(_ *protocol.Model, x *protocol.Layer) { x.GetLayerNorm().Epsilon = 1e60 }, `epsilon 1e+60 must be`, fault.Plugin},
		{"group_norm", func(_ *protocol.Model, x *protocol.Layer) { x.GetGroupNorm().Epsilon = math.NaN() }, `layer "x" (group_norm): epsilon NaN must be positive`, fault.Plugin},
		{"group_norm", func(_ *protocol.Model, x *protocol.Layer) { x.GetGroupNorm().Groups = 3 }, `layer "x" (group_norm): its 3 groups do not divide its 4 channels`, fault.Plugin},
		{"group_norm", func(_ *protocol.Model, x *protocol.Layer) { x.GetGroupNorm().Groups = 0 }, `its 0 groups do not divide its 4 channels`, fault.Plugin},
		{"group_norm", shape("z", 2), `layer "x" (group_norm): its bias "z" has the shape [2], it must be [4]`, fault.Plugin},

		{"gelu", func(_ *protocol.Model, x *protocol.Layer) { x.GetActivation().Function = 0 }, `layer "x" has the activation NONE, which opset 2 does not know`, fault.Plugin},
		{"gelu", func(_ *protocol.Model, x *protocol.Layer) { x.GetActivation().Function = 99 }, `layer "x" has the activation 99, which opset 2 does not know`, fault.Plugin},
		{"gelu", func(_ *protocol.Model, x *protocol.Layer) { x.GetActivation().Slope = 0.1 }, `layer "x" (gelu) has the slope 0.1, which is of leaky_relu alone`, fault.Plugin},
		{"leaky_relu", func(_ *protocol.Model, x *protocol.Layer) { x.GetActivation().Slope = -1 }, `layer "x" (leaky_relu): slope -1 must be at least 0, and finite`, fault.Plugin},
		{"leaky_relu", func(_ *protocol.Model, x *protocol.Layer) { x.GetActivation().Slope = math.Inf(1) }, `slope +Inf must be`, fault.Plugin},
		{"tanh", func(_ *protocol.Model, x *protocol.Layer) { x.Inputs = nil }, `layer "x" (tanh) has 0 inputs, it takes 1`, fault.Plugin},

		{"average_pool", shape("a", 4), `layer "x" (average_pool) reads a vector; there is nothing to pool`, fault.Plugin},
		{"average_pool", func(_ *protocol.Model, x *protocol.Layer) { x.GetAveragePool().Padding[1] = 2 }, `layer "x" (average_pool): the padding [1 2] is more than half of the kernel [3 3]`, fault.Plugin},
		{"average_pool", func(_ *protocol.Model, x *protocol.Layer) { x.GetAveragePool().Kernel = []int64{9, 9} }, `layer "x" (average_pool): its window of [9 9] does not fit into the input [6 5 4]`, fault.Config},
		{"average_pool", func(_ *protocol.Model, x *protocol.Layer) { x.GetAveragePool().Kernel = nil }, `kernel [] must have 2 values`, fault.Plugin},

		{"concat", func(_ *protocol.Model, x *protocol.Layer) { x.Inputs = nil }, `layer "x" (concat) has 0 inputs, it takes at least 1`, fault.Plugin},
		{"concat", func(_ *protocol.Model, x *protocol.Layer) { x.GetConcat().Axis = 3 }, `layer "x" (concat): there is no axis 3 in its input [6 5 4]`, fault.Plugin},
		{"concat", func(_ *protocol.Model, x *protocol.Layer) { x.GetConcat().Axis = -4 }, `there is no axis -4 in`, fault.Plugin},
		{"concat", shape("c", 6, 4, 2), `layer "x" (concat): its inputs have the shapes [6 5 4] and [6 4 2]; they may differ along axis 2 only`, fault.Plugin},
		{"concat", shape("b", 30, 1), `its inputs have the shapes [6 5 4] and [30 1]; they may differ`, fault.Plugin},

		{"reshape", func(_ *protocol.Model, x *protocol.Layer) { x.GetReshape().Shape = []int64{30, 5} }, `layer "x" (reshape): its shape [30 5] has 150 values, its input [6 5 4] has 120`, fault.Plugin},
		{"reshape", func(_ *protocol.Model, x *protocol.Layer) { x.GetReshape().Shape = []int64{-1, 4} }, `layer "x" (reshape): its shape [-1 4]: a dimension must be between 1 and`, fault.Plugin},
		{"reshape", func(_ *protocol.Model, x *protocol.Layer) { x.GetReshape().Shape = nil }, `layer "x" (reshape): its shape []: it has no dimensions`, fault.Plugin},
		{"reshape", func(_ *protocol.Model, x *protocol.Layer) { x.GetReshape().Shape = []int64{1 << 32, 1 << 32, 120} }, `a dimension must be between 1 and`, fault.Plugin},
		{"reshape", func(_ *protocol.Model, x *protocol.Layer) { x.GetReshape().Shape = []int64{2, 3, 5, 2, 2} }, `layer "x" (reshape) would give the shape [2 3 5 2 2] of 5 dimensions; at most three of space and the channels are possible`, fault.Plugin},

		{"slice", func(_ *protocol.Model, x *protocol.Layer) { x.GetSlice().Size = 5 }, `layer "x" (slice): 5 values from 2 do not lie inside axis 0 of its input [6 5 4]`, fault.Plugin},
		{"slice", func(_ *protocol.Model, x *protocol.Layer) { x.GetSlice().Size = 0 }, `0 values from 2 do not lie inside`, fault.Plugin},
		{"slice", func(_ *protocol.Model, x *protocol.Layer) { x.GetSlice().Start = -1 }, `4 values from -1 do not lie inside`, fault.Plugin},
		{"slice", func(_ *protocol.Model, x *protocol.Layer) {
			x.GetSlice().Start, x.GetSlice().Size = math.MinInt64, math.MaxInt64
		}, `do not lie inside`, fault.Plugin},
		{"slice", func(_ *protocol.Model, x *protocol.Layer) { x.GetSlice().Axis = math.MinInt64 }, `layer "x" (slice): there is no axis -9223372036854775808 in its input [6 5 4]`, fault.Plugin},

		{"token_order", shape("a", 7, 6, 5), `layer "x" (token_order) reads the shape [7 6 5]; it takes tokens, [tokens, channels]`, fault.Plugin},
		{"token_order", func(m *protocol.Model, _ *protocol.Layer) { m.Outputs["out"] = "x" }, `output "out" is the layer "x" (token_order), which gives indices; they cannot leave the model`, fault.Plugin},

		{"gather_tokens", shape("a", 7), `layer "order" (token_order) reads the shape [7]`, fault.Plugin},
		{"gather_tokens", rewire(0, "input"), `layer "x" (gather_tokens) reads the shape [1]; it takes tokens, [tokens, channels]`, fault.Plugin},
		{"gather_tokens", rewire(1, "a"), `layer "x" (gather_tokens): its indices are "a"; they must come from a token_order, or a slice of one`, fault.Plugin},
		{"gather_tokens", rewire(1, "input"), `its indices are "input"; they must come from`, fault.Plugin},
		{"gather_tokens", rewire(0, "order"), `layer "x" (gather_tokens) reads the indices "order" as values; only gather_tokens, scatter_tokens and slice take indices`, fault.Plugin},
		{"gather_tokens", func(m *protocol.Model, x *protocol.Layer) {
			x.Op, x.Inputs = &protocol.Layer_Softmax{Softmax: &protocol.Softmax{}}, []string{"kept"}
		}, `layer "x" (softmax) reads the indices "kept" as values`, fault.Plugin},
		{"gather_tokens", func(m *protocol.Model, x *protocol.Layer) {
			m.Layers = slices.Insert(m.Layers, len(m.Layers)-1, cut("few", "a", 0, 0, 6))
			x.Inputs[0] = "few"
		}, `layer "x" (gather_tokens): its indices are of 7 tokens, it has 6`, fault.Plugin},

		{"scatter_tokens", rewire(1, "fill"), `layer "x" (scatter_tokens): its indices are "fill"; they must come from a token_order, or a slice of one`, fault.Plugin},
		{"scatter_tokens", rewire(2, "kept"), `layer "x" (scatter_tokens) reads the indices "kept" as values`, fault.Plugin},
		{"scatter_tokens", func(_ *protocol.Model, x *protocol.Layer) { x.Inputs = x.Inputs[:2] }, `layer "x" (scatter_tokens) has 2 inputs, it takes 3`, fault.Plugin},
		{"scatter_tokens", rewire(0, "fill"), `layer "x" (scatter_tokens) reads the shape [2]; it takes tokens`, fault.Plugin},
		{"scatter_tokens", shape("b", 2, 2), `layer "x" (scatter_tokens): it has 2 tokens and 3 indices, they must be as many`, fault.Plugin},
		{"scatter_tokens", func(_ *protocol.Model, x *protocol.Layer) { x.GetScatter().Tokens = 2 }, `layer "x" (scatter_tokens): its 3 tokens do not fit among 2`, fault.Plugin},
		{"scatter_tokens", func(_ *protocol.Model, x *protocol.Layer) { x.GetScatter().Tokens = 6 }, `layer "x" (scatter_tokens): its indices are of 7 tokens, it gives 6`, fault.Plugin},
		{"scatter_tokens", func(_ *protocol.Model, x *protocol.Layer) { x.GetScatter().Tokens = 1 << 40 }, `would give the shape [1099511627776 2]: a dimension must be between`, fault.Plugin},
		{"scatter_tokens", shape("fill", 3), `layer "x" (scatter_tokens): its filling has the shape [3], it must be [2]`, fault.Plugin},
		{"scatter_tokens", func(m *protocol.Model, _ *protocol.Layer) { layer(m, "kept").GetSlice().Start = 5 }, `layer "kept" (slice): 3 values from 5 do not lie inside axis 0 of its input [7]`, fault.Plugin},

		{"dropout", func(_ *protocol.Model, x *protocol.Layer) { x.GetDropout().Rate = 1 }, `layer "x" (dropout): rate 1 must be at least 0 and less than 1`, fault.Plugin},
		{"dropout", func(_ *protocol.Model, x *protocol.Layer) { x.GetDropout().Rate = math.NaN() }, `rate NaN must be`, fault.Plugin},

		{"attention", func(_ *protocol.Model, x *protocol.Layer) { x.GetAttention().Heads = 3 }, `layer "x" (attention): its 3 heads do not divide its 4 channels`, fault.Plugin},
		{"attention", func(_ *protocol.Model, x *protocol.Layer) { x.GetAttention().Heads = 0 }, `its 0 heads do not divide its 4 channels`, fault.Plugin},
		{"attention", shape("a", 7, 13), `layer "x" (attention): the 13 channels of its input cannot be query, key and value side by side`, fault.Plugin},
		{"attention", shape("a", 12), `layer "x" (attention) reads the shape [12]; it takes tokens, [tokens, channels]`, fault.Plugin},
		{"attention", func(_ *protocol.Model, x *protocol.Layer) { x.Inputs = []string{"a", "a"} }, `layer "x" (attention) has 2 inputs, it takes 1 or 3`, fault.Plugin},
		{"attention across", func(m *protocol.Model, x *protocol.Layer) {
			for _, name := range []string{"a", "b", "c"} {
				shape(name, 1<<24, 3<<10)(m, x)
			}
		}, `layer "x" (attention) brings the model to 2e+18 products a sample`, fault.Plugin},
		{"attention across", shape("b", 5, 9), `layer "x" (attention): query [7 6], key [5 9] and value [5 6] must have the same channels, and key and value the same tokens`, fault.Plugin},
		{"attention across", shape("c", 4, 6), `query [7 6], key [5 6] and value [4 6] must`, fault.Plugin},
		{"attention across", shape("b", 6), `query [7 6], key [6] and value [5 6] must`, fault.Plugin},

		{"learned", func(_ *protocol.Model, x *protocol.Layer) { x.Inputs = []string{"input"} }, `layer "x" (learned) has 1 inputs, it takes 0`, fault.Plugin},
		{"learned", func(_ *protocol.Model, x *protocol.Layer) { x.GetLearned().Parameter = "v" }, `layer "x" (learned): its value is the parameter "v", which does not exist`, fault.Plugin},
		{"learned", func(m *protocol.Model, _ *protocol.Layer) { m.Parameters[0].Buffer = true }, `layer "x" (learned): its value "w" must be trained, it is a buffer`, fault.Plugin},
		{"learned", shape("w", 1, 2, 3, 4, 5), `layer "x" (learned) would give the shape [1 2 3 4 5] of 5 dimensions`, fault.Plugin},
	} {
		m := samples()[c.sample].model()
		c.spoil(m, m.Layers[len(m.Layers)-1])
		g, err := model.Check(m)
		if err == nil || g != nil {
			t.Errorf("%s: no error, want %q", c.sample, c.say)
			continue
		}
		if !strings.Contains(err.Error(), c.say) || fault.KindOf(err) != c.kind {
			t.Errorf("%s: got %q of kind %v, want it to say %q", c.sample, err, fault.KindOf(err), c.say)
		}
	}
}

// The operations of many layers are added without overflow.
func TestTheSumOfAllLayersIsBounded(t *testing.T) {
	s := samples()["attention"]
	s.learned = shapes{"a": {1 << 20, 3 << 14}}
	m := s.model()
	for i := range 100 {
		x := proto.Clone(m.Layers[1]).(*protocol.Layer)
		x.Name = fmt.Sprint("x", i)
		m.Layers = append(m.Layers, x)
	}
	if _, err := model.Check(m); err == nil || !strings.Contains(err.Error(), `(attention) brings the model to 1e+18 products a sample`) {
		t.Errorf("got %v", err)
	}
}

// A convolution with the fields of a transposed one leads back to the size that the latter came from.
func TestConvolutionUndoesTheTransposed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, k := rapid.Int64Range(1, 40).Draw(t, "in"), rapid.Int64Range(1, 9).Draw(t, "kernel")
		s, p, d := rapid.Int64Range(1, 4).Draw(t, "stride"), rapid.Int64Range(0, 5).Draw(t, "padding"), rapid.Int64Range(1, 3).Draw(t, "dilation")
		groups := rapid.SampledFrom([]int64{1, 2, 3, 6}).Draw(t, "groups")
		added := rapid.Int64Range(0, s-1).Draw(t, "output padding")
		normal := &protocol.Init{Is: &protocol.Init_Normal{Normal: 1}}
		m := &protocol.Model{Opset: 2, Input: []int64{in, 6},
			Parameters: []*protocol.Parameter{{Name: "w", Shape: []int64{6, 12 / groups, k}, Init: normal}},
			Layers: []*protocol.Layer{
				{Name: "up", Inputs: []string{"input"}, Op: &protocol.Layer_ConvTranspose{ConvTranspose: &protocol.ConvTranspose{Weight: "w",
					Stride: []int64{s}, Padding: []int64{p}, OutputPadding: []int64{added}, Dilation: []int64{d}, Groups: groups}}},
				{Name: "down", Inputs: []string{"up"}, Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: "w",
					Stride: []int64{s}, Padding: []int64{p}, Dilation: []int64{d}, Groups: groups}}},
			},
			Outputs: map[string]string{"out": "down"}}
		g, err := model.Check(m)
		if (in-1)*s-2*p+d*(k-1)+1+added < 1 {
			if fault.KindOf(err) != fault.Config {
				t.Fatalf("nothing is left and the error is %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if up := g.Layers[0].Shape; up[1] != 12 || !slices.Equal(g.Outputs["out"].Shape, m.Input) {
			t.Fatalf("from %v to %v to %v", m.Input, up, g.Outputs["out"].Shape)
		}
		if added == 0 && p == 0 && g.Layers[0].FLOPs != g.Layers[1].FLOPs {
			t.Fatalf("the two take %d and %d FLOPs", g.Layers[0].FLOPs, g.Layers[1].FLOPs)
		}
	})
}

// Slices that follow one another along an axis, put together along it, are the whole.
func TestConcatUndoesSlices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.Int64Range(1, 9), 1, 4).Draw(t, "in")
		axis := rapid.Int64Range(-int64(len(in)), int64(len(in))-1).Draw(t, "axis")
		n := in[(int(axis)+len(in))%len(in)]
		join := &protocol.Layer{Name: "join", Op: &protocol.Layer_Concat{Concat: &protocol.Concat{Axis: axis}}}
		m := &protocol.Model{Opset: 2, Input: in, Outputs: map[string]string{"out": "join"}}
		for at := int64(0); at < n; {
			size := rapid.Int64Range(1, n-at).Draw(t, "size")
			name := fmt.Sprint("part", at)
			m.Layers = append(m.Layers, cut(name, "input", axis, at, size))
			join.Inputs = append(join.Inputs, name)
			at += size
		}
		m.Layers = append(m.Layers, join)
		g, err := model.Check(m)
		if err != nil {
			t.Fatal(err)
		}
		if out := g.Outputs["out"].Shape; !slices.Equal(out, in) {
			t.Fatalf("the parts of %v together are %v", in, out)
		}
	})
}
