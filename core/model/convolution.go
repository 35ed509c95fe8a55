package model

import (
	"slices"
)

func (c *checker) conv(l *Layer) error {
	p, in := l.GetConv(), l.InShape(0)
	if p.GetGroups() != 0 {
		if err := c.opset2(l, "its field groups"); err != nil {
			return err
		}
	}
	groups, err := split(l, p.GetGroups(), in)
	if err != nil {
		return err
	}
	rank, channels := len(in)-1, in[len(in)-1]
	w, err := c.param(l, "weight", p.GetWeight(), slices.Concat([]int64{-1, channels / groups}, open(rank)))
	if err != nil {
		return err
	}
	if w.Shape[0]%groups != 0 {
		return broken("layer %q (conv): its %d groups do not divide the %d channels that it gives", l.Name, groups, w.Shape[0])
	}
	if err := c.vector(l, "bias", p.GetBias(), w.Shape[0]); err != nil {
		return err
	}
	out, err := window(l, in, w.Shape[2:], p.GetStride(), p.GetPadding(), p.GetDilation())
	if err != nil {
		return err
	}
	l.Shape = append(out, w.Shape[0])
	return c.cost(l, slices.Concat(l.Shape, w.Shape[1:])...)
}

func (c *checker) convTranspose(l *Layer) error {
	p, in := l.GetConvTranspose(), l.InShape(0)
	groups, err := split(l, p.GetGroups(), in)
	if err != nil {
		return err
	}
	rank, channels := len(in)-1, in[len(in)-1]
	w, err := c.param(l, "weight", p.GetWeight(), slices.Concat([]int64{channels, -1}, open(rank)))
	if err != nil {
		return err
	}
	outputs := w.Shape[1] * groups
	if err := c.vector(l, "bias", p.GetBias(), outputs); err != nil {
		return err
	}
	kernel, stride, padding, dilation, added := w.Shape[2:], p.GetStride(), p.GetPadding(), p.GetDilation(), p.GetOutputPadding()
	if err := spatial(l, rank, setting{"stride", stride, 1}, setting{"padding", padding, 0}, setting{"output_padding", added, 0}, setting{"dilation", dilation, 1}); err != nil {
		return err
	}
	l.Shape = make([]int64, rank, rank+1)
	for i := range l.Shape {
		if added[i] >= max(stride[i], dilation[i]) {
			return broken("layer %q (conv_transpose): output_padding %v must be less than stride %v or dilation %v", l.Name, added, stride, dilation)
		}
		if l.Shape[i] = (in[i]-1)*stride[i] + dilation[i]*(kernel[i]-1) + 1 + added[i] - 2*padding[i]; l.Shape[i] < 1 {
			return unfit("layer %q (conv_transpose): its window of %v leaves nothing of the input %v with padding %v", l.Name, kernel, in, padding)
		}
	}
	l.Shape = append(l.Shape, outputs)
	return c.cost(l, slices.Concat(in, w.Shape[1:])...) // each value of the input meets each tap once
}

// linear computes over the last axis.
func (c *checker) linear(l *Layer) error {
	p, in := l.GetLinear(), l.InShape(0)
	rank, channels := len(in)-1, in[len(in)-1]
	if rank > 0 {
		if err := c.opset2(l, "reading a map or tokens"); err != nil {
			return err
		}
	}
	if p.GetUnitNorm() {
		if err := c.opset2(l, "its field unit_norm"); err != nil {
			return err
		}
	}
	w, err := c.param(l, "weight", p.GetWeight(), []int64{-1, channels})
	if err != nil {
		return err
	}
	if err := c.vector(l, "bias", p.GetBias(), w.Shape[0]); err != nil {
		return err
	}
	l.Shape = slices.Concat(in[:rank], w.Shape[:1])
	return c.cost(l, slices.Concat(in, w.Shape[:1])...)
}

// split checks what a convolution of either direction reads, and gives the number of groups of its channels.
func split(l *Layer, groups int64, in []int64) (int64, error) {
	rank, channels := len(in)-1, in[len(in)-1]
	if rank < 1 {
		return 0, broken("layer %q (%s) reads the shape %v; it takes one to three dimensions of space", l.Name, l.Kind, in)
	}
	if groups == 0 {
		return 1, nil
	}
	if groups < 0 || channels%groups != 0 {
		return 0, broken("layer %q (%s): its %d groups do not divide the %d channels that it reads", l.Name, l.Kind, groups, channels)
	}
	return groups, nil
}

// open is the pattern of a kernel of any size.
func open(rank int) []int64 { return []int64{-1, -1, -1}[:rank] }

// setting is a field of a layer with a value for each dimension of space.
type setting struct {
	name   string
	values []int64
	least  int64
}

func spatial(l *Layer, rank int, settings ...setting) error {
	for _, s := range settings {
		if len(s.values) != rank {
			return broken("layer %q (%s): %s %v must have %d values, one for each dimension of space", l.Name, l.Kind, s.name, s.values, rank)
		}
		for _, v := range s.values {
			if v < s.least || v > maxDimension {
				return broken("layer %q (%s): %s %v must have values of at least %d, at most %d", l.Name, l.Kind, s.name, s.values, s.least, maxDimension)
			}
		}
	}
	return nil
}

// window gives the spatial shape that a sliding window leaves: ⌊(in + 2·padding − dilation·(kernel−1) − 1) / stride⌋ + 1.
func window(l *Layer, in, kernel, stride, padding, dilation []int64) ([]int64, error) {
	rank := len(in) - 1
	if err := spatial(l, rank, setting{"kernel", kernel, 1}, setting{"stride", stride, 1}, setting{"padding", padding, 0}, setting{"dilation", dilation, 1}); err != nil {
		return nil, err
	}
	out := make([]int64, rank, rank+1)
	for i := range out {
		span := in[i] + 2*padding[i] - dilation[i]*(kernel[i]-1) - 1
		if span < 0 {
			return nil, unfit("layer %q (%s): its window of %v does not fit into the input %v with padding %v", l.Name, l.Kind, kernel, in, padding)
		}
		out[i] = span/stride[i] + 1
	}
	return out, nil
}
