package kernel

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naiveSpreadRows: y[g, r, c] = f(x[g, r, c], row[g, c]).
func naiveSpreadRows(n Rows, x, row, y []float32, f func(a, b float32) float32) {
	for i, v := range x {
		y[i] = f(v, row[i/(n.Rows*n.Columns)*n.Columns+i%n.Columns])
	}
}

// naiveSumRows: sum[g, c] += Σ over r of x[g, r, c]·z[g, r, c], or of x alone.
func naiveSumRows(n Rows, x, z, sum []float32) {
	wide := make([]float64, len(sum))
	for i, v := range sum {
		wide[i] = float64(v)
	}
	for i, v := range x {
		d := float64(v)
		if z != nil {
			d *= float64(z[i])
		}
		wide[i/(n.Rows*n.Columns)*n.Columns+i%n.Columns] += d
	}
	round(sum, wide)
}

func (c *checker) rows(n Rows) {
	x, z, row := c.array(n.length()), c.array(n.length()), c.array(n.Groups*n.Columns)
	at := fmt.Sprintf(" of %+v", n)
	want := make([]float32, n.length())
	got := c.same(x, func(p *Pool, y []float32) { p.AddRows(n, x, row, y) })
	naiveSpreadRows(n, x, row, want, func(a, b float32) float32 { return a + b })
	c.near("AddRows"+at, got, want, nil, 0)
	got = c.same(x, func(p *Pool, y []float32) { p.AddRows(n, y, row, y) })
	c.near("AddRows in place"+at, got, want, nil, 0)
	got = c.same(x, func(p *Pool, y []float32) { p.MultiplyRows(n, x, row, y) })
	naiveSpreadRows(n, x, row, want, func(a, b float32) float32 { return a * b })
	c.near("MultiplyRows"+at, got, want, nil, 0)
	for name, z := range map[string][]float32{"": nil, " of products": z} {
		for _, add := range []bool{false, true} {
			got := c.same(row, func(p *Pool, sum []float32) { p.SumRows(n, x, z, sum, add) })
			want, scale := make([]float32, len(row)), make([]float32, len(row))
			if add {
				copy(want, row)
				copy(scale, magnitudes(row))
			}
			naiveSumRows(n, x, z, want)
			if z == nil {
				naiveSumRows(n, magnitudes(x), nil, scale)
			} else {
				naiveSumRows(n, magnitudes(x), magnitudes(z), scale)
			}
			c.near(fmt.Sprintf("SumRows%s%s, adding %v", name, at, add), got, want, scale, productTolerance)
		}
	}
}

func TestRowsOfGroups(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		size := rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, 150))
		n := Rows{size.Draw(r, "groups"), rapid.IntRange(0, 1).Draw(r, "any") * size.Draw(r, "rows"), size.Draw(r, "columns")}
		for n.length() > 100000 {
			n.Groups = n.Groups/2 + 1
		}
		c.rows(n)
	})
}

// TestLargeRowsOfGroups has shapes that are split in each of the ways there are.
func TestLargeRowsOfGroups(t *testing.T) {
	for _, s := range available() {
		var pools []*Pool
		for threads := 1; threads <= 3; threads++ {
			p := newPool(threads, s)
			defer p.Close()
			pools = append(pools, p)
		}
		for _, n := range []Rows{{1, 3, 70001}, {1, 70, 3100}, {2, 300, 1030}, {1, 40000, 3}, {3, 9000, 17}, {700, 1, 40}} {
			c := &checker{T: t, r: t, pools: pools, seed: 1}
			c.rows(n)
			release()
		}
	}
}

func TestMultiply(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		n := rapid.OneOf(rapid.IntRange(0, 70), rapid.IntRange(rowsTask-20, rowsTask+20)).Draw(r, "n")
		a, b := c.array(n), c.array(n)
		want := slices.Clone(a)
		for i := range want {
			want[i] *= b[i]
		}
		c.near("Multiply", c.same(b, func(p *Pool, y []float32) { p.Multiply(a, b, y) }), want, nil, 0)
		c.near("Multiply in place", c.same(a, func(p *Pool, y []float32) { p.Multiply(y, b, y) }), want, nil, 0)
		c.near("Multiply in place of the second", c.same(b, func(p *Pool, y []float32) { p.Multiply(a, y, y) }), want, nil, 0)
	})
}

func TestL2NormalizeAccumulate(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		rows, cols := rapid.IntRange(0, 40).Draw(r, "rows"), rapid.IntRange(1, 300).Draw(r, "cols")
		w, du, dw := c.array(rows*cols), c.array(rows*cols), c.array(rows*cols)
		for r := range rows {
			if w[r*cols] = max(w[r*cols], 0.1); r%7 == 3 { // an empty row
				clear(w[r*cols:][:cols])
				clear(du[r*cols:][:cols])
			}
		}
		const eps = 1e-12
		norm, want := make([]float32, rows), make([]float32, rows*cols)
		naiveL2Normalize(rows, cols, eps, w, want, norm)
		naiveL2NormalizeBackward(rows, cols, want, norm, du, want)
		scale := make([]float32, rows*cols)
		for i := range want {
			want[i] += dw[i]
			scale[i] = 1 + 2*float32(cols)/max(norm[i/cols], 0.1)
		}
		got := c.same(dw, func(p *Pool, dw []float32) { p.L2NormalizeAccumulate(rows, cols, eps, w, du, dw) })
		c.near("L2NormalizeAccumulate", got, want, scale, 1e-6)
	})
}
