package native

import (
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
)

// BenchmarkMoCoStep is the engine's part of a step of MoCo v2: query forward and backward, momentum update, key forward,
// optimiser. ResNet-18, ImageNet stem, batch 128, five bands, 64×64.
func BenchmarkMoCoStep(b *testing.B) { eachPrecision(b, 18, "imagenet", 128) }

// BenchmarkMoCoStep50 is the same with ResNet-50 and batch 64.
func BenchmarkMoCoStep50(b *testing.B) { eachPrecision(b, 50, "imagenet", 64) }

// BenchmarkMoCoStepPaper is the same with the paper's stem and batch 16: maps are sixteen times as large.
func BenchmarkMoCoStepPaper(b *testing.B) { eachPrecision(b, 50, "paper", 16) }

func eachPrecision(b *testing.B, depth int, stem string, batch int) {
	for _, p := range []engine.Precision{engine.Float32, engine.BFloat16} {
		b.Run(string(p), func(b *testing.B) { benchmarkStep(b, depth, stem, batch, p) })
	}
}

func benchmarkStep(b *testing.B, depth int, stem string, batch int, precision engine.Precision) {
	width := map[int]int64{18: 512, 50: 2048}[depth]
	n := compile(b, moco(resnet(depth, 64, 5, stem, false), projector(width, width, 128), 1), engine.Options{Batch: batch, Seed: 1, Precision: precision})
	for _, pass := range []string{"query", "key"} {
		copy(n.Input(pass), drawn("bench", pass, len(n.Input(pass))))
	}
	copy(n.TapGradient("q"), drawn("bench", "gradient", len(n.TapGradient("q"))))
	for i := range n.TapGradient("q") {
		n.TapGradient("q")[i] *= 1e-3
	}
	step := func() {
		must(b, n.Forward("query", batch, 0))
		n.UpdateMomentum(0.999)
		must(b, n.Forward("key", batch, 0))
		must(b, n.Backward("query"))
		must(b, n.Step(engine.Optimiser{LR: 0.001, Momentum: 0.9, WeightDecay: 1e-4}))
	}
	step()
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	seconds := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(float64(batch)/seconds, "images/s")
	b.ReportMetric(float64(n.cost.StepFLOPs)/seconds/1e9, "GFLOP/s")
	b.ReportMetric(float64(n.cost.Bytes)/(1<<20), "MiB")
}
