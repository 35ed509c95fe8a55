package model

import (
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// infer finds the parameters, the shape and the cost of a layer whose inputs are known.
func (g *Graph) infer(l *Layer, used map[string]string) error {
	in := l.InShape(0)
	rank, channels := len(in)-1, in[len(in)-1]
	switch op := l.Op.(type) {
	case *protocol.Layer_Conv:
		return g.inferConv(l, op.Conv, in, used)
	case *protocol.Layer_Linear:
		if rank != 0 {
			return broken("layer %q (linear) reads a map of shape %v; it takes a vector", l.Name, in)
		}
		w, err := g.param(l, "weight", op.Linear.GetWeight(), false, []int64{-1, channels}, used)
		if err != nil {
			return err
		}
		if name := op.Linear.GetBias(); name != "" {
			if _, err := g.param(l, "bias", name, false, w.Shape[:1], used); err != nil {
				return err
			}
		}
		l.Shape, l.FLOPs = []int64{w.Shape[0]}, 2*w.Shape[0]*channels
	case *protocol.Layer_BatchNorm:
		n := op.BatchNorm
		for _, p := range []struct {
			role, name string
			buffer     bool
		}{{"weight", n.GetWeight(), false}, {"bias", n.GetBias(), false}, {"running mean", n.GetRunningMean(), true}, {"running variance", n.GetRunningVar(), true}} {
			if _, err := g.param(l, p.role, p.name, p.buffer, []int64{channels}, used); err != nil {
				return err
			}
		}
		if !(n.GetEpsilon() > 0) || math.IsInf(n.GetEpsilon(), 0) {
			return broken("layer %q (batch_norm): epsilon %v must be positive", l.Name, n.GetEpsilon())
		}
		if !(n.GetMomentum() >= 0 && n.GetMomentum() <= 1) {
			return broken("layer %q (batch_norm): momentum %v must be between 0 and 1", l.Name, n.GetMomentum())
		}
		l.Shape = in
	case *protocol.Layer_Relu:
		l.Shape = in
	case *protocol.Layer_MaxPool:
		return inferPool(l, op.MaxPool, in)
	case *protocol.Layer_GlobalAveragePool:
		if rank == 0 {
			return broken("layer %q (global_average_pool) reads a vector; there is nothing to pool", l.Name)
		}
		l.Shape = in[rank:]
	case *protocol.Layer_Add:
		if !slices.Equal(in, l.InShape(1)) {
			return broken("layer %q (add): its inputs have the shapes %v and %v, they must be equal", l.Name, in, l.InShape(1))
		}
		l.Shape = in
	case *protocol.Layer_L2Normalise:
		if e := op.L2Normalise.GetEpsilon(); !(e > 0) || math.IsInf(e, 0) {
			return broken("layer %q (l2_normalise): epsilon %v must be positive", l.Name, e)
		}
		l.Shape = in
	}
	return nil
}

func (g *Graph) inferConv(l *Layer, c *protocol.Conv, in []int64, used map[string]string) error {
	rank, channels := len(in)-1, in[len(in)-1]
	if rank < 1 || rank > 3 {
		return broken("layer %q (conv) reads the shape %v; it takes one to three dimensions of space", l.Name, in)
	}
	want := make([]int64, rank+2)
	for i := range want {
		want[i] = -1
	}
	want[1] = channels
	w, err := g.param(l, "weight", c.GetWeight(), false, want, used)
	if err != nil {
		return err
	}
	if c.GetBias() != "" {
		if _, err := g.param(l, "bias", c.GetBias(), false, w.Shape[:1], used); err != nil {
			return err
		}
	}
	kernel := w.Shape[2:]
	out, err := window(l, in, kernel, c.GetStride(), c.GetPadding(), c.GetDilation())
	if err != nil {
		return err
	}
	l.Shape = append(out, w.Shape[0])
	if err := shape(l.Shape); err != nil {
		return broken("layer %q (conv) would give the shape %v: %v", l.Name, l.Shape, err)
	}
	// 2·outputs·channels·taps; both factors are bounded by the checks on shapes, their product may not be.
	products := float64(Size(l.Shape)) * float64(Size(w.Shape[1:]))
	if products > math.MaxInt64/8 {
		return broken("layer %q (conv) would take %.0e products a sample", l.Name, products)
	}
	l.FLOPs = 2 * Size(l.Shape) * Size(w.Shape[1:])
	return nil
}

func inferPool(l *Layer, p *protocol.MaxPool, in []int64) error {
	rank := len(in) - 1
	if rank < 1 {
		return broken("layer %q (max_pool) reads a vector; there is nothing to pool", l.Name)
	}
	ones := []int64{1, 1, 1}[:rank]
	out, err := window(l, in, p.GetKernel(), p.GetStride(), p.GetPadding(), ones)
	if err != nil {
		return err
	}
	for i, k := range p.GetKernel() {
		if 2*p.Padding[i] > k {
			return broken("layer %q (max_pool): the padding %v is more than half of the kernel %v", l.Name, p.Padding, p.Kernel)
		}
	}
	l.Shape = append(out, in[rank])
	return nil
}

// window gives the spatial shape that a sliding window leaves: ⌊(in + 2·padding − dilation·(kernel−1) − 1) / stride⌋ + 1.
func window(l *Layer, in, kernel, stride, padding, dilation []int64) ([]int64, error) {
	rank := len(in) - 1
	for _, p := range []struct {
		name   string
		values []int64
		least  int64
	}{{"kernel", kernel, 1}, {"stride", stride, 1}, {"padding", padding, 0}, {"dilation", dilation, 1}} {
		if len(p.values) != rank {
			return nil, broken("layer %q (%s): %s %v must have %d values, one for each dimension of space", l.Name, l.Kind, p.name, p.values, rank)
		}
		for _, v := range p.values {
			if v < p.least || v > maxDimension {
				return nil, broken("layer %q (%s): %s %v must have values of at least %d", l.Name, l.Kind, p.name, p.values, p.least)
			}
		}
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
