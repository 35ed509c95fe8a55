//go:build unix

package kernel

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"unsafe"
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

// BenchmarkPeak measures the multiply-adds alone: tiles on data in the first-level cache.
func BenchmarkPeak(b *testing.B) {
	for _, s := range available() {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/%d", s.name, threads), func(b *testing.B) {
				p := newPool(threads, s)
				defer p.Close()
				vecs := s.width / s.vec
				rows := s.height(vecs)
				const depth, repeat = 32, 2000
				p.Do(threads, func(int) {})
				used := processorTime()
				for b.Loop() {
					p.Do(threads, func(int) {
						x, y := make([]float32, depth), make([]float32, rows*s.width)
						w, offsets := make([]float32, depth*s.width), make([]int64, repeat)
						table, out := make([]unsafe.Pointer, rows*repeat), make([]unsafe.Pointer, rows)
						for i := range table {
							table[i] = unsafe.Pointer(&x[0])
						}
						for i := range out {
							out[i] = unsafe.Pointer(&y[i*s.width])
						}
						for range 20 {
							s.products[vecs][rows](&productArgs{table: unsafe.Pointer(&table[0]), offsets: unsafe.Pointer(&offsets[0]),
								weights: unsafe.Pointer(&w[0]), taps: repeat, depth: depth, mask: s.mask(s.width), out: unsafe.Pointer(&out[0])})
						}
					})
				}
				flops(b, int64(2*rows*s.width*depth*repeat*20*threads), used)
			})
		}
	}
}

func BenchmarkConv(b *testing.B) {
	p := benchPool()
	defer p.Close()
	for _, g := range benchShapes {
		x, y := make([]float32, g.InLen()), make([]float32, g.OutLen())
		w := make([]float32, g.WeightLen())
		for i := range x {
			x[i] = float32(i%17) - 8
		}
		for i := range y {
			y[i] = float32(i%13) - 6
		}
		forward, gradient := make([]float32, PackedForwardLen(g)), make([]float32, PackedInputGradientLen(g))
		scratch := make([]float32, ConvWeightGradientScratch(g))
		p.PackForward(forward, g, w)
		p.PackInputGradient(gradient, g, w)
		for _, v := range []struct {
			name string
			f    func()
		}{
			{"forward", func() { p.ConvForward(g, x, forward, nil, y) }},
			{"input", func() { p.ConvInputGradient(g, y, gradient, x) }},
			{"weight", func() { p.ConvWeightGradient(g, x, y, w, scratch) }},
			{"pack", func() { p.PackForward(forward, g, w) }},
			{"turn", func() { p.PackInputGradient(gradient, g, w) }},
		} {
			b.Run(v.name+"/"+shapeName(g), func(b *testing.B) {
				used := processorTime()
				for b.Loop() {
					v.f()
				}
				flops(b, g.FLOPs(), used)
			})
		}
	}
}

// BenchmarkMemory measures the passes over memory of a layer of 128 × 16 × 16 pixels and 64 channels, in GB/s of values
// read and written.
func BenchmarkMemory(b *testing.B) {
	p := benchPool()
	defer p.Close()
	n := Norm{4, 32 * 16 * 16, 64}
	x, y, z, u := make([]float32, n.length()), make([]float32, n.length()), make([]float32, n.length()), make([]float32, n.length())
	for i := range x {
		x[i], y[i], z[i] = float32(i%17)-8, float32(i%13)-6, float32(i%11)-5
	}
	k := n.Groups * n.Channels
	mean, variance, a, c := make([]float32, k), make([]float32, k), make([]float32, k), make([]float32, k)
	gamma := make([]float32, n.Channels)
	pool := Conv(32, []int{32, 32}, 64, 64, 3, 2, 1)
	arg := make([]int32, pool.OutLen())
	for _, v := range []struct {
		name   string
		passes float64 // over a slice like x
		f      func()
	}{
		{"add", 3, func() { p.Add(x, y, z) }},
		{"relu", 2, func() { p.ReLU(x, y) }},
		{"sgd", 5, func() { p.SGD(1e-9, 0.9, 1e-9, x, y, z) }},
		{"statistics", 1, func() { p.BatchNormStatistics(n, x, mean, variance) }},
		{"apply+relu", 2, func() { p.BatchNormApply(n, x, mean, variance, gamma, gamma, 1e-5, nil, true, y) }},
		{"apply+add+relu", 3, func() { p.BatchNormApply(n, x, mean, variance, gamma, gamma, 1e-5, z, true, y) }},
		{"reduce", 3, func() { p.BatchNormReduce(n, z, x, y, mean, variance, 1e-5, a, c) }},
		{"input gradient", 4, func() { p.BatchNormInputGradient(n, z, x, y, mean, variance, gamma, 1e-5, a, c, u, nil) }},
		{"max pool", 1.5, func() { p.MaxPool(pool, x, y[:pool.OutLen()], arg) }},
		{"max pool backward", 1.5, func() { p.MaxPoolBackward(pool, y[:pool.OutLen()], arg, x) }},
		{"average pool", 1, func() { p.GlobalAveragePool(128, 256, 64, x, y[:128*64]) }},
		{"softmax", 2, func() { p.Softmax(128, 256*64, 1, x, gamma2(p), y) }},
	} {
		b.Run(v.name, func(b *testing.B) {
			used := processorTime()
			for b.Loop() {
				v.f()
			}
			bytes := v.passes * 4 * float64(n.length()) * float64(b.N) / 1e9
			b.ReportMetric(bytes/b.Elapsed().Seconds(), "GB/s")
			b.ReportMetric(bytes/used(), "GB/s/core")
			b.ReportMetric(0, "ns/op")
		})
	}
}

var lse128 = make([]float32, 128)

func gamma2(*Pool) []float32 { return lse128 }
