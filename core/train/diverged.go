package train

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
)

// diverged is the end of a training in a step (from 0) in which the loss, a gradient or a running statistic is not finite.
// It names what was so first.
func (j *Job) diverged(step int, b *Batch, what string) error {
	c := j.Network.Blame()
	if (c == nil || c.Place == engine.InTapGradient) && j.tame() {
		return &fault.Error{Op: "train", Kind: fault.Plugin, What: fmt.Sprintf("the objective answered in step %d with a loss or a gradient that is not finite, though all that it was given is", step+1),
			Do: "this is a defect of the component: report it to the plugin's author"}
	}
	do := "lower train.optimizer.sgd.lr, lengthen the warm-up, or look at the data for extreme values"
	if c != nil {
		what += ": " + c.String()
		if c.Place == engine.InInput || c.Place == engine.InTapGradient {
			if object := j.object(step, b, c); object != "" {
				what += ", the object " + object
				do = fmt.Sprintf("look at the object %s and at what the views make of it; or %s", object, do)
			}
		}
	} else {
		what += ", though all that the network computes is"
	}
	return j.divergence(step, what, do)
}

// large is what values that a network in good health gives stay far below: of larger ones a loss may overflow.
const large = 1e6

// tame says whether all that the objective was given in this step is finite and not large.
func (j *Job) tame() bool {
	if j.Objective == nil {
		return false
	}
	for _, t := range j.Program.Taps {
		for _, v := range j.Objective.Tap(t.Name) {
			if !(v > -large && v < large) {
				return false
			}
		}
	}
	return true
}

// divergence says what diverged in a step, and where to go on from.
func (j *Job) divergence(step int, what, do string) error {
	e := &fault.Error{Op: "train", Kind: fault.Diverged, What: fmt.Sprintf("diverged in step %d: %s", step+1, what), Do: do}
	if saved, dir, _ := j.Checkpoints.latest(); saved != nil {
		e.Do += fmt.Sprintf("; the checkpoint of step %d is kept in %s", saved.Step, dir)
	}
	return e
}

// object names the sample of a batch that a culprit is about.
func (j *Job) object(step int, b *Batch, c *engine.Culprit) string {
	for _, p := range j.Program.Passes {
		if p.Name != c.Pass || b.Name == nil {
			continue
		}
		if order := j.order(p, step); order != nil {
			return b.Name(order[c.Sample])
		}
		return b.Name(c.Sample)
	}
	return ""
}

// sound refuses weights that are not finite after so many steps: they are never kept.
func (j *Job) sound(steps int, arrays []engine.Array) error {
	for _, a := range arrays {
		for _, v := range a.Data {
			if v-v != 0 {
				return j.divergence(steps-1, a.Name+" is not finite after the update", "lower train.optimizer.sgd.lr, or lengthen the warm-up")
			}
		}
	}
	return nil
}
