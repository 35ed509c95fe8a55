package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// onEverySet runs a property on every instruction set that this machine has.
func onEverySet(t *testing.T, property func(t *rapid.T, c *checker)) {
	for _, s := range available() {
		t.Run(s.name, func(t *testing.T) { check(t, s, false, property) })
	}
}

// onEveryType runs a property on every instruction set, for float32 and, where it computes it, for bfloat16.
func onEveryType(t *testing.T, property func(t *rapid.T, c *checker)) {
	onEverySet(t, property)
	for _, s := range available() {
		if s.half != nil {
			t.Run(s.name+" in bfloat16", func(t *testing.T) { check(t, s, true, property) })
		}
	}
}

func check(t *testing.T, s *set, half bool, property func(t *rapid.T, c *checker)) {
	pools := poolsOf(t, s)
	rapid.Check(t, func(r *rapid.T) {
		defer release()
		property(r, &checker{T: t, r: r, pools: pools, half: half, seed: rapid.Uint64().Draw(r, "seed"), low: rapid.Bool().Draw(r, "low")})
	})
}

// poolsOf gives pools of 1, 2 and 3 threads.
func poolsOf(t *testing.T, s *set) (pools []*Pool) {
	for threads := 1; threads <= 3; threads++ {
		p := newPool(threads, s)
		t.Cleanup(p.Close)
		pools = append(pools, p)
	}
	return pools
}

// checker makes arrays with guard pages and compares what pools of 1, 2 and 3 threads make of them.
type checker struct {
	*testing.T
	r interface {
		Helper()
		Fatalf(format string, args ...any)
	}
	pools []*Pool
	half  bool // arrays that may be bfloat16 are
	seed  uint64
	low   bool
}

// array gives n random values in [−1, 1), a few of them zero.
func (c *checker) array(n int) []float32 {
	a := guarded(c.T, n, c.low)
	for i := range a {
		c.seed = c.seed*6364136223846793005 + 1442695040888963407
		if v := int32(c.seed >> 32); v&31 != 0 {
			a[i] = float32(v) / (1 << 31)
		}
	}
	return a
}

func (c *checker) copyOf(from []float32) []float32 {
	a := guarded(c.T, len(from), c.low)
	copy(a, from)
	return a
}

// same runs f on every pool with an output of its own, a copy of start, and fails unless all give the same bits, which
// it returns.
func (c *checker) same(start []float32, f func(p *Pool, y []float32)) []float32 {
	var first []float32
	for i, p := range c.pools {
		y := c.copyOf(start)
		f(p, y)
		if i == 0 {
			first = y
			continue
		}
		for j := range y {
			if math.Float32bits(y[j]) != math.Float32bits(first[j]) {
				c.r.Fatalf("value %d is %v on one thread and %v on %d", j, first[j], y[j], p.threads)
			}
		}
	}
	return first
}

// near fails where got and want differ by more than tolerance times scale (1 if nil).
func (c *checker) near(name string, got, want, scale []float32, tolerance float64) {
	c.r.Helper()
	for i := range want {
		size := 1.0
		if scale != nil {
			size = float64(scale[i])
		}
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tolerance*size) && !(got[i] != got[i] && want[i] != want[i]) {
			c.r.Fatalf("%s: value %d is %v, want %v (scale %v)", name, i, got[i], want[i], size)
		}
	}
}

func magnitudes(x []float32) []float32 {
	a := make([]float32, len(x))
	for i, v := range x {
		a[i] = float32(math.Abs(float64(v)))
	}
	return a
}

// drawGeometry draws a convolution of rank 0 to 3 that fits.
func drawGeometry(t *rapid.T) Geometry {
	small := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name) }
	channels := rapid.OneOf(rapid.IntRange(1, 9), rapid.SampledFrom([]int{15, 16, 17, 33, 63, 64, 65, 80, 100, 130}))
	g := Geometry{Batch: small("batch", 1, 15), InC: channels.Draw(t, "inC"), OutC: channels.Draw(t, "outC")}
	rank := small("rank", 0, 3)
	room := []int{1, 24, 9, 5}[rank]
	for range rank {
		k, d, s := small("kernel", 1, 4), small("dilation", 1, 2), small("stride", 1, 3)
		pad := small("padding", 0, 2)
		in := small("in", max(1, d*(k-1)+1-2*pad), max(room, d*(k-1)+1))
		g.In, g.Kernel, g.Stride = append(g.In, in), append(g.Kernel, k), append(g.Stride, s)
		g.Pad, g.Dilation = append(g.Pad, pad), append(g.Dilation, d)
		g.Out = append(g.Out, OutSize(in, k, s, pad, d))
	}
	for g.FLOPs() > 4e6 && (g.Batch > 1 || g.InC > 1 || g.OutC > 1) { // keep the naive twin quick
		switch {
		case g.Batch > 7:
			g.Batch -= 6
		case g.InC >= g.OutC:
			g.InC = (g.InC + 1) / 2
		default:
			g.OutC = (g.OutC + 1) / 2
		}
	}
	if err := g.Check(); err != nil {
		t.Fatalf("%+v: %v", g, err)
	}
	return g
}

