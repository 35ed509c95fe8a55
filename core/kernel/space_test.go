package kernel

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestGrouped(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		g := leaveOut(r, drawGeometry(r))
		groups := rapid.SampledFrom([]int{1, 2, 3, 4, 6, 8, 12}).Draw(r, "groups")
		g.InC, g.OutC = (g.InC+groups-1)/groups*groups, (g.OutC+groups-1)/groups*groups
		x, w, dy := c.array(g.InLen()), c.array(g.WeightLen()/groups), c.array(g.OutLen())
		var bias, size []float32
		if rapid.Bool().Draw(r, "bias") {
			bias = c.array(g.OutC)
			size = magnitudes(bias)
		}
		s := NewGrouping(g, groups)
		scratch := func() []float32 { return c.array(s.Scratch()) }
		c.grouped(g, groups, x, w, bias, size, dy,
			func(p *Pool, y []float32) { p.GroupedForward(s, g.Batch, x, w, bias, y, scratch()) },
			func(p *Pool, dx []float32) { p.GroupedInputGradient(s, g.Batch, dy, w, dx, scratch()) },
			func(p *Pool, dw []float32) { p.GroupedWeightGradient(s, g.Batch, x, dy, dw, scratch()) })
	})
}

// TestManySamplesInGroups has more samples than are computed at a time.
func TestManySamplesInGroups(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	c := &checker{T: t, r: t, pools: []*Pool{p}, seed: 1}
	defer release()
	g := Conv(25, []int{300}, 1200, 4, 1, 1, 0)
	s := NewGrouping(g, 2)
	x, w, dy, scratch := c.array(g.InLen()), c.array(g.WeightLen()/2), c.array(g.OutLen()), c.array(s.Scratch())
	c.grouped(g, 2, x, w, nil, nil, dy,
		func(p *Pool, y []float32) { p.GroupedForward(s, g.Batch, x, w, nil, y, scratch) },
		func(p *Pool, dx []float32) { p.GroupedInputGradient(s, g.Batch, dy, w, dx, scratch) },
		func(p *Pool, dw []float32) { p.GroupedWeightGradient(s, g.Batch, x, dy, dw, scratch) })
}

func TestAveragePool(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		g := drawGeometry(r)
		g.OutC = g.InC
		for i, k := range g.Kernel {
			g.Pad[i] = min(g.Pad[i], k/2)
			g.In[i] = max(g.In[i], g.Dilation[i]*(k-1)+1-2*g.Pad[i])
			g.Out[i] = OutSize(g.In[i], k, g.Stride[i], g.Pad[i], g.Dilation[i])
		}
		x, dy := c.array(g.InLen()), c.array(g.OutLen())
		y := c.same(c.array(g.OutLen()), func(p *Pool, y []float32) { p.AveragePool(g, x, y) })
		want := make([]float32, g.OutLen())
		naiveAveragePool(g, x, want)
		c.near(fmt.Sprintf("y of %+v", g), y, want, nil, 1e-6)
		dx := c.same(c.array(g.InLen()), func(p *Pool, dx []float32) { p.AveragePoolBackward(g, dy, dx) })
		want = make([]float32, g.InLen())
		naiveAveragePoolBackward(g, dy, want)
		c.near(fmt.Sprintf("dx of %+v", g), dx, want, nil, 1e-6)
	})
}

func TestUpsample(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		small := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(r, name) }
		u := Upsampling{Batch: small("batch", 0, 4), Channels: rapid.OneOf(rapid.IntRange(1, 9), rapid.SampledFrom([]int{15, 16, 33, 64})).Draw(r, "channels"),
			Linear: rapid.Bool().Draw(r, "linear")}
		for range small("rank", 1, 3) {
			u.In, u.Scale = append(u.In, small("in", 1, 5)), append(u.Scale, small("scale", 1, 4))
		}
		x, dy := c.array(u.InLen()), c.array(u.OutLen())
		y := c.same(c.array(u.OutLen()), func(p *Pool, y []float32) { p.Upsample(u, x, y) })
		want := make([]float32, u.OutLen())
		naiveUpsample(u, x, want)
		c.near(fmt.Sprintf("y of %+v", u), y, want, nil, 1e-6)
		dx := c.same(c.array(u.InLen()), func(p *Pool, dx []float32) { p.UpsampleBackward(u, dy, dx) })
		want = make([]float32, u.InLen())
		naiveUpsampleBackward(u, dy, want)
		c.near(fmt.Sprintf("dx of %+v", u), dx, want, nil, 1e-6*float64(product(u.Scale)))
	})
}

func TestSpaceAllocatesNothingInASteadyLoop(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	g := Conv(9, []int{6, 6}, 24, 48, 3, 2, 1)
	x, y, w := make([]float32, g.InLen()), make([]float32, g.OutLen()), make([]float32, g.WeightLen()/4)
	s := NewGrouping(g, 4)
	scratch := make([]float32, s.Scratch())
	single := w[:48*9]
	pool := Conv(9, []int{6, 6}, 24, 24, 3, 2, 1)
	u := Upsampling{Batch: 9, In: []int{3, 3}, Scale: []int{2, 2}, Channels: 24, Linear: true}
	step := func() {
		p.DepthwiseForward(g, x, single, nil, y)
		p.DepthwiseInputGradient(g, y, single, x)
		p.DepthwiseWeightGradient(g, x, y, single)
		p.GroupedForward(s, g.Batch, x, w, nil, y, scratch)
		p.GroupedInputGradient(s, g.Batch, y, w, x, scratch)
		p.GroupedWeightGradient(s, g.Batch, x, y, w, scratch)
		p.AveragePool(pool, x, y[:pool.OutLen()])
		p.AveragePoolBackward(pool, y[:pool.OutLen()], x)
		p.UpsampleBackward(u, x, y[:u.InLen()])
		p.Upsample(u, y[:u.InLen()], x)
	}
	if got := steady(step); got > 0 {
		t.Errorf("%v allocations in a step, want none", got)
	}
}
