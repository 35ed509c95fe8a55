package sdk

// Parallel calls f(0), …, f(n−1), each once, on all cores in any order, and returns when all have returned. What f does
// must not depend on the order, and f must not compute matrix products.
func Parallel(n int, f func(i int)) { pool().Do(n, f) }
