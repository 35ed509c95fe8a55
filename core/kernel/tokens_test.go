package kernel

import "testing"

// TestTokensAllocateNothing runs what transformers add twice before it counts.
func TestTokensAllocateNothing(t *testing.T) {
	const samples, tokens, channels = 2, 30, 24
	n := samples * tokens * channels
	for _, s := range available() {
		p := newPool(2, s)
		x, y, z := make([]float32, 3*n), make([]float32, 3*n), make([]float32, 3*n)
		stats, sums := make([]float32, 2*samples*tokens), make([]float32, 4*samples*channels)
		a := &Attention{Tokens: tokens, Keys: tokens, Heads: 3, Width: channels / 3, Stride: 3 * channels}
		queries, drop := make([]float32, 2*samples*3*tokens), NewDropout(0.1, [2]uint32{})
		norm := Norm{samples, tokens, channels}
		k := samples * channels
		all := func() {
			p.GELU(x, y)
			p.GELUGradient(x, y, z)
			p.LayerNorm(samples*tokens, channels, x[:n], nil, nil, 1e-5, y[:n], stats)
			p.LayerNormGradient(samples*tokens, channels, x[:n], stats, nil, y[:n], z[:n], sums[:channels], sums[channels:2*channels])
			p.GroupNormStatistics(norm, 4, Float32s(x[:n]), sums[:k], sums[k:2*k])
			p.GroupNormInputGradient(norm, 4, Float32s(y[:n]), Float32s(x[:n]), sums[:k], sums[k:2*k], nil, 1e-5, sums[2*k:3*k], sums[3*k:], Float32s(z[:n]))
			p.SoftmaxRows(samples*tokens, channels, x[:n], y[:n])
			p.SoftmaxRowsGradient(samples*tokens, channels, x[:n], y[:n], z[:n])
			p.Attention(a, samples, x, x[channels:], x[2*channels:], y[:n], queries)
			p.AttentionGradient(a, samples, x, x[channels:], x[2*channels:], queries, y[:n], z, z[channels:], z[2*channels:])
			p.Dropout(drop, 1, samples, x, y)
		}
		all()
		if allocated := steady(all); allocated != 0 {
			t.Errorf("%s: %v allocations", s.name, allocated)
		}
		p.Close()
	}
}
