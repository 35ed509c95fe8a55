package flow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/train"
)

// A training may go on with what another run left, when both are the same but for what computes them: another engine, or
// the same on another device. Checkpoints are the same for all.

// goOn takes over the checkpoint of the run that is to be continued, where that is further on, or says where one is that
// could be.
func (f *Flow) goOn(own *train.Checkpoints) error {
	done, _, err := own.Newest()
	if err != nil {
		return err
	}
	if f.Continue == "" {
		if done == 0 {
			f.offer(own)
		}
		return nil
	}
	theirs := &train.Checkpoints{Dir: filepath.Join(f.Continue, checkpointsDir), Job: own.Job, Training: own.Training}
	step, by, err := theirs.Newest()
	if err != nil || done > 0 && done >= step { // it was taken over before
		return err
	}
	if step == 0 {
		return &fault.Error{Op: "continue", Kind: fault.Config, What: fmt.Sprintf("the run %s has no checkpoint of this training", f.Continue),
			Do: "name a run that was interrupted and whose experiment differs in nothing but engine, name and tasks; a training that is complete has weights instead: encoder.from"}
	}
	for _, name := range []string{metricsFile, run.EventsFile} {
		if err := copyFile(f.dir.File(name), filepath.Join(f.Continue, name)); err != nil {
			return err
		}
	}
	if err := own.Take(theirs); err != nil {
		return err
	}
	f.Progress.Note(fmt.Sprintf("taking over step %d of %s, computed by %s", step, f.Continue, by))
	return nil
}

// offer tells of runs that have begun this training with another engine.
func (f *Flow) offer(own *train.Checkpoints) {
	runs, err := os.ReadDir(f.Runs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, r := range runs {
		dir := filepath.Join(f.Runs, r.Name())
		if dir == f.dir.Path {
			continue
		}
		theirs := &train.Checkpoints{Dir: filepath.Join(dir, checkpointsDir), Job: own.Job, Training: own.Training}
		if step, by, err := theirs.Newest(); err == nil && step > 0 {
			f.Progress.Note(fmt.Sprintf("%s has done %d steps of this training, by %s: --continue %s goes on from there", dir, step, by, dir))
		}
	}
}
