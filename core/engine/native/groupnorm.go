package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Group norm: each group of channels of a sample by its own mean and variance.
const (
	opGroupStatistics kind = "group norm statistics" // x → mean and biased variance [2, batch, channels], equal within a group
	opGroupNorm       kind = "group norm"            // x, statistics, [γ], [β] → y; the kind tells which there are
	opGroupNormReduce kind = "group norm reduce"     // x, statistics, dy → Σ dy and Σ dy·x̂ [2, batch, channels]
	opGroupNormInput  kind = "group norm dx"         // x, statistics, dy, reduced, [γ] → dx
	opGroupNormGamma  kind = "group norm dγ"         // reduced → dγ
	opGroupNormBeta   kind = "group norm dβ"         // reduced → dβ
)

func init() {
	lowerings[model.GroupNorm] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		n := l.GetGroupNorm()
		o.epsilon, o.groups = float32(n.Epsilon), int(n.Groups)
		s := o
		s.kind = opGroupStatistics
		statistics, err := apply(s, tensor.Shape{b.batch, 2, o.channels}, in[0])
		if err != nil {
			return nil, err
		}
		has, from := b.affine(n.Weight, n.Bias, in[0], statistics)
		o.kind = has.of(opGroupNorm)
		return apply(o, b.shaped(l.Shape), from...)
	}
	operators[opGroupStatistics] = &operator{whole: true, half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, x := n.pool, i.op, i.in[0]
		return func(b int) {
			mean, variance := i.out.halves(b)
			p.GroupNormStatistics(o.samplesOf(b), o.groups, x.array(b), mean, variance)
		}
	}}
	for _, has := range affines {
		operators[has.of(opGroupNorm)] = &operator{
			wrt: has.wrt(true, false), // the statistics' part is in the gradient of x
			diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
				gamma, _, atGamma, atBeta := find(has, in, 2)
				reduced := d.node(opGroupNormReduce, in[1].Shape().Clone(), in[0], in[1], grad)
				from := []*gorgonia.Node{in[0], in[1], grad, reduced}
				if has.gamma {
					d.set(atGamma, opGroupNormGamma, reduced)
					from = append(from, gamma)
				}
				if has.beta {
					d.set(atBeta, opGroupNormBeta, reduced)
				}
				d.set(0, opGroupNormInput, from...)
			},
			onto: inputs(0),
			half: true,
			run: func(n *network, _ *passPlan, i *instruction) func(b int) {
				p, o, in := n.pool, i.op, i.in
				gamma, beta, _, _ := find(has, in, 2)
				return func(b int) {
					mean, variance := in[1].halves(b)
					p.BatchNormApply(o.samplesOf(b), in[0].array(b), mean, variance, gamma.optional(), beta.optional(), o.epsilon, kernel.Array{}, false, i.out.array(b))
				}
			},
		}
	}
	operators[opGroupNormReduce] = &operator{whole: true, half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		return func(b int) {
			mean, variance := in[1].halves(b)
			sumDy, sumDyX := i.out.halves(b)
			p.BatchNormReduce(o.samplesOf(b), in[2].array(b), in[0].array(b), kernel.Array{}, mean, variance, o.epsilon, sumDy, sumDyX)
		}
	}}
	operators[opGroupNormInput] = &operator{half: true, onto: inputs(2), run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		var gamma []float32
		if len(in) == 5 {
			gamma = in[4].data
		}
		return func(b int) {
			mean, variance := in[1].halves(b)
			sumDy, sumDyX := in[3].halves(b)
			p.GroupNormInputGradient(o.samplesOf(b), o.groups, in[2].array(b), in[0].array(b), mean, variance, gamma, o.epsilon, sumDy, sumDyX, i.out.array(b))
		}
	}}
	operators[opGroupNormGamma] = &operator{fixed: true, adds: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, out := n.pool, i.op, i.out
		return func(b int) {
			sumDy, sumDyX := i.in[0].halves(b)
			p.BatchNormParameterGradient(o.samplesOf(b), sumDy, sumDyX, out.data, nil)
		}
	}}
	operators[opGroupNormBeta] = &operator{fixed: true, adds: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, out := n.pool, i.op, i.out
		return func(b int) {
			sumDy, sumDyX := i.in[0].halves(b)
			p.BatchNormParameterGradient(o.samplesOf(b), sumDy, sumDyX, nil, out.data)
		}
	}}
}

// samplesOf is a group norm of b samples as a batch norm with a group for each sample.
func (o *op) samplesOf(b int) kernel.Norm {
	return kernel.Norm{Groups: b, Rows: o.rows, Channels: o.channels}
}

// halves splits what b samples have of two rows of statistics.
func (v *value) halves(b int) (x, y []float32) {
	data := v.at(b)
	return data[:len(data)/2], data[len(data)/2:]
}
