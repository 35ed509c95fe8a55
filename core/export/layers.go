package export

import (
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/core/model"
)

// lowerings write the layers of a model description as nodes of ONNX, those at least that encoders use.
var lowerings map[model.Kind]func(g *graph, l *model.Layer)

func init() { // they refer to one another
	lowerings = map[model.Kind]func(g *graph, l *model.Layer){
		model.Conv: (*graph).conv, model.Linear: (*graph).linear, model.BatchNorm: (*graph).batchNorm, model.LayerNorm: (*graph).layerNorm,
		model.GroupNorm: (*graph).groupNorm, model.L2Normalise: (*graph).l2Normalise,
		model.MaxPool: (*graph).maxPool, model.AveragePool: (*graph).averagePool, model.GlobalAveragePool: (*graph).globalAveragePool,
		model.Relu: each("Relu"), model.Sigmoid: each("Sigmoid"), model.Tanh: each("Tanh"), model.LeakyRelu: (*graph).leakyRelu,
		model.Gelu: (*graph).gelu, model.Silu: (*graph).silu, model.Softmax: (*graph).softmax,
		model.Add: pairs("Add"), model.Multiply: pairs("Mul"),
		model.Concat: (*graph).concat, model.Slice: (*graph).slice, model.Reshape: (*graph).reshape, model.Learned: (*graph).constant,
		model.Attention: (*graph).attention, model.Dropout: (*graph).same, model.StopGradient: (*graph).same,
	}
}

// with adds parameters to inputs, those that there are.
func (g *graph) with(inputs []string, parameters ...string) []string {
	for _, name := range parameters {
		if name != "" {
			inputs = append(inputs, g.parameter(name))
		}
	}
	return inputs
}

func (g *graph) conv(l *model.Layer) {
	p := l.GetConv()
	g.set(l, g.add("Conv", l.Name, g.with([]string{g.first(g.in(l, 0))}, p.Weight, p.Bias),
		"kernel_shape", g.arrays[p.Weight].Shape[2:], "strides", p.Stride, "pads", both(p.Padding), "dilations", p.Dilation, "group", int(max(1, p.Groups))), true)
}

// both gives a padding of both sides: ONNX has all beginnings, then all ends.
func both(padding []int64) []int64 { return slices.Concat(padding, padding) }

func (g *graph) linear(l *model.Layer) {
	p, x := l.GetLinear(), g.last(g.in(l, 0))
	if len(l.Shape) == 1 {
		g.set(l, g.add("Gemm", l.Name, g.with([]string{x}, p.Weight, p.Bias), "transB", 1), false)
		return
	}
	y := g.add("MatMul", l.Name, []string{x, g.add("Transpose", p.Weight+".turned", []string{g.parameter(p.Weight)}, "perm", []int64{1, 0})})
	if p.Bias != "" {
		y = g.add("Add", l.Name+".biased", []string{y, g.parameter(p.Bias)})
	}
	g.set(l, y, false)
}

func (g *graph) batchNorm(l *model.Layer) {
	p := l.GetBatchNorm()
	g.set(l, g.add("BatchNormalization", l.Name, g.with([]string{g.first(g.in(l, 0))}, p.Weight, p.Bias, p.RunningMean, p.RunningVar), "epsilon", p.Epsilon), true)
}

func (g *graph) layerNorm(l *model.Layer) {
	p, inputs := l.GetLayerNorm(), []string{g.last(g.in(l, 0))}
	if p.Weight == "" {
		inputs = append(inputs, g.filled(l.Shape[len(l.Shape)-1], 1))
	}
	g.set(l, g.add("LayerNormalization", l.Name, g.with(inputs, p.Weight, p.Bias), "axis", -1, "epsilon", p.Epsilon), false)
}

