package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Convolutions, and what linear layers share with them.
const (
	opConv       kind = "conv"       // x, w, [bias] → y; a linear layer is the convolution of rank 0
	opConvInput  kind = "conv dx"    // dy, w → dx
	opConvWeight kind = "conv dw"    // x, dy → dw
	opColumnSum  kind = "column sum" // dy → Σ over batch and space
)

func init() {
	lowerings[model.Conv] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		c := l.GetConv()
		w := b.param(c.Weight)
		o.kind = opConv
		from, to := ints(l.InShape(0)), ints(l.Shape)
		space := len(from) - 1
		o.conv = kernel.Geometry{Batch: b.batch, In: from[:space], Out: to[:space], InC: o.channels, OutC: w.Shape()[0], Kernel: w.Shape()[2:],
			Stride: ints(c.Stride), Pad: ints(c.Padding), Dilation: ints(c.Dilation)}
		return o.product(b.shaped(l.Shape), in[0], w, b.param(c.Bias))
	}
	operators[opConv] = &operator{
		wrt: []bool{true, true, true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			if d.op.unit {
				d.set(1, opUnitWeight, in[0], grad, in[1])
			} else {
				d.set(1, opConvWeight, in[0], grad)
			}
			d.set(0, opConvInput, grad, in[1])
			if len(in) == 3 {
				d.set(2, opColumnSum, grad)
			}
		},
		run: func(n *network, q *passPlan, i *instruction) func(b int) {
			p, o, x, w, out := n.pool, i.op, i.in[0], n.packed(q, i, false), i.out
			var bias []float32
			if len(i.in) == 3 {
				bias = i.in[2].data
			}
			return func(b int) { p.ConvForward(o.geometry(b), x.at(b), w, bias, out.at(b)) }
		},
	}
	operators[opConvInput] = &operator{run: func(n *network, q *passPlan, i *instruction) func(b int) {
		p, o, dy, w, out := n.pool, i.op, i.in[0], n.packed(q, i, true), i.out
		return func(b int) { p.ConvInputGradient(o.geometry(b), dy.at(b), w, out.at(b)) }
	}}
	operators[opConvWeight] = &operator{fixed: true, adds: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, x, dy, out, scratch := n.pool, i.op, i.in[0], i.in[1], i.out, n.slabs.scratch
		return func(b int) { p.ConvWeightGradient(o.geometry(b), x.at(b), dy.at(b), out.data, scratch) }
	}}
	operators[opColumnSum] = &operator{fixed: true, adds: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, dy, out := n.pool, i.in[0], i.out
		return func(b int) { p.ColumnSum(len(dy.at(b))/out.fixed, out.fixed, dy.at(b), out.data) }
	}}
}

// product is a convolution or linear layer, with a bias unless that is nil.
func (o op) product(out tensor.Shape, x, w, bias *gorgonia.Node) (*gorgonia.Node, error) {
	if err := o.conv.Check(); err != nil {
		return nil, err
	}
	if bias == nil {
		return apply(o, out, x, w)
	}
	return apply(o, out, x, w, bias)
}

// geometry is that of a convolution, or of a linear layer on each row, for b samples.
func (o *op) geometry(b int) kernel.Geometry {
	if len(o.conv.Kernel) == 0 {
		b *= o.rows
	}
	return with(o.conv, b)
}

// with is the geometry for b samples.
func with(g kernel.Geometry, b int) kernel.Geometry {
	g.Batch = b
	return g
}

// packed gives the packed weights of an instruction.
func (n *network) packed(q *passPlan, i *instruction, backward bool) []float32 {
	return n.packs[packKey{i.in[1].name, q.Network == protocol.Network_MOMENTUM, backward, i.unit}].data
}
