package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
)

// Linear layers: the convolution of rank 0 of every row of channels. Those with unit_norm compute with weights whose rows
// are divided by their lengths; these weights exist packed alone, and for the time of packing in the scratch.
const opUnitWeight kind = "unit dw" // x, dy, w → dw, through the division

// unitEpsilon is the least length that weights are divided by.
const unitEpsilon = 1e-12

func init() {
	lowerings[model.Linear] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		w := b.param(l.GetLinear().Weight)
		o.kind, o.conv, o.unit = opConv, kernel.Linear(b.batch*o.rows, o.channels, w.Shape()[0]), l.GetLinear().UnitNorm
		return o.product(b.shaped(l.Shape), in[0], w, b.param(l.GetLinear().Bias))
	}
	operators[opUnitWeight] = &operator{fixed: true, adds: true, half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, x, dy, w, out := n.pool, i.op, i.in[0], i.in[1], i.in[2], i.out
		size, packed := o.conv.WeightLen(), kernel.PackedLen(o.conv)
		du, sums, scratch := n.slabs.scratch[:size], n.slabs.scratch[align(size):][:packed], n.slabs.scratch[align(size)+align(packed):]
		return func(b int) {
			p.Fill(0, du)
			p.Fill(0, sums)
			p.ConvWeightGradient(o.geometry(b), x.array(b), dy.array(b), sums, scratch)
			p.Unpack(du, o.conv, sums)
			p.L2NormalizeAccumulate(o.conv.OutC, o.conv.InC, unitEpsilon, w.data, du, out.data)
		}
	}}
}

// unitRows gives weights with each row divided by its length, in the scratch.
func (n *network) unitRows(g kernel.Geometry, w, scratch []float32) []float32 {
	size := g.WeightLen()
	u := scratch[:size]
	n.pool.L2Normalize(g.OutC, g.InC, unitEpsilon, w, u, scratch[align(size):][:g.OutC])
	return u
}
