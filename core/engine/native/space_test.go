package native

import (
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The builder's layers of opset 2 that change maps in space.

// grouped adds a convolution whose weight has the given shape.
func (b *builder) grouped(name, from string, c *protocol.Conv, weight []int64, bias bool) string {
	c.Weight = b.param(name+".weight", uniform(0.5), weight...)
	if bias {
		c.Bias = b.param(name+".bias", uniform(1), weight[0])
	}
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Conv{Conv: c}}, from)
}

func (b *builder) transposed(name, from string, c *protocol.ConvTranspose, weight []int64, bias bool) string {
	c.Weight = b.param(name+".weight", uniform(0.5), weight...)
	if bias {
		c.Bias = b.param(name+".bias", uniform(1), weight[1]*max(c.Groups, 1))
	}
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_ConvTranspose{ConvTranspose: c}}, from)
}

func (b *builder) upsample(name, from string, mode protocol.Upsample_Mode, scale ...int64) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_Upsample{Upsample: &protocol.Upsample{Scale: scale, Mode: mode}}}, from)
}

func (b *builder) average(name, from string, kernel, stride, padding []int64) string {
	return b.layer2(&protocol.Layer{Name: name, Op: &protocol.Layer_AveragePool{AveragePool: &protocol.AveragePool{Kernel: kernel, Stride: stride, Padding: padding}}}, from)
}

