package native

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// kind names what an operator of ours computes.
type kind string

// operator is all that the engine knows about a kind. The files named after families (convolution.go, norm.go, …) say for
// each of their kinds how it is differentiated and how it is executed, and for each of their layers how it is lowered.
type operator struct {
	// wrt tells which inputs have a gradient; those beyond its end have none.
	wrt []bool
	// every says that all inputs have one, however many there are.
	every bool
	// diff makes the gradients of the inputs from the gradient of the output.
	diff func(d *derivation, in gorgonia.Nodes, out, grad *gorgonia.Node)
	// fixed says that the size of the output does not grow with the batch.
	fixed bool
	// adds says that the output is added to what is there: the gradient of a parameter.
	adds bool
	// view says that the output is the memory of the input: nothing is computed.
	view bool
	// side says that it is the second output of what reads it; see pair.
	side bool
	// second is, of a gradient, the kind of its second output, which it reads last; see derivation.pair.
	second kind
	// whole says that the output has no precision: it is never bfloat16.
	whole bool
	// integers says that the output holds integers, in the memory of float32 values.
	integers bool
	// half says that it computes with bfloat16, too, all its arrays alike; others are converted around it.
	half bool
	// wide says that it writes float32 from bfloat16 by itself.
	wide bool
	// onto gives the inputs that the output w may overwrite.
	onto func(i *instruction, w *value) []*value
	// scratch is the length of the memory that it needs while it runs: n.slabs.scratch. Products need theirs besides.
	scratch func(i *instruction) int
	// flops counts its work on b samples, where it is worth counting. That of products is counted besides.
	flops func(i *instruction, b int) int64
	// run makes the function that computes an instruction for b samples; the function allocates nothing.
	run func(n *network, q *passPlan, i *instruction) func(b int)
}

// operators are the kinds, and lowerings the layers; the families' files fill them.
var (
	operators = map[kind]*operator{}
	lowerings = map[model.Kind]func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error){}
)

// inputs gives the listed inputs, for onto.
func inputs(list ...int) func(*instruction, *value) []*value {
	return func(i *instruction, _ *value) []*value {
		var may []*value
		for _, k := range list {
			may = append(may, i.in[k])
		}
		return may
	}
}

// op is one operator of ours on one layer: what Gorgonia needs to build and differentiate the graph (gorgonia.SDOp) and
// what the executor needs to compute it. Gorgonia never runs it.
type op struct {
	kind  kind
	layer string // "encoder.layer1.0.conv1": part of the hash, as Gorgonia merges equal operators on equal inputs
	term  int    // of the layer's operators of one kind and shape on equal inputs, which one: part of the hash, too
	sum   bool   // where gradients meet, which is no layer's
	in    []tensor.Shape
	out   tensor.Shape

	rows     int             // rows of channels per sample of the first input: pixels, tokens
	channels int             // of the first input
	conv     kernel.Geometry // of convolutions and poolings, with the whole batch
	norm     batchNorm
	epsilon  float32
	thin     int // of a convolution of a framed input: channels that are only there to be even
	frame    *frame
	unit     bool              // of linear layers: the rows of the weight are divided by their lengths
	shared   bool              // the last input is a parameter, the same for every sample
	piece    piece             // of concat and slice
	picks    kernel.Picks      // of gather and scatter, for any number of samples
	groups   int               // of channels: of convolutions and norms in groups
	larger   kernel.Upsampling // for any number of samples
	heads    int               // of attention
	slope    float32           // of a leaky ReLU
	rate     float64           // of dropout
}

var errNotRun = errors.New("an operator of the native engine is computed by its executor, not by Gorgonia")

func (o *op) Arity() int { return len(o.in) }

// Type is concrete: tensors of float32 of the ranks at hand.
func (o *op) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.in)+1)
	for _, s := range o.in {
		types = append(types, tensorOf(s))
	}
	return hm.NewFnType(append(types, tensorOf(o.out))...)
}

func tensorOf(s tensor.Shape) hm.Type { return gorgonia.TensorType{Dims: len(s), Of: tensor.Float32} }

func (o *op) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	for i, want := range o.in {
		if s, ok := in[i].(tensor.Shape); !ok || !s.Eq(want) {
			return nil, fmt.Errorf("%s: input %d has the shape %v, not %v", o, i, in[i], want)
		}
	}
	return o.out.Clone(), nil
}

func (o *op) Do(...gorgonia.Value) (gorgonia.Value, error) { return nil, errNotRun }
func (o *op) ReturnsPtr() bool                             { return false }
func (o *op) CallsExtern() bool                            { return false }
func (o *op) OverwritesInput() int                         { return -1 }
func (o *op) String() string                               { return string(o.kind) + " of " + o.layer }
func (o *op) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "%s|%s|%d|%v|%v", o.kind, o.layer, o.term, o.in, o.out)
}
func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// DiffWRT is false for every input of a gradient operator: nothing here is differentiated twice.
func (o *op) DiffWRT(inputs int) []bool {
	wrt := make([]bool, inputs)
	copy(wrt, operators[o.kind].wrt)
	for i := range wrt {
		wrt[i] = wrt[i] || operators[o.kind].every
	}
	return wrt
}

// SymDiff gives the gradients of the inputs as new nodes, from the gradient of the output. Inputs for which DiffWRT says
// false get nil.
func (o *op) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	d := &derivation{op: o, nodes: make(gorgonia.Nodes, len(in))}
	if operators[o.kind].diff == nil {
		return nil, fmt.Errorf("%s has no gradient", o)
	}
	operators[o.kind].diff(d, in, out, grad)
	return d.nodes, d.err
}

// pair is an operation with two outputs. A node has one, so the second is a node of its own that the first one reads last;
// the executor computes both at once, and the instruction has the second as its side.
func (o op) pair(second kind, secondOut tensor.Shape, first kind, out tensor.Shape, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	o.kind = second
	s, err := apply(o, secondOut, in...)
	if err != nil {
		return nil, err
	}
	o.kind = first
	return apply(o, out, append(in, s)...)
}

// apply adds an operator to the graph. The shapes of inputs and the output are part of it.
func apply(o op, out tensor.Shape, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	o.in, o.out = make([]tensor.Shape, len(in)), out
	for i, n := range in {
		o.in[i] = n.Shape()
	}
	return gorgonia.ApplyOp(&o, in...)
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
