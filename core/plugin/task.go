package plugin

import (
	"context"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Task is a configured task.
type Task struct{}

// FitInput is what a task learns from.
type FitInput struct {
	X          Tensor    // F32 [rows, width], training rows only
	Labels     []Tensor  // F64 [rows] each, named
	Weights    []float64 // [rows]; nil: all one
	Seed       uint64
	Samples    []uint64 // sample ids of the rows
	StateBytes uint64   // what the state takes at most: TaskNeeds.StateBytes
}

// ScoreInput is what a task is judged on.
type ScoreInput struct {
	Predictions []Tensor
	Labels      []Tensor // F64 [rows] of the predicted rows, named
	FitLabels   []Tensor // F64 of the fitted rows, named
}

// Needs says which labels the task reads and how much memory its answers take.
func (t *Task) Needs(ctx context.Context, r *protocol.TaskNeedsRequest) (*protocol.TaskNeeds, error) {
	return nil, errNotYet
}

// Fit learns from the training rows and gives the state that Predict needs.
func (t *Task) Fit(ctx context.Context, in FitInput) ([]Tensor, error) { return nil, errNotYet }

// Predict gives columns, [rows] or [rows, k], for x F32 [rows, width].
func (t *Task) Predict(ctx context.Context, state []Tensor, x Tensor, predictionBytes uint64) ([]Tensor, error) {
	return nil, errNotYet
}

// Score compares predictions with labels.
func (t *Task) Score(ctx context.Context, in ScoreInput) (*protocol.ScoreAnswer, error) {
	return nil, errNotYet
}

// Close releases the instance.
func (t *Task) Close() error { return nil }
