package sdk

import (
	"context"
	"fmt"

	"github.com/asterism-ssl/asterism/core/protocol"
)

type encoderServer struct {
	protocol.UnimplementedEncoderServer
	*server
}

// Build asks the author for the model.
func (s encoderServer) Build(_ context.Context, r *protocol.BuildRequest) (*protocol.Model, error) {
	i, a, err := find[Architecture](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	return asked(i, "Describe", "a model", func() (*protocol.Model, error) { return a.Describe(r.Input) })
}

type objectiveServer struct {
	protocol.UnimplementedObjectiveServer
	*server
}

// Plan asks the author for the program.
func (s objectiveServer) Plan(_ context.Context, r *protocol.ProgramRequest) (*protocol.Program, error) {
	i, l, err := find[Learner](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	i.turn.Lock()
	defer i.turn.Unlock()
	p, err := asked(i, "Plan", "a program", func() (*protocol.Program, error) { return l.Plan(r) })
	if _, ok := l.(Stateful); err == nil && !ok && p.StateBytes > 0 {
		return nil, fmt.Errorf("the program has StateBytes, and the objective no State and SetState")
	}
	return p, err
}

// Loss gives one step to the author.
func (s objectiveServer) Loss(_ context.Context, r *protocol.LossRequest) (*protocol.LossAnswer, error) {
	i, l, err := find[Learner](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	i.turn.Lock()
	defer i.turn.Unlock()
	c := &call{server: s.server}
	defer c.end()
	step := &Step{Step: r.Step}
	if step.Taps, err = c.byName(r.Taps, false); err != nil {
		return nil, err
	}
	if step.Gradients, err = c.byName(r.Gradients, true); err != nil {
		return nil, err
	}
	if step.Labels, err = c.byName(r.Labels, false); err != nil {
		return nil, err
	}
	return asked(i, "Loss", "a loss", func() (*protocol.LossAnswer, error) { return l.Loss(step) })
}

// State copies what a checkpoint must keep.
func (s objectiveServer) State(_ context.Context, r *protocol.StateRequest) (*protocol.StateAnswer, error) {
	i, l, err := find[Learner](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	i.turn.Lock()
	defer i.turn.Unlock()
	c := &call{server: s.server}
	defer c.end()
	room, err := c.room(r.Slot)
	if err != nil {
		return nil, err
	}
	var state []Tensor
	if with, ok := l.(Stateful); ok {
		if err := protect(i.name, func() error { state = with.State(); return nil }); err != nil {
			return nil, err
		}
	}
	tensors, err := room.tensors(state, "Program.StateBytes")
	return &protocol.StateAnswer{Tensors: tensors}, err
}

// SetState puts it back. The author gets copies: the memory of the call ends with it.
func (s objectiveServer) SetState(_ context.Context, r *protocol.SetStateRequest) (*protocol.StateSet, error) {
	i, l, err := find[Learner](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	i.turn.Lock()
	defer i.turn.Unlock()
	c := &call{server: s.server}
	defer c.end()
	state, err := c.all(r.Tensors)
	if err != nil {
		return nil, err
	}
	for k := range state {
		state[k] = state[k].clone()
	}
	with, ok := l.(Stateful)
	if !ok {
		if len(state) > 0 {
			return nil, fmt.Errorf("%s has no SetState, and is given a state", i.name)
		}
		return &protocol.StateSet{}, nil
	}
	return &protocol.StateSet{}, protect(i.name, func() error { return with.SetState(state) })
}

func (t Tensor) clone() Tensor {
	t.F32 = append([]float32(nil), t.F32...)
	t.F64 = append([]float64(nil), t.F64...)
	t.I64 = append([]int64(nil), t.I64...)
	return t
}

type taskServer struct {
	protocol.UnimplementedTaskServer
	*server
}

// Needs asks the author.
func (s taskServer) Needs(_ context.Context, r *protocol.TaskNeedsRequest) (*protocol.TaskNeeds, error) {
	i, p, err := find[Predictor](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	return asked(i, "Needs", "an answer", func() (*protocol.TaskNeeds, error) { return p.Needs(r) })
}

// Fit gives the training rows to the author and copies the state into the slot.
func (s taskServer) Fit(_ context.Context, r *protocol.FitRequest) (*protocol.FitAnswer, error) {
	i, p, err := find[Predictor](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	c := &call{server: s.server}
	defer c.end()
	room, err := c.room(r.Slot)
	if err != nil {
		return nil, err
	}
	f := &FitData{Seed: r.Seed, Samples: r.Samples}
	if f.X, err = c.given(&protocol.NamedTensor{Name: "x", Tensor: r.X}, false); err != nil {
		return nil, err
	}
	if f.Labels, err = c.byName(r.Labels, false); err != nil {
		return nil, err
	}
	if r.Weights != nil {
		if f.Weights, err = view[float64](c, r.Weights, false); err != nil {
			return nil, err
		}
	}
	var state []Tensor
	err = protect(i.name, func() (err error) {
		state, err = p.Fit(f)
		return err
	})
	if err != nil {
		return nil, err
	}
	tensors, err := room.tensors(state, "TaskNeeds.StateBytes")
	return &protocol.FitAnswer{State: tensors}, err
}

// Predict gives representations and the state to the author and copies the columns into the slot.
func (s taskServer) Predict(_ context.Context, r *protocol.PredictRequest) (*protocol.PredictAnswer, error) {
	i, p, err := find[Predictor](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	c := &call{server: s.server}
	defer c.end()
	room, err := c.room(r.Slot)
	if err != nil {
		return nil, err
	}
	x, err := c.given(&protocol.NamedTensor{Name: "x", Tensor: r.X}, false)
	if err != nil {
		return nil, err
	}
	state, err := c.all(r.State)
	if err != nil {
		return nil, err
	}
	var columns []Tensor
	err = protect(i.name, func() (err error) {
		columns, err = p.Predict(state, x)
		return err
	})
	if err != nil {
		return nil, err
	}
	tensors, err := room.tensors(columns, "TaskNeeds.PredictionBytes")
	return &protocol.PredictAnswer{Columns: tensors}, err
}

// Score gives predictions and labels to the author.
func (s taskServer) Score(_ context.Context, r *protocol.ScoreRequest) (*protocol.ScoreAnswer, error) {
	i, p, err := find[Predictor](s.server, r.Instance)
	if err != nil {
		return nil, err
	}
	c := &call{server: s.server}
	defer c.end()
	d := &ScoreData{}
	if d.Predictions, err = c.all(r.Predictions); err != nil {
		return nil, err
	}
	if d.Labels, err = c.byName(r.Labels, false); err != nil {
		return nil, err
	}
	if d.FitLabels, err = c.byName(r.FitLabels, false); err != nil {
		return nil, err
	}
	return asked(i, "Score", "an answer", func() (*protocol.ScoreAnswer, error) { return p.Score(d) })
}
