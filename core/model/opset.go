package model

import "github.com/asterism-ssl/asterism/core/protocol"

// Opset is the greatest version of the set of layers that this package knows. A description of an older one stays valid,
// and may use what that one has.
const Opset = 2

// Kind names the operation of a layer.
type Kind string

// The layers of opset 1.
const (
	Conv              Kind = "conv"
	Linear            Kind = "linear"
	BatchNorm         Kind = "batch_norm"
	Relu              Kind = "relu"
	MaxPool           Kind = "max_pool"
	GlobalAveragePool Kind = "global_average_pool"
	Add               Kind = "add"
	L2Normalise       Kind = "l2_normalise"
)

// The layers of opset 2, an activation under the name of its function.
const (
	ConvTranspose Kind = "conv_transpose"
	Upsample      Kind = "upsample"
	LayerNorm     Kind = "layer_norm"
	GroupNorm     Kind = "group_norm"
	LeakyRelu     Kind = "leaky_relu"
	Gelu          Kind = "gelu"
	Silu          Kind = "silu"
	Sigmoid       Kind = "sigmoid"
	Tanh          Kind = "tanh"
	Softmax       Kind = "softmax"
	AveragePool   Kind = "average_pool"
	Multiply      Kind = "multiply"
	Concat        Kind = "concat"
	Reshape       Kind = "reshape"
	Slice         Kind = "slice"
	GatherTokens  Kind = "gather_tokens"
	ScatterTokens Kind = "scatter_tokens"
	TokenOrder    Kind = "token_order"
	Dropout       Kind = "dropout"
	StopGradient  Kind = "stop_gradient"
	Attention     Kind = "attention"
	Learned       Kind = "learned"
)

// rule is what the opset says about a kind.
type rule struct {
	opset  uint32 // that brought it
	inputs []int  // how many it may have; none listed: one or more
	// infer finds the parameters, the shape and the cost of a layer whose inputs are known.
	infer func(c *checker, l *Layer) error
}

var (
	none = []int{0}
	one  = []int{1}
	two  = []int{2}
)

var rules = map[Kind]rule{
	Conv:              {1, one, (*checker).conv},
	Linear:            {1, one, (*checker).linear},
	BatchNorm:         {1, one, (*checker).batchNorm},
	Relu:              {1, one, (*checker).same},
	MaxPool:           {1, one, (*checker).maxPool},
	GlobalAveragePool: {1, one, (*checker).globalAveragePool},
	Add:               {1, two, (*checker).combine},
	L2Normalise:       {1, one, (*checker).l2Normalise},
	ConvTranspose:     {2, one, (*checker).convTranspose},
	Upsample:          {2, one, (*checker).upsample},
	LayerNorm:         {2, one, (*checker).layerNorm},
	GroupNorm:         {2, one, (*checker).groupNorm},
	LeakyRelu:         {2, one, (*checker).activation},
	Gelu:              {2, one, (*checker).activation},
	Silu:              {2, one, (*checker).activation},
	Sigmoid:           {2, one, (*checker).activation},
	Tanh:              {2, one, (*checker).activation},
	Softmax:           {2, one, (*checker).same},
	AveragePool:       {2, one, (*checker).averagePool},
	Multiply:          {2, two, (*checker).combine},
	Concat:            {2, nil, (*checker).concat},
	Reshape:           {2, one, (*checker).reshape},
	Slice:             {2, one, (*checker).slice},
	GatherTokens:      {2, two, (*checker).gatherTokens},
	ScatterTokens:     {2, []int{3}, (*checker).scatterTokens},
	TokenOrder:        {2, one, (*checker).tokenOrder},
	Dropout:           {2, one, (*checker).dropout},
	StopGradient:      {2, one, (*checker).same},
	Attention:         {2, []int{1, 3}, (*checker).attention},
	Learned:           {2, none, (*checker).learned},
}

// kindOf is the kind of a layer's operation, "" if the opset has none such.
func kindOf(p *protocol.Layer) Kind {
	switch op := p.Op.(type) {
	case *protocol.Layer_Conv:
		return Conv
	case *protocol.Layer_Linear:
		return Linear
	case *protocol.Layer_BatchNorm:
		return BatchNorm
	case *protocol.Layer_Relu:
		return Relu
	case *protocol.Layer_MaxPool:
		return MaxPool
	case *protocol.Layer_GlobalAveragePool:
		return GlobalAveragePool
	case *protocol.Layer_Add:
		return Add
	case *protocol.Layer_L2Normalise:
		return L2Normalise
	case *protocol.Layer_ConvTranspose:
		return ConvTranspose
	case *protocol.Layer_Upsample:
		return Upsample
	case *protocol.Layer_LayerNorm:
		return LayerNorm
	case *protocol.Layer_GroupNorm:
		return GroupNorm
	case *protocol.Layer_Activation:
		return functions[op.Activation.GetFunction()]
	case *protocol.Layer_Softmax:
		return Softmax
	case *protocol.Layer_AveragePool:
		return AveragePool
	case *protocol.Layer_Multiply:
		return Multiply
	case *protocol.Layer_Concat:
		return Concat
	case *protocol.Layer_Reshape:
		return Reshape
	case *protocol.Layer_Slice:
		return Slice
	case *protocol.Layer_Gather:
		return GatherTokens
	case *protocol.Layer_Scatter:
		return ScatterTokens
	case *protocol.Layer_TokenOrder:
		return TokenOrder
	case *protocol.Layer_Dropout:
		return Dropout
	case *protocol.Layer_StopGradient:
		return StopGradient
	case *protocol.Layer_Attention:
		return Attention
	case *protocol.Layer_Learned:
		return Learned
	}
	return ""
}

var functions = map[protocol.Activation_Function]Kind{
	protocol.Activation_LEAKY_RELU: LeakyRelu,
	protocol.Activation_GELU:       Gelu,
	protocol.Activation_SILU:       Silu,
	protocol.Activation_SIGMOID:    Sigmoid,
	protocol.Activation_TANH:       Tanh,
}

// opset2 refuses what opset 2 brought to a layer of opset 1 in a description that asks for opset 1.
func (c *checker) opset2(l *Layer, what string) error {
	if c.Model.Opset >= 2 {
		return nil
	}
	return broken("layer %q (%s): %s is of opset 2, and the description asks for opset 1", l.Name, l.Kind, what)
}
