// Package train is the one loop that trains every network: it draws batches, brings them through the views, and runs
// the passes, the loss and the update that an objective's program asks for.
//
// Nothing in the loop depends on time, threads or what was computed before a restart: batches are drawn by keyed
// shuffles, views by keyed augmentations, the learning rate from the step alone, and a checkpoint holds the rest. A
// training that is interrupted and continued ends in the same bits as one that is not.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
)

// Job is a training, ready to run.
type Job struct {
	Source    Source // of the batches
	Program   *protocol.Program
	Network   engine.Network
	Objective *plugin.Objective // planned and bound

	Seed      uint64
	Batch     int
	Epochs    int
	Schedule  Schedule
	Momentum  float64 // of the optimiser
	Decay     float64
	Encoder   float64 // what the learning rate of the encoder is multiplied with; 0 means 1
	StopAfter int     // steps after which to stop as if interrupted; 0: never. For tests of resuming.

	Engine   run.Computed   // what computes here
	Computed []run.Computed // what computed the steps done, in earlier sittings and this one: filled by Run from the checkpoint
	Learned  []engine.Array // the online network's parameters and buffers at the end: filled by Run

	Checkpoints     *Checkpoints // nil: none are kept, and Marks and Rewind are not called
	CheckpointEvery time.Duration
	Hold            time.Duration                                                     // how often the state is held in memory, to go on from when the engine loses it; 0: never
	Marks           func() (map[string]int64, error)                                  // offsets of the files that grow with the training, once they are on disk
	Rewind          func(map[string]int64) error                                      // cuts those files back to a checkpoint's offsets
	Look            func(ctx context.Context, epochs int) (map[string]float64, error) // looks at the network after so many epochs; may be nil
	Observe         func(Progress)                                                    // called after each step
	Note            func(format string, a ...any)                                     // things a user should know
}

// Progress is the state of a training after a step.
type Progress struct {
	Step, Steps int // steps done, of how many
	Epoch       float64
	Seconds     float64 // of training so far, over all sittings
	Loss        float64
	LR          float64
	ImagesPS    float64 // samples of the data per second, each counted once for all its views, over the last second or more
	Computed    float64 // seconds that this step took, without the wait for its batch
	Stall       float64 // share of this sitting's time in which the network waited for views
	Asked       float64 // share of it in which it waited for the objective
	Engine      float64 // share of it in which the engine computed
	Metrics     []*protocol.Metric
	Health      map[string]float64 // what Look found, at the end of an epoch
}

// Steps gives the number of steps of a pass over the data and of the whole training; the last incomplete batch of a
// pass is dropped, since batch norm and queues want whole ones.
func (j *Job) Steps() (perEpoch, total int) {
	perEpoch = j.Source.Len() / j.Batch
	return perEpoch, perEpoch * j.Epochs
}

// Run trains to the end, from the last good checkpoint if there is one. When ctx is cancelled it ends the step, writes a
// checkpoint and returns a fault of kind Interrupted.
func Run(ctx context.Context, j *Job) error {
	perEpoch, steps := j.Steps()
	if perEpoch == 0 && j.Epochs > 0 {
		return &fault.Error{Op: "train", Kind: fault.Data, Path: "train.batch",
			What: fmt.Sprintf("a batch of %d is larger than the training split, which has %d objects", j.Batch, j.Source.Len()),
			Do:   "lower train.batch, or give more data"}
	}
	if err := j.fits(); err != nil {
		return err
	}
	step, before, err := j.resume(ctx)
	if err != nil {
		return err
	}
	j.Source.Start(step, steps)
	defer j.Source.Stop()

	// A request to stop waits for the end of the step, but not for ever: a plugin may hang.
	calls, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, abandon) })()

	now := time.Now()
	s := &sitting{Job: j, calls: calls, perEpoch: perEpoch, steps: steps, step: step, seen: step, before: before, began: now, saved: now, rate: newRate(now)}
	for {
		err := s.run(ctx)
		if s.held == nil || !errors.Is(err, engine.ErrLost) {
			return err
		}
		if err := s.goBack(); err != nil {
			return s.kept(err)
		}
	}
}

// sitting is the part of a training that one process does.
type sitting struct {
	*Job
	calls           context.Context
	perEpoch, steps int
	step            int     // done, as the network is
	seen            int     // done and told of; more than step after going back
	before          float64 // seconds of earlier sittings
	began, saved    time.Time
	held            *held
	waited, asked   time.Duration
	engine          time.Duration
	rate            *rate
}

func (s *sitting) seconds() float64 { return s.before + time.Since(s.began).Seconds() }

