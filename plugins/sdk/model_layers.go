package sdk

import "github.com/asterism-ssl/asterism/core/protocol"

// NormOptions of a layer or group normalisation.
type NormOptions struct {
	Epsilon float64 // 0 means 1e-5
	NoDecay bool
}

// affine declares the scale and shift of a normalisation.
func (b *ModelBuilder) affine(name string, x Node, o NormOptions) (weight, bias string) {
	if b.err != nil {
		return "", ""
	}
	shape := []int64{x.Channels()}
	return b.parameter(name+".weight", shape, Constant(1)(nil), false, o.NoDecay), b.parameter(name+".bias", shape, Constant(0)(nil), false, o.NoDecay)
}

func (o NormOptions) epsilon() float64 {
	if o.Epsilon == 0 {
		return 1e-5
	}
	return o.Epsilon
}

// LayerNorm adds a normalisation over the last axis with the parameters NAME.weight and NAME.bias.
func (b *ModelBuilder) LayerNorm(name string, x Node, o NormOptions) Node {
	if !b.known(name, x) {
		return Node{}
	}
	op := &protocol.LayerNorm{Epsilon: o.epsilon()}
	n := b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_LayerNorm{LayerNorm: op}}, x.Shape, x)
	op.Weight, op.Bias = b.affine(name, x, o)
	return n
}

// GroupNorm adds a normalisation over space and each group of channels with the parameters NAME.weight and NAME.bias.
func (b *ModelBuilder) GroupNorm(name string, x Node, groups int64, o NormOptions) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if groups < 1 || x.Channels()%groups != 0 {
		return b.fail(name, "cannot split %d channels into %d groups", x.Channels(), groups)
	}
	op := &protocol.GroupNorm{Groups: groups, Epsilon: o.epsilon()}
	n := b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_GroupNorm{GroupNorm: op}}, x.Shape, x)
	op.Weight, op.Bias = b.affine(name, x, o)
	return n
}

// Gelu adds x·Φ(x), Φ by the error function.
func (b *ModelBuilder) Gelu(name string, x Node) Node {
	return b.activation(name, x, &protocol.Activation{Function: protocol.Activation_GELU})
}

// Silu adds x·sigmoid(x).
func (b *ModelBuilder) Silu(name string, x Node) Node {
	return b.activation(name, x, &protocol.Activation{Function: protocol.Activation_SILU})
}

// Sigmoid adds 1/(1+exp(−x)).
func (b *ModelBuilder) Sigmoid(name string, x Node) Node {
	return b.activation(name, x, &protocol.Activation{Function: protocol.Activation_SIGMOID})
}

// Tanh adds the hyperbolic tangent.
func (b *ModelBuilder) Tanh(name string, x Node) Node {
	return b.activation(name, x, &protocol.Activation{Function: protocol.Activation_TANH})
}

// LeakyRelu adds x above zero and slope·x below.
func (b *ModelBuilder) LeakyRelu(name string, x Node, slope float64) Node {
	return b.activation(name, x, &protocol.Activation{Function: protocol.Activation_LEAKY_RELU, Slope: slope})
}

func (b *ModelBuilder) activation(name string, x Node, op *protocol.Activation) Node {
	if !b.known(name, x) {
		return Node{}
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Activation{Activation: op}}, x.Shape, x)
}

// Softmax adds exponentials that sum to one over the last axis.
func (b *ModelBuilder) Softmax(name string, x Node) Node {
	if !b.known(name, x) {
		return Node{}
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Softmax{Softmax: &protocol.Softmax{}}}, x.Shape, x)
}

// Dropout adds zeros at this rate, drawn anew for each value and step, and scales what is kept; it does nothing in
// inference.
func (b *ModelBuilder) Dropout(name string, x Node, rate float64) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if !(rate >= 0 && rate < 1) {
		return b.fail(name, "wants a rate of at least 0 and below 1, not %v", rate)
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Dropout{Dropout: &protocol.Dropout{Rate: rate}}}, x.Shape, x)
}

// StopGradient adds x itself, through which no gradient passes.
func (b *ModelBuilder) StopGradient(name string, x Node) Node {
	if !b.known(name, x) {
		return Node{}
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_StopGradient{StopGradient: &protocol.StopGradient{}}}, x.Shape, x)
}

// Multiply adds the product of two nodes of one shape, or of x and a y that has the shape of x's last axes.
func (b *ModelBuilder) Multiply(name string, x, y Node) Node {
	if !b.pair(name, "multiplies", x, y) {
		return Node{}
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Multiply{Multiply: &protocol.Multiply{}}}, x.Shape, x, y)
}

