package native

import (
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Operations on each value, and on each row of channels.
const (
	opRelu      kind = "relu"    // x → y
	opReluInput kind = "relu dx" // y, dy → dx
	opAdd       kind = "add"     // a, b → a + b; also the addition that Gorgonia inserts where a value fans out
	opLength    kind = "length"  // x → max(‖x‖, ε) of every row
	opUnit      kind = "unit"    // x, length → y
	opUnitInput kind = "unit dx" // y, length, dy → dx
)

func init() {
	lowerings[model.Relu] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		o.kind = opRelu
		return apply(o, b.shaped(l.Shape), in[0])
	}
	operators[opRelu] = &operator{
		half: true,
		wrt:  []bool{true},
		diff: func(d *derivation, _ gorgonia.Nodes, out, grad *gorgonia.Node) { d.set(0, opReluInput, out, grad) },
		onto: inputs(0),
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, in := n.pool, i.in
			return func(b int) { p.ReLU(in[0].array(b), i.out.array(b)) }
		},
	}
	operators[opReluInput] = &operator{half: true, onto: inputs(1), run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, in := n.pool, i.in
		return func(b int) { p.ReLUBackward(in[1].array(b), in[0].array(b), i.out.array(b)) }
	}}

	operators[opAdd] = &operator{
		half: true,
		wrt:  []bool{true, true},
		diff: func(d *derivation, _ gorgonia.Nodes, _, grad *gorgonia.Node) { d.nodes[0], d.nodes[1] = grad, grad },
		onto: inputs(0, 1),
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, in := n.pool, i.in
			return func(b int) { p.Add(in[0].array(b), in[1].array(b), i.out.array(b)) }
		},
	}

	lowerings[model.L2Normalise] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		o.epsilon = float32(l.GetL2Normalise().Epsilon)
		return o.pair(opLength, tensor.Shape{b.batch, o.rows}, opUnit, b.shaped(l.Shape), in[0])
	}
	operators[opLength] = &operator{side: true}
	operators[opUnit] = &operator{
		wrt: []bool{true},
		diff: func(d *derivation, in gorgonia.Nodes, out, grad *gorgonia.Node) {
			d.set(0, opUnitInput, out, in[1], grad)
		},
		onto: inputs(0),
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) {
				p.L2Normalize(b*o.rows, o.channels, o.epsilon, in[0].at(b), i.out.at(b), i.side.at(b))
			}
		},
	}
	operators[opUnitInput] = &operator{onto: inputs(2), run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		return func(b int) {
			p.L2NormalizeBackward(b*o.rows, o.channels, in[0].at(b), in[1].at(b), in[2].at(b), i.out.at(b))
		}
	}}
}
