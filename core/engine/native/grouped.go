package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
)

// Convolutions in groups, and transposed ones. A transposed convolution is the input gradient of a convolution from its
// output to its input, whose weights have the same layout: [in, out/groups, kernel…]. So its own input gradient is that
// convolution, and its weight gradient that one's with the roles exchanged.
const (
	opGroupConv   kind = "grouped conv"    // x, w, [bias] → y
	opGroupInput  kind = "grouped conv dx" // dy, w → dx
	opGroupWeight kind = "grouped conv dw" // x, dy → dw
)

func init() {
	lowerings[model.ConvTranspose] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		c := l.GetConvTranspose()
		w := b.param(c.Weight)
		from, to := ints(l.Shape), ints(l.InShape(0))
		space := len(from) - 1
		o.conv = kernel.Geometry{Batch: b.batch, In: from[:space], Out: to[:space], InC: from[space], OutC: to[space], Kernel: w.Shape()[2:],
			Stride: ints(c.Stride), Pad: ints(c.Padding), Dilation: ints(c.Dilation)}
		if err := o.conv.CheckWithin(); err != nil {
			return nil, err
		}
		o.kind = opConvInput
		if c.Groups > 1 || o.conv.Check() != nil { // the ordinary product knows no output padding of a stride and more
			o.kind, o.groups = opGroupInput, max(int(c.Groups), 1)
		}
		y, err := apply(o, b.shaped(l.Shape), in[0], w)
		if err != nil || c.Bias == "" {
			return y, err
		}
		o.kind, o.shared = opAddRows, true
		return apply(o, b.shaped(l.Shape), y, b.param(c.Bias))
	}
	// A gradient that is a layer is differentiated itself.
	transposed := func(forward, weight kind) func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
		return func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			d.set(1, weight, grad, in[0])
			d.set(0, forward, grad, in[1])
		}
	}
	operators[opConvInput].wrt = []bool{true, true}
	operators[opConvInput].diff = transposed(opConv, opConvWeight)

	operators[opGroupConv] = &operator{
		wrt: []bool{true, true, true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			d.set(1, opGroupWeight, in[0], grad)
			d.set(0, opGroupInput, grad, in[1])
			if len(in) == 3 {
				d.set(2, opColumnSum, grad)
			}
		},
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, x, w, out := n.pool, i.op, i.in[0], i.in[1], i.out
			var bias []float32
			if len(i.in) == 3 {
				bias = i.in[2].data
			}
			if o.depthwise() {
				return func(b int) { p.DepthwiseForward(with(o.conv, b), x.at(b), w.data, bias, out.at(b)) }
			}
			g, scratch := kernel.NewGrouping(o.conv, o.groups), n.slabs.scratch
			return func(b int) { p.GroupedForward(g, b, x.at(b), w.data, bias, out.at(b), scratch) }
		},
	}
	operators[opGroupInput] = &operator{
		wrt:  []bool{true, true},
		diff: transposed(opGroupConv, opGroupWeight),
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, dy, w, out := n.pool, i.op, i.in[0], i.in[1], i.out
			if o.depthwise() {
				return func(b int) { p.DepthwiseInputGradient(with(o.conv, b), dy.at(b), w.data, out.at(b)) }
			}
			g, scratch := kernel.NewGrouping(o.conv, o.groups), n.slabs.scratch
			return func(b int) { p.GroupedInputGradient(g, b, dy.at(b), w.data, out.at(b), scratch) }
		},
	}
	operators[opGroupWeight] = &operator{fixed: true, adds: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, x, dy, out := n.pool, i.op, i.in[0], i.in[1], i.out
		if o.depthwise() {
			return func(b int) { p.DepthwiseWeightGradient(with(o.conv, b), x.at(b), dy.at(b), out.data) }
		}
		g, scratch := kernel.NewGrouping(o.conv, o.groups), n.slabs.scratch
		return func(b int) { p.GroupedWeightGradient(g, b, x.at(b), dy.at(b), out.data, scratch) }
	}}
	for _, k := range []kind{opGroupConv, opGroupInput, opGroupWeight} {
		operators[k].flops = func(i *instruction, b int) int64 { return with(i.conv, b).FLOPs() / int64(i.groups) }
		operators[k].scratch = func(i *instruction) int {
			if i.depthwise() {
				return 0
			}
			return kernel.NewGrouping(i.conv, i.groups).Scratch()
		}
	}
}

// depthwise tells whether a convolution in groups has one for each channel.
func (o *op) depthwise() bool { return o.conv.InC == o.groups }
