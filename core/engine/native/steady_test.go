package native

import "testing"

// steady is the number of allocations of a step in a steady loop: the fewest over some rounds. The runtime counts those of
// the whole process, and some are its own: what a goroutine waits with, when its cache of them is empty. A step that
// allocates does so in every round.
func steady(step func()) float64 {
	fewest := testing.AllocsPerRun(5, step)
	for range 4 {
		fewest = min(fewest, testing.AllocsPerRun(5, step))
	}
	return fewest
}
