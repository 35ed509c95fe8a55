package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"gorgonia.org/gorgonia"
)

// Average poolings, and enlargements.
const (
	opAverage       kind = "average"     // x → means over windows
	opAverageInput  kind = "average dx"  // dy → dx
	opUpsample      kind = "upsample"    // x → y
	opUpsampleInput kind = "upsample dx" // dy → dx
)

func init() {
	lowerings[model.AveragePool] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		p := l.GetAveragePool()
		from, to := ints(l.InShape(0)), ints(l.Shape)
		space := len(from) - 1
		o.kind = opAverage
		o.conv = kernel.Geometry{Batch: b.batch, In: from[:space], Out: to[:space], InC: o.channels, OutC: o.channels,
			Kernel: ints(p.Kernel), Stride: ints(p.Stride), Pad: ints(p.Padding)}
		if err := o.conv.Check(); err != nil {
			return nil, err
		}
		return apply(o, b.shaped(l.Shape), in[0])
	}
	operators[opAverage] = &operator{
		wrt:  []bool{true},
		diff: func(d *derivation, _ gorgonia.Nodes, _, grad *gorgonia.Node) { d.set(0, opAverageInput, grad) },
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) { p.AveragePool(with(o.conv, b), in[0].at(b), i.out.at(b)) }
		},
	}
	operators[opAverageInput] = &operator{run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		return func(b int) { p.AveragePoolBackward(with(o.conv, b), in[0].at(b), i.out.at(b)) }
	}}

	lowerings[model.Upsample] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		u, from := l.GetUpsample(), ints(l.InShape(0))
		o.kind = opUpsample
		o.larger = kernel.Upsampling{In: from[:len(from)-1], Scale: ints(u.Scale), Channels: o.channels, Linear: u.Mode == protocol.Upsample_LINEAR}
		return apply(o, b.shaped(l.Shape), in[0])
	}
	operators[opUpsample] = &operator{
		wrt:  []bool{true},
		diff: func(d *derivation, _ gorgonia.Nodes, _, grad *gorgonia.Node) { d.set(0, opUpsampleInput, grad) },
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, u, in := n.pool, i.larger, i.in
			return func(b int) {
				u.Batch = b
				p.Upsample(u, in[0].at(b), i.out.at(b))
			}
		},
	}
	operators[opUpsampleInput] = &operator{run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, u, in := n.pool, i.larger, i.in
		return func(b int) {
			u.Batch = b
			p.UpsampleBackward(u, in[0].at(b), i.out.at(b))
		}
	}}
}
