package sdk

import (
	"runtime"
	"sync"

	"github.com/asterism-ssl/asterism/core/kernel"
)

// pool computes products on all processors with the engine's own kernels; it is made when first needed.
var pool = sync.OnceValue(func() *kernel.Pool { return kernel.NewPool(runtime.GOMAXPROCS(0)) })

// MatMulNT computes c = a·bᵀ in float32 for a [m, k], b [n, k] and c [m, n], all row-major: the products of every row of
// a with every row of b. It uses all cores; the result does not depend on how many there are.
func MatMulNT(m, n, k int, a, b, c []float32) { pool().MatMulNT(m, n, k, a[:m*k], b[:n*k], c[:m*n]) }

// MatMulNN computes c = a·b in float32 for a [m, k], b [k, n] and c [m, n], like MatMulNT.
func MatMulNN(m, n, k int, a, b, c []float32) { pool().MatMulNN(m, n, k, a[:m*k], b[:k*n], c[:m*n]) }

// MatMulTN computes c = aᵀ·b in float32 for a [k, m], b [k, n] and c [m, n], like MatMulNT.
func MatMulTN(m, n, k int, a, b, c []float32) { pool().MatMulTN(m, n, k, a[:k*m], b[:k*n], c[:m*n]) }
