package kernel

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// drawDepthwise draws a depthwise convolution of rank 0 to 3, now and then with fewer outputs than it could have.
func drawDepthwise(t *rapid.T) Geometry {
	g := drawGeometry(t)
	g.OutC = g.InC * rapid.SampledFrom([]int{1, 1, 1, 2, 3, 5}).Draw(t, "multiplier")
	return leaveOut(t, g)
}

// leaveOut takes outputs from the ends of the axes, now and then.
func leaveOut(t *rapid.T, g Geometry) Geometry {
	if rapid.IntRange(0, 3).Draw(t, "leave out") == 0 {
		for i := range g.Out {
			g.Out[i] = max(1, g.Out[i]-rapid.IntRange(0, 2).Draw(t, "left out"))
		}
	}
	return g
}

func (c *checker) depthwise(g Geometry, biased bool) {
	x, w, dy := c.array(g.InLen()), c.array(g.OutC*g.Taps()), c.array(g.OutLen())
	var bias, size []float32
	if biased {
		bias = c.array(g.OutC)
		size = magnitudes(bias)
	}
	c.grouped(g, g.InC, x, w, bias, size, dy,
		func(p *Pool, y []float32) { p.DepthwiseForward(g, x, w, bias, y) },
		func(p *Pool, dx []float32) { p.DepthwiseInputGradient(g, dy, w, dx) },
		func(p *Pool, dw []float32) { p.DepthwiseWeightGradient(g, x, dy, dw) })
}

// grouped compares the three operations of a convolution in groups with their twins.
func (c *checker) grouped(g Geometry, groups int, x, w, bias, biasSize, dy []float32, forward, input, weight func(p *Pool, to []float32)) {
	c.r.Helper()
	got := c.same(c.array(g.OutLen()), forward)
	want, scale := make([]float32, g.OutLen()), make([]float32, g.OutLen())
	naiveGroupedForward(g, groups, x, w, bias, want)
	naiveGroupedForward(g, groups, magnitudes(x), magnitudes(w), biasSize, scale)
	c.near(fmt.Sprintf("y of %+v in %d groups", g, groups), got, want, scale, productTolerance)

	got = c.same(c.array(g.InLen()), input)
	want, scale = make([]float32, g.InLen()), make([]float32, g.InLen())
	naiveGroupedInputGradient(g, groups, dy, w, want)
	naiveGroupedInputGradient(g, groups, magnitudes(dy), magnitudes(w), scale)
	c.near(fmt.Sprintf("dx of %+v in %d groups", g, groups), got, want, scale, productTolerance)

	start := c.array(len(w))
	got = c.same(start, weight)
	want, scale = append([]float32{}, start...), magnitudes(start)
	naiveGroupedWeightGradient(g, groups, x, dy, want)
	naiveGroupedWeightGradient(g, groups, magnitudes(x), magnitudes(dy), scale)
	c.near(fmt.Sprintf("dw of %+v in %d groups", g, groups), got, want, scale, productTolerance)
}

func TestDepthwise(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) { c.depthwise(drawDepthwise(r), rapid.Bool().Draw(r, "bias")) })
}

// TestLargeDepthwise has shapes whose lattice is split into blocks, and those of ConvNeXt.
func TestLargeDepthwise(t *testing.T) {
	for _, s := range available() {
		var pools []*Pool
		for threads := 1; threads <= 3; threads++ {
			p := newPool(threads, s)
			defer p.Close()
			pools = append(pools, p)
		}
		for _, g := range []Geometry{
			Conv(2, []int{56, 56}, 35, 35, 7, 1, 3),
			Conv(3, []int{7, 7}, 96, 96, 7, 1, 3),
			Conv(1, []int{20, 21, 22}, 17, 17, 5, 1, 2),
			Conv(1, []int{30, 31}, 40, 40, 5, 2, 2),
			Conv(1, []int{4001}, 20, 20, 9, 1, 4),
			Conv(1, []int{3001}, 5, 15, 6, 3, 1),
			{Batch: 2, In: []int{3, 2}, Out: []int{3, 2}, InC: 3, OutC: 3, Kernel: []int{3, 3}, Stride: []int{1, 1}, Dilation: []int{1 << 20, 1 << 20}, Pad: []int{1 << 20, 1 << 20}},
			{Batch: 1, In: []int{40, 41}, Out: []int{22, 23}, InC: 3, OutC: 60, Kernel: []int{5, 5}, Stride: []int{1, 1}, Dilation: []int{5, 5}, Pad: []int{1, 1}},
		} {
			c := &checker{T: t, r: t, pools: pools, seed: 1}
			c.depthwise(g, true)
			release()
		}
	}
}
