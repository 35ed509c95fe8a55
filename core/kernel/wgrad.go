package kernel

import "unsafe"

// A gradientSweep is the weight gradient: for every tap, channel c and output o,
//
//	dw[o, c, tap] += Σ over pixels j inside the image of x[src(j, tap), c]·dy[j, o]
//
// The sum over samples is split into parts, by the shape alone; each part has sums [taps, InC, OutC] of its own in the
// scratch, which are added up and turned at the end. Within a part, pixels go in segments short enough to stay in the
// first-level cache with their outputs; the pairs of offsets (x, dy) that a tap visits in a segment are the same for
// every sample.
type gradientSweep struct {
	x, dy, dw, sums []float32
	g               Geometry
	volume          [3]axis
	taps            int
	together        int // samples that share a segment: several where images are small
	points          int // pixels of a segment
	segments        int
	parts           int // of the samples
	tapGroups       int
	panels, padded  int // of the outputs; OutC in whole vectors of 16
}

// gradientPixels is the longest segment, in pixels.
const gradientPixels = 128

// gradientParts says how many parts the sum over samples has: enough for all threads where taps and outputs do not give
// enough tasks, while each part still has pixels enough to be worth its own sums.
func gradientParts(g *Geometry) (parts, tapGroups int) {
	const tasks = 32
	pixels := g.Batch * product(g.Out)
	padded := roundUp(g.OutC)
	perTap := 4 * g.InC * min(padded, 64)
	tapGroups = min(g.Taps(), max(1, g.Taps()*perTap/weightCache))
	panels := (padded + 63) / 64
	parts = max(1, min(tasks/(panels*tapGroups), pixels/512, g.Batch))
	return parts, tapGroups
}

func (p *Pool) convWeightGradient(g *Geometry, x, dy, dw, scratch []float32) {
	pixels := product(g.Out)
	if g.Batch == 0 {
		return
	}
	s := &p.wgrad
	*s = gradientSweep{x: x, dy: dy, dw: dw, sums: scratch, g: *g, volume: g.volume(), taps: g.Taps(), padded: roundUp(g.OutC)}
	s.together = min(g.Batch, max(1, gradientPixels/pixels))
	s.segments = (pixels + gradientPixels - 1) / gradientPixels
	s.panels = (g.OutC + p.set.width - 1) / p.set.width
	s.parts, s.tapGroups = gradientParts(g)
	p.run(s.panels*s.tapGroups*s.parts, gradientTask)
	p.run((g.OutC+15)/16*((g.InC+15)/16), gradientSumTask)
	*s = gradientSweep{}
}

func gradientTask(p *Pool, w *worker, task int) {
	s := &p.wgrad
	g := &s.g
	panel := task % s.panels
	group := task / s.panels % s.tapGroups
	part := task / s.panels / s.tapGroups
	t0, t1 := group*s.taps/s.tapGroups, (group+1)*s.taps/s.tapGroups
	b0, b1 := part*g.Batch/s.parts, (part+1)*g.Batch/s.parts
	first := panel * p.set.width
	width := p.set.panel(g.OutC, panel)
	source, image := product(g.In)*g.InC, product(g.Out)*g.OutC
	pixels := product(g.Out)

	// The panel's sums lie together: [taps, InC, width].
	sums := s.sums[part*s.taps*g.InC*s.padded+first*s.taps*g.InC:][:s.taps*g.InC*width]
	clear(sums[t0*g.InC*width : t1*g.InC*width])
	a := &w.gradient
	a.stride = int64(width)
	a.mask = p.set.mask(min(width, g.OutC-first))
	for segment := range s.segments {
		from, to := segment*pixels/s.segments, (segment+1)*pixels/s.segments
		s.pairs(w, t0, t1, from, to)
		for b := b0; b < b1; b += s.together {
			n := min(s.together, b1-b) // samples of this round
			for t := t0; t < t1; t++ {
				begin, each := w.segments[2*(t-t0)], w.segments[2*(t-t0)+1]
				if each == 0 {
					continue
				}
				a.pairs = unsafe.Pointer(&w.pairs[2*begin])
				a.count = int64(each) * int64(n)
				a.dy = unsafe.Pointer(&s.dy[b*image+first])
				p.gradientRows(w, s.x[b*source:], g.InC, sums[t*g.InC*width:], width)
			}
		}
	}
}

