package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Batch norm: statistics, apply, reduce, input gradient.
const (
	opStatistics kind = "statistics"  // x → mean and biased variance [2, groups, channels]; moves the running statistics
	opNorm       kind = "norm"        // x, statistics, γ, β → y
	opNormFixed  kind = "norm fixed"  // x, running mean, running variance, γ, β → y
	opNormReduce kind = "norm reduce" // x, statistics, dy → Σ dy and Σ dy·x̂ [2, groups, channels]
	opNormInput  kind = "norm dx"     // x, statistics, γ, dy, reduced → dx
	opNormGamma  kind = "norm dγ"     // reduced → dγ
	opNormBeta   kind = "norm dβ"     // reduced → dβ
)

// batchNorm is what a batch norm's operators need to know.
type batchNorm struct {
	groups   int
	momentum float32
	running  [2]string // names of the running mean and variance
}

func init() {
	lowerings[model.BatchNorm] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		n := l.GetBatchNorm()
		o.epsilon = float32(n.Epsilon)
		o.norm = batchNorm{b.groups, float32(n.Momentum), [2]string{b.prefix + n.RunningMean, b.prefix + n.RunningVar}}
		if !b.training {
			o.kind, o.norm.groups = opNormFixed, 1
			return apply(o, b.shaped(l.Shape), in[0], b.param(n.RunningMean), b.param(n.RunningVar), b.param(n.Weight), b.param(n.Bias))
		}
		s := o
		s.kind = opStatistics
		statistics, err := apply(s, tensor.Shape{2, b.groups, o.channels}, in[0])
		if err != nil {
			return nil, err
		}
		o.kind = opNorm
		return apply(o, b.shaped(l.Shape), in[0], statistics, b.param(n.Weight), b.param(n.Bias))
	}
	operators[opStatistics] = &operator{fixed: true, half: true, run: func(n *network, q *passPlan, i *instruction) func(b int) {
		p, o, x := n.pool, i.op, i.in[0]
		mean, variance := halves(i.out)
		runningMean, runningVar := n.running(q, i)
		return func(b int) {
			p.BatchNormStatistics(o.rowsOf(b), x.array(b), mean, variance)
			p.BatchNormUpdate(o.rowsOf(b), o.norm.momentum, mean, variance, runningMean, runningVar)
		}
	}}
	ontoInput := func(i *instruction, _ *value) []*value { return []*value{i.in[0], i.residual} }
	operators[opNorm] = &operator{
		wrt: []bool{true, false, true, true}, // the statistics' part is in the gradient of x
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			reduced := d.node(opNormReduce, tensor.Shape{2, d.op.norm.groups, d.op.channels}, in[0], in[1], grad)
			d.set(2, opNormGamma, reduced)
			d.set(3, opNormBeta, reduced)
			d.set(0, opNormInput, in[0], in[1], in[2], grad, reduced)
		},
		onto: ontoInput,
		half: true,
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			mean, variance := halves(in[1])
			return func(b int) {
				p.BatchNormApply(o.rowsOf(b), in[0].array(b), mean, variance, in[2].data, in[3].data, o.epsilon, i.residual.array(b), i.relu, i.out.array(b))
			}
		},
	}
	operators[opNormFixed] = &operator{half: true, onto: ontoInput, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		return func(b int) {
			p.BatchNormApply(o.rowsOf(b), in[0].array(b), in[1].data, in[2].data, in[3].data, in[4].data, o.epsilon, i.residual.array(b), i.relu, i.out.array(b))
		}
	}}
	operators[opNormReduce] = &operator{fixed: true, half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		mean, variance := halves(in[1])
		sumDy, sumDyX := halves(i.out)
		return func(b int) {
			p.BatchNormReduce(o.rowsOf(b), in[2].array(b), in[0].array(b), i.mask.array(b), mean, variance, o.epsilon, sumDy, sumDyX)
		}
	}}
	operators[opNormInput] = &operator{
		half: true,
		onto: func(i *instruction, w *value) []*value {
			if w == i.masked || i.masked == nil {
				return i.in[3:4]
			}
			return nil
		},
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			mean, variance := halves(in[1])
			sumDy, sumDyX := halves(in[4])
			return func(b int) {
				p.BatchNormInputGradient(o.rowsOf(b), in[3].array(b), in[0].array(b), i.mask.array(b), mean, variance, in[2].data, o.epsilon, sumDy, sumDyX, i.out.array(b), i.masked.array(b))
			}
		},
	}
	operators[opNormGamma] = &operator{fixed: true, adds: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, out := n.pool, i.op, i.out
		sumDy, sumDyX := halves(i.in[0])
		return func(b int) { p.BatchNormParameterGradient(o.rowsOf(b), sumDy, sumDyX, out.data, nil) }
	}}
	operators[opNormBeta] = &operator{fixed: true, adds: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, out := n.pool, i.op, i.out
		sumDy, sumDyX := halves(i.in[0])
		return func(b int) { p.BatchNormParameterGradient(o.rowsOf(b), sumDy, sumDyX, nil, out.data) }
	}}
}

// running gives the running statistics of a batch norm.
func (n *network) running(q *passPlan, i *instruction) (mean, variance []float32) {
	weights := n.weights(q)
	return n.params[i.norm.running[0]].of(weights), n.params[i.norm.running[1]].of(weights)
}

// rowsOf is the shape of a batch norm over b samples.
func (o *op) rowsOf(b int) kernel.Norm {
	return kernel.Norm{Groups: o.norm.groups, Rows: b / o.norm.groups * o.rows, Channels: o.channels}
}

// halves splits a value of two rows of statistics.
func halves(v *value) (a, b []float32) { return v.data[:len(v.data)/2], v.data[len(v.data)/2:] }