// productTolerance is the error allowed to a product, as a share of the sum of the magnitudes added.
const productTolerance = 1e-6

// pack packs weights for each pool alike.
func (c *checker) pack(g Geometry, w []float32) []float32 {
	packed := c.same(make([]float32, PackedLen(g)), func(p *Pool, packed []float32) { p.Pack(packed, g, w) })
	back := c.same(make([]float32, g.WeightLen()), func(p *Pool, w []float32) { p.Unpack(w, g, packed) })
	c.near("unpacked weights", back, w, nil, 0)
	return packed
}

func (c *checker) forward(g Geometry, biased bool) {
	x, w := c.draw(g.InLen()), c.array(g.WeightLen())
	f := Forward{X: x}
	var size []float32
	if biased {
		f.Bias = c.array(g.OutC)
		size = magnitudes(f.Bias)
	}
	f.Packed, w = c.packed(g, w)
	got := c.same(c.array(g.OutLen()), func(p *Pool, y []float32) {
		f := f
		f.Y = Float32s(y)
		p.ConvForward(g, f)
	})
	want, scale := make([]float32, g.OutLen()), make([]float32, g.OutLen())
	naiveConvForward(g, values(x), w, f.Bias, want)
	naiveConvForward(g, magnitudes(values(x)), magnitudes(w), size, scale)
	c.near(fmt.Sprintf("y of %+v", g), got, want, scale, productTolerance)
	c.epilogue(g, f, got)
}

// epilogue checks what a convolution does beyond the product, given what it gives alone, not rounded to bfloat16.
func (c *checker) epilogue(g Geometry, f Forward, product []float32) {
	scale := make([]float32, len(product))
	for i, v := range product {
		scale[i] = float32(math.Abs(float64(v))) + 1e-3
	}
	alone := c.sameArray(c.draw(g.OutLen()), func(p *Pool, y Array) {
		f := f
		f.Y = y
		p.ConvForward(g, f)
	})
	c.stores(fmt.Sprintf("y of %+v", g), alone, product, scale, productTolerance)

	groups := 1
	for _, n := range []int{2, 3} {
		if g.Batch%n == 0 {
			groups = n
		}
	}
	n := Norm{groups, g.OutLen() / g.OutC / groups, g.OutC}
	k := groups * g.OutC
	moments := c.same(c.array(2*k), func(p *Pool, s []float32) {
		f := f
		f.Y, f.Moments = c.draw(g.OutLen()), Moments{n, s[:k:k], s[k:]}
		p.ConvForward(g, f)
		c.stores(fmt.Sprintf("y with moments of %+v", g), f.Y, product, scale, productTolerance)
	})
	from := product
	if !momentsFit(&g, n) { // they are taken of what was stored
		from = values(alone)
	}
	mean, variance, size := make([]float32, k), make([]float32, k), make([]float32, k)
	naiveBatchNormStatistics(n, from, mean, variance)
	for i := range size {
		size[i] = float32(math.Abs(float64(mean[i])) + math.Sqrt(float64(variance[i])) + 1e-3)
	}
	c.near("mean", moments[:k], mean, size, 4*productTolerance)
	for i := range size {
		size[i] *= size[i]
	}
	c.near("variance", moments[k:], variance, size, 8*productTolerance)

	addend := c.draw(g.OutLen())
	want := slices.Clone(product)
	for i, v := range values(addend) {
		want[i] = max(want[i]+v, 0)
		scale[i] += float32(math.Abs(float64(v)))
	}
	name := fmt.Sprintf("product, addend and ReLU of %+v", g)
	c.stores(name, c.sameArray(c.draw(g.OutLen()), func(p *Pool, y Array) {
		f := f
		f.Y, f.Addend, f.ReLU = y, addend, true
		p.ConvForward(g, f)
	}), want, scale, productTolerance)
	c.stores(name+" in place", c.sameArray(addend, func(p *Pool, y Array) {
		f := f
		f.Y, f.Addend, f.ReLU = y, y, true
		p.ConvForward(g, f)
	}), want, scale, productTolerance)
}

