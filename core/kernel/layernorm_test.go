package kernel

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// naiveLayerNorm and its gradient, which adds to dγ and dβ.
func naiveLayerNorm(rows, cols int, x, gamma, beta []float32, eps float64, y []float32) {
	for r := range rows {
		unit, _ := naiveUnit(x[r*cols:(r+1)*cols], eps)
		for i, u := range unit {
			y[r*cols+i] = float32(u*at1(gamma, i, 1) + at1(beta, i, 0))
		}
	}
}

func naiveLayerNormGradient(rows, cols int, x, gamma []float32, eps float64, dy, dx []float32, dgamma, dbeta []float64) {
	for r := range rows {
		unit, inverse := naiveUnit(x[r*cols:(r+1)*cols], eps)
		var sum, along float64
		for i, u := range unit {
			d := float64(dy[r*cols+i])
			dgamma[i] += d * u
			dbeta[i] += d
			sum += d * at1(gamma, i, 1)
			along += d * at1(gamma, i, 1) * u
		}
		for i, u := range unit {
			dx[r*cols+i] = float32(inverse * (float64(dy[r*cols+i])*at1(gamma, i, 1) - sum/float64(cols) - u*along/float64(cols)))
		}
	}
}

// naiveUnit gives (x−mean)/√(variance+eps), and the latter's inverse.
func naiveUnit(x []float32, eps float64) (unit []float64, inverse float64) {
	var mean, variance float64
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	inverse = 1 / math.Sqrt(variance+eps)
	for _, v := range x {
		unit = append(unit, (float64(v)-mean)*inverse)
	}
	return unit, inverse
}

func at1(s []float32, i int, otherwise float64) float64 {
	if s == nil {
		return otherwise
	}
	return float64(s[i])
}

func TestLayerNorm(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		rows := rapid.OneOf(rapid.IntRange(0, 12), rapid.IntRange(100, 300)).Draw(r, "rows")
		cols := rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(41, 800)).Draw(r, "cols")
		if rows*cols > 60000 {
			rows = 60000 / cols
		}
		const eps = 1e-5
		x, dy, gamma, beta := c.array(rows*cols), c.array(rows*cols), c.array(cols), c.array(cols)
		offset := rapid.SampledFrom([]float32{0, 0.5, 100}).Draw(r, "offset")
		for i := range x {
			x[i] += offset
		}
		if rapid.Bool().Draw(r, "no gamma") {
			gamma = nil
		}
		if rapid.Bool().Draw(r, "no beta") {
			beta = nil
		}
		at := fmt.Sprintf(" of %d × %d", rows, cols)
		want, size := make([]float32, len(x)), make([]float32, len(x))
		for k := range rows { // how much 1/√(variance+ε) magnifies, and the rounding of the mean
			_, inverse := naiveUnit(x[k*cols:(k+1)*cols], eps)
			for i := range cols {
				size[k*cols+i] = float32((1 + float64(offset)) * (2 + inverse))
			}
		}
		naiveLayerNorm(rows, cols, x, gamma, beta, eps, want)
		stats := c.array(2 * rows)
		y := c.same(c.array(len(x)), func(p *Pool, y []float32) { p.LayerNorm(rows, cols, x, gamma, beta, eps, y, stats) })
		c.near("LayerNorm"+at, y, want, size, 1e-6)
		c.near("LayerNorm in place", c.same(x, func(p *Pool, y []float32) { p.LayerNorm(rows, cols, y, gamma, beta, eps, y, stats) }), y, nil, 0)

		wide := make([]float64, 2*cols)
		naiveLayerNormGradient(rows, cols, x, gamma, eps, dy, want, wide[:cols], wide[cols:])
		sums := make([]float32, 2*cols)
		round(sums, wide)
		got := c.same(c.array(len(x)+2*cols), func(p *Pool, s []float32) {
			copy(s, dy)
			p.LayerNormGradient(rows, cols, x, stats, gamma, s[:len(x)], s[:len(x)], s[len(x):len(x)+cols], s[len(x)+cols:])
		})
		most := make([]float32, 2*cols) // each row brings the rounding of its unit values
		for k := range rows {
			for i := range most {
				most[i] += size[k*cols]
			}
		}
		for i := range size {
			size[i] *= size[i]
		}
		c.near("dx"+at, got[:len(x)], want, size, 2e-6)
		c.near("dγ and dβ"+at, got[len(x):], sums, most, 1e-6)
		alone := c.same(c.array(len(x)), func(p *Pool, dx []float32) { p.LayerNormGradient(rows, cols, x, stats, gamma, dy, dx, nil, nil) })
		c.near("dx alone"+at, alone, got[:len(x)], nil, 0)
	})
}
