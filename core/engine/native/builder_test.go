package native

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// builder makes model descriptions for tests, with torchvision's names.
type builder struct {
	*protocol.Model
	zero bool // zero-initialise the last batch norm of a residual branch
}

func newBuilder(input ...int64) *builder {
	return &builder{Model: &protocol.Model{Opset: 1, Input: input, Outputs: map[string]string{}}}
}

func constant(v float64) *protocol.Init {
	return &protocol.Init{Is: &protocol.Init_Constant{Constant: v}}
}
func uniform(v float64) *protocol.Init {
	return &protocol.Init{Is: &protocol.Init_Uniform{Uniform: v}}
}

func (b *builder) param(name string, init *protocol.Init, shape ...int64) string {
	b.Parameters = append(b.Parameters, &protocol.Parameter{Name: name, Shape: shape, Init: init, NoDecay: len(shape) == 1})
	return name
}

func (b *builder) buffer(name string, v float64, n int64) string {
	b.Parameters = append(b.Parameters, &protocol.Parameter{Name: name, Shape: []int64{n}, Init: constant(v), Buffer: true})
	return name
}

func (b *builder) layer(l *protocol.Layer, inputs ...string) string {
	l.Inputs = inputs
	b.Layers = append(b.Layers, l)
	return l.Name
}

func repeat(v int64, n int) []int64 {
	s := make([]int64, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// conv adds a square convolution of rank 2 without bias, initialised uniformly with He's variance (fan out).
func (b *builder) conv(name, from string, in, out, k, stride, pad int64) string {
	w := b.param(name+".weight", uniform(math.Sqrt(6/float64(out*k*k))), out, in, k, k)
	return b.layer(&protocol.Layer{Name: name, Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: w,
		Stride: repeat(stride, 2), Padding: repeat(pad, 2), Dilation: repeat(1, 2)}}}, from)
}

func (b *builder) norm(name, from string, c int64, weight float64) string {
	return b.layer(&protocol.Layer{Name: name, Op: &protocol.Layer_BatchNorm{BatchNorm: &protocol.BatchNorm{
		Weight: b.param(name+".weight", constant(weight), c), Bias: b.param(name+".bias", constant(0), c),
		RunningMean: b.buffer(name+".running_mean", 0, c), RunningVar: b.buffer(name+".running_var", 1, c), Epsilon: 1e-5, Momentum: 0.1}}}, from)
}

func (b *builder) relu(name, from string) string {
	return b.layer(&protocol.Layer{Name: name, Op: &protocol.Layer_Relu{Relu: &protocol.Relu{}}}, from)
}

func (b *builder) add(name, x, y string) string {
	return b.layer(&protocol.Layer{Name: name, Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, x, y)
}

func (b *builder) pool(name, from string) string {
	return b.layer(&protocol.Layer{Name: name, Op: &protocol.Layer_MaxPool{MaxPool: &protocol.MaxPool{Kernel: repeat(3, 2), Stride: repeat(2, 2), Padding: repeat(1, 2)}}}, from)
}

func (b *builder) mean(name, from string) string {
	return b.layer(&protocol.Layer{Name: name, Op: &protocol.Layer_GlobalAveragePool{GlobalAveragePool: &protocol.GlobalAveragePool{}}}, from)
}

func (b *builder) linear(name, from string, in, out int64) string {
	bound := 1 / math.Sqrt(float64(in))
	w, c := b.param(name+".weight", uniform(bound), out, in), b.param(name+".bias", uniform(bound), out)
	return b.layer(&protocol.Layer{Name: name, Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: w, Bias: c}}}, from)
}

func (b *builder) unit(name, from string) string {
	return b.layer(&protocol.Layer{Name: name, Op: &protocol.Layer_L2Normalise{L2Normalise: &protocol.L2Normalise{Epsilon: 1e-12}}}, from)
}