// spaceCases are the cases of testdata/golden_space.py.
func spaceCases() map[string]layerOf {
	s := func(v ...int64) []int64 { return v }
	conv := func(input, weight, stride, padding, dilation []int64, groups int64, bias bool) layerOf {
		return layerOf{input, func(b *builder, x string) string {
			return b.grouped("layer", x, &protocol.Conv{Stride: stride, Padding: padding, Dilation: dilation, Groups: groups}, weight, bias)
		}}
	}
	transposed := func(input, weight, stride, padding, added, dilation []int64, groups int64, bias bool) layerOf {
		return layerOf{input, func(b *builder, x string) string {
			return b.transposed("layer", x, &protocol.ConvTranspose{Stride: stride, Padding: padding, OutputPadding: added, Dilation: dilation, Groups: groups}, weight, bias)
		}}
	}
	cases := map[string]layerOf{
		"depthwise of spectra":                      conv(s(3, 41, 5), s(5, 1, 9), s(1), s(4), s(1), 5, true),
		"depthwise of maps":                         conv(s(2, 9, 8, 35), s(35, 1, 7, 7), s(1, 1), s(3, 3), s(1, 1), 35, true),
		"depthwise of volumes":                      conv(s(2, 5, 6, 4, 3), s(3, 1, 3, 3, 2), s(1, 1, 1), s(1, 1, 1), s(1, 1, 1), 3, false),
		"depthwise with stride and dilation":        conv(s(2, 11, 12, 17), s(17, 1, 3, 5), s(2, 3), s(2, 1), s(3, 2), 17, false),
		"depthwise with several outputs":            conv(s(3, 17, 4), s(12, 1, 5), s(2), s(2), s(1), 4, true),
		"depthwise with several outputs of volumes": conv(s(2, 4, 5, 6, 3), s(6, 1, 2, 3, 2), s(1, 2, 1), s(1, 1, 0), s(2, 1, 1), 3, true),
		"groups of spectra":                         conv(s(3, 17, 6), s(9, 2, 5), s(2), s(2), s(1), 3, true),
		"groups of maps":                            conv(s(2, 9, 8, 24), s(48, 4, 3, 3), s(1, 1), s(1, 1), s(1, 1), 6, false),
		"groups of volumes":                         conv(s(2, 5, 6, 4, 4), s(6, 2, 3, 2, 2), s(1, 2, 1), s(1, 0, 1), s(2, 1, 1), 2, true),
		"wide groups":                               conv(s(2, 6, 5, 40), s(60, 20, 3, 3), s(2, 1), s(1, 1), s(1, 2), 2, true),
		"transposed of spectra":                     transposed(s(3, 9, 5), s(5, 7, 4), s(2), s(1), s(1), s(1), 1, true),
		"transposed of maps":                        transposed(s(2, 5, 4, 6), s(6, 20, 3, 2), s(2, 2), s(1, 0), s(1, 0), s(1, 1), 0, false),
		"transposed of volumes":                     transposed(s(2, 3, 4, 3, 3), s(3, 5, 2, 3, 2), s(2, 1, 3), s(0, 1, 1), s(1, 0, 2), s(1, 2, 1), 1, true),
		"transposed with gaps":                      transposed(s(2, 4, 5, 6), s(6, 4, 2, 2), s(3, 4), s(0, 0), s(0, 1), s(1, 1), 1, true),
		"transposed with much added":                transposed(s(2, 5, 4, 6), s(6, 4, 3, 2), s(1, 2), s(2, 1), s(1, 2), s(2, 3), 1, true),
		"transposed depthwise with much added":      transposed(s(2, 5, 4, 6), s(6, 1, 3, 2), s(1, 2), s(2, 1), s(1, 2), s(2, 3), 6, true),
		"transposed in groups of spectra":           transposed(s(3, 9, 6), s(6, 2, 3), s(2), s(1), s(1), s(1), 3, true),
		"transposed in groups of maps":              transposed(s(2, 5, 4, 8), s(8, 3, 3, 3), s(2, 1), s(1, 1), s(1, 0), s(1, 2), 4, false),
		"transposed in groups of volumes":           transposed(s(2, 3, 3, 2, 4), s(4, 3, 2, 3, 2), s(1, 2, 2), s(0, 1, 0), s(0, 1, 0), s(1, 1, 1), 2, true),
		"transposed depthwise":                      transposed(s(2, 5, 4, 17), s(17, 1, 4, 4), s(2, 2), s(1, 1), s(0, 0), s(1, 1), 17, true),
		"transposed depthwise with several outputs": transposed(s(3, 9, 4), s(4, 3, 5), s(2), s(2), s(1), s(1), 4, true),
		"transposed depthwise with several inputs":  transposed(s(3, 9, 12), s(12, 1, 5), s(2), s(2), s(1), s(1), 4, true),
		"average of spectra":                        {s(2, 15, 4), func(b *builder, x string) string { return b.average("layer", x, s(3), s(2), s(1)) }},
		"average of maps":                           {s(2, 9, 8, 17), func(b *builder, x string) string { return b.average("layer", x, s(3, 4), s(2, 1), s(1, 2)) }},
		"average of volumes":                        {s(2, 4, 5, 6, 3), func(b *builder, x string) string { return b.average("layer", x, s(2, 3, 2), s(2, 1, 2), s(0, 1, 1)) }},
	}
	for name, mode := range map[string]protocol.Upsample_Mode{"nearest ": protocol.Upsample_NEAREST, "linear ": protocol.Upsample_LINEAR} {
		for what, c := range map[string][2][]int64{"spectra": {s(3, 7, 5), s(3)}, "maps": {s(2, 4, 3, 17), s(2, 3)}, "volumes": {s(2, 3, 2, 4, 3), s(2, 1, 2)}, "a pixel": {s(3, 1, 1, 4), s(4, 2)}} {
			cases[name+what] = layerOf{c[0], func(b *builder, x string) string { return b.upsample("layer", x, mode, c[1]...) }}
		}
	}
	return cases
}

func TestLayersInSpaceAgreeWithPyTorch(t *testing.T) { agree(t, "space.json", spaceCases()) }

