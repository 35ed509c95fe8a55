package sdk

import (
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Opset is the newest version of the set of layers that ModelBuilder writes. A model names the oldest that has its layers.
const Opset = 2

// ModelBuilder writes a model description layer by layer. It computes shapes and declares parameters under PyTorch's
// names and layouts. The first mistake is kept and given by Model, so a chain of calls needs no checks between:
//
//	m := sdk.NewModel([]int64{64, 64, 5})
//	x := m.Conv("conv1", m.Input(), sdk.ConvOptions{Out: 64, Kernel: 7, Stride: 2, Padding: 3})
//	x = m.Relu("relu", m.BatchNorm("bn1", x, sdk.BatchNormOptions{}))
//	m.Output("features", x)
//	m.Output("representation", m.GlobalAveragePool("avgpool", x))
//	return m.Model()
type ModelBuilder struct {
	model        *protocol.Model
	nodes        map[string]Node
	matricesOnly bool // weight decay leaves vectors out
	err          error
}

// Node is the output of a layer.
type Node struct {
	Name  string
	Shape []int64 // of one sample: spatial…, channels
}

// Channels is the last axis.
func (n Node) Channels() int64 {
	if len(n.Shape) == 0 {
		return 0
	}
	return n.Shape[len(n.Shape)-1]
}

// Rank is the number of spatial axes.
func (n Node) Rank() int { return len(n.Shape) - 1 }

// Initialiser says how a weight of this shape starts.
type Initialiser func(shape []int64) *Init

// Constant fills with v.
func Constant(v float64) Initialiser {
	return func([]int64) *Init { return &Init{Is: &protocol.Init_Constant{Constant: v}} }
}

// Normal draws with this standard deviation around 0.
func Normal(deviation float64) Initialiser {
	return func([]int64) *Init { return &Init{Is: &protocol.Init_Normal{Normal: deviation}} }
}

// Uniform draws over ±bound.
func Uniform(bound float64) Initialiser {
	return func([]int64) *Init { return &Init{Is: &protocol.Init_Uniform{Uniform: bound}} }
}

// HeFanOut draws normals of variance 2/(out × kernel), what residual networks start from (He et al. 2015).
func HeFanOut(shape []int64) *Init {
	fan := int64(1)
	for i, n := range shape {
		if i != 1 {
			fan *= n
		}
	}
	return Normal(math.Sqrt(2 / float64(fan)))(shape)
}

// FanInUniform draws over ±1/√(in × kernel), PyTorch's start of convolutions and linear layers.
func FanInUniform(shape []int64) *Init {
	return Uniform(1 / math.Sqrt(float64(count(shape[1:]))))(shape)
}

// XavierUniform draws over ±√(6/((in + out) × kernel)) (Glorot & Bengio 2010), what transformers start from.
func XavierUniform(shape []int64) *Init {
	kernel := count(shape[2:])
	return Uniform(math.Sqrt(6 / float64((shape[0]+shape[1])*kernel)))(shape)
}

func count(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// NewModel starts a model for samples of the shape input (spatial…, channels).
func NewModel(input []int64) *ModelBuilder {
	b := &ModelBuilder{model: &protocol.Model{Opset: 1, Input: slices.Clone(input), Outputs: map[string]string{}}, nodes: map[string]Node{}}
	if len(input) < 1 || len(input) > 4 {
		b.fail("input", "wants up to three spatial axes and channels, not the shape %v", input)
	}
	for _, n := range input {
		if n < 1 {
			b.fail("input", "has an empty axis: %v", input)
		}
	}
	b.nodes["input"] = Node{"input", slices.Clone(input)}
	return b
}

// DecayMatricesOnly leaves the vectors of the layers that follow, biases and the scales of norms, out of weight decay, as
// transformers and their kin are trained.
func (b *ModelBuilder) DecayMatricesOnly() { b.matricesOnly = true }

// Input is the sample itself.
func (b *ModelBuilder) Input() Node { return b.nodes["input"] }

// Output gives a node a name for the outside: an encoder has "features" and "representation", a head "out".
func (b *ModelBuilder) Output(name string, x Node) {
	if _, ok := b.model.Outputs[name]; ok {
		b.fail(name, "is an output twice")
	}
	b.known(name, x)
	b.model.Outputs[name] = x.Name
}

// Model gives the finished description, or the first mistake.
func (b *ModelBuilder) Model() (*Model, error) {
	if b.err == nil && len(b.model.Outputs) == 0 {
		b.fail("model", "has no output")
	}
	if b.err != nil {
		return nil, b.err
	}
	return b.model, nil
}

func (b *ModelBuilder) fail(layer, format string, a ...any) Node {
	if b.err == nil {
		b.err = ConfigError{What: "layer " + layer + " " + fmt.Sprintf(format, a...)}
	}
	return Node{}
}

func (b *ModelBuilder) known(layer string, x Node) bool {
	if b.err != nil {
		return false
	}
	if n, ok := b.nodes[x.Name]; !ok || !slices.Equal(n.Shape, x.Shape) {
		b.fail(layer, "reads %q, which is no layer of this model", x.Name)
		return false
	}
	return true
}

func (b *ModelBuilder) add(l *protocol.Layer, shape []int64) Node {
	if b.err != nil {
		return Node{}
	}
	if _, ok := b.nodes[l.Name]; ok || l.Name == "" {
		return b.fail(l.Name, "has a name that is empty or taken")
	}
	for _, n := range shape {
		if n < 1 {
			return b.fail(l.Name, "would leave an empty axis: %v; the samples are too small for this network", shape)
		}
	}
	b.model.Layers = append(b.model.Layers, l)
	n := Node{l.Name, shape}
	b.nodes[l.Name] = n
	return n
}

func (b *ModelBuilder) parameter(name string, shape []int64, init *Init, buffer, noDecay bool) string {
	noDecay = noDecay || b.matricesOnly && len(shape) == 1 && !buffer
	b.model.Parameters = append(b.model.Parameters, &protocol.Parameter{Name: name, Shape: shape, Init: init, Buffer: buffer, NoDecay: noDecay})
	return name
}

// ConvOptions of a convolution. Kernel, stride, padding and dilation hold for every spatial axis.
type ConvOptions struct {
	Out      int64 // channels
	Kernel   int64
	Stride   int64 // 0 means 1
	Padding  int64 // both sides
	Dilation int64 // 0 means 1
	Groups   int64 // 0 means 1; as many as channels: depthwise
	Bias     bool
	Init     Initialiser // of the weight; nil: FanInUniform
	BiasInit Initialiser // of the bias, given the weight's shape; nil: FanInUniform
	NoDecay  bool
}

// Conv adds a convolution (a cross-correlation, as everywhere in the field) with the parameters NAME.weight
// [out, in/groups, kernel…] and NAME.bias.
func (b *ModelBuilder) Conv(name string, x Node, o ConvOptions) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if o.Stride == 0 {
		o.Stride = 1
	}
	if o.Dilation == 0 {
		o.Dilation = 1
	}
	if o.Groups == 0 {
		o.Groups = 1
	}
	if x.Rank() < 1 {
		return b.fail(name, "is a convolution and wants a spatial axis; its input has the shape %v", x.Shape)
	}
	if o.Out < 1 || o.Kernel < 1 || o.Stride < 1 || o.Padding < 0 || o.Dilation < 1 {
		return b.fail(name, "has an impossible geometry: %+v", o)
	}
	if o.Groups < 1 || x.Channels()%o.Groups != 0 || o.Out%o.Groups != 0 {
		return b.fail(name, "cannot split %d channels into %d by %d groups", x.Channels(), o.Out, o.Groups)
	}
	weight := []int64{o.Out, x.Channels() / o.Groups}
	shape := make([]int64, 0, len(x.Shape))
	for _, n := range x.Shape[:x.Rank()] {
		weight = append(weight, o.Kernel)
		shape = append(shape, extent(n, o.Kernel, o.Stride, o.Padding, o.Dilation))
	}
	rank := x.Rank()
	op := &protocol.Conv{Stride: repeat(o.Stride, rank), Padding: repeat(o.Padding, rank), Dilation: repeat(o.Dilation, rank)}
	if o.Groups > 1 {
		op.Groups = o.Groups
		b.needs(2)
	}
	n := b.add(&protocol.Layer{Name: name, Inputs: []string{x.Name}, Op: &protocol.Layer_Conv{Conv: op}}, append(shape, o.Out))
	if b.err == nil {
		op.Weight, op.Bias = b.weights(name, weight, o.Out, o.Bias, o.Init, o.BiasInit, o.NoDecay)
	}
	return n
}

// extent is the size of an axis after a window has moved over it; 0 when the window does not fit.
func extent(n, kernel, stride, padding, dilation int64) int64 {
	room := n + 2*padding - dilation*(kernel-1) - 1
	if room < 0 {
		return 0
	}
	return room/stride + 1
}

// needs says that a layer is of this opset.
func (b *ModelBuilder) needs(opset uint32) { b.model.Opset = max(b.model.Opset, opset) }

// withLast is the shape with another last axis.
func withLast(shape []int64, n int64) []int64 {
	return append(slices.Clone(shape[:len(shape)-1]), n)
}

func repeat(v int64, n int) []int64 {
	s := make([]int64, n)
	for i := range s {
		s[i] = v
	}
	return s
}

func (b *ModelBuilder) weights(name string, shape []int64, out int64, bias bool, init, biasInit Initialiser, noDecay bool) (string, string) {
	if init == nil {
		init = FanInUniform
	}
	if biasInit == nil {
		biasInit = FanInUniform
	}
	weight := b.parameter(name+".weight", shape, init(shape), false, noDecay)
	if !bias {
		return weight, ""
	}
	return weight, b.parameter(name+".bias", []int64{out}, biasInit(shape), false, noDecay)
}

// LinearOptions of a linear layer.
type LinearOptions struct {
	Out      int64
	NoBias   bool
	UnitNorm bool        // divide each row of the weight by its length: prototypes
	Init     Initialiser // of the weight; nil: FanInUniform
	BiasInit Initialiser // of the bias, given the weight's shape; nil: FanInUniform
	NoDecay  bool
}

// Linear adds a linear layer over the last axis, whatever comes before it, with the parameters NAME.weight [out, in] and
// NAME.bias.
func (b *ModelBuilder) Linear(name string, x Node, o LinearOptions) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if o.Out < 1 {
		return b.fail(name, "is linear and wants a width, not %d", o.Out)
	}
	if x.Rank() > 0 || o.UnitNorm {
		b.needs(2)
	}
	op := &protocol.Linear{UnitNorm: o.UnitNorm}
	n := b.add(&protocol.Layer{Name: name, Inputs: []string{x.Name}, Op: &protocol.Layer_Linear{Linear: op}}, withLast(x.Shape, o.Out))
	if b.err == nil {
		op.Weight, op.Bias = b.weights(name, []int64{o.Out, x.Channels()}, o.Out, !o.NoBias, o.Init, o.BiasInit, o.NoDecay)
	}
	return n
}

