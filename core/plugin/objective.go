package plugin

import (
	"context"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Objective is a configured objective.
type Objective struct{}

// Plan gives the program for the training loop. The request's instance is filled in.
func (o *Objective) Plan(ctx context.Context, r *protocol.ProgramRequest) (*protocol.Program, error) {
	return nil, errNotYet
}

// Bind makes the shared memory of the taps, of the gradients of those taps whose passes have one, and of the labels.
// Widths gives the shape of each tap without the batch. Call it after Plan.
func (o *Objective) Bind(batch int, widths map[string][]int64, labels []string) error {
	return errNotYet
}

// Tap is the memory of a tap, [batch, width]: fill it before Loss.
func (o *Objective) Tap(name string) []float32 { return nil }

// Gradient is the memory of the loss's gradient at a tap, filled by Loss; nil for a tap of a pass without gradient.
func (o *Objective) Gradient(name string) []float32 { return nil }

// Label is the memory of a label column, [batch]: fill it before Loss, NaN where missing.
func (o *Objective) Label(name string) []float64 { return nil }

// Loss computes the loss of one step from the taps and labels, and fills the gradients.
func (o *Objective) Loss(ctx context.Context, step uint64) (*protocol.LossAnswer, error) {
	return nil, errNotYet
}

// State gives what a checkpoint must keep.
func (o *Objective) State(ctx context.Context) ([]Tensor, error) { return nil, errNotYet }

// SetState puts back what State gave.
func (o *Objective) SetState(ctx context.Context, s []Tensor) error { return errNotYet }

// Close releases the instance and its memory.
func (o *Objective) Close() error { return nil }
