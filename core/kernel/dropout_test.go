package kernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/asterism-ssl/asterism/core/key"
	"pgregory.net/rapid"
)

// TestDropout compares with the draws of core/key: the values that they keep are the same bit for bit.
func TestDropout(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		samples := rapid.IntRange(0, 4).Draw(r, "samples")
		values := rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(dropBlock-40, dropBlock+40)).Draw(r, "values")
		rate := rapid.SampledFrom([]float64{0, 0.1, 0.5, 0.9, 1 - 1e-12}).Draw(r, "rate")
		step := rapid.Uint64().Draw(r, "step")
		x := c.array(samples * values)
		k := key.New(1, "dropout", "layer")
		want := make([]float32, len(x))
		for s := range samples {
			source := k.At(step, uint64(s))
			for i := s * values; i < (s+1)*values; i++ {
				if u := source.Uint32(); float64(u) >= math.Round(rate*(1<<32)) {
					want[i] = float32(1/(1-rate)) * x[i]
				}
			}
		}
		if rate > 0.99 {
			clear(want) // 2³² draws would not keep one
		}
		at := fmt.Sprintf(" of %d × %d at rate %v", samples, values, rate)
		got := c.same(c.array(len(x)), func(p *Pool, y []float32) { p.Dropout(NewDropout(rate, k), step, samples, x, y) })
		c.near("Dropout"+at, got, want, nil, 0)
		c.near("Dropout in place"+at, c.same(x, func(p *Pool, y []float32) { p.Dropout(NewDropout(rate, k), step, samples, y, y) }), want, nil, 0)
	})
}