// BatchNormOptions of a batch normalisation.
type BatchNormOptions struct {
	Epsilon  float64 // 0 means 1e-5
	Momentum float64 // of the running statistics, PyTorch's sense; 0 means 0.1
	ZeroInit bool    // start the scale at 0: a residual branch that starts as the identity
	NoDecay  bool
}

// BatchNorm adds a normalisation over batch and space with the parameters NAME.weight and NAME.bias and the buffers
// NAME.running_mean and NAME.running_var.
func (b *ModelBuilder) BatchNorm(name string, x Node, o BatchNormOptions) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if o.Epsilon == 0 {
		o.Epsilon = 1e-5
	}
	if o.Momentum == 0 {
		o.Momentum = 0.1
	}
	scale := 1.0
	if o.ZeroInit {
		scale = 0
	}
	op := &protocol.BatchNorm{Epsilon: o.Epsilon, Momentum: o.Momentum}
	n := b.add(&protocol.Layer{Name: name, Inputs: []string{x.Name}, Op: &protocol.Layer_BatchNorm{BatchNorm: op}}, x.Shape)
	if b.err == nil {
		shape := []int64{x.Channels()}
		op.Weight = b.parameter(name+".weight", shape, Constant(scale)(nil), false, o.NoDecay)
		op.Bias = b.parameter(name+".bias", shape, Constant(0)(nil), false, o.NoDecay)
		op.RunningMean = b.parameter(name+".running_mean", shape, Constant(0)(nil), true, false)
		op.RunningVar = b.parameter(name+".running_var", shape, Constant(1)(nil), true, false)
	}
	return n
}

