package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Dropout. Value i of a sample is decided by draw i of the key (seed, "dropout", layer, pass) at (step, place in the batch).
const (
	opDropout      kind = "dropout"      // x → y
	opDropoutStep  kind = "dropout step" // its second output: the step, for the gradient to draw the same
	opDropoutInput kind = "dropout dx"   // dy, step → dx
)

func init() {
	lowerings[model.Dropout] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		if o.rate = l.GetDropout().Rate; !b.training || o.rate == 0 {
			return o.view(b, l, opReshape, in[0])
		}
		return o.pair(opDropoutStep, tensor.Shape{2}, opDropout, b.shaped(l.Shape), in[0])
	}
	operators[opDropoutStep] = &operator{fixed: true, side: true, integers: true}
	operators[opDropout] = &operator{
		wrt:  []bool{true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) { d.set(0, opDropoutInput, grad, in[1]) },
		onto: inputs(0),
		run: func(n *network, q *passPlan, i *instruction) func(b int) {
			d, step := n.dropout(q, i), integers(i.side.data)
			return func(b int) {
				step[0], step[1] = int32(n.step), int32(n.step>>32)
				n.pool.Dropout(d, n.step, b, i.in[0].at(b), i.out.at(b))
			}
		},
	}
	operators[opDropoutInput] = &operator{onto: inputs(0), run: func(n *network, q *passPlan, i *instruction) func(b int) {
		d, step := n.dropout(q, i), integers(i.in[1].data)
		return func(b int) {
			n.pool.Dropout(d, uint64(uint32(step[0]))|uint64(step[1])<<32, b, i.in[0].at(b), i.out.at(b))
		}
	}}
}

func (n *network) dropout(q *passPlan, i *instruction) *kernel.Dropout {
	return kernel.NewDropout(i.rate, key.New(n.seed, "dropout", i.layer, q.Name))
}
