package engine

import (
	"fmt"
	"strings"
)

// Culprit is what first held values that are not finite, in a step that ended with some.
type Culprit struct {
	Place Place
	// Name is that of the layer ("encoder.layer1.0.conv1", "head.projector.fc1"), the parameter or the tap; "" of an input.
	Name string
	// With names the layers that are computed in one with that layer: an addition and an activation after a norm.
	With []string
	// Parameter is the one whose gradient it is, where it is one's.
	Parameter string
	Pass      string // "" of a parameter
	Sample    int    // of an input and of a gradient at a tap: its place in the pass's batch, from 0
}

// Place says what the name of a Culprit is of.
type Place int

// The places, in the order of a step.
const (
	InParameter   Place = iota // a weight or a running statistic, before the step
	InInput                    // a sample that the caller gave
	InForward                  // what a layer computes in a forward pass
	InTapGradient              // a gradient that the caller gave at a tap
	InBackward                 // what a layer computes in a backward pass; a network that cannot tell which names the parameter alone
	InTap                      // what a tap holds, of a network that cannot tell in which layer that began
)

// String says it as a clause.
func (c *Culprit) String() string {
	layer := "layer " + c.Name
	if len(c.With) > 0 {
		layer += " (computed in one with " + strings.Join(c.With, " and ") + ")"
	}
	switch c.Place {
	case InParameter:
		return c.Name + " was not finite before the step"
	case InInput:
		return fmt.Sprintf("sample %d of the batch is not finite as it enters the forward pass of %s", c.Sample+1, c.Pass)
	case InForward:
		return fmt.Sprintf("in the forward pass of %s, %s is the first whose values are not finite", c.Pass, layer)
	case InTapGradient:
		return fmt.Sprintf("the gradient at the tap %s is not finite for sample %d of the batch, as it enters the backward pass of %s", c.Name, c.Sample+1, c.Pass)
	}
	const untold = "; in which layer that began the engine does not tell"
	switch {
	case c.Place == InTap:
		return fmt.Sprintf("in the forward pass of %s, what the tap %s holds is the first that is not finite", c.Pass, c.Name) + untold
	case c.Name == "":
		return fmt.Sprintf("all that enters the backward passes is finite, and the gradient of %s is not", c.Parameter) + untold
	}
	what := "gradients are"
	if c.Parameter != "" {
		what = "gradient of " + c.Parameter + " is"
	}
	return fmt.Sprintf("in the backward pass of %s, %s is the first whose %s not finite", c.Pass, layer, what)
}
