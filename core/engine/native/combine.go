package native

import (
	"slices"

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
)

// Sums and products of two inputs, of which the second may stand for all of the first's leading axes; and learned values,
// which are the same for every sample. Where the second input is learned, it is read as the parameter that it is.
const (
	opLearned      kind = "learned"       // parameter → itself for each sample
	opMultiply     kind = "multiply"      // a, b → a · b
	opAddRows      kind = "add rows"      // a, row → a + row
	opMultiplyRows kind = "multiply rows" // a, row → a · row
	opRowSum       kind = "row sum"       // dy → Σ over the rows of each sample
	opRowSumAll    kind = "row sum all"   // dy → Σ over samples, too: the gradient of a parameter
	opRowDot       kind = "row dot"       // dy, a → Σ dy·a over the rows of each sample
	opRowDotAll    kind = "row dot all"   // dy, a → Σ over samples, too
)

func init() {
	lowerings[model.Learned] = func(b *lowering, o op, l *model.Layer, _ []*gorgonia.Node) (*gorgonia.Node, error) {
		o.kind = opLearned
		return apply(o, b.shaped(l.Shape), b.param(l.GetLearned().Parameter))
	}
	operators[opLearned] = &operator{
		wrt:  []bool{true},
		diff: func(d *derivation, _ gorgonia.Nodes, _, grad *gorgonia.Node) { d.set(0, opRowSumAll, grad) },
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, v := n.pool, i.in[0]
			return func(b int) { p.CopyRows(b, v.fixed, v.data, 0, i.out.at(b), v.fixed) }
		},
	}
	lowerings[model.Add] = combination(opAdd, opAddRows)
	lowerings[model.Multiply] = combination(opMultiply, opMultiplyRows)
	operators[opMultiply] = &operator{
		wrt: []bool{true, true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			d.set(0, opMultiply, grad, in[1])
			d.set(1, opMultiply, grad, in[0])
		},
		onto: inputs(0, 1),
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, in := n.pool, i.in
			return func(b int) { p.Multiply(in[0].at(b), in[1].at(b), i.out.at(b)) }
		},
	}
	operators[opAddRows] = &operator{
		wrt: []bool{true, true},
		diff: func(d *derivation, _ gorgonia.Nodes, _, grad *gorgonia.Node) {
			d.nodes[0] = grad
			d.set(1, d.op.rowKind(opRowSum, opRowSumAll), grad)
		},
		onto: inputs(0),
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, in := n.pool, i.in
			return func(b int) { p.AddRows(spread(in[0], in[1], b), in[0].at(b), in[1].at(b), i.out.at(b)) }
		},
	}
	operators[opMultiplyRows] = &operator{
		wrt: []bool{true, true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			d.set(1, d.op.rowKind(opRowDot, opRowDotAll), grad, in[0]) // first, so that the other may overwrite grad
			d.set(0, opMultiplyRows, grad, in[1])
		},
		onto: inputs(0),
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, in := n.pool, i.in
			return func(b int) { p.MultiplyRows(spread(in[0], in[1], b), in[0].at(b), in[1].at(b), i.out.at(b)) }
		},
	}
	for k, all := range map[kind]bool{opRowSum: false, opRowSumAll: true, opRowDot: false, opRowDotAll: true} {
		operators[k] = &operator{fixed: all, adds: all, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, dy := n.pool, i.in[0]
			var a *value
			if len(i.in) == 2 {
				a = i.in[1]
			}
			return func(b int) { p.SumRows(spread(dy, i.out, b), dy.at(b), a.at(b), i.out.at(b), all) }
		}}
	}
}

// combination lowers a sum or product, whose order does not matter between equal shapes.
func combination(same, rows kind) func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
	return func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		x, y := in[0], in[1]
		equal := slices.Equal(l.InShape(0), l.InShape(1))
		if equal && b.learned(x) != nil {
			x, y = y, x
		}
		if parameter := b.learned(y); parameter != nil {
			y, o.shared = parameter, true
		}
		if o.kind = rows; equal && !o.shared {
			o.kind = same
		}
		return apply(o, b.shaped(l.Shape), x, y)
	}
}

// learned gives the parameter that a node repeats for every sample, or nil.
func (b *lowering) learned(n *gorgonia.Node) *gorgonia.Node {
	if o, ok := n.Op().(*op); ok && o.kind == opLearned {
		return children(b.graph, n)[0]
	}
	return nil
}

// rowKind chooses the gradient of the second input.
func (o *op) rowKind(each, all kind) kind {
	if o.shared {
		return all
	}
	return each
}

// spread is the shape of an operation between the rows of x and a row for each sample, or one for all.
func spread(x, row *value, b int) kernel.Rows {
	if row.sample == 0 {
		return kernel.Rows{Groups: 1, Rows: b * x.sample / row.fixed, Columns: row.fixed}
	}
	return kernel.Rows{Groups: b, Rows: x.sample / row.sample, Columns: row.sample}
}
