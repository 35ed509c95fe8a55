package train

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

func ExampleSchedule() {
	s := Schedule{Base: 0.1, Kind: "cosine", Warmup: 2, Total: 6}
	for step := range s.Total {
		fmt.Printf("%.4f ", s.At(step))
	}
	// Output: 0.0500 0.1000 0.1000 0.0854 0.0500 0.0146
}

// The learning rate rises to its base, never goes above, and falls ever after.
func TestScheduleRisesThenFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 500).Draw(t, "total")
		s := Schedule{Base: rapid.Float64Range(1e-4, 10).Draw(t, "base"), Kind: "cosine", Warmup: rapid.IntRange(0, total).Draw(t, "warmup"), Total: total}
		for step := range total {
			lr := s.At(step)
			if !(lr > 0) || lr > s.Base*(1+1e-12) {
				t.Fatalf("step %d has the learning rate %g", step, lr)
			}
			if step == 0 {
				continue
			}
			if before := s.At(step - 1); step < s.Warmup && lr <= before || step > s.Warmup && lr >= before {
				t.Fatalf("the learning rate goes from %g to %g in step %d of %d, warm-up %d", before, lr, step, total, s.Warmup)
			}
		}
		if s.Warmup > 0 && math.Abs(s.At(s.Warmup-1)-s.Base) > 1e-12*s.Base {
			t.Fatalf("the warm-up ends at %g, not at %g", s.At(s.Warmup-1), s.Base)
		}
	})
}

// A permuted batch comes back in its own order.
func TestPlaceAndUnplace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, width := rapid.IntRange(1, 20).Draw(t, "n"), rapid.IntRange(1, 5).Draw(t, "width")
		order := rapid.Permutation(indices(n)).Draw(t, "order")
		src, there, back := make([]float32, n*width), make([]float32, n*width), make([]float32, n*width)
		for i := range src {
			src[i] = float32(i)
		}
		place(there, src, n, order)
		unplace(back, there, n, order)
		for i := range src {
			if back[i] != src[i] {
				t.Fatalf("value %d became %g", i, back[i])
			}
		}
		if there[0] != src[order[0]*width] {
			t.Fatalf("row 0 is not row %d", order[0])
		}
	})
}

func indices(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	return p
}
