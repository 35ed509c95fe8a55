// Package engine is what the training loop knows of a machine that computes networks.
//
// An Engine compiles a program (an encoder, heads, and passes over views) into a Network, which owns the weights, the
// momentum copy, the optimiser's state and every buffer. The caller fills Input, calls Forward for each pass, reads
// Tap, writes TapGradient, calls Backward for each pass with gradient, then Step and UpdateMomentum.
package engine

import (
	"errors"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Mode says what a network is compiled for.
type Mode int

// Train keeps activations for gradients, and batch norm uses the batch's statistics; Infer uses running statistics.
const (
	Train Mode = iota
	Infer
)

// Precision is the type in which products are computed and activations stored.
type Precision string

// With BFloat16, activations, their gradients and the factors of products are bfloat16; sums, statistics, losses,
// weights and their gradients stay float32. An engine refuses it where the machine has no instructions for it.
const (
	Float32  Precision = "float32"
	BFloat16 Precision = "bfloat16"
)

// ErrPrecision is in the chain of an error of Cost or Compile that a precision is to blame for.
var ErrPrecision = errors.New("it needs instructions that are not to be had")

// ErrLost is in the chain of an error of a network whose state is gone, with the process that held it: the network is
// there anew, and every call fails so until SetState has given it everything.
var ErrLost = errors.New("the network's state is lost")

// Program is what a network must compute, resolved: models instead of components.
type Program struct {
	Encoder *protocol.Model
	Heads   []*protocol.Head
	Passes  []*protocol.Pass
	Taps    []*protocol.Tap
	// Momentum says whether there is a momentum network: a copy of encoder and heads that follows the online one.
	Momentum bool
}

// Options of a compilation.
type Options struct {
	Mode      Mode
	Batch     int       // samples of one Forward
	Precision Precision // "" means Float32
	Threads   int       // 0 means all processors
	Seed      uint64    // of the initial weights: keyed by (seed, "init", network-independent parameter name)
	Beside    Beside
}

// Beside is memory in bytes that the caller takes beside the network, now or later: an engine refuses a network that
// leaves no room for it.
type Beside struct {
	Fixed  int64
	Sample int64 // for each sample of a batch
}

// Of adds it up for a batch.
func (b Beside) Of(batch int) int64 { return b.Fixed + int64(batch)*b.Sample }

// Cost is what a compiled network takes. FLOPs count a multiply-add as two.
type Cost struct {
	Parameters   int64 // trained values of the online network
	Bytes        int64 // memory of weights, optimiser, gradients and activations together
	Elsewhere    int64 // how much of it is memory of a device's own
	ForwardFLOPs int64 // of one sample through the encoder
	StepFLOPs    int64 // of one whole step: every pass, forward and backward
}

// Optimiser is the update of one step: SGD with momentum (PyTorch's form: v ← μv + g + λw; w ← w − ηv).
type Optimiser struct {
	LR, Momentum, WeightDecay float64
	Encoder                   float64 // what LR is multiplied with for the encoder's parameters; 0 means 1
}

// Array is a named array of a network, in the layout of the model description (PyTorch's).
type Array struct {
	Name  string // "encoder.layer1.0.conv1.weight", "head.projector.0.weight"
	Shape []int64
	Data  []float32
}

// Network is a compiled program. It is not safe for concurrent use. Its slices stay valid, at the same address, until
// Close. The same inputs give the same bits for any number of threads.
type Network interface {
	Cost() Cost
	// Input is the buffer that the caller fills before Forward of the pass: [batch, spatial…, bands].
	Input(pass string) []float32
	// Forward computes one pass. n ≤ batch samples are valid in Infer mode; in Train mode n must be the batch. What the
	// network draws, as in dropout, follows from the seed, the layer, the pass, the step and the place in the batch alone.
	Forward(pass string, n int, step uint64) error
	// Tap is the output that a tap names, [batch, width], after Forward of its pass.
	Tap(name string) []float32
	// TapShape is its shape without the batch.
	TapShape(name string) []int64
	// TapGradient is the buffer for the loss's gradient at a tap of a pass with gradient.
	TapGradient(name string) []float32
	// Backward adds the gradients of one pass to those of the step.
	Backward(pass string) error
	// Step updates the online weights and clears the gradients. Where a gradient or a running statistic is not finite, it
	// changes no weight and fails with a fault of kind Diverged.
	Step(o Optimiser) error
	// Blame says what first held values that are not finite, after Step failed for some or the loss is not finite: it
	// computes the passes of the step again, from the inputs and weights as they are, and looks at every layer. Nil means
	// that nothing is found. Weights and running statistics stay as they are; the gradients are cleared.
	Blame() *Culprit
	// UpdateMomentum moves the trained parameters of the momentum network: w′ ← m·w′ + (1−m)·w. Buffers evolve on their own.
	UpdateMomentum(m float64) error
	// Params gives the online network's parameters and buffers, names sorted; SetParams replaces those it is given and
	// fails on an unknown name or a different shape.
	Params() ([]Array, error)
	SetParams([]Array) error
	// State gives everything a checkpoint needs: the parameters, "momentum." copies and "optimiser." velocities.
	State() ([]Array, error)
	SetState([]Array) error
	Close() error
}

// Engine compiles programs.
type Engine interface {
	Name() string
	// Revision is raised when the engine's results change.
	Revision() int
	// Describe says with what it computes here, as far as results depend on it: "AVX-512".
	Describe() string
	// Cost plans without taking memory. Like Compile it refuses what the machine has no memory for.
	Cost(p Program, o Options) (Cost, error)
	Compile(p Program, o Options) (Network, error)
}