// Relu adds max(x, 0).
func (b *ModelBuilder) Relu(name string, x Node) Node {
	if !b.known(name, x) {
		return Node{}
	}
	return b.add(&protocol.Layer{Name: name, Inputs: []string{x.Name}, Op: &protocol.Layer_Relu{Relu: &protocol.Relu{}}}, x.Shape)
}

// MaxPool adds the maximum over a window, the same for every spatial axis.
func (b *ModelBuilder) MaxPool(name string, x Node, kernel, stride, padding int64) Node {
	if !b.known(name, x) {
		return Node{}
	}
	shape, ok := b.pooled(name, x, kernel, stride, padding)
	if !ok {
		return Node{}
	}
	rank := x.Rank()
	op := &protocol.MaxPool{Kernel: repeat(kernel, rank), Stride: repeat(stride, rank), Padding: repeat(padding, rank)}
	return b.add(&protocol.Layer{Name: name, Inputs: []string{x.Name}, Op: &protocol.Layer_MaxPool{MaxPool: op}}, shape)
}

// pooled is the shape that a pooling leaves.
func (b *ModelBuilder) pooled(name string, x Node, kernel, stride, padding int64) ([]int64, bool) {
	if x.Rank() < 1 || kernel < 1 || stride < 1 || padding < 0 || 2*padding > kernel {
		b.fail(name, "has an impossible geometry: kernel %d, stride %d, padding %d over %v", kernel, stride, padding, x.Shape)
		return nil, false
	}
	shape := make([]int64, 0, len(x.Shape))
	for _, n := range x.Shape[:x.Rank()] {
		shape = append(shape, extent(n, kernel, stride, padding, 1))
	}
	return append(shape, x.Channels()), true
}

