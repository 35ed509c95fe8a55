package kernel

import "math"

// The plain twins. Each says in the simplest loops what an operation computes: sums in float64, rounded once.

// eachTap calls f for every (output row, input row, tap) of the geometry whose input row lies inside the image.
func eachTap(g Geometry, f func(out, in, tap int)) {
	v := g.volume()
	for n := range g.Batch {
		for z := range v[0].out {
			for y := range v[1].out {
				for x := range v[2].out {
					out := ((n*v[0].out+z)*v[1].out+y)*v[2].out + x
					for tap := range g.Taps() {
						kx := tap % v[2].kernel
						ky := tap / v[2].kernel % v[1].kernel
						kz := tap / v[2].kernel / v[1].kernel
						iz := z*v[0].stride - v[0].pad + kz*v[0].dilation
						iy := y*v[1].stride - v[1].pad + ky*v[1].dilation
						ix := x*v[2].stride - v[2].pad + kx*v[2].dilation
						if iz < 0 || iz >= v[0].in || iy < 0 || iy >= v[1].in || ix < 0 || ix >= v[2].in {
							continue
						}
						f(out, ((n*v[0].in+iz)*v[1].in+iy)*v[2].in+ix, tap)
					}
				}
			}
		}
	}
}

// naiveConvForward: y[out, o] = bias[o] + Σ over taps and c of x[in(out, tap), c]·w[o, c, tap].
func naiveConvForward(g Geometry, x, w, bias, y []float32) {
	taps := g.Taps()
	sum := make([]float64, len(y))
	for i := range sum {
		if bias != nil {
			sum[i] = float64(bias[i%g.OutC])
		}
	}
	eachTap(g, func(out, in, tap int) {
		for o := range g.OutC {
			for c := range g.InC {
				sum[out*g.OutC+o] += float64(x[in*g.InC+c]) * float64(w[(o*g.InC+c)*taps+tap])
			}
		}
	})
	round(y, sum)
}

// naiveConvInputGradient: dx[in, c] = Σ over taps, o of dy[out, o]·w[o, c, tap].
func naiveConvInputGradient(g Geometry, dy, w, dx []float32) {
	taps := g.Taps()
	sum := make([]float64, len(dx))
	eachTap(g, func(out, in, tap int) {
		for o := range g.OutC {
			for c := range g.InC {
				sum[in*g.InC+c] += float64(dy[out*g.OutC+o]) * float64(w[(o*g.InC+c)*taps+tap])
			}
		}
	})
	round(dx, sum)
}

// naiveConvWeightGradient: dw[o, c, tap] += Σ over outputs of dy[out, o]·x[in(out, tap), c].
func naiveConvWeightGradient(g Geometry, x, dy, dw []float32) {
	taps := g.Taps()
	sum := make([]float64, len(dw))
	for i, v := range dw {
		sum[i] = float64(v)
	}
	eachTap(g, func(out, in, tap int) {
		for o := range g.OutC {
			for c := range g.InC {
				sum[(o*g.InC+c)*taps+tap] += float64(dy[out*g.OutC+o]) * float64(x[in*g.InC+c])
			}
		}
	})
	round(dw, sum)
}

func round(to []float32, from []float64) {
	for i, v := range from {
		to[i] = float32(v)
	}
}

// naiveColumnSum: sum[c] += Σ over rows of x[r, c].
func naiveColumnSum(rows, cols int, x, sum []float32) {
	for c := range cols {
		s := float64(sum[c])
		for r := range rows {
			s += float64(x[r*cols+c])
		}
		sum[c] = float32(s)
	}
}

// naiveMatMul: c[i, j] = Σ over l of a(i, l)·b(l, j), with the strides of each given.
func naiveMatMul(m, n, k int, a []float32, ai, al int, b []float32, bl, bj int, c []float32) {
	for i := range m {
		for j := range n {
			var s float64
			for l := range k {
				s += float64(a[i*ai+l*al]) * float64(b[l*bl+j*bj])
			}
			c[i*n+j] = float32(s)
		}
	}
}

