package native

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// SymDiff gives the gradients of the inputs as new nodes, from the gradient of the output. Inputs for which DiffWRT says
// false get nil.
func (o *op) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	d := &derivation{op: o, nodes: make(gorgonia.Nodes, len(in))}
	switch o.kind {
	case opConv:
		d.set(1, opConvWeight, in[0], grad)
		d.set(0, opConvInput, grad, in[1])
		if len(in) == 3 {
			d.set(2, opColumnSum, grad)
		}
	case opNorm:
		reduced := d.node(opNormReduce, tensor.Shape{2, o.groups, o.channels}, in[0], in[1], grad)
		d.set(2, opNormGamma, reduced)
		d.set(3, opNormBeta, reduced)
		d.set(0, opNormInput, in[0], in[1], in[2], grad, reduced)
	case opRelu:
		d.set(0, opReluInput, out, grad)
	case opAdd:
		d.nodes[0], d.nodes[1] = grad, grad
	case opPool:
		d.set(0, opPoolInput, in[1], grad)
	case opMean:
		d.set(0, opMeanInput, grad)
	case opUnit:
		d.set(0, opUnitInput, out, in[1], grad)
	default:
		return nil, fmt.Errorf("%s has no gradient", o)
	}
	return d.nodes, d.err
}

// derivation collects the gradients of one operator and the first error.
type derivation struct {
	op    *op
	nodes gorgonia.Nodes
	err   error
}

// set makes the gradient of input i, of that input's shape, by an operator with the same constants.
func (d *derivation) set(i int, k kind, in ...*gorgonia.Node) {
	d.nodes[i] = d.node(k, d.op.in[i].Clone(), in...)
}

func (d *derivation) node(k kind, out tensor.Shape, in ...*gorgonia.Node) *gorgonia.Node {
	if d.err != nil {
		return nil
	}
	o := *d.op
	o.kind = k
	var n *gorgonia.Node
	n, d.err = apply(o, out, in...)
	return n
}
