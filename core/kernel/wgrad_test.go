package kernel

import (
	"math"
	"testing"
)

// The lists of a weight gradient hold offsets of 32 bits, however long its samples are.
func TestWeightGradientListsReachTheirSamples(t *testing.T) {
	for _, g := range []Geometry{Linear(256, 1<<24-2, 16), Linear(256, 16, 1<<24-2), Linear(256, 64, 64), Conv(256, []int{5000, 5000}, 40, 4, 1, 4000, 0)} {
		g.must()
		for pair := 1; pair <= 2; pair++ {
			s := gradientSweep{g: g, pixels: product(g.Out), pair: pair}
			n, longest := s.samples(), max(g.InLen(), g.OutLen())/g.Batch
			if n < pair || n*longest-1 > math.MaxInt32 {
				t.Errorf("%d samples of %d values share a list", n, longest)
			}
			if longest == 64 && n != gradientPixels*pair {
				t.Errorf("%d short samples share a list, room is for %d", n, gradientPixels*pair)
			}
		}
	}
}