func (c *checker) inputGradient(g Geometry) {
	dy, w, addend := c.draw(g.OutLen()), c.array(g.WeightLen()), c.draw(g.InLen())
	turned, w := c.turned(g, w)
	want, scale := make([]float32, g.InLen()), make([]float32, g.InLen())
	naiveConvInputGradient(g, values(dy), w, want)
	naiveConvInputGradient(g, magnitudes(values(dy)), magnitudes(w), scale)
	if c.half { // not rounded
		wide := c.same(c.array(g.InLen()), func(p *Pool, dx []float32) {
			p.ConvInputGradient(g, Backward{Dy: dy, Packed: turned, Dx: Float32s(dx)})
		})
		c.near(fmt.Sprintf("float32 dx of %+v", g), wide, want, scale, productTolerance)
	}
	got := c.sameArray(c.draw(g.InLen()), func(p *Pool, dx Array) {
		p.ConvInputGradient(g, Backward{Dy: dy, Packed: turned, Dx: dx})
	})
	c.stores(fmt.Sprintf("dx of %+v", g), got, want, scale, productTolerance)
	for i, v := range values(addend) {
		want[i], scale[i] = want[i]+v, scale[i]+1
	}
	name := fmt.Sprintf("dx and addend of %+v", g)
	c.stores(name, c.sameArray(c.draw(g.InLen()), func(p *Pool, dx Array) {
		p.ConvInputGradient(g, Backward{Dy: dy, Packed: turned, Dx: dx, Addend: addend})
	}), want, scale, productTolerance)
	c.stores(name+" in place", c.sameArray(addend, func(p *Pool, dx Array) {
		p.ConvInputGradient(g, Backward{Dy: dy, Packed: turned, Dx: dx, Addend: dx})
	}), want, scale, productTolerance)
}

func (c *checker) weightGradient(g Geometry) {
	x, dy, dw := c.draw(g.InLen()), c.draw(g.OutLen()), c.array(g.WeightLen())
	packed := c.pack(g, dw)
	sums := c.same(packed, func(p *Pool, sums []float32) {
		p.ConvWeightGradient(g, x, dy, sums, c.array(ConvWeightGradientScratch(g)))
	})
	got := c.same(make([]float32, g.WeightLen()), func(p *Pool, w []float32) { p.Unpack(w, g, sums) })
	want, scale := append([]float32{}, dw...), magnitudes(dw)
	naiveConvWeightGradient(g, values(x), values(dy), want)
	naiveConvWeightGradient(g, magnitudes(values(x)), magnitudes(values(dy)), scale)
	c.near(fmt.Sprintf("dw of %+v", g), got, want, scale, productTolerance)
}

func TestConvForward(t *testing.T) {
	onEveryType(t, func(r *rapid.T, c *checker) {
		g := drawGeometry(r)
		if c.half {
			g.InC += g.InC & 1
		}
		c.forward(g, rapid.Bool().Draw(r, "bias"))
	})
}

func TestConvInputGradient(t *testing.T) {
	onEveryType(t, func(r *rapid.T, c *checker) {
		g := drawGeometry(r)
		if c.half {
			g.OutC += g.OutC & 1
		}
		c.inputGradient(g)
	})
}

func TestConvWeightGradient(t *testing.T) {
	onEveryType(t, func(r *rapid.T, c *checker) { c.weightGradient(drawGeometry(r)) })
}

