package kernel

import "sync/atomic"

// A signal wakes one goroutine. Who waits looks for a while before it sleeps: the next operation mostly follows at once,
// and to wake a thread that sleeps takes longer than many an operation.
type signal struct {
	count  atomic.Uint32
	asleep atomic.Bool
	wake   chan struct{}
	_      [64]byte // nobody else writes to its cache line
}

func newSignal() signal { return signal{wake: make(chan struct{}, 1)} }

// give lets one wait more end.
func (s *signal) give() {
	s.count.Add(1)
	if s.asleep.CompareAndSwap(true, false) {
		s.wake <- struct{}{}
	}
}

// wait returns when more than seen were given, after so many looks at most by sleeping.
func (s *signal) wait(seen uint32, looks int) {
	for range looks {
		if s.count.Load() != seen {
			return
		}
	}
	for s.count.Load() == seen {
		s.asleep.Store(true)
		if s.count.Load() != seen && s.asleep.CompareAndSwap(true, false) {
			return
		}
		<-s.wake
	}
}

// patience is how often a thread looks before it sleeps: some fifty microseconds.
const patience = 40_000