// AveragePool adds the mean over a window, the same for every spatial axis; padding counts as zeros.
func (b *ModelBuilder) AveragePool(name string, x Node, kernel, stride, padding int64) Node {
	if !b.known(name, x) {
		return Node{}
	}
	shape, ok := b.pooled(name, x, kernel, stride, padding)
	if !ok {
		return Node{}
	}
	rank := x.Rank()
	op := &protocol.AveragePool{Kernel: repeat(kernel, rank), Stride: repeat(stride, rank), Padding: repeat(padding, rank)}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_AveragePool{AveragePool: op}}, shape, x)
}

// UpsampleNearest repeats each pixel scale times along every spatial axis.
func (b *ModelBuilder) UpsampleNearest(name string, x Node, scale int64) Node {
	return b.upsample(name, x, scale, protocol.Upsample_NEAREST)
}

// UpsampleLinear interpolates between pixels, taken as areas, to scale times as many along every spatial axis.
func (b *ModelBuilder) UpsampleLinear(name string, x Node, scale int64) Node {
	return b.upsample(name, x, scale, protocol.Upsample_LINEAR)
}

func (b *ModelBuilder) upsample(name string, x Node, scale int64, mode protocol.Upsample_Mode) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if x.Rank() < 1 || scale < 1 {
		return b.fail(name, "cannot enlarge the shape %v by %d", x.Shape, scale)
	}
	shape := []int64{}
	for _, n := range x.Shape[:x.Rank()] {
		shape = append(shape, n*scale)
	}
	op := &protocol.Upsample{Scale: repeat(scale, x.Rank()), Mode: mode}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Upsample{Upsample: op}}, append(shape, x.Channels()), x)
}

// ConvTransposeOptions of a transposed convolution. They hold for every spatial axis.
type ConvTransposeOptions struct {
	Out           int64 // channels
	Kernel        int64
	Stride        int64 // 0 means 1
	Padding       int64 // both sides, of the convolution whose gradient this is
	OutputPadding int64 // pixels more at one side of the output
	Dilation      int64 // 0 means 1
	Groups        int64 // 0 means 1
	Bias          bool
	Init          Initialiser // of the weight; nil: FanInUniform
	BiasInit      Initialiser // of the bias, given the weight's shape; nil: FanInUniform
	NoDecay       bool
}

// ConvTranspose adds the input gradient of a convolution as a layer, with the parameters NAME.weight
// [in, out/groups, kernel…] and NAME.bias.
func (b *ModelBuilder) ConvTranspose(name string, x Node, o ConvTransposeOptions) Node {
	if !b.known(name, x) {
		return Node{}
	}
	for _, v := range []*int64{&o.Stride, &o.Dilation, &o.Groups} {
		if *v == 0 {
			*v = 1
		}
	}
	if x.Rank() < 1 || o.Out < 1 || o.Kernel < 1 || o.Stride < 1 || o.Padding < 0 || o.Dilation < 1 || o.OutputPadding < 0 || o.OutputPadding >= max(o.Stride, o.Dilation) {
		return b.fail(name, "has an impossible geometry over %v: %+v", x.Shape, o)
	}
	if o.Groups < 1 || x.Channels()%o.Groups != 0 || o.Out%o.Groups != 0 {
		return b.fail(name, "cannot split %d channels into %d by %d groups", x.Channels(), o.Out, o.Groups)
	}
	rank := x.Rank()
	shape, weight := []int64{}, []int64{x.Channels(), o.Out / o.Groups}
	for _, n := range x.Shape[:rank] {
		shape = append(shape, max(0, (n-1)*o.Stride-2*o.Padding+o.Dilation*(o.Kernel-1)+o.OutputPadding+1))
		weight = append(weight, o.Kernel)
	}
	op := &protocol.ConvTranspose{Stride: repeat(o.Stride, rank), Padding: repeat(o.Padding, rank), OutputPadding: repeat(o.OutputPadding, rank),
		Dilation: repeat(o.Dilation, rank), Groups: o.Groups}
	n := b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_ConvTranspose{ConvTranspose: op}}, append(shape, o.Out), x)
	if b.err == nil {
		op.Weight, op.Bias = b.weights(name, weight, o.Out, o.Bias, o.Init, o.BiasInit, o.NoDecay)
	}
	return n
}

// add2 adds a layer of opset 2.
func (b *ModelBuilder) add2(l *protocol.Layer, shape []int64, inputs ...Node) Node {
	for _, x := range inputs {
		l.Inputs = append(l.Inputs, x.Name)
	}
	b.needs(2)
	return b.add(l, shape)
}