// naiveBatchNormStatistics: mean and biased variance of each channel in each group.
func naiveBatchNormStatistics(n Norm, x, mean, variance []float32) {
	for i := range n.Groups * n.Channels {
		g, c := i/n.Channels, i%n.Channels
		var sum, square float64
		for r := range n.Rows {
			sum += float64(x[(g*n.Rows+r)*n.Channels+c])
		}
		m := sum / float64(n.Rows)
		for r := range n.Rows {
			d := float64(x[(g*n.Rows+r)*n.Channels+c]) - m
			square += d * d
		}
		mean[i], variance[i] = float32(m), float32(square/float64(n.Rows))
	}
}

// naiveBatchNormApply: y = γ·(x−mean)/√(variance+ε) + β + residual, then max(·, 0) if relu.
func naiveBatchNormApply(n Norm, x, mean, variance, gamma, beta []float32, eps float32, residual []float32, relu bool, y []float32) {
	for i, v := range x {
		c := i % n.Channels
		s := i/(n.Rows*n.Channels)*n.Channels + c
		t := (float64(v) - float64(mean[s])) / math.Sqrt(float64(variance[s])+float64(eps))
		if gamma != nil {
			t *= float64(gamma[c])
		}
		if beta != nil {
			t += float64(beta[c])
		}
		if residual != nil {
			t += float64(residual[i])
		}
		if relu && t < 0 {
			t = 0
		}
		y[i] = float32(t)
	}
}

// naiveBatchNormReduce: per group and channel, sumDy = Σ dy′ and sumDyX = Σ dy′·x̂, where x̂ = (x−mean)/√(variance+ε)
// and dy′ is dy where y > 0 (everywhere if y is nil).
func naiveBatchNormReduce(n Norm, dy, x, y, mean, variance []float32, eps float32, sumDy, sumDyX []float32) {
	for i := range n.Groups * n.Channels {
		g, c := i/n.Channels, i%n.Channels
		inverse := 1 / math.Sqrt(float64(variance[i])+float64(eps))
		var a, b float64
		for r := range n.Rows {
			j := (g*n.Rows+r)*n.Channels + c
			if y == nil || y[j] > 0 {
				a += float64(dy[j])
				b += float64(dy[j]) * (float64(x[j]) - float64(mean[i])) * inverse
			}
		}
		sumDy[i], sumDyX[i] = float32(a), float32(b)
	}
}

// naiveBatchNormInputGradient: dx = γ/√(variance+ε)·(dy′ − sumDy/rows − x̂·sumDyX/rows); dresidual = dy′ if not nil.
func naiveBatchNormInputGradient(n Norm, dy, x, y, mean, variance, gamma []float32, eps float32, sumDy, sumDyX, dx, dresidual []float32) {
	rows := float64(n.Rows)
	for i, d := range dy {
		c := i % n.Channels
		s := i/(n.Rows*n.Channels)*n.Channels + c
		if y != nil && !(y[i] > 0) {
			d = 0
		}
		inverse := 1 / math.Sqrt(float64(variance[s])+float64(eps))
		hat := (float64(x[i]) - float64(mean[s])) * inverse
		scale := inverse
		if gamma != nil {
			scale *= float64(gamma[c])
		}
		if dresidual != nil {
			dresidual[i] = d
		}
		dx[i] = float32(scale * (float64(d) - float64(sumDy[s])/rows - hat*float64(sumDyX[s])/rows))
	}
}

// naiveMaxPool: y[out, c] is the greatest x of the window, arg the tap that holds it: the first of
// equals, the last of NaNs, which win; −1 where all are −∞.
func naiveMaxPool(g Geometry, x, y []float32, arg []int32) {
	for i := range y {
		y[i], arg[i] = float32(math.Inf(-1)), -1
	}
	eachTap(g, func(out, in, tap int) {
		for c := range g.InC {
			i, v := out*g.InC+c, x[in*g.InC+c]
			if v > y[i] || v != v {
				y[i], arg[i] = v, int32(tap)
			}
		}
	})
}

// naiveMaxPoolBackward: dx[in, c] = Σ of dy over the windows whose greatest value it was.
func naiveMaxPoolBackward(g Geometry, dy []float32, arg []int32, dx []float32) {
	clear(dx)
	eachTap(g, func(out, in, tap int) {
		for c := range g.InC {
			if arg[out*g.InC+c] == int32(tap) {
				dx[in*g.InC+c] += dy[out*g.InC+c]
			}
		}
	})
}

