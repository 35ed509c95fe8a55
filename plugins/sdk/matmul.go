package sdk

import (
	"runtime"
	"sync"
)

// MatMulNT computes c = a·bᵀ in float32 for a [m, k], b [n, k] and c [m, n], all row-major: the products of every row of
// a with every row of b. It uses all cores; the result does not depend on how many there are.
func MatMulNT(m, n, k int, a, b, c []float32) {
	a, b, c = a[:m*k], b[:n*k], c[:m*n]
	workers := runtime.GOMAXPROCS(0)
	if m*n*k < 1<<16 {
		workers = 1
	}
	var wait sync.WaitGroup
	for w := range workers {
		first, last := m*w/workers, m*(w+1)/workers
		if workers == 1 {
			matMulRows(first, last, n, k, a, b, c)
			break
		}
		wait.Go(func() { matMulRows(first, last, n, k, a, b, c) })
	}
	wait.Wait()
}

func matMulRows(first, last, n, k int, a, b, c []float32) {
	const block = 64 // rows of b that stay in the cache
	for j0 := 0; j0 < n; j0 += block {
		j1 := min(j0+block, n)
		for i := first; i < last; i++ {
			x, out := a[i*k:(i+1)*k], c[i*n:(i+1)*n]
			for j := j0; j < j1; j++ {
				out[j] = dot(x, b[j*k:(j+1)*k])
			}
		}
	}
}

func dot(x, y []float32) float32 {
	var s0, s1, s2, s3 float32
	y = y[:len(x)]
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s0 += x[i] * y[i]
		s1 += x[i+1] * y[i+1]
		s2 += x[i+2] * y[i+2]
		s3 += x[i+3] * y[i+3]
	}
	for ; i < len(x); i++ {
		s0 += x[i] * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}
