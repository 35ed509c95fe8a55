package plugin

import (
	"context"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Task is a configured task. Memory is taken for each call and given back after it.
type Task struct{ c *configured }

// Task configures a task.
func (h *Host) Task(ctx context.Context, r Ref) (*Task, error) {
	c, err := h.configure(ctx, r, protocol.Kind_TASK)
	if err != nil {
		return nil, err
	}
	return &Task{c}, nil
}

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

// Needs says which labels the task reads and how much memory its answers take. The request's instance is filled in.
func (t *Task) Needs(ctx context.Context, r *protocol.TaskNeedsRequest) (*protocol.TaskNeeds, error) {
	r.Instance = t.c.instance
	return call(ctx, t.c, "Needs", t.c.task.Needs, r)
}

// Fit learns from the training rows and gives the state that Predict needs.
func (t *Task) Fit(ctx context.Context, in FitInput) ([]Tensor, error) {
	request := &protocol.FitRequest{Instance: t.c.instance, Seed: in.Seed, Samples: in.Samples}
	var out outgoing
	x, err := out.place(in.X)
	if err != nil {
		return nil, err
	}
	request.X = x.Tensor
	if request.Labels, err = out.placeAll(in.Labels); err != nil {
		return nil, err
	}
	if in.Weights != nil {
		w, err := out.place(Tensor{Name: "weights", Shape: []int64{int64(len(in.Weights))}, F64: in.Weights})
		if err != nil {
			return nil, err
		}
		request.Weights = w.Tensor
	}
	m, err := out.load(t.c)
	if err != nil {
		return nil, err
	}
	defer m.close()
	room, slot, err := t.c.room(in.StateBytes)
	if err != nil {
		return nil, err
	}
	defer room.close()
	request.Slot = slot
	answer, err := call(ctx, t.c, "Fit", t.c.task.Fit, request)
	if err != nil {
		return nil, err
	}
	return t.c.incoming(room, slot, answer.State)
}

// Predict gives columns, [rows] or [rows, k], for x F32 [rows, width]. They take at most predictionBytes:
// TaskNeeds.PredictionBytes.
func (t *Task) Predict(ctx context.Context, state []Tensor, x Tensor, predictionBytes uint64) ([]Tensor, error) {
	request := &protocol.PredictRequest{Instance: t.c.instance}
	var out outgoing
	placed, err := out.place(x)
	if err != nil {
		return nil, err
	}
	request.X = placed.Tensor
	if request.State, err = out.placeAll(state); err != nil {
		return nil, err
	}
	m, err := out.load(t.c)
	if err != nil {
		return nil, err
	}
	defer m.close()
	room, slot, err := t.c.room(predictionBytes)
	if err != nil {
		return nil, err
	}
	defer room.close()
	request.Slot = slot
	answer, err := call(ctx, t.c, "Predict", t.c.task.Predict, request)
	if err != nil {
		return nil, err
	}
	return t.c.incoming(room, slot, answer.Columns)
}

// Score compares predictions with labels.
func (t *Task) Score(ctx context.Context, in ScoreInput) (*protocol.ScoreAnswer, error) {
	request := &protocol.ScoreRequest{Instance: t.c.instance}
	var out outgoing
	var err error
	if request.Predictions, err = out.placeAll(in.Predictions); err != nil {
		return nil, err
	}
	if request.Labels, err = out.placeAll(in.Labels); err != nil {
		return nil, err
	}
	if request.FitLabels, err = out.placeAll(in.FitLabels); err != nil {
		return nil, err
	}
	m, err := out.load(t.c)
	if err != nil {
		return nil, err
	}
	defer m.close()
	return call(ctx, t.c, "Score", t.c.task.Score, request)
}

// Close releases the instance.
func (t *Task) Close() error { return t.c.release() }