// naiveGlobalAveragePool: y[n, c] = mean over pixels of x[n, pixel, c].
func naiveGlobalAveragePool(batch, pixels, channels int, x, y []float32) {
	for i := range y {
		n, c := i/channels, i%channels
		var s float64
		for p := range pixels {
			s += float64(x[(n*pixels+p)*channels+c])
		}
		y[i] = float32(s / float64(pixels))
	}
}

// naiveGlobalAveragePoolBackward: dx[n, pixel, c] = dy[n, c]/pixels.
func naiveGlobalAveragePoolBackward(batch, pixels, channels int, dy, dx []float32) {
	for i := range dx {
		dx[i] = dy[i/channels/pixels*channels+i%channels] / float32(pixels)
	}
}

// naiveL2Normalize: norm = √Σx² (at least ε), y = x/norm.
func naiveL2Normalize(rows, cols int, eps float32, x, y, norm []float32) {
	for r := range rows {
		var s float64
		for _, v := range x[r*cols : (r+1)*cols] {
			s += float64(v) * float64(v)
		}
		s = max(math.Sqrt(s), float64(eps))
		norm[r] = float32(s)
		for c := range cols {
			y[r*cols+c] = float32(float64(x[r*cols+c]) / s)
		}
	}
}

// naiveL2NormalizeBackward: dx = (dy − y·(y·dy))/norm.
func naiveL2NormalizeBackward(rows, cols int, y, norm, dy, dx []float32) {
	for r := range rows {
		var dot float64
		for c := range cols {
			dot += float64(y[r*cols+c]) * float64(dy[r*cols+c])
		}
		for c := range cols {
			dx[r*cols+c] = float32((float64(dy[r*cols+c]) - float64(y[r*cols+c])*dot) / float64(norm[r]))
		}
	}
}

// naiveLogSumExp: out[r] = ln Σ over c of exp(scale·x[r, c]).
func naiveLogSumExp(rows, cols int, scale float32, x, out []float32) {
	for r := range rows {
		top := math.Inf(-1)
		for _, v := range x[r*cols : (r+1)*cols] {
			top = max(top, float64(scale)*float64(v))
		}
		var s float64
		for _, v := range x[r*cols : (r+1)*cols] {
			s += math.Exp(float64(scale)*float64(v) - top)
		}
		out[r] = float32(top + math.Log(s))
	}
}

// naiveSoftmax: y[r, c] = exp(scale·x[r, c] − lse[r]).
func naiveSoftmax(rows, cols int, scale float32, x, lse, y []float32) {
	for i, v := range x {
		y[i] = float32(math.Exp(float64(scale)*float64(v) - float64(lse[i/cols])))
	}
}

func naiveReLU(x, y []float32) {
	for i, v := range x {
		y[i] = v
		if v < 0 { // NaN stays
			y[i] = 0
		}
	}
}

func naiveReLUBackward(dy, y, dx []float32) {
	for i, d := range dy {
		dx[i] = 0
		if y[i] > 0 {
			dx[i] = d
		}
	}
}

func naiveAdd(a, b, y []float32) {
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

func naiveScale(alpha float32, x, y []float32) {
	for i := range y {
		y[i] = alpha * x[i]
	}
}

func naiveAxpy(alpha float32, x, y []float32) {
	for i := range y {
		y[i] = float32(float64(y[i]) + float64(alpha)*float64(x[i]))
	}
}

func naiveLerp(m float32, x, y []float32) {
	for i := range y {
		y[i] = float32(float64(m)*float64(y[i]) + (1-float64(m))*float64(x[i]))
	}
}

func naiveSGD(lr, momentum, weightDecay float32, g, v, w []float32) {
	for i := range w {
		u := float64(momentum)*float64(v[i]) + float64(g[i]) + float64(weightDecay)*float64(w[i])
		v[i] = float32(u)
		w[i] = float32(float64(w[i]) - float64(lr)*u)
	}
}
