package train

import "math"

// Schedule is the learning rate as a pure function of the step, so that a resumed run needs nothing but its step.
type Schedule struct {
	Base   float64 // learning rate after warm-up
	Kind   string  // "cosine" (Loshchilov & Hutter 2017, without restarts) or "constant"
	Warmup int     // steps of linear warm-up, from Base/Warmup to Base
	Total  int     // steps in all
}

// At gives the learning rate of step s, 0 ≤ s < Total.
func (c Schedule) At(s int) float64 {
	if s < c.Warmup {
		return c.Base * float64(s+1) / float64(c.Warmup)
	}
	if c.Kind != "cosine" {
		return c.Base
	}
	return c.Base / 2 * (1 + math.Cos(math.Pi*float64(s-c.Warmup)/float64(c.Total-c.Warmup)))
}
