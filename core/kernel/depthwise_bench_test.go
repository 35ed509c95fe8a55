//go:build unix

package kernel

import "testing"

// The depthwise convolutions of ConvNeXt-T on 224×224 and 64×64 images, and smaller kernels.
var depthwiseShapes = []Geometry{
	Conv(16, []int{56, 56}, 96, 96, 7, 1, 3),
	Conv(16, []int{28, 28}, 192, 192, 7, 1, 3),
	Conv(16, []int{14, 14}, 384, 384, 7, 1, 3),
	Conv(16, []int{7, 7}, 768, 768, 7, 1, 3),
	Conv(128, []int{16, 16}, 96, 96, 7, 1, 3),
	Conv(128, []int{8, 8}, 192, 192, 7, 1, 3),
	Conv(128, []int{4, 4}, 384, 384, 7, 1, 3),
	Conv(16, []int{56, 56}, 144, 144, 3, 1, 1),
	Conv(16, []int{56, 56}, 144, 144, 3, 2, 1),
}

func BenchmarkDepthwise(b *testing.B) {
	p := benchPool()
	defer p.Close()
	for _, g := range depthwiseShapes {
		x, y, w := make([]float32, g.InLen()), make([]float32, g.OutLen()), make([]float32, g.InC*g.Taps())
		for i := range x {
			x[i] = float32(i%17) - 8
		}
		for i := range y {
			y[i] = float32(i%13) - 6
		}
		for _, v := range []struct {
			name string
			f    func()
		}{
			{"forward", func() { p.DepthwiseForward(g, x, w, nil, y) }},
			{"input", func() { p.DepthwiseInputGradient(g, y, w, x) }},
			{"weight", func() { p.DepthwiseWeightGradient(g, x, y, w) }},
		} {
			b.Run(v.name+"/"+shapeName(g), func(b *testing.B) {
				used := processorTime()
				for b.Loop() {
					v.f()
				}
				b.ReportMetric(1e3*b.Elapsed().Seconds()/float64(b.N), "ms")
				flops(b, g.FLOPs()/int64(g.InC), used)
			})
		}
	}
}

// BenchmarkGrouped has the convolutions of ResNeXt-50 (32×4d), in 32 groups.
func BenchmarkGrouped(b *testing.B) {
	p := benchPool()
	defer p.Close()
	for _, g := range []Geometry{
		Conv(16, []int{56, 56}, 128, 128, 3, 1, 1),
		Conv(16, []int{28, 28}, 256, 256, 3, 1, 1),
		Conv(16, []int{14, 14}, 512, 512, 3, 1, 1),
		Conv(16, []int{7, 7}, 1024, 1024, 3, 1, 1),
	} {
		const groups = 32
		s := NewGrouping(g, groups)
		x, y, w, scratch := make([]float32, g.InLen()), make([]float32, g.OutLen()), make([]float32, g.WeightLen()/groups), make([]float32, s.Scratch())
		for _, v := range []struct {
			name string
			f    func()
		}{
			{"forward", func() { p.GroupedForward(s, g.Batch, x, w, nil, y, scratch) }},
			{"input", func() { p.GroupedInputGradient(s, g.Batch, y, w, x, scratch) }},
			{"weight", func() { p.GroupedWeightGradient(s, g.Batch, x, y, w, scratch) }},
		} {
			b.Run(v.name+"/"+shapeName(g), func(b *testing.B) {
				used := processorTime()
				for b.Loop() {
					v.f()
				}
				b.ReportMetric(1e3*b.Elapsed().Seconds()/float64(b.N), "ms")
				flops(b, g.FLOPs()/groups, used)
			})
		}
	}
}