// groupNorm normalises each group as a channel of an image of one dimension.
func (g *graph) groupNorm(l *model.Layer) {
	p, channels := l.GetGroupNorm(), l.Shape[len(l.Shape)-1]
	x := g.reshaped(g.first(g.in(l, 0)), p.Groups, -1)
	x = g.add("InstanceNormalization", l.Name, []string{x, g.filled(p.Groups, 1), g.filled(p.Groups, 0)}, "epsilon", p.Epsilon)
	x = g.reshaped(x, bandsFirst(l.Shape)...)
	channel := slices.Repeat([]int64{1}, len(l.Shape))
	channel[0] = channels
	for i, name := range []string{p.Weight, p.Bias} {
		if name != "" {
			x = g.add([]string{"Mul", "Add"}[i], l.Name+[]string{".scaled", ".shifted"}[i],
				[]string{x, g.add("Reshape", name+".reshaped", []string{g.parameter(name), g.whole(channel...)})})
		}
	}
	g.set(l, x, true)
}

func (g *graph) l2Normalise(l *model.Layer) {
	x := g.last(g.in(l, 0))
	length := g.add("ReduceL2", l.Name+".length", []string{x}, "axes", []int64{-1}, "keepdims", 1)
	length = g.add("Max", l.Name+".bounded", []string{length, g.scalar(l.GetL2Normalise().Epsilon)})
	g.set(l, g.add("Div", l.Name, []string{x, length}), false)
}

func (g *graph) maxPool(l *model.Layer) {
	p := l.GetMaxPool()
	g.set(l, g.add("MaxPool", l.Name, []string{g.first(g.in(l, 0))}, "kernel_shape", p.Kernel, "strides", p.Stride, "pads", both(p.Padding)), true)
}

func (g *graph) averagePool(l *model.Layer) {
	p := l.GetAveragePool()
	g.set(l, g.add("AveragePool", l.Name, []string{g.first(g.in(l, 0))}, "kernel_shape", p.Kernel, "strides", p.Stride, "pads", both(p.Padding), "count_include_pad", 1), true)
}

func (g *graph) globalAveragePool(l *model.Layer) {
	v := g.in(l, 0)
	x, first := v.either()
	var axes []int64
	for axis := range len(v.shape) - 1 {
		axes = append(axes, int64(axisOf(axis, len(v.shape), first)))
	}
	g.set(l, g.add("ReduceMean", l.Name, []string{x}, "axes", axes, "keepdims", 0), false)
}

// each is a function of each value alone.
func each(op string) func(g *graph, l *model.Layer) {
	return func(g *graph, l *model.Layer) {
		x, first := g.in(l, 0).either()
		g.set(l, g.add(op, l.Name, []string{x}), first)
	}
}

func (g *graph) leakyRelu(l *model.Layer) {
	x, first := g.in(l, 0).either()
	g.set(l, g.add("LeakyRelu", l.Name, []string{x}, "alpha", l.GetActivation().Slope), first)
}

// gelu is x · ½ · (1 + erf(x/√2)).
func (g *graph) gelu(l *model.Layer) {
	x, first := g.in(l, 0).either()
	y := g.add("Mul", l.Name+".scaled", []string{x, g.scalar(math.Sqrt2 / 2)})
	y = g.add("Erf", l.Name+".erf", []string{y})
	y = g.add("Add", l.Name+".shifted", []string{y, g.scalar(1)})
	y = g.add("Mul", l.Name+".product", []string{x, y})
	g.set(l, g.add("Mul", l.Name, []string{y, g.scalar(0.5)}), first)
}

func (g *graph) silu(l *model.Layer) {
	x, first := g.in(l, 0).either()
	g.set(l, g.add("Mul", l.Name, []string{x, g.add("Sigmoid", l.Name+".sigmoid", []string{x})}), first)
}

func (g *graph) softmax(l *model.Layer) {
	x, first := g.in(l, 0).either()
	g.set(l, g.add("Softmax", l.Name, []string{x}, "axis", axisOf(len(l.Shape)-1, len(l.Shape), first)), first)
}

