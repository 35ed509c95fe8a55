package native

import (
	"unsafe"

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
)

// Poolings.
const (
	opPoolArg   kind = "pool arg" // x → the taps that hold the greatest values
	opPool      kind = "pool"     // x, arg → y
	opPoolInput kind = "pool dx"  // arg, dy → dx
	opMean      kind = "mean"     // x → means over space
	opMeanInput kind = "mean dx"  // dy → dx
)

func init() {
	lowerings[model.MaxPool] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		p := l.GetMaxPool()
		from, to := ints(l.InShape(0)), ints(l.Shape)
		space := len(from) - 1
		o.conv = kernel.Geometry{Batch: b.batch, In: from[:space], Out: to[:space], InC: o.channels, OutC: o.channels,
			Kernel: ints(p.Kernel), Stride: ints(p.Stride), Pad: ints(p.Padding)}
		return o.pair(opPoolArg, b.shaped(l.Shape), opPool, b.shaped(l.Shape), in[0])
	}
	operators[opPoolArg] = &operator{side: true, integers: true}
	operators[opPool] = &operator{
		half: true,
		wrt:  []bool{true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) { d.set(0, opPoolInput, in[1], grad) },
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) { p.MaxPool(with(o.conv, b), in[0].array(b), i.out.array(b), integers(i.side.at(b))) }
		},
	}
	operators[opPoolInput] = &operator{half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		return func(b int) { p.MaxPoolBackward(with(o.conv, b), in[1].array(b), integers(in[0].at(b)), i.out.array(b)) }
	}}
	lowerings[model.GlobalAveragePool] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		o.kind = opMean
		return apply(o, b.shaped(l.Shape), in[0])
	}
	operators[opMean] = &operator{
		half: true,
		wide: true,
		wrt:  []bool{true},
		diff: func(d *derivation, _ gorgonia.Nodes, _, grad *gorgonia.Node) { d.set(0, opMeanInput, grad) },
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) { p.GlobalAveragePool(b, o.rows, o.channels, in[0].array(b), i.out.array(b)) }
		},
	}
	operators[opMeanInput] = &operator{half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		return func(b int) { p.GlobalAveragePoolBackward(b, o.rows, o.channels, in[0].array(b), i.out.array(b)) }
	}}
}

// integers views float32 memory as int32, of the same size.
func integers(s []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}
