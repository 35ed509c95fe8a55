package sdk

import "github.com/asterism-ssl/asterism/core/kernel/nearest"

// Nearest gives, for each query of queries [m, width], the top rows of rows [n, width] with the greatest products, greatest
// first and earlier rows first among equals: their indices and the products, both [m, min(top, n)]. It looks at every row,
// on all cores; with UnitRows the products are cosines.
func Nearest(width int, rows, queries []float32, top int) (row []int64, product []float32) {
	return nearest.Search(pool(), width, rows, queries, top)
}