// TestLargeConvolutions has shapes whose reductions, outputs, samples or pixels are split in each of the ways there are.
func TestLargeConvolutions(t *testing.T) {
	shapes := []Geometry{
		Linear(10, 7000, 20),                      // one tap deeper than a chunk of narrow panels
		Conv(10, []int{2, 2}, 800, 18, 3, 1, 1),   // chunks of whole lines of them
		Conv(2, []int{3, 3}, 800, 10, 3, 1, 1),    // the same, neighbouring pixels in a tile
		Linear(10, 3500, 70),                      // one tap deeper than a chunk of wide panels
		Linear(3, 70, 3500),                       // and its gradient; several blocks of outputs
		Linear(3, 10, 7000),                       // the same for narrow panels
		Conv(7, []int{3}, 600, 65, 3, 1, 1),       // runs longer than a chunk, cut short at both ends
		Conv(10, []int{2, 2}, 400, 66, 3, 1, 1),   // chunks of whole lines, groups of taps
		Conv(2, []int{3, 3}, 400, 66, 3, 2, 1),    // the same, neighbouring pixels in a tile
		Conv(32, []int{12, 12}, 17, 20, 3, 1, 1),  // parts of the samples
		Conv(32, []int{14, 14}, 6, 20, 3, 1, 0),   // the same, the taps of a row in one
		Conv(4, []int{20}, 16, 20, 4, 1, 0),       // taps of a row that are more channels than lie side by side
		Conv(1, []int{3}, 512, 256, 2, 1, 0),      // groups of channels and of taps
		Conv(30, []int{12, 12}, 24, 270, 1, 1, 0), // parts and blocks of outputs
		Conv(3, []int{20, 20}, 5, 33, 5, 2, 2),    // segments of an image
		Conv(3, []int{21, 21}, 6, 34, 5, 1, 2),    // the same, of odd size
		Conv(8, []int{5, 4, 6}, 9, 16, 3, 2, 1),   // rank 3
		Conv(1, []int{700}, 3, 8, 7, 1, 3),        // one long spectrum
		Conv(200, []int{1, 1}, 16, 16, 1, 1, 0),   // images of one pixel
		Conv(50, []int{3, 3}, 4, 6, 3, 1, 1),      // several small images in a segment
	}
	for _, s := range available() {
		pools := poolsOf(t, s)
		types := []bool{false}
		if s.half != nil {
			types = append(types, true)
		}
		for _, half := range types {
			seen := map[string]bool{}
			see := func(what string, is bool) { seen[what] = seen[what] || is }
			for _, g := range shapes {
				c := &checker{T: t, r: t, pools: pools, half: half, seed: 1}
				if !half || g.InC%2 == 0 {
					c.forward(g, true)
					plan := &pools[0].conv // the last one's, with an addend
					see("chunks, samples in a tile", len(plan.chunks) > 1 && !plan.byPixel)
					see("chunks, pixels in a tile", len(plan.chunks) > 1 && plan.byPixel)
					see("chunks, moments in groups", len(plan.chunks) > 1 && g.Batch%2 == 0 && momentsFit(&g, Norm{2, g.OutLen() / g.OutC / 2, g.OutC}))
				}
				if !half || g.OutC%2 == 0 {
					c.inputGradient(g)
					see("chunks of an input gradient", len(pools[0].conv.chunks) > 1)
				}
				c.weightGradient(g)
				w := splitGradient(&g, 1)
				see("blocks of outputs", w.blocks > 1)
				see("blocks of outputs and parts", w.blocks > 1 && w.parts > 1)
				see("groups of taps", w.tapGroups > 1)
				see("groups of channels", w.channelGroups > 1)
				see("groups of taps and channels", w.tapGroups > 1 && w.channelGroups > 1)
				see("parts", w.parts > 1 && w.taps == g.Taps())
				see("parts with taps in one", w.parts > 1 && w.taps < g.Taps())
				see("taps in one, beyond the channels side by side", w.taps < g.Taps() && w.channels > gradientChannels)
				release()
			}
			for what, is := range seen {
				if !is {
					t.Errorf("%s: no shape has %s (bfloat16: %v)", s.name, what, half)
				}
			}
		}
		c := &checker{T: t, r: t, pools: pools, seed: 2}
		const m, n, k = 70, 65, 1700
		a, b := c.array(m*k), c.array(n*k)
		got := c.same(c.array(m*n), func(p *Pool, y []float32) { p.MatMulNT(m, n, k, a, b, y) })
		want, scale := make([]float32, m*n), make([]float32, m*n)
		naiveMatMul(m, n, k, a, k, 1, b, 1, k, want)
		naiveMatMul(m, n, k, magnitudes(a), k, 1, magnitudes(b), 1, k, scale)
		c.near("a deep NT", got, want, scale, productTolerance)
		release()
	}
}

