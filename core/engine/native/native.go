// Package native computes networks on the processor, without cgo.
//
// Each pass of a program (an encoder and its heads) is lowered to a Gorgonia expression graph of operators of ours
// (operator.go, lower.go); Gorgonia differentiates it (the file of each family says how its operators are); the result
// becomes a sequence of kernel calls (schedule.go), in which batch norm is fused with the addition and activation after
// it (fuse.go), and whose values share one arena by their lifetimes (plan.go). A training step then runs these calls
// and allocates nothing (execute.go, network.go).
//
//	network, err := native.New().Compile(program, engine.Options{Batch: 128, Seed: 7})
//	copy(network.Input("query"), batch)
//	err = network.Forward("query", 128, 0)
//	// read network.Tap("q"), fill network.TapGradient("q")
//	err = network.Backward("query")
//	err = network.Step(engine.Optimiser{LR: 0.06, Momentum: 0.9, WeightDecay: 5e-4})
//
// The same inputs give the same bits from run to run and for any number of threads, on the same instruction set.
// Slices from Input, Tap and TapGradient must not be used after Close; those from Params and State are copies.
package native

import (
	"errors"
	"fmt"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/protocol"

	// Gorgonia refuses to start on a Go release that this module does not know; this version asks the runtime instead
	// of a table. The import keeps the version in go.mod.
	_ "go4.org/unsafe/assume-no-moving-gc"
)

// New gives the native engine.
func New() engine.Engine { return native{} }

type native struct{}

var availableMemory = protocol.AvailableMemory // tests replace it

func (native) Name() string     { return "native" }
func (native) Revision() int    { return 2 }
func (native) Describe() string { return kernel.Describe() }

// Cost plans without taking memory, and fails as Compile does where memory is short. Bytes are exact: weights, packed
// weights, gradients, velocities, the momentum copy, activations, inputs, taps and scratch. StepFLOPs are of the whole batch through every pass and back.
func (native) Cost(e engine.Program, o engine.Options) (engine.Cost, error) {
	l, err := fitting(e, o)
	if err != nil {
		return engine.Cost{}, err
	}
	return l.cost, nil
}

// fitting plans a program and refuses one that needs more memory than there is.
func fitting(e engine.Program, o engine.Options) (*plan, error) {
	l, err := planned(e, o)
	if err != nil {
		return nil, err
	}
	if have, known := availableMemory(); known && l.cost.Bytes+o.Beside.Of(o.Batch) > have {
		return nil, engine.Short(e, o, l.cost.Bytes, have, "are available", func(o engine.Options) (int64, error) {
			l, err := planned(e, o)
			if err != nil {
				return 0, err
			}
			return l.cost.Bytes, nil
		})
	}
	return l, nil
}

func planned(e engine.Program, o engine.Options) (*plan, error) {
	p, err := check(e, o)
	if err != nil {
		return nil, err
	}
	l, err := newPlan(p, o, false)
	if errors.Is(err, kernel.ErrTooLarge) {
		return nil, &fault.Error{Op: "compile", Kind: fault.Config, What: "the native engine does not compute layers this large", Err: err, Do: "use smaller samples, or an encoder with fewer channels"}
	}
	if err != nil {
		return nil, &fault.Error{Op: "compile", Kind: fault.Internal, What: "the native engine cannot plan this program", Err: err, Do: "please report this with the experiment"}
	}
	return l, nil
}

// Compile plans the program, takes all its memory and initialises the weights. Where memory is short it fails with a
// fault of kind Resource that names what is needed, what there is, and the largest batch that would fit.
func (native) Compile(e engine.Program, o engine.Options) (engine.Network, error) {
	l, err := fitting(e, o)
	if err != nil {
		return nil, err
	}
	memory, err := takeMemory(l.total)
	if err != nil {
		return nil, &fault.Error{Op: "compile", Kind: fault.Resource, What: fmt.Sprintf("the network needs %s of memory and the system does not give it", engine.Size(l.cost.Bytes)), Err: err, Do: "choose a smaller batch or encoder"}
	}
	return newNetwork(l, o, memory)
}
