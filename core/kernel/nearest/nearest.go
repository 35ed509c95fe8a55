// Package nearest finds the rows of a table that are most like a query, exactly: it looks at every row.
//
// The table is walked once for each block of queries, a block of rows at a time, as one matrix product whose result stays
// in cache until the best of it are kept. Few queries therefore cost one reading of the table.
package nearest

import (
	"math"
	"sort"

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
	t := Table{Width: width, n: len(rows) / width, parts: []part{{rows: rows}}}
	return t.search(p, queries, top)
}

// Table is rows of any length, wherever they lie, to be searched by cosine.
type Table struct {
	Width int

	n     int
	parts []part
}

// part is some rows that follow each other in memory.
type part struct {
	first   int
	rows    []float32
	inverse []float32 // of each row's length; nil: products are as they are
}

// Add puts rows [n, Width] at the end of the table, which keeps them where they are. A row of zeros is like nothing: its
// cosine with everything is zero. A row that is not finite is never found, nor one for which keep, where it is given, is
// false.
func (t *Table) Add(rows []float32, keep func(i int) bool) {
	n := len(rows) / t.Width
	a := part{first: t.n, rows: rows, inverse: make([]float32, n)}
	for i := range a.inverse {
		if keep != nil && !keep(i) {
			a.inverse[i] = float32(math.NaN())
		} else if l := length(rows[i*t.Width : (i+1)*t.Width]); l > 0 && !math.IsInf(l, 1) {
			a.inverse[i] = float32(1 / l)
		}
	}
	t.parts, t.n = append(t.parts, a), t.n+n
}

// Len is the number of rows.
func (t *Table) Len() int { return t.n }

// Row gives a row where it lies.
func (t *Table) Row(i int) []float32 {
	at := sort.Search(len(t.parts), func(k int) bool { return t.parts[k].first > i }) - 1
	i -= t.parts[at].first
	return t.parts[at].rows[i*t.Width : (i+1)*t.Width]
}

// Search gives, for each query of queries [m, Width], the top rows by cosine, greatest first and earlier rows first among
// equals: their indices and cosines, both [m, min(top, Len)]. Where fewer can be found, the last indices are −1.
func (t *Table) Search(p *kernel.Pool, queries []float32, top int) (row []int64, cosine []float32) {
	return t.search(p, UnitRows(queries, t.Width), top)
}

// UnitRows gives the rows of x [rows, width] divided by their Euclidean length, so that their products are cosines. A row
// of zeros, or one that is not finite, becomes zeros: it is like nothing.
func UnitRows(x []float32, width int) []float32 {
	unit := make([]float32, len(x))
	for i := 0; i+width <= len(x) && width > 0; i += width {
		l := length(x[i : i+width])
		if !(l > 0) || math.IsInf(l, 1) {
			continue
		}
		for j, v := range x[i : i+width] {
			unit[i+j] = float32(float64(v) / l)
		}
	}
	return unit
}

// length is the Euclidean length of a row, summed in float64.
func length(row []float32) float64 {
	square := 0.0
	for _, v := range row {
		square += float64(v) * float64(v)
	}
	return math.Sqrt(square)
}

func (t *Table) search(p *kernel.Pool, queries []float32, top int) (row []int64, product []float32) {
	width, m := t.Width, len(queries)/t.Width
	top = min(top, t.n)
	if top < 1 {
		return nil, nil
	}
	row, product = make([]int64, m*top), make([]float32, m*top)
	for i := range row {
		row[i], product[i] = -1, float32(math.Inf(-1))
	}
	products := make([]float32, min(blockSize, min(m, queryBlock)*t.n))
	for q := 0; q < m; q += queryBlock {
		lines := min(queryBlock, m-q)
		count := blockSize / lines
		s := selection{top: top, lines: lines, row: row[q*top:], product: product[q*top:]}
		for _, part := range t.parts {
			n := len(part.rows) / width
			for r := 0; r < n; r += count {
				s.first, s.count = part.first+r, min(count, n-r)
				s.products, s.inverse = products[:s.count*lines], nil
				if part.inverse != nil {
					s.inverse = part.inverse[r : r+s.count]
				}
				p.MatMulNT(s.count, lines, width, part.rows[r*width:(r+s.count)*width], queries[q*width:(q+lines)*width], s.products)
				p.Do((lines+group-1)/group, s.keep)
			}
		}
	}
	return row, product
}

// selection keeps the best rows of a block of queries.
type selection struct {
	top, lines   int
	row          []int64   // [lines, top], −1: none yet
	product      []float32 // [lines, top], descending
	first, count int       // rows of the block at hand
	products     []float32 // [count, lines]
	inverse      []float32 // [count], what products are multiplied by; may be nil
}

// keep goes over the block's products for a group of queries.
func (s *selection) keep(task int) {
	from, to := task*group, min((task+1)*group, s.lines)
	var least [group]float32 // what a row must exceed
	for q := from; q < to; q++ {
		least[q-from] = s.product[(q+1)*s.top-1]
	}
	scale := float32(1)
	for r := range s.count {
		if s.inverse != nil {
			scale = s.inverse[r]
		}
		for i, v := range s.products[r*s.lines+from : r*s.lines+to] {
			if v *= scale; v > least[i&(group-1)] { // never for NaN
				least[i] = s.insert(from+i, s.first+r, v)
			}
		}
	}
}

// insert puts a row in its place and gives what the next one must exceed.
func (s *selection) insert(query, r int, v float32) float32 {
	row, product := s.row[query*s.top:(query+1)*s.top], s.product[query*s.top:(query+1)*s.top]
	at := s.top - 1
	for at > 0 && product[at-1] < v {
		product[at], row[at] = product[at-1], row[at-1]
		at--
	}
	product[at], row[at] = v, int64(r)
	return product[s.top-1]
}
