package conformance

import (
	"fmt"
	"slices"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// sketch is a model description on its way.
type sketch struct{ *protocol.Model }

func newSketch(input ...int64) *sketch {
	return &sketch{&protocol.Model{Opset: 2, Input: input, Outputs: map[string]string{}}}
}

func (s *sketch) output(name, layer string) { s.Outputs[name] = layer }

// add appends a layer and gives its name.
func (s *sketch) add(l *protocol.Layer, inputs ...string) string {
	l.Inputs = inputs
	s.Layers = append(s.Layers, l)
	return l.Name
}

func (s *sketch) param(name string, deviation float64, shape ...int64) string {
	s.Parameters = append(s.Parameters, &protocol.Parameter{Name: name, Shape: shape, NoDecay: len(shape) == 1, Init: &protocol.Init{Is: &protocol.Init_Normal{Normal: deviation}}})
	return name
}

func (s *sketch) constant(name string, value float64, buffer bool, n int64) string {
	s.Parameters = append(s.Parameters, &protocol.Parameter{Name: name, Shape: []int64{n}, NoDecay: !buffer, Buffer: buffer, Init: &protocol.Init{Is: &protocol.Init_Constant{Constant: value}}})
	return name
}

func (s *sketch) conv(name, x string, in, out int64) string {
	return s.add(&protocol.Layer{Name: name, Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: s.param(name+".weight", 0.2, out, in, 3, 3), Stride: []int64{1, 1}, Padding: []int64{1, 1}, Dilation: []int64{1, 1}}}}, x)
}

func (s *sketch) norm(name, x string, channels int64, scale float64) string {
	return s.add(&protocol.Layer{Name: name, Op: &protocol.Layer_BatchNorm{BatchNorm: &protocol.BatchNorm{Weight: s.constant(name+".weight", scale, false, channels), Bias: s.constant(name+".bias", 0, false, channels),
		RunningMean: s.constant(name+".running_mean", 0, true, channels), RunningVar: s.constant(name+".running_var", 1, true, channels), Epsilon: 1e-5, Momentum: 0.1}}}, x)
}

func (s *sketch) relu(name, x string) string {
	return s.add(&protocol.Layer{Name: name, Op: &protocol.Layer_Relu{Relu: &protocol.Relu{}}}, x)
}

func (s *sketch) linear(name, x string, in, out int64) string {
	return s.add(&protocol.Layer{Name: name, Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: s.param(name+".weight", 0.4, out, in), Bias: s.param(name+".bias", 0.4, out)}}}, x)
}

func (s *sketch) learned(name string, shape ...int64) string {
	return s.add(&protocol.Layer{Name: name, Op: &protocol.Layer_Learned{Learned: &protocol.Learned{Parameter: s.param(name, 1, shape...)}}})
}

// layerCase is a model of one layer, after an addition whose gradient is that of the layer's input.
type layerCase struct {
	name  string
	model *protocol.Model
}

