package kernel

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Pool is a fixed set of threads that operations are split over. One operation runs at a time: calls from several
// goroutines wait for each other. A function given to Do must not use the pool itself.
//
// A pool keeps a little workspace (tables of rows, partial sums), which grows to what its largest call needs.
type Pool struct {
	threads int
	set     *set
	workers []*worker    // the first one is the caller
	looks   int          // before a thread sleeps
	left    atomic.Int32 // other workers that are still at it
	done    signal
	closed  atomic.Bool
	next    atomic.Int64
	failed  atomic.Pointer[string] // what a task panicked with
	broken  atomic.Bool            // of Finite

	mu      sync.Mutex // held during an operation; guards what follows
	tasks   int
	job     func(p *Pool, w *worker, task int)
	user    func(task int)
	call    call
	conv    sweep
	packing packing
	wgrad   gradientSweep
	calls   uint64 // of weight gradients
	moments moments
	turned  transposed
	zeros   []float32 // a row outside the image
	sums    []float64 // partial sums
	params  []float32 // of the columns of each group

	depthwise depthwise
}

// call holds the arguments of the operations on rows and elements while they run.
type call struct {
	n, rows, cols, params int
	loop                  func(*rowArgs)
	scalars               [3]float32
	streams               [5][]float32
	arrays                [5]Array
	mean                  []float32
	norm                  Norm
	volume                [3]axis
}

// worker is what one thread has for itself.
type worker struct {
	begin signal

	table   []unsafe.Pointer
	out     []unsafe.Pointer
	offsets []int64
	product productArgs

	pairs, side      []int32
	pixels, segments []int32
	rows             []float32
	soon             soon // of the gradient
	listed           listed
	begun            []bool
	gradient         gradientArgs
	copy             copyArgs

	panel    []float32
	partial  []float32        // sums of a product that wait for its other chunks
	partials []unsafe.Pointer // and their rows
	shift    []float32
	row      rowArgs
	sums     []float32
	wide     []float64
	turn     turnArgs
	places   []int32

	depthwise depthwiseWorker
}

// NewPool starts a pool of so many threads, the caller's included; 0 or less means all processors that Go may use.
func NewPool(threads int) *Pool { return newPool(threads, current.Load()) }

func newPool(threads int, s *set) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, set: s, done: newSignal()}
	if threads <= runtime.GOMAXPROCS(0) { // else who looks keeps others from working
		p.looks = patience
	}
	for i := range threads {
		w := &worker{begin: newSignal()}
		p.workers = append(p.workers, w)
		if i > 0 {
			go p.serve(w)
		}
	}
	return p
}

// serve works in every operation that the worker is called to.
func (p *Pool) serve(w *worker) {
	for seen := uint32(0); ; seen++ {
		w.begin.wait(seen, p.looks)
		if p.closed.Load() {
			return
		}
		p.work(w)
		if p.left.Add(-1) == 0 {
			p.done.give()
		}
	}
}

// Threads is the number of threads.
func (p *Pool) Threads() int { return p.threads }

// Close ends the threads. The pool must not be used afterwards; closing it twice is harmless.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Swap(true) {
		return
	}
	for _, w := range p.workers[1:] {
		w.begin.give()
	}
}

// Do calls f(0), …, f(tasks−1), each once, on the pool's threads in any order, and returns when all have returned. A
// panic in f reaches the caller. Results must not depend on which thread runs a task.
func (p *Pool) Do(tasks int, f func(task int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user = f
	defer func() { p.user = nil }()
	p.run(tasks, userTask)
}

func userTask(p *Pool, _ *worker, task int) { p.user(task) }

// run does the tasks of a job on all threads. The lock is held.
func (p *Pool) run(tasks int, job func(p *Pool, w *worker, task int)) {
	if tasks <= 0 {
		return
	}
	others := min(p.threads, tasks) - 1
	if others == 0 || p.closed.Load() {
		for t := range tasks {
			job(p, p.workers[0], t)
		}
		return
	}
	p.tasks, p.job = tasks, job
	p.next.Store(0)
	p.left.Store(int32(others))
	done := p.done.count.Load()
	for _, w := range p.workers[1 : 1+others] {
		w.begin.give()
	}
	p.work(p.workers[0])
	p.done.wait(done, p.looks)
	p.job = nil
	if failed := p.failed.Swap(nil); failed != nil {
		panic(*failed)
	}
}

// work takes tasks until none is left, or one has failed.
func (p *Pool) work(w *worker) {
	defer func() {
		if r := recover(); r != nil {
			text := fmt.Sprint(r)
			p.failed.CompareAndSwap(nil, &text)
			p.next.Store(int64(p.tasks))
		}
	}()
	for {
		t := int(p.next.Add(1)) - 1
		if t >= p.tasks {
			return
		}
		p.job(p, w, t)
	}
}

// grow gives a slice of n values, the old one where it is long enough; its content is lost.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// begin takes the pool for an operation.
func (p *Pool) begin() { p.mu.Lock() }

// end forgets the caller's slices and gives the pool to the next operation.
func (p *Pool) end() {
	p.call = call{}
	p.mu.Unlock()
}
