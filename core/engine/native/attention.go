package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Softmax, and attention: of one input, which holds query, key and value side by side, or of three. What attention keeps
// for its gradient is two numbers for each query and head; the weights are computed again.
const (
	opSoftmax             kind = "softmax"              // x → y
	opSoftmaxInput        kind = "softmax dx"           // y, dy → dx
	opAttention           kind = "attention"            // x → y
	opAttentionInput      kind = "attention dx"         // x, statistics, dy → dx
	opCrossAttention      kind = "cross attention"      // q, k, v → y
	opCrossAttentionInput kind = "cross attention dx"   // q, k, v, statistics, dy → the gradients of all q, all k and all v; parts are copied
	opAttentionStats      kind = "attention statistics" // the second output of either: what it keeps
)

func init() {
	lowerings[model.Softmax] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		o.kind = opSoftmax
		return apply(o, b.shaped(l.Shape), in[0])
	}
	operators[opSoftmax] = &operator{
		wrt:  []bool{true},
		diff: func(d *derivation, _ gorgonia.Nodes, out, grad *gorgonia.Node) { d.set(0, opSoftmaxInput, out, grad) },
		onto: inputs(0),
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) { p.SoftmaxRows(b*o.rows, o.channels, in[0].at(b), i.out.at(b)) }
		},
	}
	operators[opSoftmaxInput] = &operator{onto: inputs(1), run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		return func(b int) {
			p.SoftmaxRowsGradient(b*o.rows, o.channels, in[0].at(b), in[1].at(b), i.out.at(b))
		}
	}}

	lowerings[model.Attention] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		o.heads = int(l.GetAttention().Heads)
		k := opAttention
		if len(in) == 3 {
			k = opCrossAttention
		}
		return o.pair(opAttentionStats, tensor.Shape{b.batch, o.heads, o.rows, 2}, k, b.shaped(l.Shape), in...)
	}
	operators[opAttentionStats] = &operator{side: true}
	operators[opAttention] = &operator{
		flops: forwardFLOPs,
		wrt:   []bool{true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			d.set(0, opAttentionInput, in[0], in[1], grad)
		},
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, a, x := n.pool, i.attention(), i.in[0]
			return func(b int) {
				q, k, v := a.parts(x.at(b))
				p.Attention(&a.Attention, b, q, k, v, i.out.at(b), i.side.at(b))
			}
		},
	}
	operators[opAttentionInput] = &operator{flops: gradientFLOPs, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, a, in := n.pool, i.attention(), i.in
		return func(b int) {
			q, k, v := a.parts(in[0].at(b))
			dq, dk, dv := a.parts(i.out.at(b))
			p.AttentionGradient(&a.Attention, b, q, k, v, in[1].at(b), in[2].at(b), dq, dk, dv)
		}
	}}
	operators[opCrossAttention] = &operator{
		wrt:   []bool{true, true, true},
		flops: forwardFLOPs,
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			all, batch := 0, in[0].Shape()[0]
			for _, x := range in[:3] {
				all += x.Shape().TotalSize() / batch
			}
			joint := d.node(opCrossAttentionInput, tensor.Shape{batch, all}, in[0], in[1], in[2], in[3], grad)
			for i, part := range parts {
				d.set(i, opCrossAttention+part, joint)
			}
		},
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, a, in := n.pool, i.attention(), i.in
			return func(b int) {
				p.Attention(&a.Attention, b, in[0].at(b), in[1].at(b), in[2].at(b), i.out.at(b), i.side.at(b))
			}
		},
	}
	operators[opCrossAttentionInput] = &operator{whole: true, flops: gradientFLOPs, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, a, in := n.pool, i.attention(), i.in
		return func(b int) {
			q, k, v := in[0].at(b), in[1].at(b), in[2].at(b)
			all := i.out.at(b)
			p.AttentionGradient(&a.Attention, b, q, k, v, in[3].at(b), in[4].at(b), all[:len(q)], all[len(q):len(q)+len(k)], all[len(q)+len(k):])
		}
	}}
	for number, part := range parts {
		operators[opCrossAttention+part] = &operator{run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, all, out := n.pool, i.in[0], i.out
			return func(b int) {
				at := 0
				if number > 0 { // keys and values are as many; what is left is of the queries
					at = len(all.at(b)) - (3-number)*len(out.at(b))
				}
				p.CopyRows(b, out.sample, all.at(b)[at:], out.sample, out.at(b), out.sample)
			}
		}}
	}
}

// parts end the kinds that copy a part of a joint gradient.
var parts = []kind{" dq", " dk", " dv"}

// attention is the shape of an instruction's attention.
type attention struct{ kernel.Attention }

func (i *instruction) attention() *attention {
	o := i.op
	a := &attention{kernel.Attention{Tokens: o.rows, Keys: o.rows, Heads: o.heads, Stride: o.channels}}
	channels := o.channels / 3
	if i.kind == opCrossAttention || i.kind == opCrossAttentionInput {
		a.Keys, channels = o.in[1][1], o.channels
	}
	a.Width = channels / o.heads
	return a
}

// parts gives where the queries, keys and values of one input begin.
func (a *attention) parts(x []float32) (q, k, v []float32) {
	channels := a.Heads * a.Width
	return x, x[channels:], x[2*channels:]
}

// products counts the work of so many products of attention.
func (a *attention) products(n, batch int) int64 {
	return int64(n) * 2 * int64(batch) * int64(a.Tokens) * int64(a.Keys) * int64(a.Heads*a.Width)
}

// What the gradient computes again is not counted.
func forwardFLOPs(i *instruction, b int) int64  { return i.attention().products(2, b) }
func gradientFLOPs(i *instruction, b int) int64 { return i.attention().products(4, b) }
