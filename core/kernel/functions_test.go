package kernel

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// functionsOf are the functions of each value in float64, and their gradients for dy = 1; at y where the kernel takes them
// from the output.
var functionsOf = []struct {
	name         string
	y, dx        func(x float64) float64
	fast         func(p *Pool, x, y []float32)
	fastGradient func(p *Pool, dy, x, y, dx []float32)
}{
	{"GELU", func(x float64) float64 { return x * phi(x) }, func(x float64) float64 { return phi(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi) },
		(*Pool).GELU, func(p *Pool, dy, x, _, dx []float32) { p.GELUGradient(dy, x, dx) }},
	{"SiLU", func(x float64) float64 { return x * sigma(x) }, func(x float64) float64 { return sigma(x) * (1 + x*sigma(-x)) },
		(*Pool).SiLU, func(p *Pool, dy, x, _, dx []float32) { p.SiLUGradient(dy, x, dx) }},
	{"Sigmoid", sigma, func(x float64) float64 { return sigma(x) * sigma(-x) },
		(*Pool).Sigmoid, func(p *Pool, dy, _, y, dx []float32) { p.SigmoidGradient(dy, y, dx) }},
	{"Tanh", math.Tanh, func(x float64) float64 { return 1 - math.Tanh(x)*math.Tanh(x) },
		(*Pool).Tanh, func(p *Pool, dy, _, y, dx []float32) { p.TanhGradient(dy, y, dx) }},
	{"LeakyReLU", func(x float64) float64 { return math.Max(x, 0) + 0.1*math.Min(x, 0) }, func(x float64) float64 {
		if x > 0 {
			return 1
		}
		return 0.1
	}, func(p *Pool, x, y []float32) { p.LeakyReLU(0.1, x, y) }, func(p *Pool, dy, _, y, dx []float32) { p.LeakyReLUGradient(0.1, dy, y, dx) }},
}

func phi(x float64) float64   { return math.Erfc(-x/math.Sqrt2) / 2 }
func sigma(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// wrong tells whether a value is neither relatively nor absolutely within 1e-6 of the exact one.
func wrong(got float32, want float64) bool {
	if want != want {
		return got == got
	}
	d := math.Abs(float64(got) - want)
	return !(d <= 1e-6 || d <= 1e-6*math.Abs(want))
}

// TestFunctions goes over all magnitudes, and closely over where the functions bend.
func TestFunctions(t *testing.T) {
	var x []float32
	for v := -16.; v < 16; v += 1. / 2048 {
		x = append(x, float32(v))
	}
	for v := float32(1e-44); v < math.MaxFloat32/3; v *= 2.7 {
		x = append(x, v, -v)
	}
	nan := float32(math.NaN())
	x = append(x, 0, float32(math.Copysign(0, -1)), 86.9, -86.9, 88, -88, 103, -104, 1e30, -1e30, nan, math.MaxFloat32)
	one := make([]float32, len(x))
	for i := range one {
		one[i] = 1
	}
	for _, s := range available() {
		p := newPool(1, s)
		y, dx := make([]float32, len(x)), make([]float32, len(x))
		for _, f := range functionsOf {
			f.fast(p, x, y)
			f.fastGradient(p, one, x, y, dx)
			for i, v := range x {
				if want := f.y(float64(v)); wrong(y[i], want) {
					t.Errorf("%s: %s(%v) is %v, want %v", s.name, f.name, v, y[i], want)
				}
				if want := f.dx(float64(v)); wrong(dx[i], want) {
					t.Errorf("%s: the gradient of %s at %v is %v, want %v", s.name, f.name, v, dx[i], want)
				}
			}
		}
		p.Close()
	}
}

// TestTailsOfFunctionsStayRelative holds what is small to a relative error, which 1 + erf would not.
func TestTailsOfFunctionsStayRelative(t *testing.T) {
	for _, s := range available() {
		p := newPool(1, s)
		x := []float32{-1e-30, -1e-9, -1e-3, -0.1, -1, -2, -3, -4, -5, -6}
		y := make([]float32, len(x))
		for _, f := range functionsOf[:4] {
			f.fast(p, x, y)
			for i, v := range x {
				if want := f.y(float64(v)); math.Abs(float64(y[i])/want-1) > 2e-6 {
					t.Errorf("%s: %s(%v) is %v, want %v", s.name, f.name, v, y[i], want)
				}
			}
		}
		p.Close()
	}
}

func TestFunctionsOfAnyLength(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		n := rapid.OneOf(rapid.IntRange(0, 70), rapid.IntRange(flatBlock-20, flatBlock+20)).Draw(r, "n")
		x, dy, start := c.array(n), c.array(n), c.array(n)
		for i := range x {
			x[i] *= 8
		}
		for _, f := range functionsOf {
			y := c.same(start, func(p *Pool, y []float32) { f.fast(p, x, y) })
			dx := c.same(start, func(p *Pool, dx []float32) { f.fastGradient(p, dy, x, y, dx) })
			for i, v := range x {
				if want := f.y(float64(v)); wrong(y[i], want) {
					r.Fatalf("%s(%v), value %d of %d, is %v, want %v", f.name, v, i, n, y[i], want)
				}
				if want := f.dx(float64(v)) * float64(dy[i]); wrong(dx[i], want) {
					r.Fatalf("the gradient of %s at %v, value %d of %d, is %v, want %v", f.name, v, i, n, dx[i], want)
				}
			}
			c.near(f.name+" in place", c.same(x, func(p *Pool, y []float32) { f.fast(p, y, y) }), y, nil, 0)
			c.near(f.name+"'s gradient in place", c.same(dy, func(p *Pool, dx []float32) { f.fastGradient(p, dx, x, y, dx) }), dx, nil, 0)
		}
	})
}
