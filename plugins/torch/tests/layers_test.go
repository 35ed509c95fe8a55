package torch_test

import (
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type layer func(b *sdk.ModelBuilder, x sdk.Node) sdk.Node

// layersOf are layers for samples of a rank, 0 to 3.
func layersOf(rank int) map[string]layer {
	type B = *sdk.ModelBuilder
	type N = sdk.Node
	all := map[string]layer{
		"linear":      func(b B, x N) N { return b.Linear("layer", x, sdk.LinearOptions{Out: 7}) },
		"unit linear": func(b B, x N) N { return b.Linear("layer", x, sdk.LinearOptions{Out: 7, UnitNorm: true, NoBias: true}) },
		"batch norm":  func(b B, x N) N { return b.BatchNorm("layer", x, sdk.BatchNormOptions{Momentum: 0.3, Epsilon: 1e-3}) },
		"layer norm":  func(b B, x N) N { return b.LayerNorm("layer", x, sdk.NormOptions{}) },
		"group norm":  func(b B, x N) N { return b.GroupNorm("layer", x, 2, sdk.NormOptions{}) },
		"relu":        func(b B, x N) N { return b.Relu("layer", x) },
		"leaky relu":  func(b B, x N) N { return b.LeakyRelu("layer", x, 0.2) },
		"gelu":        func(b B, x N) N { return b.Gelu("layer", x) },
		"silu":        func(b B, x N) N { return b.Silu("layer", x) },
		"sigmoid":     func(b B, x N) N { return b.Sigmoid("layer", x) },
		"tanh":        func(b B, x N) N { return b.Tanh("layer", x) },
		"softmax":     func(b B, x N) N { return b.Softmax("layer", x) },
		"l2":          func(b B, x N) N { return b.L2Normalise("layer", x) },
		"add":         func(b B, x N) N { return b.Add("layer", x, b.Sigmoid("other", x)) },
		"add itself":  func(b B, x N) N { return b.Add("layer", x, x) },
		"multiply":    func(b B, x N) N { return b.Multiply("layer", x, b.Sigmoid("other", x)) },
		"concat":      func(b B, x N) N { return b.Concat("layer", -1, x, b.Tanh("other", x), x) },
		"slice":       func(b B, x N) N { return b.Slice("layer", x, -1, 2, 3) },
		"dropout":     func(b B, x N) N { return b.Dropout("layer", x, 0.3) },
		"stop":        func(b B, x N) N { return b.Multiply("layer", x, b.StopGradient("stopped", x)) },
		"learned": func(b B, x N) N {
			v := b.Learned("value", sdk.LearnedOptions{Shape: x.Shape[rank:], Init: sdk.Uniform(1)})
			w := b.Learned("whole", sdk.LearnedOptions{Shape: x.Shape, Init: sdk.Uniform(1)})
			return b.Add("layer", b.Add("sum", b.Multiply("scaled", x, v), v), w)
		},
		"reshape": func(b B, x N) N {
			n := int64(1)
			for _, d := range x.Shape {
				n *= d
			}
			return b.Tanh("layer", b.Reshape("flat", x, n))
		},
	}
	if rank == 0 {
		return all
	}
	for name, l := range map[string]layer{
		"convolution": func(b B, x N) N {
			return b.Conv("layer", x, sdk.ConvOptions{Out: 8, Kernel: 3, Stride: 2, Padding: 1, Bias: true})
		},
		"dilated convolution": func(b B, x N) N {
			return b.Conv("layer", x, sdk.ConvOptions{Out: 8, Kernel: 2, Dilation: 3, Padding: 1})
		},
		"grouped convolution": func(b B, x N) N {
			return b.Conv("layer", x, sdk.ConvOptions{Out: 9, Kernel: 3, Padding: 1, Groups: 3, Bias: true})
		},
		"depthwise convolution": func(b B, x N) N {
			return b.Conv("layer", x, sdk.ConvOptions{Out: 6, Kernel: 5, Padding: 2, Groups: 6, Bias: true})
		},
		"transposed convolution": func(b B, x N) N {
			return b.ConvTranspose("layer", x, sdk.ConvTransposeOptions{Out: 4, Kernel: 3, Stride: 2, Padding: 1, OutputPadding: 1, Bias: true})
		},
		"grouped transposed convolution": func(b B, x N) N {
			return b.ConvTranspose("layer", x, sdk.ConvTransposeOptions{Out: 4, Kernel: 2, Dilation: 2, Groups: 2})
		},
		"max pool":            func(b B, x N) N { return b.MaxPool("layer", x, 3, 2, 1) },
		"average pool":        func(b B, x N) N { return b.AveragePool("layer", x, 3, 2, 1) },
		"global average pool": func(b B, x N) N { return b.GlobalAveragePool("layer", x) },
		"nearest":             func(b B, x N) N { return b.UpsampleNearest("layer", x, 3) },
		"interpolation":       func(b B, x N) N { return b.UpsampleLinear("layer", x, 3) },
		"channels": func(b B, x N) N {
			return b.Add("layer", b.Multiply("scaled", x, b.GlobalAveragePool("means", x)), b.GlobalAveragePool("means again", x))
		},
		"concat in space": func(b B, x N) N { return b.Concat("layer", 0, x, b.Tanh("other", x)) },
		"slice in space":  func(b B, x N) N { return b.Slice("layer", x, 0, 1, 3) },
		"without space": func(b B, x N) N { // a shape of other axes, with values from all over
			n := int64(1)
			for _, d := range x.Shape {
				n *= d
			}
			return b.Linear("layer", b.Reshape("rows", x, n/2, 2), sdk.LinearOptions{Out: 3})
		},
	} {
		all[name] = l
	}
	if rank > 1 {
		return all
	}
	for name, l := range map[string]layer{
		"self-attention": func(b B, x N) N { return b.SelfAttention("layer", x, 2) },
		"attention": func(b B, x N) N {
			return b.Attention("layer", b.Slice("query", x, 0, 0, 2), x, b.Tanh("value", x), 3)
		},
		"order": func(b B, x N) N { return b.Gather("layer", x, b.TokenOrder("order", x)) },
		"masking": func(b B, x N) N {
			order := b.TokenOrder("order", x)
			some := b.Slice("some", order, 0, 1, 3)
			mask := b.Learned("mask", sdk.LearnedOptions{Shape: []int64{6}, Init: sdk.Uniform(1)})
			return b.Scatter("layer", b.Linear("inner", b.Gather("kept", x, some), sdk.LinearOptions{Out: 6}), some, mask, x.Shape[0])
		},
		"filling of each": func(b B, x N) N {
			some := b.Slice("some", b.TokenOrder("order", x), 0, 0, 2)
			return b.Scatter("layer", b.Slice("first", x, 0, 0, 2), some, b.GlobalAveragePool("mean", x), x.Shape[0])
		},
	} {
		all[name] = l
	}
	return all
}

// Every layer, in every rank, is within 1e-5 of float64 in both engines: outputs, gradients with respect to parameters and,
// by a linear layer before it, to its input, running statistics, and outputs in inference.
func TestLayers(t *testing.T) {
	torch := pytorch(t)
	const batch = 4
	for rank, input := range [][]int64{{6}, {7, 6}, {5, 4, 6}, {4, 3, 5, 6}} {
		for name, add := range layersOf(rank) {
			b := sdk.NewModel(input)
			x := b.Linear("before", b.Input(), sdk.LinearOptions{Out: 6, NoBias: true, Init: sdk.Uniform(1)})
			b.Output("representation", add(b, x))
			m, err := b.Model()
			if err != nil {
				t.Fatalf("%s of rank %d: %v", name, rank, err)
			}
			p := engine.Program{Encoder: m, Passes: []*protocol.Pass{{Name: "only", Gradient: true, NormGroups: 2}},
				Taps: []*protocol.Tap{{Name: "out", Pass: "only", Output: "representation"}}}
			t.Run(name+" of rank "+string(rune('0'+rank)), func(t *testing.T) {
				c := compile(t, torch, p, engine.Options{Batch: batch, Seed: 3, Threads: 1})
				c.fill(name)
				c.each(t, func(n engine.Network) error { return n.Forward("only", batch, 1<<32+5) })
				for _, n := range c.networks {
					draw(n.TapGradient("out"), name, "gradient")
				}
				c.each(t, func(n engine.Network) error { return n.Backward("only") })
				c.each(t, func(n engine.Network) error { return n.Step(engine.Optimiser{}) }) // a velocity is the gradient then, and the weights stay
				states := c.states(t)
				for _, what := range c.compare(t, states[exact], states, 1e-5).switched {
					t.Error(what)
				}

				i := compile(t, torch, p, engine.Options{Batch: batch + 1, Mode: engine.Infer, Seed: 3, Threads: 1})
				i.fill(name)
				for side, n := range c.networks {
					params, err := n.Params()
					must(t, err)
					must(t, i.networks[side].SetParams(params))
					must(t, i.networks[side].Forward("only", 3, 0))
				}
				for side, n := range i.networks {
					n := n.Tap("out")[:3*len(n.Tap("out"))/(batch+1)]
					want := i.networks[exact].Tap("out")[:len(n)]
					if d := apart(t, "out", n, want); !(d <= 1e-5*norm(want)) {
						t.Errorf("in inference %s differs by %.2g of %.2g", sides[side], d, norm(want))
					}
				}
			})
		}
	}
}
