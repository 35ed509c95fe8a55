package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Convolutions, and what linear layers share with them.
const (
	opConv       kind = "conv"       // x, w, [bias] → y; a linear layer is the convolution of rank 0
	opConvInput  kind = "conv dx"    // dy, w → dx
	opConvWeight kind = "conv dw"    // x, dy → dw
	opColumnSum  kind = "column sum" // dy → Σ over batch and space
	opFrame      kind = "frame"      // the pass's input → the same in a frame of zeros
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
		if c.Groups > 1 {
			o.kind, o.groups = opGroupConv, int(c.Groups)
			return o.product(b.shaped(l.Shape), in[0], w, b.param(c.Bias))
		}
		if in[0] == b.input && o.channels < kernel.FramedChannels {
			var err error
			if in[0], err = o.framed(b); err != nil {
				return nil, err
			}
		}
		return o.product(b.shaped(l.Shape), in[0], w, b.param(c.Bias))
	}
	operators[opFrame] = &operator{run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, x, f := n.pool, i.in[0], i.op.frame
		return func(b int) { p.Frame(f.of(b), x.at(b), i.out.at(b)) }
	}}
	operators[opConv] = &operator{
		wrt:  []bool{true, true, true},
		half: true,
		wide: true,
		onto: ontoAddend,
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
			p, o, x, out := n.pool, i.op, i.in[0], i.out
			f := kernel.Forward{Packed: n.packed(q, i, false), ReLU: i.relu}
			if len(i.in) == 3 {
				f.Bias = i.in[2].data
			}
			if i.fixed != nil {
				f.Bias = n.packs[i.pack(q, false)].bias
			}
			if s := i.statistics; s != nil {
				m := &f.Moments
				m.Mean, m.Variance = halves(s.out)
				runningMean, runningVar := n.running(q, s)
				return func(b int) {
					m.Norm, f.X, f.Y = s.rowsOf(b), x.array(b), out.array(b)
					p.ConvForward(o.geometry(b), f)
					p.BatchNormUpdate(m.Norm, s.norm.momentum, m.Mean, m.Variance, runningMean, runningVar)
				}
			}
			return func(b int) {
				f.X, f.Y, f.Addend = x.array(b), out.array(b), i.addend.array(b)
				p.ConvForward(o.geometry(b), f)
			}
		},
	}
	operators[opConvInput] = &operator{
		half: true,
		onto: ontoAddend,
		run: func(n *network, q *passPlan, i *instruction) func(b int) {
			p, o, dy, w, out := n.pool, i.op, i.in[0], n.packed(q, i, true), i.out
			return func(b int) {
				p.ConvInputGradient(o.geometry(b), kernel.Backward{Dy: dy.array(b), Packed: w, Dx: out.array(b), Addend: i.addend.array(b)})
			}
		},
	}
	operators[opConvWeight] = &operator{fixed: true, adds: true, half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, x, dy, out := n.pool, i.op, i.in[0], i.in[1], n.params[i.out.name]
		gradient := out.of(n.slabs.gradients)
		if out.packed != nil {
			scratch := n.slabs.scratch
			return func(b int) { p.ConvWeightGradient(o.geometry(b), x.array(b), dy.array(b), gradient, scratch) }
		}
		sums := n.slabs.scratch[:kernel.PackedLen(o.conv)]
		scratch := n.slabs.scratch[align(len(sums)):]
		return func(b int) {
			p.Fill(0, sums)
			p.ConvWeightGradient(o.geometry(b), x.array(b), dy.array(b), sums, scratch)
			if o.thin == 0 {
				p.Unpack(gradient, o.conv, sums)
				return
			}
			wide := make([]float32, o.conv.WeightLen())
			p.Unpack(wide, o.conv, sums)
			p.Axpy(1, recut(wide, o.conv.OutC, o.conv.InC, o.conv.InC-o.thin, o.conv.Taps()), gradient)
		}
	}}
	operators[opColumnSum] = &operator{fixed: true, adds: true, half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, dy, out := n.pool, i.in[0], i.out
		return func(b int) {
			x := dy.array(b)
			p.ColumnSum(x.Len()/out.fixed, out.fixed, x, out.data)
		}
	}}
}

// framed lets a convolution of the pass's input read a framed copy instead.
func (o *op) framed(b *lowering) (*gorgonia.Node, error) {
	f := &frame{}
	f.Frame, o.conv = o.conv.Framed(b.half)
	o.thin = f.Padded - f.Channels
	framing := *o
	framing.kind, framing.frame = opFrame, f
	out := append(append(tensor.Shape{b.batch}, o.conv.In...), f.Padded)
	return apply(framing, out, b.input)
}

// frame is a framed copy.
type frame struct{ kernel.Frame }

func (f *frame) of(b int) kernel.Frame {
	g := f.Frame
	g.Batch = b
	return g
}

// ontoAddend lets a product overwrite what it adds, unless that is also its input: each output reads many values of it.
func ontoAddend(i *instruction, _ *value) []*value {
	if i.addend == i.in[0] {
		return nil
	}
	return []*value{i.addend}
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
func (n *network) packed(q *passPlan, i *instruction, backward bool) kernel.Array {
	return n.packs[i.pack(q, backward)].array(n)
}
