//go:build unix

package kernel

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// The convolutions of ResNet-18 and ResNet-50 with the ImageNet stem on 64×64 images of five bands, batch 128.
var benchShapes = []Geometry{
	Conv(128, []int{64, 64}, 5, 64, 7, 2, 3),
	Conv(128, []int{16, 16}, 64, 64, 3, 1, 1),
	Conv(128, []int{16, 16}, 64, 128, 3, 2, 1),
	Conv(128, []int{16, 16}, 64, 128, 1, 2, 0),
	Conv(128, []int{8, 8}, 128, 128, 3, 1, 1),
	Conv(128, []int{8, 8}, 128, 256, 3, 2, 1),
	Conv(128, []int{4, 4}, 256, 256, 3, 1, 1),
	Conv(128, []int{4, 4}, 256, 512, 3, 2, 1),
	Conv(128, []int{2, 2}, 512, 512, 3, 1, 1),
	Conv(128, []int{16, 16}, 64, 64, 1, 1, 0),
	Conv(128, []int{16, 16}, 64, 256, 1, 1, 0),
	Conv(128, []int{16, 16}, 256, 64, 1, 1, 0),
	Conv(128, []int{8, 8}, 128, 512, 1, 1, 0),
	Conv(128, []int{8, 8}, 512, 128, 1, 1, 0),
	Conv(128, []int{4, 4}, 1024, 256, 1, 1, 0),
	Conv(128, []int{2, 2}, 2048, 512, 1, 1, 0),
	Linear(128, 2048, 128),
}

// benchPool has as many threads as ASTERISM_THREADS says, all by default.
func benchPool() *Pool {
	threads, _ := strconv.Atoi(os.Getenv("ASTERISM_THREADS"))
	return NewPool(threads)
}

func shapeName(g Geometry) string {
	return fmt.Sprintf("%v·%d-%d·%v/%v", g.In, g.InC, g.OutC, g.Kernel, g.Stride)
}

// flops reports the speed, counting taps outside the image as if they were computed: GFLOP/s by the clock, and for each
// core by the processor time that was used, which other work on the machine disturbs less.
func flops(b *testing.B, each int64, used func() float64) {
	total := float64(each) * float64(b.N) / 1e9
	b.ReportMetric(total/b.Elapsed().Seconds(), "GFLOP/s")
	b.ReportMetric(total/used(), "GFLOP/s/core")
	b.ReportMetric(0, "ns/op")
}

// processorTime starts to count the processor time of this program, in seconds.
func processorTime() func() float64 {
	read := func() float64 {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	start := read()
	return func() float64 { return read() - start }
}

// eachType runs a benchmark for float32, and for bfloat16 where the pool computes it.
func eachType(b *testing.B, p *Pool, f func(b *testing.B, half bool)) {
	b.Run("float32", func(b *testing.B) { f(b, false) })
	if p.set.half != nil {
		b.Run("bfloat16", func(b *testing.B) { f(b, true) })
	}
}

// BenchmarkPeak measures the multiply-adds alone: tiles on data in the first-level cache.
func BenchmarkPeak(b *testing.B) {
	for _, s := range available() {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/%d", s.name, threads), func(b *testing.B) {
				p := newPool(threads, s)
				defer p.Close()
				eachType(b, p, func(b *testing.B, half bool) {
					used := processorTime()
					var each int64
					for b.Loop() {
						each = p.MultiplyAdds(half)
					}
					flops(b, each, used)
				})
			})
		}
	}
}

func BenchmarkConv(b *testing.B) {
	p := benchPool()
	defer p.Close()
	for _, g := range benchShapes {
		eachType(b, p, func(b *testing.B, half bool) {
			if half && g.InC%2 != 0 {
				g.InC++
			}
			x, y := benchArray(g.InLen(), half), benchArray(g.OutLen(), half)
			packed, turned, forward := make([]float32, PackedLen(g)), benchArray(PackedInputGradientLen(g), half), benchArray(PackedLen(g), half)
			scratch := make([]float32, ConvWeightGradientScratch(g))
			for _, v := range []struct {
				name string
				f    func()
			}{
				{"forward", func() { p.ConvForward(g, Forward{X: x, Packed: forward, Y: y}) }},
				{"input", func() { p.ConvInputGradient(g, Backward{Dy: y, Packed: turned, Dx: x}) }},
				{"weight", func() { p.ConvWeightGradient(g, x, y, packed, scratch) }},
				{"turn", func() { p.PackInputGradient(turned, g, packed) }},
			} {
				b.Run(v.name+"/"+shapeName(g), func(b *testing.B) {
					used := processorTime()
					for b.Loop() {
						v.f()
					}
					flops(b, g.FLOPs(), used)
				})
			}
		})
	}
}

// BenchmarkMemory measures the passes over memory of a layer of 128 × 16 × 16 pixels and 64 channels, in GB/s of values
// read and written.
func BenchmarkMemory(b *testing.B) {
	p := benchPool()
	defer p.Close()
	n := Norm{4, 32 * 16 * 16, 64}
	f32 := func() []float32 { return benchArray(n.length(), false).Float32() }
	eachType(b, p, func(b *testing.B, half bool) {
		x, y, z, u := benchArray(n.length(), half), benchArray(n.length(), half), benchArray(n.length(), half), benchArray(n.length(), half)
		g, v, w := f32(), f32(), f32()
		k := n.Groups * n.Channels
		mean, variance, a, c := make([]float32, k), make([]float32, k), make([]float32, k), make([]float32, k)
		gamma := make([]float32, n.Channels)
		pool := Conv(32, []int{32, 32}, 64, 64, 3, 2, 1)
		arg := make([]int32, pool.OutLen())
		lse := make([]float32, 128)
		for _, v := range []struct {
			name   string
			passes float64 // over a slice like x
			f      func()
		}{
			{"add", 3, func() { p.Add(x, y, z) }},
			{"relu", 2, func() { p.ReLU(x, y) }},
			{"sgd", 5, func() { p.SGD(1e-9, 0.9, 1e-9, g, v, w) }},
			{"statistics", 1, func() { p.BatchNormStatistics(n, x, mean, variance) }},
			{"apply+relu", 2, func() { p.BatchNormApply(n, x, mean, variance, gamma, gamma, 1e-5, Array{}, true, y) }},
			{"apply+add+relu", 3, func() { p.BatchNormApply(n, x, mean, variance, gamma, gamma, 1e-5, z, true, y) }},
			{"reduce", 3, func() { p.BatchNormReduce(n, z, x, y, mean, variance, 1e-5, a, c) }},
			{"input gradient", 4, func() { p.BatchNormInputGradient(n, z, x, y, mean, variance, gamma, 1e-5, a, c, u, Array{}) }},
			{"max pool", 1.5, func() { p.MaxPool(pool, x, y.First(pool.OutLen()), arg) }},
			{"max pool backward", 1.5, func() { p.MaxPoolBackward(pool, y.First(pool.OutLen()), arg, x) }},
			{"average pool", 1, func() { p.GlobalAveragePool(128, 256, 64, x, y.First(128*64)) }},
			{"softmax", 2, func() { p.Softmax(128, 256*64, 1, g, lse, w) }},
		} {
			b.Run(v.name, func(b *testing.B) {
				used := processorTime()
				for b.Loop() {
					v.f()
				}
				bytes := v.passes * float64(x.bytes()*n.length()) * float64(b.N) / 1e9
				b.ReportMetric(bytes/b.Elapsed().Seconds(), "GB/s")
				b.ReportMetric(bytes/used(), "GB/s/core")
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}