// layerCases are all layers, those of space in one dimension, two and three.
func layerCases() []layerCase {
	var all []layerCase
	of := func(name string, input []int64, build func(s *sketch, x string) string) {
		s := newSketch(input...)
		x := s.add(&protocol.Layer{Name: "shifted", Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, "input", s.learned("shift", input...))
		y := build(s, x)
		s.output("features", y)
		s.output("representation", y)
		all = append(all, layerCase{name, s.Model})
	}
	layer := func(name string, input []int64, l *protocol.Layer) {
		l.Name = "layer"
		of(name, input, func(s *sketch, x string) string { return s.add(l, x) })
	}
	for _, input := range [][]int64{{9, 4}, {7, 6, 4}, {5, 4, 6, 4}} {
		rank := len(input) - 1
		each := func(n int64) []int64 { return slices.Repeat([]int64{n}, rank) }
		in := func(what string) string { return fmt.Sprintf("%s in %d dimensions", what, rank) }
		conv := func(name string, out, groups, stride, dilation int64) {
			of(in(name), input, func(s *sketch, x string) string {
				return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: s.param("weight", 0.3, append([]int64{out, 4 / groups}, each(3)...)...), Bias: s.param("bias", 1, out),
					Stride: each(stride), Padding: each(dilation), Dilation: each(dilation), Groups: groups}}}, x)
			})
		}
		conv("conv", 6, 1, 2, 1)
		conv("conv with dilation", 6, 1, 1, 2)
		conv("conv in groups", 6, 2, 1, 1)
		conv("depthwise conv", 4, 4, 1, 1)
		of(in("conv_transpose"), input, func(s *sketch, x string) string {
			return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_ConvTranspose{ConvTranspose: &protocol.ConvTranspose{Weight: s.param("weight", 0.3, append([]int64{4, 3}, each(3)...)...), Bias: s.param("bias", 1, 6),
				Stride: each(2), Padding: each(1), OutputPadding: each(1), Dilation: each(1), Groups: 2}}}, x)
		})
		layer(in("max_pool"), input, &protocol.Layer{Op: &protocol.Layer_MaxPool{MaxPool: &protocol.MaxPool{Kernel: each(3), Stride: each(2), Padding: each(1)}}})
		layer(in("average_pool"), input, &protocol.Layer{Op: &protocol.Layer_AveragePool{AveragePool: &protocol.AveragePool{Kernel: each(3), Stride: each(2), Padding: each(1)}}})
		layer(in("upsample, nearest,"), input, &protocol.Layer{Op: &protocol.Layer_Upsample{Upsample: &protocol.Upsample{Scale: each(2)}}})
		layer(in("upsample, linear,"), input, &protocol.Layer{Op: &protocol.Layer_Upsample{Upsample: &protocol.Upsample{Scale: each(3), Mode: protocol.Upsample_LINEAR}}})
		layer(in("global_average_pool"), input, &protocol.Layer{Op: &protocol.Layer_GlobalAveragePool{GlobalAveragePool: &protocol.GlobalAveragePool{}}})
		of(in("batch_norm"), input, func(s *sketch, x string) string { return s.norm("layer", x, 4, 1.5) })
		of(in("group_norm"), input, func(s *sketch, x string) string {
			return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_GroupNorm{GroupNorm: &protocol.GroupNorm{Weight: s.param("weight", 1, 4), Bias: s.param("bias", 1, 4), Groups: 2, Epsilon: 1e-5}}}, x)
		})
	}
	image, tokens := []int64{5, 6, 4}, []int64{6, 8}
	layer("relu", image, &protocol.Layer{Op: &protocol.Layer_Relu{Relu: &protocol.Relu{}}})
	for f := protocol.Activation_LEAKY_RELU; f <= protocol.Activation_TANH; f++ {
		one := &protocol.Activation{Function: f}
		if f == protocol.Activation_LEAKY_RELU {
			one.Slope = 0.2
		}
		layer("activation "+f.String(), image, &protocol.Layer{Op: &protocol.Layer_Activation{Activation: one}})
	}
	layer("softmax", tokens, &protocol.Layer{Op: &protocol.Layer_Softmax{Softmax: &protocol.Softmax{}}})
	layer("l2_normalise", tokens, &protocol.Layer{Op: &protocol.Layer_L2Normalise{L2Normalise: &protocol.L2Normalise{Epsilon: 1e-12}}})
	layer("reshape", image, &protocol.Layer{Op: &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: []int64{15, 8}}}})
	layer("slice", image, &protocol.Layer{Op: &protocol.Layer_Slice{Slice: &protocol.Slice{Axis: 1, Start: 2, Size: 3}}})
	layer("attention of tokens to each other", []int64{7, 24}, &protocol.Layer{Op: &protocol.Layer_Attention{Attention: &protocol.Attention{Heads: 2}}})
	of("layer_norm", tokens, func(s *sketch, x string) string {
		return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_LayerNorm{LayerNorm: &protocol.LayerNorm{Weight: s.param("weight", 1, 8), Bias: s.param("bias", 1, 8), Epsilon: 1e-6}}}, x)
	})
	for _, unit := range []bool{false, true} {
		of(map[bool]string{false: "linear", true: "linear with rows of length one"}[unit], tokens, func(s *sketch, x string) string {
			return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: s.param("weight", 1, 5, 8), Bias: s.param("bias", 1, 5), UnitNorm: unit}}}, x)
		})
	}
	of("attention to other tokens", tokens, func(s *sketch, x string) string {
		return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Attention{Attention: &protocol.Attention{Heads: 4}}}, x, s.learned("keys", 5, 8), s.learned("values", 5, 8))
	})
	for name, shape := range map[string][]int64{"": image, " of a value for each channel": image[2:]} {
		of("add"+name, image, func(s *sketch, x string) string {
			return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, x, s.learned("other", shape...))
		})
		of("multiply"+name, image, func(s *sketch, x string) string {
			return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Multiply{Multiply: &protocol.Multiply{}}}, x, s.learned("other", shape...))
		})
	}
	of("concat", image, func(s *sketch, x string) string {
		return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Concat{Concat: &protocol.Concat{Axis: -1}}}, x, s.learned("other", image...))
	})
	of("stop_gradient", image, func(s *sketch, x string) string {
		stopped := s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_StopGradient{StopGradient: &protocol.StopGradient{}}}, x)
		return s.add(&protocol.Layer{Name: "product", Op: &protocol.Layer_Multiply{Multiply: &protocol.Multiply{}}}, x, stopped)
	})
	of("gather", tokens, func(s *sketch, x string) string {
		order := s.add(&protocol.Layer{Name: "order", Op: &protocol.Layer_TokenOrder{TokenOrder: &protocol.TokenOrder{}}}, x)
		some := s.add(&protocol.Layer{Name: "some", Op: &protocol.Layer_Slice{Slice: &protocol.Slice{Axis: 0, Start: 1, Size: 4}}}, order)
		return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Gather{Gather: &protocol.GatherTokens{}}}, x, some)
	})
	of("scatter", tokens, func(s *sketch, x string) string {
		order := s.add(&protocol.Layer{Name: "order", Op: &protocol.Layer_TokenOrder{TokenOrder: &protocol.TokenOrder{}}}, s.learned("places", 9, 8))
		some := s.add(&protocol.Layer{Name: "some", Op: &protocol.Layer_Slice{Slice: &protocol.Slice{Axis: 0, Start: 1, Size: 6}}}, order)
		return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Scatter{Scatter: &protocol.ScatterTokens{Tokens: 9}}}, x, some, s.learned("filling", 8))
	})
	of("dropout", tokens, func(s *sketch, x string) string {
		return s.add(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Dropout{Dropout: &protocol.Dropout{Rate: 0.3}}}, x)
	})
	return all
}
