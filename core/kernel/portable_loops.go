package kernel

import (
	"math"
	"unsafe"
)

// loop makes a row loop of what it does with one row, given streams and parameters as slices.
func loop(f func(a *rowArgs, s *[5][]float32, p *[4][]float32)) func(*rowArgs) {
	return func(a *rowArgs) {
		n := int(a.whole)/4 + int(a.tail)
		s, p := &a.rowStreams, &a.rowParams
		for i, from := range a.params {
			if from != nil {
				p[i] = unsafe.Slice((*float32)(from), n)
			}
		}
		for r := range int(a.rows) {
			for i, from := range a.streams {
				if from != nil {
					s[i] = unsafe.Slice((*float32)(unsafe.Add(from, r*int(a.strides[i]))), n)
				}
			}
			f(a, s, p)
		}
	}
}

func positive(v, where float32) float32 {
	if where > 0 {
		return v
	}
	return 0
}

func notNegative(v float32) float32 {
	if v < 0 {
		return 0
	}
	return v
}

// portableLoops are the row loops in Go.
var portableLoops = loops{
	add: loop(func(_ *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y, b := s[2], s[1]
		for i, v := range s[0] {
			y[i] = v + b[i]
		}
	}),
	scale: loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y := s[1]
		for i, v := range s[0] {
			y[i] = a.scalars[0] * v
		}
	}),
	axpy: loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y := s[1]
		for i, v := range s[0] {
			y[i] += a.scalars[0] * v
		}
	}),
	lerp: loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y := s[1]
		for i, v := range s[0] {
			y[i] = a.scalars[0]*y[i] + a.scalars[1]*v
		}
	}),
	fill: loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
		for i := range s[0] {
			s[0][i] = a.scalars[0]
		}
	}),
	relu: loop(func(_ *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y := s[1]
		for i, v := range s[0] {
			y[i] = notNegative(v)
		}
	}),
	reluBackward: loop(func(_ *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y, dx := s[1], s[2]
		for i, v := range s[0] {
			dx[i] = positive(v, y[i])
		}
	}),
	sgd: loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
		v, w := s[1], s[2]
		for i, g := range s[0] {
			u := a.scalars[1]*v[i] + (g + a.scalars[2]*w[i])
			v[i] = u
			w[i] -= a.scalars[0] * u
		}
		clear(s[0])
	}),
	exp: loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y := s[1]
		for i, v := range s[0] {
			y[i] = exp(a.scalars[0]*v - a.scalars[1])
		}
	}),
	columnMax: loop(func(a *rowArgs, s *[5][]float32, p *[4][]float32) {
		top := p[0]
		for i, v := range s[0] {
			top[i] = max(top[i], a.scalars[0]*v)
		}
	}),
	columnSum: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		sum := p[0]
		for i, v := range s[0] {
			sum[i] += v
		}
	}),
	defects: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		sum := p[0]
		for i, v := range s[0] {
			sum[i] += v - v
		}
	}),
	spread: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) { copy(s[0], p[0]) }),
	moments: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		sum, square, shift := p[0], p[1], p[2]
		for i, v := range s[0] {
			d := v - shift[i]
			sum[i] += d
			square[i] += d * d
		}
	}),
	normalise: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		y, mean, scale, shift := s[1], p[0], p[1], p[2]
		for i, v := range s[0] {
			y[i] = (v-mean[i])*scale[i] + shift[i]
		}
	}),
	normaliseReLU: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		y, mean, scale, shift := s[1], p[0], p[1], p[2]
		for i, v := range s[0] {
			y[i] = notNegative((v-mean[i])*scale[i] + shift[i])
		}
	}),
	normaliseAdd: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		y, residual, mean, scale, shift := s[1], s[2], p[0], p[1], p[2]
		for i, v := range s[0] {
			y[i] = (v-mean[i])*scale[i] + shift[i] + residual[i]
		}
	}),
	normaliseAddReLU: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		y, residual, mean, scale, shift := s[1], s[2], p[0], p[1], p[2]
		for i, v := range s[0] {
			y[i] = notNegative((v-mean[i])*scale[i] + shift[i] + residual[i])
		}
	}),
	reduce: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		x, sum, dot, mean := s[1], p[0], p[1], p[2]
		for i, d := range s[0] {
			sum[i] += d
			dot[i] += d * (x[i] - mean[i])
		}
	}),
	reduceMasked: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		x, y, sum, dot, mean := s[1], s[2], p[0], p[1], p[2]
		for i, d := range s[0] {
			d = positive(d, y[i])
			sum[i] += d
			dot[i] += d * (x[i] - mean[i])
		}
	}),
	inputGradient: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		x, dx, a, b, c, mean := s[1], s[3], p[0], p[1], p[2], p[3]
		for i, d := range s[0] {
			dx[i] = a[i]*d + c[i] + b[i]*(x[i]-mean[i])
		}
	}),
	inputGradientMasked: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		x, y, dx, a, b, c, mean := s[1], s[2], s[3], p[0], p[1], p[2], p[3]
		for i, d := range s[0] {
			dx[i] = a[i]*positive(d, y[i]) + c[i] + b[i]*(x[i]-mean[i])
		}
	}),
	inputGradientResidual: loop(func(_ *rowArgs, s *[5][]float32, p *[4][]float32) {
		x, y, dx, residual, a, b, c, mean := s[1], s[2], s[3], s[4], p[0], p[1], p[2], p[3]
		for i, d := range s[0] {
			d = positive(d, y[i])
			t := a[i]*d + c[i] + b[i]*(x[i]-mean[i])
			residual[i], dx[i] = d, t
		}
	}),
	maxPool: loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
		y, arg := s[1], s[2]
		for i, v := range s[0] {
			if v > y[i] || v != v {
				y[i], arg[i] = v, math.Float32frombits(uint32(a.tap))
			}
		}
	}),
	maxPoolBackward: loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
		arg, dx := s[1], s[2]
		for i, d := range s[0] {
			if math.Float32bits(arg[i]) == uint32(a.tap) {
				dx[i] += d
			}
		}
	}),
}
