package native

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// kind is what an operator of ours computes. The gradients of a kind are in gradients.go, its execution in execute.go.
type kind string

const (
	opConv       kind = "conv"        // x, w, [bias] → y; a linear layer is the convolution of rank 0
	opConvInput  kind = "conv dx"     // dy, w → dx
	opConvWeight kind = "conv dw"     // x, dy → dw
	opColumnSum  kind = "column sum"  // dy → Σ over batch and space
	opStatistics kind = "statistics"  // x → mean and biased variance [2, groups, channels]; moves the running statistics
	opNorm       kind = "norm"        // x, statistics, γ, β → y
	opNormFixed  kind = "norm fixed"  // x, running mean, running variance, γ, β → y
	opNormReduce kind = "norm reduce" // x, statistics, dy → Σ dy and Σ dy·x̂ [2, groups, channels]
	opNormInput  kind = "norm dx"     // x, statistics, γ, dy, reduced → dx
	opNormGamma  kind = "norm dγ"     // reduced → dγ
	opNormBeta   kind = "norm dβ"     // reduced → dβ
	opRelu       kind = "relu"        // x → y
	opReluInput  kind = "relu dx"     // y, dy → dx
	opAdd        kind = "add"         // a, b → a + b; also the addition that Gorgonia inserts where a value fans out
	opPoolArg    kind = "pool arg"    // x → the taps that hold the greatest values
	opPool       kind = "pool"        // x, arg → y
	opPoolInput  kind = "pool dx"     // arg, dy → dx
	opMean       kind = "mean"        // x → means over space
	opMeanInput  kind = "mean dx"     // dy → dx
	opLength     kind = "length"      // x → max(‖x‖, ε) of every row
	opUnit       kind = "unit"        // x, length → y
	opUnitInput  kind = "unit dx"     // y, length, dy → dx
)

// op is one operator of ours on one layer: what Gorgonia needs to build and differentiate the graph (gorgonia.SDOp) and
// what the executor needs to compute it. Gorgonia never runs it.
type op struct {
	kind  kind
	layer string // "encoder.layer1.0.conv1": part of the hash, as Gorgonia merges equal operators on equal inputs
	in    []tensor.Shape
	out   tensor.Shape

	conv     kernel.Geometry // of convolutions and poolings, with the whole batch
	groups   int             // of batch norms
	rows     int             // rows of channels per sample: pixels
	channels int
	epsilon  float32
	momentum float32
	running  [2]string // names of the running mean and variance
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
func (o *op) WriteHash(h hash.Hash)                        { fmt.Fprintf(h, "%s|%s|%v|%v", o.kind, o.layer, o.in, o.out) }
func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// DiffWRT is false for every input of a gradient operator: nothing here is differentiated twice.
func (o *op) DiffWRT(inputs int) []bool {
	wrt := make([]bool, inputs)
	switch o.kind {
	case opConv, opAdd, opRelu, opMean:
		for i := range wrt {
			wrt[i] = true
		}
	case opNorm: // the statistics' part is in the gradient of x
		wrt[0], wrt[2], wrt[3] = true, true, true
	case opPool, opUnit:
		wrt[0] = true
	}
	return wrt
}

// apply adds an operator to the graph. The shapes of inputs and the output are part of it.
func apply(o op, out tensor.Shape, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	o.in, o.out = make([]tensor.Shape, len(in)), out
	for i, n := range in {
		o.in[i] = n.Shape()
	}
	return gorgonia.ApplyOp(&o, in...)
}
