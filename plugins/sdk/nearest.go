package sdk

import "github.com/asterism-ssl/asterism/core/kernel/nearest"

// Nearest gives, for each query of queries [m, width], the top rows of rows [n, width] with the greatest products, greatest
// first and earlier rows first among equals: their indices and the products, both [m, min(top, n)]. It looks at every row,
// on all cores; with UnitRows the products are cosines.
func Nearest(width int, rows, queries []float32, top int) (row []int64, product []float32) {
	return nearest.Search(pool(), width, rows, queries, top)
}

// UnitRows gives the rows of x [rows, width] divided by their Euclidean length, so that their products are cosines. A row
// of zeros, or one that is not finite, becomes zeros: it is like nothing.
func UnitRows(x []float32, width int) []float32 { return nearest.UnitRows(x, width) }