// gradientRows adds the pairs of w.gradient into sum [rows, width], for channels 0…rows−1 of x.
func (p *Pool) gradientRows(w *worker, x []float32, rows int, sum []float32, width int) {
	a := &w.gradient
	vecs := width / p.set.vec
	tiles := p.set.gradients[vecs]
	height := len(tiles) - 1
	blocks := (rows + height - 1) / height
	for i := range blocks {
		r0, r1 := i*rows/blocks, (i+1)*rows/blocks
		a.x = unsafe.Pointer(&x[r0])
		a.sum = unsafe.Pointer(&sum[r0*width])
		tiles[r1-r0](a)
	}
}

// pairs lists, for taps [t0, t1), the offsets in x and dy of the pixels [from, to) that the tap has inside the image, for
// as many samples as go together; w.segments says where each tap's list begins and how long it is for one sample.
func (s *gradientSweep) pairs(w *worker, t0, t1, from, to int) {
	g := &s.g
	v := &s.volume
	source, image := product(g.In)*g.InC, product(g.Out)*g.OutC
	w.pairs = grow(w.pairs, 2*(t1-t0)*(to-from)*s.together)
	w.segments = grow(w.segments, 2*(t1-t0))
	n := 0
	for t := t0; t < t1; t++ {
		kx, ky, kz := t%v[2].kernel, t/v[2].kernel%v[1].kernel, t/v[2].kernel/v[1].kernel
		begin := n
		for point := from; point < to; {
			jx, jy, jz := point%v[2].out, point/v[2].out%v[1].out, point/v[2].out/v[1].out
			end := min(point+v[2].out-jx, to) // of this line
			iz, iy := jz*v[0].stride-v[0].pad+kz*v[0].dilation, jy*v[1].stride-v[1].pad+ky*v[1].dilation
			if uint(iz) >= uint(v[0].in) || uint(iy) >= uint(v[1].in) {
				point = end
				continue
			}
			line := (iz*v[1].in + iy) * v[2].in
			ix := jx*v[2].stride - v[2].pad + kx*v[2].dilation
			for ; point < end; point++ {
				if uint(ix) < uint(v[2].in) {
					w.pairs[2*n], w.pairs[2*n+1] = int32((line+ix)*g.InC), int32(point*g.OutC)
					n++
				}
				ix += v[2].stride
			}
		}
		each := n - begin
		for b := 1; b < s.together; b++ {
			for i := range each {
				w.pairs[2*n] = w.pairs[2*(begin+i)] + int32(b*source)
				w.pairs[2*n+1] = w.pairs[2*(begin+i)+1] + int32(b*image)
				n++
			}
		}
		w.segments[2*(t-t0)], w.segments[2*(t-t0)+1] = int32(begin), int32(each)
	}
}

// gradientSumTask adds the parts of 16 outputs × 16 channels into dw.
func gradientSumTask(p *Pool, w *worker, task int) {
	s := &p.wgrad
	g := &s.g
	blocks := (g.InC + 15) / 16
	o0, c0 := task/blocks*16, task%blocks*16
	o1, c1 := min(o0+16, g.OutC), min(c0+16, g.InC)
	panel := o0 / p.set.width
	first := panel * p.set.width
	width := p.set.panel(g.OutC, panel)
	size := s.taps * g.InC * s.padded
	for part := range s.parts {
		sums := s.sums[part*size+first*s.taps*g.InC:]
		for c := c0; c < c1; c++ {
			for t := range s.taps {
				for i, v := range sums[(t*g.InC+c)*width+o0-first:][:o1-o0] {
					s.dw[((o0+i)*g.InC+c)*s.taps+t] += v
				}
			}
		}
	}
}