func TestMatMul(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		size := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(1, 150))
		m, n, k := size.Draw(r, "m"), size.Draw(r, "n"), size.Draw(r, "k")
		a, b := c.array(m*k), c.array(k*n)
		for _, v := range []struct {
			name           string
			multiply       func(p *Pool, m, n, k int, a, b, c []float32)
			ai, al, bl, bj int
		}{{"NT", (*Pool).MatMulNT, k, 1, 1, k}, {"NN", (*Pool).MatMulNN, k, 1, n, 1}, {"TN", (*Pool).MatMulTN, 1, m, n, 1}} {
			got := c.same(c.array(m*n), func(p *Pool, y []float32) { v.multiply(p, m, n, k, a, b, y) })
			want, scale := make([]float32, m*n), make([]float32, m*n)
			naiveMatMul(m, n, k, a, v.ai, v.al, b, v.bl, v.bj, want)
			naiveMatMul(m, n, k, magnitudes(a), v.ai, v.al, magnitudes(b), v.bl, v.bj, scale)
			c.near(fmt.Sprintf("%s of m=%d n=%d k=%d", v.name, m, n, k), got, want, scale, productTolerance)
		}
	})
}

func TestBatchNorm(t *testing.T) {
	onEveryType(t, func(r *rapid.T, c *checker) {
		n := Norm{rapid.IntRange(1, 4).Draw(r, "groups"), rapid.IntRange(2, 700).Draw(r, "rows"), rapid.IntRange(1, 140).Draw(r, "channels")}
		for n.length() > 60000 {
			n.Rows = n.Rows/2 + 1
		}
		offset := rapid.SampledFrom([]float32{0, 0.5, 100}).Draw(r, "offset")
		const eps = 1e-5
		x, residual, dy := c.draw(n.length()), c.draw(n.length()), c.draw(n.length())
		for i := range x.n {
			x.set(i, x.value(i)+offset)
		}
		gamma, beta := c.array(n.Channels), c.array(n.Channels)
		if rapid.Bool().Draw(r, "plain") {
			gamma, beta, residual = nil, nil, Array{}
		}
		relu := rapid.Bool().Draw(r, "relu")
		k := n.Groups * n.Channels
		both := func(f func(p *Pool, a, b []float32)) (a, b []float32) {
			out := c.same(c.array(2*k), func(p *Pool, s []float32) { f(p, s[:k:k], s[k:]) })
			return out[:k:k], out[k:]
		}

		mean, variance := both(func(p *Pool, mean, variance []float32) { p.BatchNormStatistics(n, x, mean, variance) })
		wantMean, wantVariance := make([]float32, k), make([]float32, k)
		naiveBatchNormStatistics(n, values(x), wantMean, wantVariance)
		c.near("mean", mean, wantMean, nil, 1e-6*float64(1+offset))
		c.near("variance", variance, wantVariance, nil, 4e-6)

		y := c.sameArray(c.draw(n.length()), func(p *Pool, y Array) {
			p.BatchNormApply(n, x, mean, variance, gamma, beta, eps, residual, relu, y)
		})
		wantY := make([]float32, n.length())
		naiveBatchNormApply(n, values(x), mean, variance, gamma, beta, eps, values(residual), relu, wantY)
		size := make([]float32, n.length())
		for i := range size { // how much γ/√(variance+ε) magnifies
			size[i] = float32(2 + 2/math.Sqrt(float64(variance[i/(n.Rows*n.Channels)*n.Channels+i%n.Channels])+eps))
		}
		c.stores("y", y, wantY, size, 1e-6)

		var mask Array
		if relu {
			mask = y
		}
		sumDy, sumDyX := both(func(p *Pool, a, b []float32) {
			p.BatchNormReduce(n, dy, x, mask, mean, variance, eps, a, b)
		})
		wantDy, wantDyX := make([]float32, k), make([]float32, k)
		naiveBatchNormReduce(n, values(dy), values(x), values(mask), mean, variance, eps, wantDy, wantDyX)
		c.near("sumDy", sumDy, wantDy, nil, 1e-6*float64(n.Rows))
		c.near("sumDyX", sumDyX, wantDyX, nil, 1e-6*float64(n.Rows))

		wantDx, wantResidual := make([]float32, n.length()), make([]float32, n.length())
		naiveBatchNormInputGradient(n, values(dy), values(x), values(mask), mean, variance, gamma, eps, sumDy, sumDyX, wantDx, wantResidual)
		var residuals []Array
		dx := c.sameArray(c.draw(n.length()), func(p *Pool, dx Array) {
			r := c.draw(n.length())
			p.BatchNormInputGradient(n, dy, x, mask, mean, variance, gamma, eps, sumDy, sumDyX, dx, r)
			residuals = append(residuals, r)
		})
		c.stores("dx", dx, wantDx, size, 2e-6)
		for _, r := range residuals {
			c.stores("dresidual", r, wantResidual, nil, 0)
		}
		c.exactly("dx in place", values(c.sameArray(dy, func(p *Pool, dx Array) {
			p.BatchNormInputGradient(n, dx, x, mask, mean, variance, gamma, eps, sumDy, sumDyX, dx, Array{})
		})), values(dx))
		c.stores("dresidual in place", c.sameArray(dy, func(p *Pool, r Array) {
			p.BatchNormInputGradient(n, r, x, mask, mean, variance, gamma, eps, sumDy, sumDyX, c.draw(n.length()), r)
		}), wantResidual, nil, 0)
	})
}

