package model

import (
	"math"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Bound gives bounds on the absolute values of a model's outputs, from one on its inputs and from its parameters' values, and
// one on all that is computed on the way, squares and products included: where that is far from overflow, values that are not
// finite are the engine's defect. Train says whether batch norm takes the statistics of a batch.
func (g *Graph) Bound(input float64, batch int, train bool, values func(parameter string) []float32) (outputs map[string]float64, worst float64) {
	of := map[*Layer]float64{nil: input}
	worst = input
	for _, l := range g.Layers {
		in := make([]float64, len(l.From))
		for i, from := range l.From {
			in[i] = of[from]
		}
		bound, between := l.bound(in, batch, train, values)
		of[l] = bound
		worst = max(worst, bound, between)
	}
	outputs = map[string]float64{}
	for name, l := range g.Outputs {
		outputs[name] = of[l]
	}
	return outputs, worst
}

// bound is that of a layer's output, and of what is computed on the way to it.
func (l *Layer) bound(in []float64, batch int, train bool, values func(string) []float32) (bound, between float64) {
	largest := func(parameter string) float64 {
		if parameter == "" {
			return 0
		}
		return norm(values(parameter))
	}
	// normalised is the bound of n values that have been divided by their deviation, and of their squares' sum.
	normalised := func(n int64, weight, bias string) (float64, float64) {
		scale := 1.0
		if weight != "" {
			scale = largest(weight)
		}
		return scale*math.Sqrt(float64(n)) + largest(bias), 4 * in[0] * in[0] * float64(n)
	}
	channels := l.Shape[len(l.Shape)-1]
	switch op := l.Op.(type) {
	case *protocol.Layer_Conv:
		return in[0]*rows(values(op.Conv.Weight), l.graph.byParam[op.Conv.Weight].Shape[0]) + largest(op.Conv.Bias), 0
	case *protocol.Layer_Linear:
		weight := values(op.Linear.Weight)
		sum := rows(weight, channels)
		if op.Linear.UnitNorm {
			sum = math.Sqrt(float64(int64(len(weight)) / channels))
			between = norm(weight) * norm(weight) * float64(len(weight))
		}
		return in[0]*sum + largest(op.Linear.Bias), between
	case *protocol.Layer_ConvTranspose:
		return in[0]*rows(values(op.ConvTranspose.Weight), 1) + largest(op.ConvTranspose.Bias), 0
	case *protocol.Layer_BatchNorm:
		b := op.BatchNorm
		if train {
			return normalised(int64(batch)*Size(l.Shape)/channels, b.Weight, b.Bias)
		}
		bound = largest(b.Weight)*(in[0]+largest(b.RunningMean))/math.Sqrt(b.Epsilon) + largest(b.Bias)
		return bound, bound
	case *protocol.Layer_LayerNorm:
		return normalised(channels, op.LayerNorm.Weight, op.LayerNorm.Bias)
	case *protocol.Layer_GroupNorm:
		return normalised(Size(l.Shape), op.GroupNorm.Weight, op.GroupNorm.Bias)
	case *protocol.Layer_L2Normalise:
		return 1, in[0] * in[0] * float64(channels)
	case *protocol.Layer_Softmax:
		return 1, in[0]
	case *protocol.Layer_Activation:
		switch op.Activation.Function {
		case protocol.Activation_SIGMOID, protocol.Activation_TANH:
			return 1, in[0]
		case protocol.Activation_LEAKY_RELU:
			return in[0] * max(1, math.Abs(op.Activation.Slope)), in[0]
		}
		return in[0], in[0] * in[0]
	case *protocol.Layer_Attention:
		value := in[len(in)-1]
		return value, in[0] * in[min(1, len(in)-1)] * float64(l.InShape(0)[1])
	case *protocol.Layer_Add:
		return in[0] + in[1], 0
	case *protocol.Layer_Multiply:
		return in[0] * in[1], 0
	case *protocol.Layer_Dropout:
		return in[0] / (1 - op.Dropout.Rate), 0
	case *protocol.Layer_TokenOrder:
		return float64(Size(l.Shape)), 0
	case *protocol.Layer_Learned:
		return largest(op.Learned.Parameter), 0
	case *protocol.Layer_GlobalAveragePool:
		return in[0], in[0] * float64(Size(l.InShape(0)))
	case *protocol.Layer_AveragePool:
		n := 1.0
		for _, k := range op.AveragePool.Kernel {
			n *= float64(k)
		}
		return in[0], in[0] * n
	}
	for _, b := range in { // what moves values about or chooses among them
		bound = max(bound, b)
	}
	return bound, 0
}

// norm is the largest absolute value.
func norm(values []float32) float64 {
	var n float64
	for _, v := range values {
		n = max(n, math.Abs(float64(v)))
	}
	return n
}

// rows is the largest sum of absolute values among n equal parts.
func rows(values []float32, n int64) float64 {
	var largest float64
	size := len(values) / int(n)
	for i := range int(n) {
		sum := 0.0
		for _, v := range values[i*size : (i+1)*size] {
			sum += math.Abs(float64(v))
		}
		largest = max(largest, sum)
	}
	return largest
}