// spaceNetwork trains a layer of each kind, with a momentum network beside.
func spaceNetwork(t *testing.T, o engine.Options) *network {
	b := newBuilder(8, 8, 4)
	two, one := repeat(2, 2), repeat(1, 2)
	x := b.grouped("depthwise", "input", &protocol.Conv{Stride: one, Padding: repeat(3, 2), Dilation: one, Groups: 4}, []int64{8, 1, 7, 7}, true)
	x = b.grouped("groups", x, &protocol.Conv{Stride: two, Padding: one, Dilation: one, Groups: 2}, []int64{12, 4, 3, 3}, true)
	x = b.transposed("transposed", x, &protocol.ConvTranspose{Stride: two, Padding: one, OutputPadding: one, Dilation: one}, []int64{12, 10, 3, 3}, true)
	x = b.transposed("transposed groups", x, &protocol.ConvTranspose{Stride: one, Padding: one, OutputPadding: repeat(0, 2), Dilation: one, Groups: 5}, []int64{10, 2, 3, 3}, true)
	x = b.transposed("transposed depthwise", x, &protocol.ConvTranspose{Stride: two, Padding: repeat(0, 2), OutputPadding: repeat(0, 2), Dilation: one, Groups: 10}, []int64{10, 1, 2, 2}, false)
	x = b.upsample("larger", b.average("average", x, two, two, repeat(0, 2)), protocol.Upsample_LINEAR, 2, 1)
	x = b.upsample("repeated", x, protocol.Upsample_NEAREST, 1, 2)
	b.Outputs["representation"] = b.mean("mean", x)
	n := compile(t, moco(b.Model, projector(10, 10, 8), 1), o)
	fillInputs(n, "query", "key")
	copy(n.TapGradient("q"), drawn("test", "gradient", len(n.TapGradient("q"))))
	return n
}

func TestBitsInSpaceDoNotDependOnThreads(t *testing.T) {
	for _, precision := range precisions() {
		var first []engine.Array
		for threads := 1; threads <= 4; threads++ {
			n := spaceNetwork(t, engine.Options{Batch: 30, Threads: threads, Precision: precision})
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

func TestAStepInSpaceAllocatesNothing(t *testing.T) {
	if strings.HasPrefix(kernel.Describe(), "portable") {
		t.Skip("the portable kernels allocate a little")
	}
	n := spaceNetwork(t, engine.Options{Batch: 20})
	step(t, n)
	if a := steady(func() { step(t, n) }); a != 0 {
		t.Errorf("a step allocates %v times", a)
	}
}

// A step is two passes forward and one back, which is two forward without the input gradient of the first layer; every
// weight meets every pixel of the smaller map once.
func TestGroupedWorkIsCounted(t *testing.T) {
	n := spaceNetwork(t, engine.Options{Batch: 2})
	first := int64(8 * 8 * 8 * 49)
	products := first + 4*4*12*4*9 + 4*4*12*10*9 + 8*8*10*2*9 + 8*8*10*4
	if n.Cost().ForwardFLOPs != 2*products {
		t.Errorf("%d FLOPs forward, want %d", n.Cost().ForwardFLOPs, 2*products)
	}
	head := int64(10*10 + 10*8)
	if want := 2 * 2 * (4*(products+head) - first); n.Cost().StepFLOPs != want {
		t.Errorf("%d FLOPs a step, want %d", n.Cost().StepFLOPs, want)
	}
}

// Where activations are stored as bfloat16, these layers compute in float32 between conversions.
func TestSpaceInBFloat16(t *testing.T) {
	o := engine.Options{Batch: 30, Precision: engine.BFloat16}
	if _, err := New().Cost(engine.Program{Encoder: tinyEncoder(), Passes: []*protocol.Pass{{Name: "a"}}}, o); err != nil {
		t.Skip(err)
	}
	n, exact := spaceNetwork(t, o), spaceNetwork(t, engine.Options{Batch: 30})
	for _, m := range []*network{n, exact} {
		must(t, m.Forward("query", 30, 0))
		must(t, m.Backward("query"))
	}
	close32(t, "out", n.Tap("q"), exact.Tap("q"), 0.02)
	want := gradients(exact)
	for name, g := range gradients(n) {
		close32(t, name, g, want[name], 0.04)
	}
}