func TestPooling(t *testing.T) {
	onEveryType(t, func(r *rapid.T, c *checker) {
		g := drawGeometry(r)
		g.OutC = g.InC
		for i, k := range g.Kernel {
			g.Pad[i] = min(g.Pad[i], k/2)
			g.In[i] = max(g.In[i], g.Dilation[i]*(k-1)+1-2*g.Pad[i])
			g.Out[i] = OutSize(g.In[i], k, g.Stride[i], g.Pad[i], g.Dilation[i])
		}
		x, dy := c.draw(g.InLen()), c.draw(g.OutLen())
		for i := range x.n { // ties and NaN
			v := float32(math.Round(float64(x.value(i)) * 8))
			if v == 8 {
				v = float32(math.NaN())
			}
			x.set(i, v)
		}
		want, wantArg := make([]float32, g.OutLen()), make([]int32, g.OutLen())
		naiveMaxPool(g, values(x), want, wantArg)
		arg := c.array(g.OutLen())
		c.exactly(fmt.Sprintf("MaxPool %+v", g), values(c.sameArray(c.draw(g.OutLen()), func(p *Pool, y Array) {
			p.MaxPool(g, x, y, ints(arg))
			c.exactly(fmt.Sprintf("taps of MaxPool %+v", g), arg, bits(wantArg))
			clear(arg)
		})), want)
		dx := c.sameArray(c.draw(g.InLen()), func(p *Pool, dx Array) { p.MaxPoolBackward(g, dy, wantArg, dx) })
		wantDx := make([]float32, g.InLen())
		naiveMaxPoolBackward(g, values(dy), wantArg, wantDx)
		var scale []float32
		tolerance := 4e-6
		if c.half { // rounded as each window's gradient is added
			scale = make([]float32, g.InLen())
			naiveMaxPoolBackward(g, magnitudes(values(dy)), wantArg, scale)
			tolerance = 0x1p-8 * float64(g.Taps()) * math.Pow(1+0x1p-8, float64(g.Taps()))
		}
		c.near("dx", values(dx), wantDx, scale, tolerance)

		batch, pixels, channels := g.Batch, product(g.In), g.InC
		x = c.draw(g.InLen())
		y := c.sameArray(c.draw(batch*channels), func(p *Pool, y Array) { p.GlobalAveragePool(batch, pixels, channels, x, y) })
		wantY := make([]float32, batch*channels)
		naiveGlobalAveragePool(batch, pixels, channels, values(x), wantY)
		c.stores("average", y, wantY, nil, 5e-7)
		dx = c.sameArray(c.draw(g.InLen()), func(p *Pool, dx Array) { p.GlobalAveragePoolBackward(batch, pixels, channels, y, dx) })
		naiveGlobalAveragePoolBackward(batch, pixels, channels, values(y), wantDx)
		c.stores("average's gradient", dx, wantDx, nil, 0)
		sum := c.array(channels)
		got := c.same(sum, func(p *Pool, s []float32) { p.ColumnSum(batch*pixels, channels, x, s) })
		naiveColumnSum(batch*pixels, channels, values(x), sum)
		c.near("ColumnSum", got, sum, nil, 3e-7*float64(1+batch*pixels))
	})
}

