package kernel

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrTooLarge is the reason why Check refuses a shape that makes sense: the kernels' tables of offsets are 32 bits wide.
var ErrTooLarge = errors.New("one sample or the weights of 64 outputs have more than 2³⁰ values")

// Geometry is the shape of a convolution or pooling of rank len(Kernel) = 0…3; rank 0 is a linear layer, a matrix
// product. Activations are [Batch, spatial…, channels]; weights [OutC, InC, Kernel…]. Stride and Dilation may be nil for
// ones, Pad (on both sides of an axis) for zeros.
type Geometry struct {
	Batch     int
	In, Out   []int // spatial sizes, outermost first
	InC, OutC int
	Kernel    []int
	Stride    []int
	Pad       []int
	Dilation  []int
}

// Conv is the geometry of a convolution with the same kernel size, stride and padding on every axis and no dilation.
func Conv(batch int, in []int, inC, outC, kernel, stride, pad int) Geometry {
	g := Geometry{Batch: batch, In: in, InC: inC, OutC: outC}
	for _, n := range in {
		g.Kernel, g.Stride, g.Pad = append(g.Kernel, kernel), append(g.Stride, stride), append(g.Pad, pad)
		g.Out = append(g.Out, OutSize(n, kernel, stride, pad, 1))
	}
	return g
}

// Linear is the geometry of y = x·wᵀ: x [batch, inC], w [outC, inC], y [batch, outC].
func Linear(batch, inC, outC int) Geometry { return Geometry{Batch: batch, InC: inC, OutC: outC} }

// OutSize is the size of an axis after a convolution: ⌊(in + 2·pad − dilation·(kernel−1) − 1)/stride⌋ + 1, or 0 where the
// kernel does not fit.
func OutSize(in, kernel, stride, pad, dilation int) int {
	span := in + 2*pad - dilation*(kernel-1) - 1
	if span < 0 || stride < 1 {
		return 0
	}
	return span/stride + 1
}

func at(s []int, i, or int) int {
	if s == nil {
		return or
	}
	return s[i]
}

// Check says what is wrong with the geometry, or nil.
func (g Geometry) Check() error {
	rank := len(g.Kernel)
	if rank > 3 {
		return fmt.Errorf("kernel: rank %d is more than 3", rank)
	}
	if g.Batch < 0 || g.InC < 1 || g.OutC < 1 {
		return fmt.Errorf("kernel: batch %d, channels %d → %d: want at least 0, 1 and 1", g.Batch, g.InC, g.OutC)
	}
	for i, s := range [...][]int{g.In, g.Out, g.Stride, g.Pad, g.Dilation} {
		if len(s) != rank && (s != nil || i < 2) {
			name := [...]string{"In", "Out", "Stride", "Pad", "Dilation"}[i]
			return fmt.Errorf("kernel: %s %v has not the rank %d of the kernel %v", name, slices.Clone(s), rank, slices.Clone(g.Kernel))
		}
	}
	for i := range rank {
		in, k, s, p, d := g.In[i], g.Kernel[i], at(g.Stride, i, 1), at(g.Pad, i, 0), at(g.Dilation, i, 1)
		if in < 1 || k < 1 || s < 1 || p < 0 || d < 1 {
			return fmt.Errorf("kernel: axis %d: size %d, kernel %d, stride %d, padding %d, dilation %d make no sense", i, in, k, s, p, d)
		}
		if want := OutSize(in, k, s, p, d); want < 1 || g.Out[i] != want {
			return fmt.Errorf("kernel: axis %d: size %d, kernel %d, stride %d, padding %d, dilation %d give %d, not %d", i, in, k, s, p, d, want, g.Out[i])
		}
	}
	for _, n := range [...]int{product(g.In) * g.InC, product(g.Out) * g.OutC, 64 * g.Taps() * max(g.InC, g.OutC)} {
		if n > math.MaxInt32/2 {
			return fmt.Errorf("kernel: %d → %d channels of %v with kernel %v: %w", g.InC, g.OutC, slices.Clone(g.In), slices.Clone(g.Kernel), ErrTooLarge)
		}
	}
	return nil
}

func product(s []int) int {
	n := 1
	for _, v := range s {
		n *= v
	}
	return n
}

// Taps is the number of taps of the kernel: the product of its sizes.
func (g Geometry) Taps() int { return product(g.Kernel) }

// InLen is the number of values of x: Batch·In…·InC.
func (g Geometry) InLen() int { return g.Batch * product(g.In) * g.InC }

// OutLen is the number of values of y: Batch·Out…·OutC.
func (g Geometry) OutLen() int { return g.Batch * product(g.Out) * g.OutC }

// WeightLen is the number of weights: OutC·InC·Kernel….
func (g Geometry) WeightLen() int { return g.OutC * g.InC * g.Taps() }

// FLOPs counts the forward product as a dense one, a multiply-add as two; each gradient takes as many.
func (g Geometry) FLOPs() int64 {
	return 2 * int64(g.OutLen()) * int64(g.InC) * int64(g.Taps())
}

// axis is one spatial axis, all axes of a volume are three: missing ones have size, kernel and stride 1.
type axis struct{ in, out, kernel, stride, pad, dilation int }

// volume gives the geometry as rank 3, outermost axis first.
func (g *Geometry) volume() [3]axis {
	v := [3]axis{{1, 1, 1, 1, 0, 1}, {1, 1, 1, 1, 0, 1}, {1, 1, 1, 1, 0, 1}}
	rank := len(g.Kernel)
	for i := range rank {
		v[3-rank+i] = axis{g.In[i], g.Out[i], g.Kernel[i], at(g.Stride, i, 1), at(g.Pad, i, 0), at(g.Dilation, i, 1)}
	}
	return v
}

func (g *Geometry) must() {
	if err := g.Check(); err != nil {
		panic(err)
	}
}

// want panics unless a slice has the length that the shapes say.
func want(op, name string, got, need int) {
	if got != need {
		panic(fmt.Sprintf("kernel: %s: %s has %d values, want %d", op, name, got, need))
	}
}

// wantAtLeast is want for packed weights and scratch.
func wantAtLeast(op, name string, got, need int) {
	if got < need {
		panic(fmt.Sprintf("kernel: %s: %s has %d values, want at least %d", op, name, got, need))
	}
}

// FramedChannels is how few channels make it worth while to give a convolution its padding as pixels, by Frame: then the
// pixels that a line of the kernel sees lie side by side wherever it is.
const FramedChannels = 16

// Framed gives the frame of a convolution's input, and the convolution that reads it. With even, channels become an even
// number, as bfloat16 needs.
func (g Geometry) Framed(even bool) (Frame, Geometry) {
	f := Frame{Batch: g.Batch, In: g.In, Pad: g.Pad, Channels: g.InC, Padded: g.InC}
	if even {
		f.Padded += g.InC % 2
	}
	if f.Pad == nil {
		f.Pad = make([]int, len(g.In))
	}
	g.InC, g.In, g.Pad = f.Padded, nil, nil
	for i, n := range f.In {
		g.In = append(g.In, n+2*f.Pad[i])
	}
	return f, g
}

// Frame is a copy of samples [Batch, In…, Channels] with Pad zeros around each axis, and zeros after the channels of each
// pixel to make them Padded.
type Frame struct {
	Batch            int
	In, Pad          []int
	Channels, Padded int
}
