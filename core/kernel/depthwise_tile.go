package kernel

import "unsafe"

// depthwiseArgs describes one tile of a depthwise convolution: neighbouring pixels of one vector of channels. The channels
// of x lie pixel by pixel, one vector each; taps lists for each tap the bytes from x to its first pixel and from weights
// to its vector of weights. A tile computes, for each pixel i and channel j,
//
//	out[i·stride][j] = weights[0][j] + Σ over taps of x[tap + i][j]·w[tap][j]
//
// and stores what the mask says. A tile of the weight gradient takes dy from out, pixel by pixel as x, and adds to the
// vector of each tap
//
//	w[tap][j] += Σ over pixels i of x[tap + i][j]·out[i][j]
type depthwiseArgs struct {
	x       unsafe.Pointer
	taps    unsafe.Pointer // [count] of two int64
	count   int64
	weights unsafe.Pointer
	out     unsafe.Pointer
	stride  int64          // bytes
	mask    unsafe.Pointer // as of productArgs
	whole   int64          // not 0: the mask leaves nothing out
}

// depthwiseCopyArgs describes a copy of whole + 1 vectors of each of pixels ≥ 1 pixels, which lie stride bytes apart. Each
// vector goes to a plane of its own, plane bytes apart, where pixels lie side by side. What the mask leaves out of the
// last vector becomes zero.
type depthwiseCopyArgs struct {
	from, to      unsafe.Pointer
	pixels, whole int64
	stride, plane int64
	mask          unsafe.Pointer
}

// depthwiseSet is what an instruction set has for depthwise convolutions; tiles are listed by pixels.
type depthwiseSet struct {
	forward, gradient []func(*depthwiseArgs)
	copy              func(*depthwiseCopyArgs)
}

// depthwiseSets lists them by the instruction set's name.
var depthwiseSets = map[string]*depthwiseSet{"portable": depthwisePortableSet()}

func depthwisePortableSet() *depthwiseSet {
	const pixels = 8
	s := &depthwiseSet{[]func(*depthwiseArgs){nil}, []func(*depthwiseArgs){nil}, depthwiseCopyPortable}
	for n := 1; n <= pixels; n++ {
		s.forward = append(s.forward, func(a *depthwiseArgs) { depthwisePortable(a, n) })
		s.gradient = append(s.gradient, func(a *depthwiseArgs) { depthwiseGradientPortable(a, n) })
	}
	return s
}

type portableVector = [portableWidth]float32

// depthwisePortable is the tile of depthwiseArgs in Go.
func depthwisePortable(a *depthwiseArgs, pixels int) {
	n := int(*(*int64)(a.mask))
	for i := range pixels {
		sum := *(*portableVector)(a.weights)
		for _, tap := range unsafe.Slice((*[2]int64)(a.taps), a.count) {
			x := (*portableVector)(unsafe.Add(a.x, int(tap[0])+i*4*portableWidth))
			w := (*portableVector)(unsafe.Add(a.weights, tap[1]))
			for j, v := range x {
				sum[j] += v * w[j]
			}
		}
		copy(unsafe.Slice((*float32)(unsafe.Add(a.out, i*int(a.stride))), n), sum[:])
	}
}

// depthwiseGradientPortable is the tile of the weight gradient in Go.
func depthwiseGradientPortable(a *depthwiseArgs, pixels int) {
	for _, tap := range unsafe.Slice((*[2]int64)(a.taps), a.count) {
		sum := (*portableVector)(unsafe.Add(a.weights, tap[1]))
		for i := range pixels {
			x := (*portableVector)(unsafe.Add(a.x, int(tap[0])+i*4*portableWidth))
			dy := (*portableVector)(unsafe.Add(a.out, i*4*portableWidth))
			for j, v := range x {
				sum[j] += v * dy[j]
			}
		}
	}
}

// depthwiseCopyPortable is the loop of depthwiseCopyArgs in Go.
func depthwiseCopyPortable(a *depthwiseCopyArgs) {
	for i := range int(a.pixels) {
		for v := range int(a.whole) + 1 {
			n := portableWidth
			if v == int(a.whole) {
				n = int(*(*int64)(a.mask))
			}
			to := (*portableVector)(unsafe.Add(a.to, i*4*portableWidth+v*int(a.plane)))
			copy(to[:], unsafe.Slice((*float32)(unsafe.Add(a.from, i*int(a.stride)+v*4*portableWidth)), n))
			clear(to[n:])
		}
	}
}