// resnet is torchvision's ResNet of 18, 34 or 50 layers without its last layer.
func resnet(depth int, size, bands int64, stem string, zero bool) *protocol.Model {
	b := newBuilder(size, size, bands)
	b.zero = zero
	k, stride := int64(7), int64(2)
	switch stem {
	case "paper":
		stride = 1
	case "small":
		k, stride = 3, 1
	}
	x := b.relu("relu", b.norm("bn1", b.conv("conv1", "input", bands, 64, k, stride, k/2), 64, 1))
	if stem == "imagenet" {
		x = b.pool("maxpool", x)
	}
	blocks := map[int][]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}, 50: {3, 4, 6, 3}}[depth]
	in := int64(64)
	for stage, count := range blocks {
		for block := range count {
			stride := int64(1)
			if stage > 0 && block == 0 {
				stride = 2
			}
			x, in = b.block(fmt.Sprintf("layer%d.%d", stage+1, block), x, in, 64<<stage, stride, depth == 50)
		}
	}
	b.Outputs["features"], b.Outputs["representation"] = x, b.mean("avgpool", x)
	return b.Model
}

// block is a basic block, or a bottleneck with the stride on its 3×3 convolution.
func (b *builder) block(name, from string, in, width, stride int64, bottleneck bool) (string, int64) {
	out, last := width, 1.0
	if b.zero {
		last = 0
	}
	x := from
	if bottleneck {
		out = 4 * width
		x = b.relu(name+".relu1", b.norm(name+".bn1", b.conv(name+".conv1", x, in, width, 1, 1, 0), width, 1))
		x = b.relu(name+".relu2", b.norm(name+".bn2", b.conv(name+".conv2", x, width, width, 3, stride, 1), width, 1))
		x = b.norm(name+".bn3", b.conv(name+".conv3", x, width, out, 1, 1, 0), out, last)
	} else {
		x = b.relu(name+".relu1", b.norm(name+".bn1", b.conv(name+".conv1", x, in, out, 3, stride, 1), out, 1))
		x = b.norm(name+".bn2", b.conv(name+".conv2", x, out, out, 3, 1, 1), out, last)
	}
	shortcut := from
	if stride != 1 || in != out {
		shortcut = b.norm(name+".downsample.1", b.conv(name+".downsample.0", from, in, out, 1, stride, 0), out, 1)
	}
	return b.relu(name+".relu", b.add(name+".add", x, shortcut)), out
}

// projector is a head of two linear layers and a division by the length.
func projector(in, hidden, out int64) *protocol.Head {
	b := newBuilder(in)
	b.Outputs["out"] = b.unit("norm", b.linear("fc2", b.relu("relu", b.linear("fc1", "input", in, hidden)), hidden, out))
	return &protocol.Head{Name: "projector", Model: b.Model, Input: "representation"}
}

// moco is the program of momentum contrast over an encoder.
func moco(encoder *protocol.Model, head *protocol.Head, groups uint32) engine.Program {
	return engine.Program{Encoder: encoder, Heads: []*protocol.Head{head}, Momentum: true,
		Passes: []*protocol.Pass{{Name: "query", Heads: []string{"projector"}, Gradient: true, NormGroups: groups},
			{Name: "key", Network: protocol.Network_MOMENTUM, Heads: []string{"projector"}, NormGroups: groups}},
		Taps: []*protocol.Tap{{Name: "q", Pass: "query", Output: "projector"}, {Name: "k", Pass: "key", Output: "projector"}}}
}

// alone is one pass with gradient and a tap "out" on the representation.
func alone(encoder *protocol.Model) engine.Program {
	return engine.Program{Encoder: encoder, Passes: []*protocol.Pass{{Name: "only", Gradient: true}},
		Taps: []*protocol.Tap{{Name: "out", Pass: "only", Output: "representation"}}}
}

// stateOf and paramsOf are what a network that cannot fail gives.
func stateOf(n engine.Network) []engine.Array  { return must1(n.State()) }
func paramsOf(n engine.Network) []engine.Array { return must1(n.Params()) }

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
