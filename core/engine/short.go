package engine

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/fault"
)

// Short is the error for too little memory: what is needed, what there is ("are available"), and the largest batch that
// would fit, by what a network needs with other options.
func Short(e Program, o Options, need, have int64, are string, needs func(Options) (int64, error)) error {
	step := 1
	for _, pass := range e.Passes {
		if o.Mode == Train {
			step = leastCommonMultiple(step, max(int(pass.NormGroups), 1))
		}
	}
	fits, limit := 0, o.Batch/step // in multiples of step; limit is known not to fit
	for fits+1 < limit {
		middle := (fits + limit) / 2
		q := o
		q.Batch = middle * step
		if n, err := needs(q); err == nil && n+o.Beside.Of(q.Batch) <= have {
			fits = middle
		} else {
			limit = middle
		}
	}
	do := "choose a smaller encoder; no batch would fit"
	if fits > 0 {
		do = fmt.Sprintf("choose a batch of at most %d, or a smaller encoder", fits*step)
	}
	what := fmt.Sprintf("the network needs %s of memory for a batch of %d", Size(need), o.Batch)
	if beside := o.Beside.Of(o.Batch); beside > 0 {
		what += fmt.Sprintf(" and what goes with it %s", Size(beside))
	}
	return &fault.Error{Op: "compile", Kind: fault.Resource, Do: do, What: fmt.Sprintf("%s, and %s %s", what, Size(have), are)}
}

func leastCommonMultiple(a, b int) int {
	g, r := a, b
	for r != 0 {
		g, r = r, g%r
	}
	return a / g * b
}

// Size says bytes in words.
func Size(bytes int64) string {
	if bytes >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}
