//go:build unix

package kernel

import "testing"

// BenchmarkTokens measures what a vision transformer adds to products: ViT-S on 32 images of 197 tokens, 384 channels in six
// heads; attention in GFLOP/s of its products, the others in GB/s of values read and written.
func BenchmarkTokens(b *testing.B) {
	p := benchPool()
	defer p.Close()
	const samples, tokens, channels = 32, 197, 384
	rows := samples * tokens
	n := rows * channels
	array := func(n, seed int) []float32 {
		a := make([]float32, n)
		for i := range a {
			a[i] = float32((i*7919+seed)%1009)/504 - 1
		}
		return a
	}
	x, y, z, u := array(4*n, 1), array(4*n, 2), array(4*n, 3), array(3*n, 4)
	stats, gamma, sums, queries := make([]float32, 2*rows), array(channels, 5), make([]float32, 2*channels), make([]float32, 2*rows*6)
	drop := NewDropout(0.1, [2]uint32{1, 2})
	a := &Attention{Tokens: tokens, Keys: tokens, Heads: 6, Width: 64, Stride: 3 * channels}
	p.LayerNorm(rows, channels, x[:n], gamma, gamma, 1e-6, y[:n], stats)
	for _, v := range []struct {
		name   string
		values int // read and written
		f      func()
	}{
		{"layer norm", 2 * n, func() { p.LayerNorm(rows, channels, x[:n], gamma, gamma, 1e-6, y[:n], stats) }},
		{"layer norm gradient", 3 * n, func() {
			p.LayerNormGradient(rows, channels, x[:n], stats, gamma, y[:n], z[:n], sums[:channels], sums[channels:])
		}},
		{"gelu", 8 * n, func() { p.GELU(x, y) }},
		{"gelu gradient", 12 * n, func() { p.GELUGradient(y, x, z) }},
		{"silu", 8 * n, func() { p.SiLU(x, y) }},
		{"silu gradient", 12 * n, func() { p.SiLUGradient(y, x, z) }},
		{"tanh", 8 * n, func() { p.Tanh(x, y) }},
		{"softmax", 2 * n, func() { p.SoftmaxRows(rows, channels, x[:n], y[:n]) }},
		{"dropout", 8 * n, func() { p.Dropout(drop, 1, samples, x, y) }},
	} {
		b.Run(v.name, func(b *testing.B) {
			for b.Loop() {
				v.f()
			}
			b.ReportMetric(float64(4*v.values)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GB/s")
		})
	}
	product := int64(2 * samples * tokens * tokens * channels)
	for _, v := range []struct {
		name     string
		products int64
		f        func()
	}{
		{"attention", 2, func() { p.Attention(a, samples, x, x[channels:], x[2*channels:], y[:n], queries) }},
		{"attention gradient", 5, func() {
			p.AttentionGradient(a, samples, x, x[channels:], x[2*channels:], queries, y[:n], u, u[channels:], u[2*channels:])
		}},
	} {
		b.Run(v.name, func(b *testing.B) {
			used := processorTime()
			for b.Loop() {
				v.f()
			}
			flops(b, v.products*product, used)
		})
	}
}