// run trains from where the network is to the end.
func (s *sitting) run(ctx context.Context) error {
	for ; s.step < s.steps; s.step++ {
		if ctx.Err() != nil || s.StopAfter > 0 && s.step >= s.StopAfter {
			return s.stopped()
		}
		if s.Hold > 0 && s.step >= s.seen && (s.held == nil || s.held.step < s.step && time.Since(s.held.at) >= s.Hold) {
			if err := s.hold(); err != nil {
				return s.kept(err)
			}
		}
		waiting := time.Now()
		b, err := s.Source.Next(s.calls)
		if err != nil && s.calls.Err() == nil {
			return s.failed(err)
		}
		computing := time.Now()
		s.waited += computing.Sub(waiting)
		asked := s.asked
		var answer *protocol.LossAnswer
		if s.calls.Err() == nil {
			answer, err = s.Job.step(s.calls, s.step, b, &s.asked)
		}
		if s.calls.Err() != nil {
			return s.abandoned()
		}
		if err != nil {
			return s.kept(err)
		}
		computed := time.Since(computing)
		s.engine += computed - (s.asked - asked)
		if s.step < s.seen { // told of before
			continue
		}
		var health map[string]float64
		if s.Look != nil && (s.step+1)%s.perEpoch == 0 {
			health, err = s.Look(s.calls, (s.step+1)/s.perEpoch)
			if s.calls.Err() != nil {
				return s.abandoned()
			}
			if err != nil {
				return s.kept(err)
			}
		}
		s.seen = s.step + 1
		here := time.Since(s.began).Seconds()
		s.Observe(Progress{Step: s.seen, Steps: s.steps, Epoch: float64(s.seen) / float64(s.perEpoch), Seconds: s.before + here,
			Loss: answer.Loss, LR: s.Schedule.At(s.step), ImagesPS: s.rate.add(s.Batch), Computed: computed.Seconds(), Stall: s.waited.Seconds() / here, Asked: s.asked.Seconds() / here, Engine: s.engine.Seconds() / here, Metrics: answer.Metrics, Health: health})
		if s.CheckpointEvery > 0 && time.Since(s.saved) > s.CheckpointEvery && s.seen < s.steps {
			if err := s.save(s.seen); err != nil {
				return s.kept(err)
			}
			s.saved = time.Now()
		}
	}
	params, err := s.Network.Params()
	if err != nil {
		return s.kept(err)
	}
	s.Learned = params
	return s.sound(s.steps, params)
}

// stopped ends a training on request, between two steps.
func (s *sitting) stopped() error {
	step := s.step
	if s.Checkpoints == nil {
		return &fault.Error{Op: "train", Kind: fault.Cancelled, What: fmt.Sprintf("stopped after step %d of %d", step, s.steps)}
	}
	var err error
	if s.step >= s.seen {
		err = s.save(step)
	}
	if s.held != nil && (s.step < s.seen || errors.Is(err, engine.ErrLost)) { // the files that grow are ahead of the network
		step, err = s.held.step, s.write(s.held)
	}
	if err != nil {
		return err
	}
	return &fault.Error{Op: "train", Kind: fault.Interrupted, What: fmt.Sprintf("stopped after step %d of %d; a checkpoint is written", step, s.steps),
		Do: "run the same command again to continue from there"}
}

// failed ends a training between two steps because of a plugin, after writing a checkpoint.
func (s *sitting) failed(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Plugin || s.Checkpoints == nil {
		return err
	}
	if s.step < s.seen || s.save(s.step) != nil {
		return s.kept(err)
	}
	return written(f, s.step)
}

// written adds to the error of a plugin that a checkpoint is there.
func written(f *fault.Error, step int) error {
	e := *f
	e.Do += fmt.Sprintf("; a checkpoint is written after step %d, from which the same command goes on", step)
	return &e
}

// kept adds to the error of a plugin in the middle of a step which checkpoint there is. A state that is held is written.
func (s *sitting) kept(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Plugin || s.Checkpoints == nil || s.held != nil && errors.Is(err, engine.ErrLost) {
		return err
	}
	saved, dir, _ := s.Checkpoints.latest()
	if s.held != nil && s.held.step > 0 && (saved == nil || saved.Step < s.held.step) && s.write(s.held) == nil {
		return written(f, s.held.step)
	}
	if saved == nil {
		return err
	}
	e := *f
	e.Do += fmt.Sprintf("; the checkpoint of step %d is kept in %s", saved.Step, dir)
	return &e
}

// patience is how long a request to stop waits for the end of a step.
const patience = 10 * time.Second

