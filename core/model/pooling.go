package model

import (
	"slices"

	"github.com/asterism-ssl/asterism/core/protocol"
)

func (c *checker) maxPool(l *Layer) error {
	p := l.GetMaxPool()
	return pool(l, p.GetKernel(), p.GetStride(), p.GetPadding())
}

func (c *checker) averagePool(l *Layer) error {
	p := l.GetAveragePool()
	return pool(l, p.GetKernel(), p.GetStride(), p.GetPadding())
}

func pool(l *Layer, kernel, stride, padding []int64) error {
	in := l.InShape(0)
	rank := len(in) - 1
	if rank < 1 {
		return broken("layer %q (%s) reads a vector; there is nothing to pool", l.Name, l.Kind)
	}
	out, err := window(l, in, kernel, stride, padding, []int64{1, 1, 1}[:rank])
	if err != nil {
		return err
	}
	for i, k := range kernel {
		if 2*padding[i] > k {
			return broken("layer %q (%s): the padding %v is more than half of the kernel %v", l.Name, l.Kind, padding, kernel)
		}
	}
	l.Shape = append(out, in[rank])
	return nil
}

func (c *checker) globalAveragePool(l *Layer) error {
	in := l.InShape(0)
	rank := len(in) - 1
	if rank < 1 {
		return broken("layer %q (global_average_pool) reads a vector; there is nothing to pool", l.Name)
	}
	l.Shape = in[rank:]
	return nil
}

func (c *checker) upsample(l *Layer) error {
	p, in := l.GetUpsample(), l.InShape(0)
	rank := len(in) - 1
	if rank < 1 {
		return broken("layer %q (upsample) reads a vector; there is nothing to enlarge", l.Name)
	}
	if err := spatial(l, rank, setting{"scale", p.GetScale(), 1}); err != nil {
		return err
	}
	switch p.GetMode() {
	case protocol.Upsample_NEAREST, protocol.Upsample_LINEAR:
	default:
		return broken("layer %q (upsample) has the mode %v, which opset %d does not know", l.Name, p.GetMode(), Opset)
	}
	l.Shape = slices.Clone(in)
	for i, s := range p.GetScale() {
		l.Shape[i] *= s
	}
	return nil
}
