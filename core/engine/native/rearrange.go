package native

import (
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
)

// Layers that move values, or only see them otherwise.
const (
	opReshape      kind = "reshape"       // x → the same values in another shape
	opStop         kind = "stop"          // x → x, without a gradient
	opCopy         kind = "copy"          // the pass's input → a copy of it
	opConcat       kind = "concat"        // any number of inputs → y
	opSlice        kind = "slice"         // x → a part of each row
	opSliceInput   kind = "slice dx"      // dy → dx, zero outside the part
	opSliceIndices kind = "slice indices" // a slice of integers
)

// piece is a part of the rows of a sample: of rows of so many values, width ones from at on.
type piece struct{ rows, of, at, width int }

func init() {
	lowerings[model.Reshape] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return o.view(b, l, opReshape, in[0])
	}
	lowerings[model.StopGradient] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return o.view(b, l, opStop, in[0])
	}
	operators[opReshape] = &operator{
		view: true,
		wrt:  []bool{true},
		diff: func(d *derivation, _ gorgonia.Nodes, _, grad *gorgonia.Node) { d.set(0, opReshape, grad) },
	}
	operators[opStop] = &operator{view: true}
	operators[opCopy] = &operator{run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, x := n.pool, i.in[0]
		return func(b int) { p.CopyRows(b, x.sample, x.at(b), x.sample, i.out.at(b), x.sample) }
	}}

	lowerings[model.Concat] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		if len(in) == 1 {
			return o.view(b, l, opReshape, in[0])
		}
		o.kind, o.piece = opConcat, piecesOf(l.Shape, l.Axis)
		from := make([]*gorgonia.Node, len(in))
		for k, x := range in {
			if from[k] = x; o.piece.rows == 1 {
				if parameter := b.learned(x); parameter != nil {
					from[k] = parameter
				}
			}
		}
		return apply(o, b.shaped(l.Shape), from...)
	}
	operators[opConcat] = &operator{
		every: true,
		diff: func(d *derivation, in gorgonia.Nodes, out, grad *gorgonia.Node) {
			batch, at := out.Shape()[0], 0
			for k, x := range in {
				o := *d.op
				shape := x.Shape().Clone()
				shared := len(shape) < len(out.Shape()) // a parameter
				if shared {
					shape = append(out.Shape()[:1:1], shape...)
				}
				o.kind, o.term = opSlice, k
				o.piece.at, o.piece.width = at, shape.TotalSize()/batch/o.piece.rows
				at += o.piece.width
				if d.err != nil {
					return
				}
				if d.nodes[k], d.err = apply(o, shape, grad); shared {
					d.set(k, opRowSumAll, d.nodes[k])
				}
			}
		},
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o := n.pool, i.op
			widths, strides := make([]int, len(i.in)), make([]int, len(i.in))
			for k, x := range i.in {
				widths[k] = (x.sample + x.fixed) / o.piece.rows
				if x.sample > 0 {
					strides[k] = widths[k]
				}
			}
			return func(b int) {
				y := i.out.at(b)
				for k, x := range i.in {
					p.CopyRows(b*o.piece.rows, widths[k], x.at(b), strides[k], y, o.piece.of)
					y = y[widths[k]:]
				}
			}
		},
	}

	lowerings[model.Slice] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		from := piecesOf(l.InShape(0), l.Axis)
		inner := from.of / int(l.InShape(0)[l.Axis]) // values of one step along the axis
		from.at, from.width = inner*int(l.GetSlice().Start), inner*int(l.GetSlice().Size)
		if from.width == from.of {
			return o.view(b, l, opReshape, in[0])
		}
		if o.kind, o.piece = opSlice, from; l.Indices > 0 {
			o.kind = opSliceIndices
		}
		return apply(o, b.shaped(l.Shape), in[0])
	}
	slice := func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, x, c := n.pool, i.in[0], i.op.piece
		return func(b int) { p.CopyRows(b*c.rows, c.width, x.at(b)[c.at:], c.of, i.out.at(b), c.width) }
	}
	operators[opSlice] = &operator{
		wrt:  []bool{true},
		diff: func(d *derivation, _ gorgonia.Nodes, _, grad *gorgonia.Node) { d.set(0, opSliceInput, grad) },
		run:  slice,
	}
	operators[opSliceIndices] = &operator{whole: true, integers: true, run: slice}
	operators[opSliceInput] = &operator{run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, dy, c := n.pool, i.in[0], i.op.piece
		return func(b int) { p.PadRows(b*c.rows, c.width, c.at, c.of, dy.at(b), i.out.at(b)) }
	}}
}

// piecesOf gives the rows of a sample into which an axis divides it.
func piecesOf(shape []int64, axis int) piece {
	return piece{rows: int(model.Size(shape[:axis])), of: int(model.Size(shape[axis:]))}
}

// view lowers a layer whose output is its input's memory. The pass's input is copied, since the caller may write the next
// one while it reads an output.
func (o op) view(b *lowering, l *model.Layer, k kind, x *gorgonia.Node) (*gorgonia.Node, error) {
	root := x
	for {
		v, ok := root.Op().(*op)
		if !ok || !operators[v.kind].view {
			break
		}
		root = children(b.graph, root)[0]
	}
	if o.kind = k; root == b.input {
		o.kind = opCopy
	}
	return apply(o, b.shaped(l.Shape), x)
}
