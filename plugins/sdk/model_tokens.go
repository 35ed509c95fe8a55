package sdk

import (
	"slices"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Layers for tokens: samples of the shape [tokens, channels].

// Reshape adds the same values, row-major, under another shape.
func (b *ModelBuilder) Reshape(name string, x Node, shape ...int64) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if count(shape) != count(x.Shape) || slices.Min(append([]int64{1}, shape...)) < 1 {
		return b.fail(name, "cannot turn the shape %v into %v", x.Shape, shape)
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: slices.Clone(shape)}}}, slices.Clone(shape), x)
}

// Slice adds the part [start, start+size) of an axis; a negative axis counts from the end.
func (b *ModelBuilder) Slice(name string, x Node, axis, start, size int64) Node {
	if !b.known(name, x) {
		return Node{}
	}
	at, ok := axisOf(axis, x)
	if !ok || start < 0 || size < 1 || start > x.Shape[at]-size {
		return b.fail(name, "cannot take %d from %d of axis %d of the shape %v", size, start, axis, x.Shape)
	}
	shape := slices.Clone(x.Shape)
	shape[at] = size
	op := &protocol.Slice{Axis: axis, Start: start, Size: size}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Slice{Slice: op}}, shape, x)
}

// Concat adds nodes behind one another along an axis; a negative axis counts from the end.
func (b *ModelBuilder) Concat(name string, axis int64, xs ...Node) Node {
	if len(xs) == 0 {
		return b.fail(name, "joins nothing")
	}
	for _, x := range xs {
		if !b.known(name, x) {
			return Node{}
		}
	}
	at, ok := axisOf(axis, xs[0])
	if !ok {
		return b.fail(name, "joins along axis %d of the shape %v", axis, xs[0].Shape)
	}
	shape := slices.Clone(xs[0].Shape)
	for _, x := range xs[1:] {
		if len(x.Shape) != len(shape) || !slices.Equal(x.Shape[:at], shape[:at]) || !slices.Equal(x.Shape[at+1:], shape[at+1:]) {
			return b.fail(name, "joins the shapes %v and %v along axis %d", xs[0].Shape, x.Shape, axis)
		}
		shape[at] += x.Shape[at]
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Concat{Concat: &protocol.Concat{Axis: axis}}}, shape, xs...)
}

func axisOf(axis int64, x Node) (int, bool) {
	if axis < 0 {
		axis += int64(len(x.Shape))
	}
	return int(axis), axis >= 0 && axis < int64(len(x.Shape))
}

// Gather adds the tokens [n, c] at indices [k]: [k, c].
func (b *ModelBuilder) Gather(name string, x, indices Node) Node {
	if !b.known(name, x) || !b.known(name, indices) {
		return Node{}
	}
	if x.Rank() != 1 || indices.Rank() != 0 {
		return b.fail(name, "wants tokens and a vector of indices, not the shapes %v and %v", x.Shape, indices.Shape)
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Gather{Gather: &protocol.GatherTokens{}}}, []int64{indices.Channels(), x.Channels()}, x, indices)
}

// Scatter puts the tokens [k, c] at indices [k] among n tokens; where no index points stands filling [c].
func (b *ModelBuilder) Scatter(name string, x, indices, filling Node, n int64) Node {
	if !b.known(name, x) || !b.known(name, indices) || !b.known(name, filling) {
		return Node{}
	}
	if x.Rank() != 1 || !slices.Equal(indices.Shape, x.Shape[:1]) || !slices.Equal(filling.Shape, x.Shape[1:]) || n < x.Shape[0] {
		return b.fail(name, "cannot put the tokens %v at indices %v among %d that are filled with %v", x.Shape, indices.Shape, n, filling.Shape)
	}
	op := &protocol.ScatterTokens{Tokens: n}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Scatter{Scatter: op}}, []int64{n, x.Channels()}, x, indices, filling)
}

// TokenOrder adds a permutation of the tokens' indices, drawn anew for each sample and step; in inference they are in order.
func (b *ModelBuilder) TokenOrder(name string, x Node) Node {
	if !b.known(name, x) {
		return Node{}
	}
	if x.Rank() != 1 {
		return b.fail(name, "wants tokens, not the shape %v", x.Shape)
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_TokenOrder{TokenOrder: &protocol.TokenOrder{}}}, x.Shape[:1], x)
}

// LearnedOptions of a parameter that stands for itself.
type LearnedOptions struct {
	Shape   []int64
	Init    Initialiser
	NoDecay bool
}

// Learned adds the parameter NAME itself, the same for every sample: a class token, positions, scales.
func (b *ModelBuilder) Learned(name string, o LearnedOptions) Node {
	if b.err == nil && (len(o.Shape) == 0 || o.Init == nil) {
		return b.fail(name, "is learned and wants a shape and a start")
	}
	n := b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Learned{Learned: &protocol.Learned{Parameter: name}}}, slices.Clone(o.Shape))
	if b.err == nil {
		b.parameter(name, slices.Clone(o.Shape), o.Init(o.Shape), false, o.NoDecay)
	}
	return n
}

// Attention adds what each query [n, c] finds among keys and values [m, c]: in each of heads equal parts of the channels,
// softmax(q·k/√(c/heads))·v. It has no parameters.
func (b *ModelBuilder) Attention(name string, query, key, value Node, heads int64) Node {
	if !b.known(name, query) || !b.known(name, key) || !b.known(name, value) {
		return Node{}
	}
	if query.Rank() != 1 || !slices.Equal(key.Shape, value.Shape) || key.Rank() != 1 || key.Channels() != query.Channels() || !splits(query.Channels(), heads) {
		return b.fail(name, "wants tokens of channels that %d heads share equally, not the shapes %v, %v and %v", heads, query.Shape, key.Shape, value.Shape)
	}
	return b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Attention{Attention: &protocol.Attention{Heads: heads}}}, query.Shape, query, key, value)
}

// SelfAttention adds the attention of tokens [n, c] to each other with a linear layer before and one after, PyTorch's
// MultiheadAttention with its names and start: NAME.in_proj_weight [3c, c], NAME.in_proj_bias, NAME.out_proj.weight [c, c]
// and NAME.out_proj.bias.
func (b *ModelBuilder) SelfAttention(name string, x Node, heads int64) Node {
	if !b.known(name, x) {
		return Node{}
	}
	c := x.Channels()
	if x.Rank() != 1 || !splits(c, heads) {
		return b.fail(name, "wants tokens of channels that %d heads share equally, not the shape %v", heads, x.Shape)
	}
	op := &protocol.Linear{}
	y := b.add2(&protocol.Layer{Name: name + ".in_proj", Op: &protocol.Layer_Linear{Linear: op}}, withLast(x.Shape, 3*c), x)
	if b.err != nil {
		return Node{}
	}
	weight := []int64{3 * c, c}
	op.Weight = b.parameter(name+".in_proj_weight", weight, XavierUniform(weight), false, false)
	op.Bias = b.parameter(name+".in_proj_bias", weight[:1], Constant(0)(nil), false, false)
	y = b.add2(&protocol.Layer{Name: name, Op: &protocol.Layer_Attention{Attention: &protocol.Attention{Heads: heads}}}, x.Shape, y)
	return b.Linear(name+".out_proj", y, LinearOptions{Out: c, BiasInit: Constant(0)})
}

func splits(channels, heads int64) bool { return heads >= 1 && channels%heads == 0 }
