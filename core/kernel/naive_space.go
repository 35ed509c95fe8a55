package kernel

import "math"

// The plain twins of what changes maps in space: convolutions in groups, average pooling, enlargement.

// eachProduct calls f for every product of a convolution in groups: of x or dx at in, w at weight, y or dy at out.
func eachProduct(g Geometry, groups int, f func(in, weight, out int)) {
	taps, from, to := g.Taps(), g.InC/groups, g.OutC/groups
	eachTap(g, func(out, in, tap int) {
		for o := range g.OutC {
			for c := range from {
				f(in*g.InC+o/to*from+c, (o*from+c)*taps+tap, out*g.OutC+o)
			}
		}
	})
}

// naiveGroupedForward: y[out, o] = bias[o] + Σ over taps and the channels c of o's group of x[in(out, tap), c]·w[o, c, tap].
func naiveGroupedForward(g Geometry, groups int, x, w, bias, y []float32) {
	sum := make([]float64, len(y))
	for i := range sum {
		if bias != nil {
			sum[i] = float64(bias[i%g.OutC])
		}
	}
	eachProduct(g, groups, func(in, weight, out int) { sum[out] += float64(x[in]) * float64(w[weight]) })
	round(y, sum)
}

// naiveGroupedInputGradient: dx[in, c] = Σ over taps and the outputs o of c's group of dy[out, o]·w[o, c, tap].
func naiveGroupedInputGradient(g Geometry, groups int, dy, w, dx []float32) {
	sum := make([]float64, len(dx))
	eachProduct(g, groups, func(in, weight, out int) { sum[in] += float64(dy[out]) * float64(w[weight]) })
	round(dx, sum)
}

// naiveGroupedWeightGradient: dw[o, c, tap] += Σ over outputs of dy[out, o]·x[in(out, tap), c].
func naiveGroupedWeightGradient(g Geometry, groups int, x, dy, dw []float32) {
	sum := make([]float64, len(dw))
	for i, v := range dw {
		sum[i] = float64(v)
	}
	eachProduct(g, groups, func(in, weight, out int) { sum[weight] += float64(x[in]) * float64(dy[out]) })
	round(dw, sum)
}

// naiveAveragePool: y[out, c] = Σ of x over the window/taps.
func naiveAveragePool(g Geometry, x, y []float32) {
	sum := make([]float64, len(y))
	eachTap(g, func(out, in, _ int) {
		for c := range g.InC {
			sum[out*g.InC+c] += float64(x[in*g.InC+c]) / float64(g.Taps())
		}
	})
	round(y, sum)
}

// naiveAveragePoolBackward: dx[in, c] = Σ of dy over the windows with the pixel/taps.
func naiveAveragePoolBackward(g Geometry, dy, dx []float32) {
	sum := make([]float64, len(dx))
	eachTap(g, func(out, in, _ int) {
		for c := range g.InC {
			sum[in*g.InC+c] += float64(dy[out*g.InC+c]) / float64(g.Taps())
		}
	})
	round(dx, sum)
}

// eachShare calls f for every (output row, input row, weight) of an enlargement.
func eachShare(u Upsampling, f func(out, in int, weight float64)) {
	size, scale := [3]int{1, 1, 1}, [3]int{1, 1, 1}
	for i := range u.In {
		size[3-len(u.In)+i], scale[3-len(u.In)+i] = u.In[i], u.Scale[i]
	}
	weight := func(axis, out, in int) float64 {
		if !u.Linear {
			if out/scale[axis] == in {
				return 1
			}
			return 0
		}
		at := (float64(out)+0.5)/float64(scale[axis]) - 0.5 // a tent around each centre, the outermost without end
		at = math.Min(math.Max(at, 0), float64(size[axis]-1))
		return math.Max(0, 1-math.Abs(at-float64(in)))
	}
	for n := range u.Batch {
		for out := range product(size[:]) * product(scale[:]) {
			z, y, x := out/(size[1]*scale[1]*size[2]*scale[2]), out/(size[2]*scale[2])%(size[1]*scale[1]), out%(size[2]*scale[2])
			for in := range product(size[:]) {
				iz, iy, ix := in/(size[1]*size[2]), in/size[2]%size[1], in%size[2]
				if w := weight(0, z, iz) * weight(1, y, iy) * weight(2, x, ix); w != 0 {
					f(n*product(size[:])*product(scale[:])+out, n*product(size[:])+in, w)
				}
			}
		}
	}
}

// naiveUpsample: y[out, c] = Σ over inputs of weight·x[in, c].
func naiveUpsample(u Upsampling, x, y []float32) {
	sum := make([]float64, len(y))
	eachShare(u, func(out, in int, weight float64) {
		for c := range u.Channels {
			sum[out*u.Channels+c] += weight * float64(x[in*u.Channels+c])
		}
	})
	round(y, sum)
}

// naiveUpsampleBackward: dx[in, c] = Σ over outputs of weight·dy[out, c].
func naiveUpsampleBackward(u Upsampling, dy, dx []float32) {
	sum := make([]float64, len(dx))
	eachShare(u, func(out, in int, weight float64) {
		for c := range u.Channels {
			sum[in*u.Channels+c] += weight * float64(dy[out*u.Channels+c])
		}
	})
	round(dx, sum)
}