// ints sees float32 values as int32 ones.
func ints(s []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

func TestElementwise(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		n := rapid.OneOf(rapid.IntRange(0, 70), rapid.IntRange(flatBlock-20, 2*flatBlock+20)).Draw(r, "n")
		a, b, start := c.array(n), c.array(n), c.array(n)
		k := rapid.Float32Range(0, 1)
		s, u, v := k.Draw(r, "s"), k.Draw(r, "u"), k.Draw(r, "v")
		nan := float32(math.NaN())
		if n > 3 {
			a[1], a[2], a[3] = nan, float32(math.Inf(1)), float32(math.Copysign(0, -1))
		}
		for _, op := range []struct {
			name      string
			tolerance float64
			fast      func(p *Pool, y []float32)
			naive     func(y []float32)
		}{
			{"ReLU", 0, func(p *Pool, y []float32) { p.ReLU(Float32s(a), Float32s(y)) }, func(y []float32) { naiveReLU(a, y) }},
			{"ReLUBackward", 0, func(p *Pool, y []float32) { p.ReLUBackward(Float32s(b), Float32s(a), Float32s(y)) }, func(y []float32) { naiveReLUBackward(b, a, y) }},
			{"Add", 0, func(p *Pool, y []float32) { p.Add(Float32s(a), Float32s(b), Float32s(y)) }, func(y []float32) { naiveAdd(a, b, y) }},
			{"Add in place", 0, func(p *Pool, y []float32) { p.Add(Float32s(y), Float32s(b), Float32s(y)) }, func(y []float32) { naiveAdd(y, b, y) }},
			{"Scale", 0, func(p *Pool, y []float32) { p.Scale(s, b, y) }, func(y []float32) { naiveScale(s, b, y) }},
			{"Axpy", 2e-7, func(p *Pool, y []float32) { p.Axpy(s, b, y) }, func(y []float32) { naiveAxpy(s, b, y) }},
			{"Lerp", 3e-7, func(p *Pool, y []float32) { p.Lerp(s, b, y) }, func(y []float32) { naiveLerp(s, b, y) }},
			{"Fill", 0, func(p *Pool, y []float32) { p.Fill(s, y) }, func(y []float32) {
				for i := range y {
					y[i] = s
				}
			}},
			{"SGD's gradients", 0, func(p *Pool, y []float32) { p.SGD(s, u, v, y, c.copyOf(start), c.copyOf(start)) }, func(y []float32) { clear(y) }},
			{"SGD's weights", 5e-7, func(p *Pool, y []float32) { p.SGD(s, u, v, c.copyOf(b), c.copyOf(start), y) },
				func(y []float32) { naiveSGD(s, u, v, b, append([]float32{}, start...), y) }},
			{"SGD's velocities", 5e-7, func(p *Pool, y []float32) { p.SGD(s, u, v, c.copyOf(b), y, c.copyOf(start)) },
				func(y []float32) { naiveSGD(s, u, v, b, y, append([]float32{}, start...)) }},
		} {
			got := c.same(start, op.fast)
			want := append([]float32{}, start...)
			op.naive(want)
			for i, w := range want {
				if math.IsInf(float64(w), 0) && got[i] == w {
					want[i], got[i] = 0, 0
				}
			}
			c.near(op.name, got, want, nil, op.tolerance)
		}
	})
}

func TestFinite(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		x := c.array(rapid.OneOf(rapid.IntRange(0, 600), rapid.IntRange(flatBlock-20, 2*flatBlock+20)).Draw(r, "n"))
		for _, p := range c.pools {
			if !p.Finite(x) {
				r.Fatalf("finite values are called infinite")
			}
		}
		if len(x) == 0 {
			return
		}
		x[rapid.IntRange(0, len(x)-1).Draw(r, "at")] = rapid.SampledFrom([]float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}).Draw(r, "value")
		for _, p := range c.pools {
			if p.Finite(x) {
				r.Fatalf("a value that is not finite is not seen")
			}
		}
	})
}

