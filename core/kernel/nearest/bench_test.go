package nearest_test

import (
	"fmt"
	"testing"

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/kernel/nearest"
)

// BenchmarkSearch looks for the 20 nearest of 200000 rows of 128 values.
func BenchmarkSearch(b *testing.B) {
	const n, width = 200000, 128
	p := kernel.NewPool(0)
	defer p.Close()
	rows := make([]float32, n*width)
	state := uint32(1)
	for i := range rows {
		state = state*1664525 + 1013904223
		rows[i] = float32(int32(state)) / (1 << 31)
	}
	for _, queries := range []int{1, 64} {
		b.Run(fmt.Sprint(queries), func(b *testing.B) {
			for b.Loop() {
				nearest.Search(p, width, rows, rows[:queries*width], 20)
			}
			b.ReportMetric(4*n*width*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}
