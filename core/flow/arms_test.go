package flow

import (
	"slices"
	"testing"
)

func TestPixelsAreAveragedInBlocks(t *testing.T) {
	for _, x := range []struct {
		shape  []int
		block  int
		pixels []float32
		want   []float32
	}{
		{[]int{2, 2, 1}, 1, []float32{1, 2, 3, 4}, []float32{1, 2, 3, 4}},
		{[]int{2, 2, 1}, 2, []float32{1, 2, 3, 6}, []float32{3}},
		{[]int{3, 3, 1}, 2, []float32{1, 1, 4, 1, 1, 6, 2, 4, 9}, []float32{1, 5, 3, 9}}, // blocks at the ends are smaller
		{[]int{4, 2}, 2, []float32{1, 10, 3, 30, 5, 50, 7, 70}, []float32{2, 20, 6, 60}}, // bands apart
		{[]int{2, 2, 2, 1}, 2, []float32{1, 2, 3, 4, 5, 6, 7, 8}, []float32{4.5}},
	} {
		got := make([]float32, blocks(x.shape, x.block))
		average(x.pixels, x.shape, x.block, got)
		if !slices.Equal(got, x.want) {
			t.Errorf("%v in blocks of %d: %v, want %v", x.shape, x.block, got, x.want)
		}
	}
}
