package train

import (
	"context"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
)

// held is everything of a training after a step: what a checkpoint holds. Where an engine in another process may lose what
// the network has learned, one is held in memory, and the steps since are done again: batches, views and orders are drawn by
// keys, so that they are the same.
type held struct {
	step      int
	seconds   float64
	at        time.Time
	marks     map[string]int64
	network   []engine.Array
	objective []plugin.Tensor
}

// take reads the state after a step.
func (s *sitting) take(step int) (*held, error) {
	network, err := s.Network.State()
	if err != nil {
		return nil, err
	}
	if err := s.sound(step, network); err != nil {
		return nil, err
	}
	h := &held{step: step, seconds: s.seconds(), at: time.Now(), network: network}
	if h.objective, err = s.Objective.State(context.Background()); err != nil {
		return nil, err // the plugin's matter, not the disk's
	}
	if s.Checkpoints == nil {
		return h, nil
	}
	if h.marks, err = s.Marks(); err != nil {
		return nil, s.unwritten(err)
	}
	return h, nil
}

// hold keeps the state in memory.
func (s *sitting) hold() error {
	h, err := s.take(s.step)
	if err == nil {
		s.held = h
	}
	return err
}

// save writes the checkpoint of a step.
func (s *sitting) save(step int) error {
	if s.Checkpoints.good(step) != nil {
		return nil
	}
	h, err := s.take(step)
	if err != nil {
		return err
	}
	if s.Hold > 0 {
		s.held = h
	}
	if err := s.write(h); err != nil {
		return err
	}
	h = nil
	debug.FreeOSMemory() // the copy of the network's state, which the next checkpoint's would otherwise lie beside
	return nil
}

// write makes a checkpoint of a state.
func (s *sitting) write(h *held) error {
	err := s.Checkpoints.write(&checkpointState{Job: s.Checkpoints.Job, Training: s.Checkpoints.Training, Step: h.step, Seconds: h.seconds, Marks: h.marks, Computed: s.Computed}, func(dir string) error {
		if err := engine.WriteArrays(filepath.Join(dir, networkFile), h.network, nil); err != nil {
			return err
		}
		return plugin.WriteTensors(filepath.Join(dir, objectiveFile), h.objective)
	})
	if err != nil {
		return s.unwritten(err)
	}
	return nil
}

func (s *sitting) unwritten(err error) error {
	return &fault.Error{Op: "checkpoint", Kind: fault.Resource, What: "cannot write a checkpoint to " + s.Checkpoints.Dir, Err: err,
		Do: "free some space; the run continues from the last good checkpoint when started again"}
}

// goBack brings network, objective and batches back to the state that is held.
func (s *sitting) goBack() error {
	if err := s.Network.SetState(s.held.network); err != nil {
		return err
	}
	if err := s.Objective.SetState(s.calls, s.held.objective); err != nil {
		return err
	}
	s.Note("the steps after %d are done again", s.held.step)
	s.Source.Restart(s.held.step, s.steps)
	s.step = s.held.step
	return nil
}
