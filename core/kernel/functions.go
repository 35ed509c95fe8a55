package kernel

import "math"

// Functions of each value, and their gradients. The approximations are the same on every instruction set:
//
// eˣ = (1 + r + r²·Q(r))·2ⁿ for x = n·ln 2 + r, |r| ≤ ½ ln 2, with ln 2 in two parts and Q of degree 4. Q is fitted for the
// least relative error of the whole, which is 3.1e-9; rounding makes it about 1e-7. Below e⁻⁸⁷ it is 0.
//
// σ(x) is 1/(1+e) or e/(1+e) for e = e^(−|x|), and tanh x = ±m/(m+2) for m = e^(2|x|) − 1 = 2ⁿ·(r + r²·Q(r)) + (2ⁿ − 1), so
// that neither loses anything where it is small.
//
// Φ(−a) = ½·erfc(a/√2), for a ≥ 0, is e^(−a²/2)·t·P(t) with t = 1/(1 + 0.27·a) and P of degree 8: the form of Hastings'
// approximations of the error function (Approximations for Digital Computers, 1955; Abramowitz and Stegun 7.1.26), with
// coefficients fitted for the least relative error on 0 ≤ a ≤ 13.3, which is 2.3e-8. Rounding makes it about 4e-7 near zero,
// and a²/2 roundings in the tail, whose relative error PyTorch's 1 + erf has not either. Φ(a) = 1 − Φ(−a), GELU is x·Φ(x).
//
// gen/fit.py finds the coefficients of Q and P. Each function and gradient is within 1e-6 of the exact one, absolutely or
// relatively, everywhere; TestFunctions holds them to that.

// GELU computes y = x·Φ(x), with the normal distribution Φ. y may be x.
func (p *Pool) GELU(x, y []float32) { p.function("GELU", p.set.tokens().gelu, 0, x, y) }

// GELUGradient computes dx = dy·(Φ(x) + x·φ(x)). dx may be dy.
func (p *Pool) GELUGradient(dy, x, dx []float32) {
	p.gradient("GELUGradient", p.set.tokens().geluGradient, 0, dy, x, dx)
}

// SiLU computes y = x·σ(x), σ(x) = 1/(1+e⁻ˣ). y may be x.
func (p *Pool) SiLU(x, y []float32) { p.function("SiLU", p.set.tokens().silu, 0, x, y) }

// SiLUGradient computes dx = dy·σ(x)·(1 + x·σ(−x)). dx may be dy.
func (p *Pool) SiLUGradient(dy, x, dx []float32) {
	p.gradient("SiLUGradient", p.set.tokens().siluGradient, 0, dy, x, dx)
}

// Sigmoid computes y = σ(x). y may be x.
func (p *Pool) Sigmoid(x, y []float32) { p.function("Sigmoid", p.set.tokens().sigmoid, 0, x, y) }

// SigmoidGradient computes dx = dy·y·(1−y) from Sigmoid's output. dx may be dy.
func (p *Pool) SigmoidGradient(dy, y, dx []float32) {
	p.gradient("SigmoidGradient", p.set.tokens().sigmoidGradient, 0, dy, y, dx)
}

// Tanh computes y = tanh x. y may be x.
func (p *Pool) Tanh(x, y []float32) { p.function("Tanh", p.set.tokens().tanh, 0, x, y) }

// TanhGradient computes dx = dy·(1−y²) from Tanh's output. dx may be dy.
func (p *Pool) TanhGradient(dy, y, dx []float32) {
	p.gradient("TanhGradient", p.set.tokens().tanhGradient, 0, dy, y, dx)
}

// LeakyReLU computes y = x, times slope where x is negative. y may be x.
func (p *Pool) LeakyReLU(slope float32, x, y []float32) {
	p.function("LeakyReLU", p.set.tokens().leaky, slope, x, y)
}

// LeakyReLUGradient computes dx = dy, times slope where y is not positive; y is LeakyReLU's output for a slope of at least
// 0, or its input. dx may be dy.
func (p *Pool) LeakyReLUGradient(slope float32, dy, y, dx []float32) {
	p.gradient("LeakyReLUGradient", p.set.tokens().leakyGradient, slope, dy, y, dx)
}

func (p *Pool) function(op string, loop func(*rowArgs), k float32, x, y []float32) {
	want(op, "y", len(y), len(x))
	p.begin()
	defer p.end()
	p.flat(loop, len(x), [3]float32{k}, x, y)
}

func (p *Pool) gradient(op string, loop func(*rowArgs), k float32, dy, at, dx []float32) {
	want(op, "the values at which it is taken", len(at), len(dy))
	want(op, "dx", len(dx), len(dy))
	p.begin()
	defer p.end()
	p.flat(loop, len(dy), [3]float32{k}, dy, at, dx)
}

func eachValue(f func(float32) float32) func(*rowArgs) {
	return loop(func(_ *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y := s[1]
		for i, v := range s[0] {
			y[i] = f(v)
		}
	})
}

func eachPair(f func(a, b float32) float32) func(*rowArgs) {
	return loop(func(_ *rowArgs, s *[5][]float32, _ *[4][]float32) {
		b, y := s[1], s[2]
		for i, v := range s[0] {
			y[i] = f(v, b[i])
		}
	})
}

var leakyPortable = loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
	y := s[1]
	for i, v := range s[0] {
		if v < 0 {
			v *= a.scalars[0]
		}
		y[i] = v
	}
})

var leakyGradientPortable = loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
	y, dx := s[1], s[2]
	for i, d := range s[0] {
		if !(y[i] > 0) {
			d *= a.scalars[0]
		}
		dx[i] = d
	}
})

// split gives eʳ − 1 and n of x = n·ln 2 + r.
func split(x float32) (less1 float32, n int32) {
	const magic = 1.5 * (1 << 23) // adding it rounds to a whole number
	k := x*(1/math.Ln2) + magic
	n = int32(math.Float32bits(k)) - int32(math.Float32bits(magic))
	k -= magic
	r := (x - k*0.693145751953125) - k*1.42860682030941723212e-6
	q := 0.49999994 + r*(0.16666521+r*(0.041668389+r*(0.0083687166+r*0.0013814601)))
	return r + r*(r*q), n
}

// expNegative is eˣ for x that is hardly greater than 0: 0 where x is less than −87.
func expNegative(x float32) float32 {
	if x < -87 {
		return 0
	}
	less1, n := split(x)
	return math.Float32frombits(math.Float32bits(1+less1) + uint32(n)<<23)
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func logistic(x float32) float32 {
	e := expNegative(-abs(x))
	r := 1 / (1 + e)
	if x < 0 {
		return e * r
	}
	return r
}

func tanh(x float32) float32 {
	a := 2 * abs(x)
	if a > 20 {
		a = 20
	}
	less1, n := split(a)
	scale := math.Float32frombits(uint32(n+127) << 23)
	m := scale*less1 + (scale - 1)
	return float32(math.Copysign(float64(m/(m+2)), float64(x)))
}

// density is φ(x) = e^(−x²/2)/√(2π).
func density(x float32) float32 {
	return expNegative(-0.5*(x*x)) * float32(1/math.Sqrt(2*math.Pi))
}

// normal is Φ(x).
func normal(x float32) float32 {
	t := 1 / (1 + 0.27*abs(x))
	q := t * (0.10771922 + t*(0.10756574+t*(0.10165729+t*(0.072615512+t*(0.10656524+t*(-0.067471832+t*(0.16833113+t*(-0.12580918+t*0.028826874))))))))
	q *= expNegative(-0.5 * (x * x))
	if x < 0 {
		return q
	}
	return 1 - q
}