func TestRows(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		rows, cols := rapid.IntRange(0, 40).Draw(r, "rows"), rapid.IntRange(1, 300).Draw(r, "cols")
		x, dy := c.array(rows*cols), c.array(rows*cols)
		half := rows * cols
		out := c.same(c.array(half+rows), func(p *Pool, s []float32) { p.L2Normalize(rows, cols, 1e-12, x, s[:half:half], s[half:]) })
		want := make([]float32, half+rows)
		naiveL2Normalize(rows, cols, 1e-12, x, want[:half], want[half:])
		c.near("L2Normalize", out, want, nil, 2e-6)
		y, norm := out[:half:half], out[half:]
		for i, v := range norm {
			if v < 0.1 {
				norm[i] = 1 // an empty row
			}
		}
		dx := c.same(dy, func(p *Pool, dx []float32) { p.L2NormalizeBackward(rows, cols, y, norm, dx, dx) })
		naiveL2NormalizeBackward(rows, cols, y, norm, dy, want[:half])
		c.near("L2NormalizeBackward", dx, want[:half], nil, 1e-5)

		scale := rapid.SampledFrom([]float32{1, 5, 14.3, 100}).Draw(r, "scale")
		lse := c.same(c.array(rows), func(p *Pool, lse []float32) { p.LogSumExp(rows, cols, scale, x, lse) })
		naiveLogSumExp(rows, cols, scale, x, want[:rows])
		c.near("LogSumExp", lse, want[:rows], nil, 1e-6*float64(1+scale))
		soft := c.same(x, func(p *Pool, y []float32) { p.Softmax(rows, cols, scale, y, lse, y) })
		naiveSoftmax(rows, cols, scale, x, lse, want[:half])
		c.near("Softmax", soft, want[:half], nil, 1e-7*float64(2+scale))
	})
}

func TestExp(t *testing.T) {
	for _, s := range available() {
		p := newPool(1, s)
		var x []float32
		for v := float32(-86.9); v < 88; v += 0.013 {
			x = append(x, v)
		}
		x = append(x, 0, -87, -100, float32(math.Inf(-1)), float32(math.NaN()), 88, 89, float32(math.Inf(1)))
		y := make([]float32, len(x))
		p.Softmax(1, len(x), 1, x, []float32{0}, y)
		for i, v := range x {
			want := math.Exp(math.Min(float64(v), 88))
			if v <= -87 {
				want = 0
			}
			if d := math.Abs(float64(y[i])/want - 1); d > 2e-7 && want != 0 || want == 0 && y[i] != 0 || (v != v) != (y[i] != y[i]) {
				t.Errorf("%s: exp(%v) is %v, want %v", s.name, v, y[i], want)
			}
		}
		p.Close()
	}
}

// benchArray makes n values of a type.
func benchArray(n int, half bool) Array {
	a := Float32s(make([]float32, n))
	if half {
		a = BFloat16s(make([]BFloat16, n))
	}
	for i := range n {
		a.set(i, float32(i%17)-8)
	}
	return a
}

// A batch norm after a convolution sees what it is told of the moments alone, also in the first step, when nothing is known
// of the means, and where they are far greater than the deviations.
func TestMomentsBearMeansFarFromZero(t *testing.T) {
	g := Conv(16, []int{16, 16}, 1, 40, 1, 1, 0)
	for _, groups := range []int{1, 4} {
		n := Norm{groups, g.OutLen() / g.OutC / groups, g.OutC}
		x, w, bias := make([]float32, g.InLen()), make([]float32, g.WeightLen()), make([]float32, g.OutC)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range x {
			x[i] = float32(random.NormFloat64())
		}
		for i := range w {
			w[i], bias[i] = 1, float32(i*i)
		}
		p := NewPool(2)
		packed, y := make([]float32, PackedLen(g)), make([]float32, g.OutLen())
		p.Pack(packed, g, w)
		k := groups * g.OutC
		mean, variance := make([]float32, k), make([]float32, k)
		p.ConvForward(g, Forward{X: Float32s(x), Packed: Float32s(packed), Bias: bias, Y: Float32s(y), Moments: Moments{n, mean, variance}})
		p.Close()
		for i := range mean {
			group, channel := i/g.OutC, i%g.OutC
			var sum, square float64
			for r := range n.Rows {
				sum += float64(y[(group*n.Rows+r)*g.OutC+channel])
			}
			sum /= float64(n.Rows)
			for r := range n.Rows {
				d := float64(y[(group*n.Rows+r)*g.OutC+channel]) - sum
				square += d * d
			}
			square /= float64(n.Rows)
			if d := math.Abs(float64(mean[i])-sum) / (1 + math.Abs(sum)); d > 1e-6 {
				t.Errorf("%d groups: mean %d is %v, not %v", groups, i, mean[i], sum)
			}
			// A square is rounded in float32 once a tile, before the shift is known.
			if d := math.Abs(float64(variance[i])/square - 1); d > 1e-5*(1+sum*sum/1000) {
				t.Errorf("%d groups: variance %d is %v, not %v, at a mean of %v", groups, i, variance[i], square, sum)
			}
		}
	}
}
