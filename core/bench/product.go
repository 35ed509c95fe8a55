package bench

import (
	"sync"
	"time"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
)

// All that this package knows of the kernels' convolutions and of their bfloat16 is in this file.

// precisions are those whose products this machine computes.
func precisions() []engine.Precision {
	if kernel.HasBFloat16() {
		return []engine.Precision{engine.Float32, engine.BFloat16}
	}
	return []engine.Precision{engine.Float32}
}

// halved says whether a precision is bfloat16, and refuses what cannot be measured.
func halved(p engine.Precision) (bool, error) {
	switch {
	case p == engine.Float32 || p == "":
		return false, nil
	case p == engine.BFloat16 && kernel.HasBFloat16():
		return true, nil
	}
	return false, &fault.Error{Op: "bench", Kind: fault.Config, What: "there are no products in " + string(p) + " with " + kernel.Describe(), Do: "choose float32"}
}

// direction is one of the three products of a layer.
type direction int

const (
	forward direction = iota
	inputGradient
	weightGradient
	directions
)

// workspace is the memory in which layers are timed one after the other, as large as the largest needs.
type workspace struct {
	pool           *kernel.Pool
	half           bool
	x, y, out      kernel.Array
	packed         kernel.Array // of bfloat16; of float32 it is w
	turned         kernel.Array
	w, dw, scratch []float32
}

// computable is a layer's geometry as the engine computes it: of few channels in a frame, and bfloat16 products sum over
// pairs of channels.
func computable(g kernel.Geometry, half bool) kernel.Geometry {
	if len(g.Kernel) > 0 && g.InC < kernel.FramedChannels {
		_, g = g.Framed(half)
	}
	if half {
		g.InC, g.OutC = g.InC+g.InC%2, g.OutC+g.OutC%2
	}
	return g
}

// The arrays of a workspace in the order of lengths.
const (
	ofX = iota
	ofY
	ofOut
	ofPacked
	ofTurned
	ofScratch
	arrays
)

// lengths are those that the layers need of each array.
func lengths(all []kernel.Geometry, half bool) [arrays]int {
	var most [arrays]int
	for _, g := range all {
		g = computable(g, half)
		for i, n := range [arrays]int{g.InLen(), g.OutLen(), max(g.InLen(), g.OutLen()), kernel.PackedLen(g), kernel.PackedInputGradientLen(g), kernel.ConvWeightGradientScratch(g)} {
			most[i] = max(most[i], n)
		}
	}
	return most
}

// workspaceBytes is what a workspace for these layers takes.
func workspaceBytes(all []kernel.Geometry, half bool) int64 {
	n := lengths(all, half)
	each := int64(4)
	if half {
		each = 2
	}
	return each*int64(n[ofX]+n[ofY]+n[ofOut]+n[ofPacked]+n[ofTurned]) + 4*int64(2*n[ofPacked]+n[ofScratch])
}

// newWorkspace makes the memory; fill gives values to inputs and weights.
func newWorkspace(p *kernel.Pool, all []kernel.Geometry, half bool, fill func([]float32)) *workspace {
	n := lengths(all, half)
	array := func(n int) kernel.Array {
		if half {
			return kernel.BFloat16s(make([]kernel.BFloat16, n))
		}
		return kernel.Float32s(make([]float32, n))
	}
	s := &workspace{pool: p, half: half, x: array(n[ofX]), y: array(n[ofY]), out: array(n[ofOut]), packed: array(n[ofPacked]), turned: array(n[ofTurned]),
		w: make([]float32, n[ofPacked]), dw: make([]float32, n[ofPacked]), scratch: make([]float32, n[ofScratch])}
	fill(s.w)
	for _, a := range []kernel.Array{s.x, s.y} {
		if !half {
			fill(a.Float32())
			continue
		}
		values := make([]float32, a.Len())
		fill(values)
		p.Convert(kernel.Float32s(values), a)
	}
	return s
}

// product readies a layer and gives the function that computes one direction of it.
func (s *workspace) product(g kernel.Geometry, d direction) func() {
	g = computable(g, s.half)
	x, y, dw := s.x.First(g.InLen()), s.y.First(g.OutLen()), s.dw[:kernel.PackedLen(g)]
	switch d {
	case forward:
		weights := kernel.Float32s(s.w)
		if s.half {
			s.pool.PackBFloat16(s.packed.BFloat16(), g, s.w)
			weights = s.packed
		}
		f := kernel.Forward{X: x, Packed: weights, Y: s.out.First(g.OutLen())}
		return func() { s.pool.ConvForward(g, f) }
	case inputGradient:
		s.pool.PackInputGradient(s.turned, g, s.w)
		b := kernel.Backward{Dy: y, Packed: s.turned, Dx: s.out.First(g.InLen())}
		return func() { s.pool.ConvInputGradient(g, b) }
	}
	clear(dw)
	return func() { s.pool.ConvWeightGradient(g, x, y, dw, s.scratch) }
}

// multiplyAdd measures the multiply-add peak. Each thread is a pool of its own, so that none waits for another.
type multiplyAdd struct {
	half  bool
	pools []*kernel.Pool
}

func newMultiplyAdd(p engine.Precision, threads int) (*multiplyAdd, error) {
	half, err := halved(p)
	if err != nil {
		return nil, err
	}
	m := &multiplyAdd{half: half}
	for range threads {
		m.pools = append(m.pools, kernel.NewPool(1))
	}
	return m, nil
}

// burst measures for a moment and gives GFLOP/s.
func (m *multiplyAdd) burst() float64 {
	const moment = 30 * time.Millisecond
	rates := make([]float64, len(m.pools))
	var group sync.WaitGroup
	for i, p := range m.pools {
		group.Go(func() {
			began, operations := time.Now(), int64(0)
			for operations == 0 || time.Since(began) < moment {
				operations += p.MultiplyAdds(m.half)
			}
			rates[i] = float64(operations) / time.Since(began).Seconds() / 1e9
		})
	}
	group.Wait()
	total := 0.0
	for _, r := range rates {
		total += r
	}
	return total
}

// Close ends the measurement's threads.
func (m *multiplyAdd) Close() {
	for _, p := range m.pools {
		p.Close()
	}
}
