// Package nearest finds the rows of a table that are most like a query, exactly: it looks at every row.
//
// The table is walked once for each block of queries, a block of rows at a time, as one matrix product whose result stays
// in cache until the best of it are kept. Few queries therefore cost one reading of the table.
package nearest

import (
	"math"

	"github.com/asterism-ssl/asterism/core/kernel"
)

const (
	queryBlock = 64      // queries that share a reading of the table
	blockSize  = 1 << 18 // products of a block: one megabyte
	group      = 16      // queries of one task of the selection: a cache line of products
)

// Search gives, for each query of queries [m, width], the top rows of rows [n, width] with the greatest products, greatest
// first and earlier rows first among equals: their indices and the products, both [m, min(top, n)]. For rows and queries
// of length one the products are cosines. Values must be finite.
func Search(p *kernel.Pool, width int, rows, queries []float32, top int) (row []int64, product []float32) {
	n, m := len(rows)/width, len(queries)/width
	top = min(top, n)
	if top < 1 {
		return nil, nil
	}
	row, product = make([]int64, m*top), make([]float32, m*top)
	products := make([]float32, min(blockSize, min(m, queryBlock)*n))
	for q := 0; q < m; q += queryBlock {
		lines := min(queryBlock, m-q)
		count := blockSize / lines
		s := selection{top: top, lines: lines, row: row[q*top:], product: product[q*top:]}
		for r := 0; r < n; r += count {
			s.first, s.count = r, min(count, n-r)
			s.products = products[:s.count*lines]
			p.MatMulNT(s.count, lines, width, rows[r*width:(r+s.count)*width], queries[q*width:(q+lines)*width], s.products)
			p.Do((lines+group-1)/group, s.keep)
		}
	}
	return row, product
}

// selection keeps the best rows of a block of queries.
type selection struct {
	top, lines   int
	row          []int64   // [lines, top]
	product      []float32 // [lines, top], descending
	first, count int       // rows of the block at hand
	products     []float32 // [count, lines]
}

// keep offers the rows at hand to the queries of a group.
func (s *selection) keep(task int) {
	from, to := task*group, min((task+1)*group, s.lines)
	var least [group]float32 // what a row must exceed
	for q := from; q < to; q++ {
		least[q-from] = float32(math.Inf(-1))
		if s.first >= s.top {
			least[q-from] = s.product[(q+1)*s.top-1]
		}
	}
	for r := range s.count {
		for i, v := range s.products[r*s.lines+from : r*s.lines+to] {
			if v > least[i&(group-1)] {
				least[i] = s.insert(from+i, s.first+r, v)
			}
		}
	}
}

// insert puts a row in its place and gives what the next one must exceed.
func (s *selection) insert(query, r int, v float32) float32 {
	row, product := s.row[query*s.top:(query+1)*s.top], s.product[query*s.top:(query+1)*s.top]
	at := min(r, s.top-1) // the first rows are all kept
	for at > 0 && product[at-1] < v {
		product[at], row[at] = product[at-1], row[at-1]
		at--
	}
	product[at], row[at] = v, int64(r)
	if r < s.top-1 {
		return float32(math.Inf(-1))
	}
	return product[s.top-1]
}
