package sdk

import "sync/atomic"

// Parallel calls f(0), …, f(n−1), each once, on all cores in any order, and returns when all have returned. What f does
// must not depend on the order, and f must not compute matrix products. A panic in f is one of Parallel, once the calls
// that have begun have returned.
func Parallel(n int, f func(i int)) {
	var failed atomic.Pointer[error]
	pool().Do(n, func(i int) {
		if failed.Load() != nil {
			return
		}
		// Caught here, where the stack is that of f and where a write into an input is still a fault of the author.
		if err := protect("Parallel", func() error { f(i); return nil }); err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	})
	if err := failed.Load(); err != nil {
		panic(*err)
	}
}