// abandoned is the end of a training in the middle of a step that some plugin did not end when asked to stop. The
// network is between two steps' states, so that nothing but a state that is held can be written.
func (s *sitting) abandoned() error {
	e := &fault.Error{Op: "train", Kind: fault.Interrupted, What: fmt.Sprintf("stopped in the middle of step %d of %d, which did not end within %v: a plugin hangs", s.step+1, s.steps, patience),
		Do: "run the same command again to begin anew"}
	saved, _, _ := s.Checkpoints.latest()
	step := 0
	if saved != nil {
		step = saved.Step
	}
	if s.Checkpoints != nil && s.held != nil && s.held.step > step && s.write(s.held) == nil {
		step = s.held.step
	}
	if step > 0 {
		e.Do = fmt.Sprintf("run the same command again to continue after step %d, whose checkpoint is kept", step)
	}
	return e
}

// fits refuses views that leave samples of another shape than the network takes.
func (j *Job) fits() error {
	for _, p := range j.Program.Passes {
		shape := j.Source.Shape(p.View)
		if want := len(j.Network.Input(p.Name)); want != j.Batch*int(model.Size(shape)) {
			return &fault.Error{Op: "train", Kind: fault.Config, Path: "views",
				What: fmt.Sprintf("the view %s of the objective leaves samples of the shape %v, and the encoder takes %d values", p.View, shape, want/j.Batch),
				Do:   "let every view that the objective uses leave one shape"}
		}
	}
	return nil
}

// step runs every pass of the program on one batch, asks for the loss, which takes time that is added to asked, and updates
// the weights.
func (j *Job) step(ctx context.Context, step int, b *Batch, asked *time.Duration) (*protocol.LossAnswer, error) {
	for _, p := range j.Program.Passes {
		order := j.order(p, step)
		place(j.Network.Input(p.Name), b.Views[p.View], j.Batch, order)
		if err := j.Network.Forward(p.Name, j.Batch, uint64(step)); err != nil {
			return nil, err
		}
		for _, t := range j.Program.Taps {
			if t.Pass == p.Name {
				unplace(j.Objective.Tap(t.Name), j.Network.Tap(t.Name), j.Batch, order)
			}
		}
	}
	for _, name := range j.Program.Labels {
		copy(j.Objective.Label(name), b.Labels[name])
	}
	asking := time.Now()
	answer, err := j.Objective.Loss(ctx, uint64(step))
	*asked += time.Since(asking)
	if err != nil {
		return nil, err
	}
	if math.IsNaN(answer.Loss) || math.IsInf(answer.Loss, 0) {
		return nil, j.diverged(step, b, "the loss is not finite")
	}
	for _, p := range j.Program.Passes {
		if !p.Gradient {
			continue
		}
		order := j.order(p, step)
		for _, t := range j.Program.Taps {
			if t.Pass == p.Name {
				place(j.Network.TapGradient(t.Name), j.Objective.Gradient(t.Name), j.Batch, order)
			}
		}
		if err := j.Network.Backward(p.Name); err != nil {
			return nil, err
		}
	}
	if err := j.Network.Step(engine.Optimiser{LR: j.Schedule.At(step), Momentum: j.Momentum, WeightDecay: j.Decay, Encoder: j.Encoder}); err != nil {
		if e, ok := errors.AsType[*fault.Error](err); ok && e.Kind == fault.Diverged {
			return nil, j.diverged(step, b, e.What)
		}
		return nil, err
	}
	if j.Program.Momentum > 0 {
		if err := j.Network.UpdateMomentum(j.Program.Momentum); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// order is the keyed permutation in which a shuffled pass sees the batch, nil for the natural one: with the statistics of
// batch norm taken over parts of the batch, a sample's two views must not meet the same partners (He et al. 2020, §3.3).
func (j *Job) order(p *protocol.Pass, step int) []int {
	if !p.Shuffle {
		return nil
	}
	return key.New(j.Seed, "order", p.Name).At(0, uint64(step)).Shuffle(j.Batch)
}

// place copies rows into dst so that row i of dst is row order[i] of src; unplace undoes it.
func place(dst, src []float32, n int, order []int) {
	if order == nil {
		copy(dst, src)
		return
	}
	w := len(dst) / n
	for i, r := range order {
		copy(dst[i*w:(i+1)*w], src[r*w:(r+1)*w])
	}
}

func unplace(dst, src []float32, n int, order []int) {
	if order == nil {
		copy(dst, src)
		return
	}
	w := len(dst) / n
	for i, r := range order {
		copy(dst[r*w:(r+1)*w], src[i*w:(i+1)*w])
	}
}

// rate measures throughput over the last second or more, so that a display neither jumps nor lags.
type rate struct {
	since time.Time
	count int
	last  float64
}

func newRate(now time.Time) *rate { return &rate{since: now} }

func (r *rate) add(n int) float64 {
	r.count += n
	if d := time.Since(r.since).Seconds(); d >= 1 || r.last == 0 && d > 0 {
		r.last = float64(r.count) / d
		if d >= 1 {
			r.since, r.count = time.Now(), 0
		}
	}
	return r.last
}
