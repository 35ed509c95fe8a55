package kernel

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// onEverySet runs a property on every instruction set that this machine has.
func onEverySet(t *testing.T, property func(t *rapid.T, c *checker)) {
	for _, s := range available() {
		t.Run(s.name, func(t *testing.T) {
			var pools []*Pool
			for threads := 1; threads <= 3; threads++ {
				p := newPool(threads, s)
				defer p.Close()
				pools = append(pools, p)
			}
			rapid.Check(t, func(r *rapid.T) {
				defer release()
				property(r, &checker{T: t, r: r, pools: pools, seed: rapid.Uint64().Draw(r, "seed"), low: rapid.Bool().Draw(r, "low")})
			})
		})
	}
}

// checker makes arrays with guard pages and compares what pools of 1, 2 and 3 threads make of them.
type checker struct {
	*testing.T
	r     *rapid.T
	pools []*Pool
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

func TestConvForward(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		g := drawGeometry(r)
		x, w := c.array(g.InLen()), c.array(g.WeightLen())
		var bias, size []float32
		if rapid.Bool().Draw(r, "bias") {
			bias = c.array(g.OutC)
			size = magnitudes(bias)
		}
		packed := c.same(c.array(PackedForwardLen(g)), func(p *Pool, packed []float32) {
			clear(packed)
			p.PackForward(packed, g, w)
		})
		got := c.same(c.array(g.OutLen()), func(p *Pool, y []float32) { p.ConvForward(g, x, packed, bias, y) })
		want, scale := make([]float32, g.OutLen()), make([]float32, g.OutLen())
		naiveConvForward(g, x, w, bias, want)
		naiveConvForward(g, magnitudes(x), magnitudes(w), size, scale)
		c.near(fmt.Sprintf("y of %+v", g), got, want, scale, productTolerance)
	})
}

func TestConvInputGradient(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		g := drawGeometry(r)
		dy, w := c.array(g.OutLen()), c.array(g.WeightLen())
		packed := c.same(c.array(PackedInputGradientLen(g)), func(p *Pool, packed []float32) {
			clear(packed)
			p.PackInputGradient(packed, g, w)
		})
		got := c.same(c.array(g.InLen()), func(p *Pool, dx []float32) { p.ConvInputGradient(g, dy, packed, dx) })
		want, scale := make([]float32, g.InLen()), make([]float32, g.InLen())
		naiveConvInputGradient(g, dy, w, want)
		naiveConvInputGradient(g, magnitudes(dy), magnitudes(w), scale)
		c.near(fmt.Sprintf("dx of %+v", g), got, want, scale, productTolerance)
	})
}

func TestConvWeightGradient(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		g := drawGeometry(r)
		x, dy, dw := c.array(g.InLen()), c.array(g.OutLen()), c.array(g.WeightLen())
		got := c.same(dw, func(p *Pool, dw []float32) {
			p.ConvWeightGradient(g, x, dy, dw, c.array(ConvWeightGradientScratch(g)))
		})
		want, scale := append([]float32{}, dw...), magnitudes(dw)
		naiveConvWeightGradient(g, x, dy, want)
		naiveConvWeightGradient(g, magnitudes(x), magnitudes(dy), scale)
		c.near(fmt.Sprintf("dw of %+v", g), got, want, scale, productTolerance)
	})
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