// pairs combines two inputs value by value. The second may have the shape of the first's last axes.
func pairs(op string) func(g *graph, l *model.Layer) {
	return func(g *graph, l *model.Layer) {
		a, b := g.in(l, 0), g.in(l, 1)
		x, first := a.either()
		var y string
		switch missing := len(a.shape) - len(b.shape); {
		case missing == 0 && first:
			y = g.first(b)
		case missing == 0:
			y = g.last(b)
		case first && len(b.shape) == 1:
			y = g.reshaped(g.last(b), slices.Concat(b.shape, slices.Repeat([]int64{1}, missing))...)
		default:
			x, first = g.last(a), false
			y = g.reshaped(g.last(b), slices.Concat(slices.Repeat([]int64{1}, missing), b.shape)...)
		}
		g.set(l, g.add(op, l.Name, []string{x, y}), first)
	}
}

func (g *graph) concat(l *model.Layer) {
	constant := true
	for i := range l.Inputs {
		constant = constant && g.in(l, i).constant
	}
	_, first := g.in(l, 0).either()
	var inputs []string
	for i := range l.Inputs {
		v := g.in(l, i)
		x := g.last(v)
		if first {
			x = g.first(v)
		}
		if !constant {
			x = g.batched(v, x)
		}
		inputs = append(inputs, x)
	}
	g.set(l, g.add("Concat", l.Name, inputs, "axis", axisOf(l.Axis, len(l.Shape), first)), first)
}

func (g *graph) slice(l *model.Layer) {
	p := l.GetSlice()
	x, first := g.in(l, 0).either()
	g.set(l, g.cut(l.Name, x, axisOf(l.Axis, len(l.Shape), first), p.Start, p.Size), first)
}

// cut takes size values from start on along an axis of the graph.
func (g *graph) cut(name, x string, axis int, start, size int64) string {
	return g.add("Slice", name, []string{x, g.whole(start), g.whole(start + size), g.whole(int64(axis))})
}

func (g *graph) reshape(l *model.Layer) {
	g.set(l, g.reshaped(g.last(g.in(l, 0)), l.Shape...), false)
}

// constant is a parameter, as a batch of one.
func (g *graph) constant(l *model.Layer) {
	g.set(l, g.add("Reshape", l.Name, []string{g.parameter(l.GetLearned().Parameter), g.whole(append([]int64{1}, l.Shape...)...)}), false)
}

// same is a layer that does nothing in inference.
func (g *graph) same(l *model.Layer) { g.values[l.Name] = g.in(l, 0) }

// attention is softmax(query · keyᵀ / √width) · value for each head.
func (g *graph) attention(l *model.Layer) {
	n, channels, heads := l.Shape[0], l.Shape[1], l.GetAttention().Heads
	var parts [3]string
	tokens := [3]int64{n, n, n}
	for i := range parts {
		if len(l.Inputs) == 3 {
			parts[i], tokens[i] = g.last(g.in(l, i)), g.in(l, i).shape[0]
		} else {
			parts[i] = g.cut(l.Name+"."+[]string{"query", "key", "value"}[i], g.last(g.in(l, 0)), 2, int64(i)*channels, channels)
		}
		axes := []int64{0, 2, 1, 3} // batch, heads, tokens, width
		if i == 1 {
			axes = []int64{0, 2, 3, 1}
		}
		parts[i] = g.add("Transpose", parts[i]+".heads", []string{g.reshaped(parts[i], tokens[i], heads, channels/heads)}, "perm", axes)
	}
	x := g.add("Mul", l.Name+".scaled", []string{parts[0], g.scalar(1 / math.Sqrt(float64(channels/heads)))})
	x = g.add("Softmax", l.Name+".weights", []string{g.add("MatMul", l.Name+".products", []string{x, parts[1]})}, "axis", -1)
	x = g.add("Transpose", l.Name+".joined", []string{g.add("MatMul", l.Name, []string{x, parts[2]})}, "perm", []int64{0, 2, 1, 3})
	g.set(l, g.reshaped(x, n, channels), false)
}
