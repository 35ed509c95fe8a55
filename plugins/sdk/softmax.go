package sdk

// RowMax computes y [rows], the greatest value of each row of x [rows, cols], on all cores.
func RowMax(rows, cols int, x, y []float32) { pool().RowMax(rows, cols, x[:rows*cols], y[:rows]) }

// LogSumExp computes lse [rows] = ln Σ over columns of exp(scale·x) of x [rows, cols], like RowMax; scale is
// 1/temperature. Errors are of the order of float32's rounding of the result.
func LogSumExp(rows, cols int, scale float32, x, lse []float32) {
	pool().LogSumExp(rows, cols, scale, x[:rows*cols], lse[:rows])
}

// Softmax computes y = exp(scale·x − lse of the row) for x and y [rows, cols] and lse [rows], like LogSumExp; what is at
// most e⁻⁸⁷ is 0. y may be x.
func Softmax(rows, cols int, scale float32, x, lse, y []float32) {
	pool().Softmax(rows, cols, scale, x[:rows*cols], lse[:rows], y[:rows*cols])
}