// GlobalAveragePool adds the mean over space: [spatial…, c] → [c].
func (b *ModelBuilder) GlobalAveragePool(name string, x Node) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if x.Rank() < 1 {
		return b.fail(name, "pools over space; its input has none: %v", x.Shape)
	}
	op := &protocol.Layer_GlobalAveragePool{GlobalAveragePool: &protocol.GlobalAveragePool{}}
	return b.add(&protocol.Layer{Name: name, Inputs: []string{x.Name}, Op: op}, []int64{x.Channels()})
}

// Add adds the sum of two nodes of one shape, or of x and a y that has the shape of x's last axes.
func (b *ModelBuilder) Add(name string, x, y Node) Node {
	if !b.pair(name, "adds", x, y) {
		return Node{}
	}
	return b.add(&protocol.Layer{Name: name, Inputs: []string{x.Name, y.Name}, Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, x.Shape)
}

// pair checks the inputs of an operation on each value.
func (b *ModelBuilder) pair(name, does string, x, y Node) bool {
	if !b.known(name, x) || !b.known(name, y) {
		return false
	}
	if over := len(x.Shape) - len(y.Shape); over < 0 || !slices.Equal(x.Shape[over:], y.Shape) {
		b.fail(name, "%s the shapes %v and %v", does, x.Shape, y.Shape)
		return false
	} else if over > 0 {
		b.needs(2)
	}
	return true
}

// L2Normalise adds x / max(‖x‖, 1e-12) over the last axis.
func (b *ModelBuilder) L2Normalise(name string, x Node) Node {
	if !b.known(name, x) {
		return Node{}
	}
	op := &protocol.Layer_L2Normalise{L2Normalise: &protocol.L2Normalise{Epsilon: 1e-12}}
	return b.add(&protocol.Layer{Name: name, Inputs: []string{x.Name}, Op: op}, x.Shape)
}
