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
	segments        int
	parts           int // of the samples
	tapGroups       int
	panels, padded  int // of the outputs; OutC in whole vectors of 16
}

// gradientPixels is the longest segment, in pixels.
const gradientPixels = 96

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
	if s.parts > 1 {
		p.run((s.taps*g.InC*s.padded+gradientAddBlock-1)/gradientAddBlock, gradientAddTask)
	}
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
	w.panel = grow(w.panel, gradientPixels*width)
	w.rows = grow(w.rows, gradientPixels*gradientChannels)
	a, dy := &w.gradient, &w.copy
	a.mask = p.set.mask(min(width, g.OutC-first))
	for segment := range s.segments {
		from, to := segment*pixels/s.segments, (segment+1)*pixels/s.segments
		s.pairs(w, t0, t1, from, to, width)
		for b := b0; b < b1; b += s.together {
			n := min(s.together, b1-b) // samples of this round
			*dy = copyArgs{stride: int64(width), from: unsafe.Pointer(&s.dy[b*image+from*g.OutC+first]), to: unsafe.Pointer(&w.panel[0]),
				rows: int64(n * (to - from)), offsets: unsafe.Pointer(&w.pixels[0]), mask: a.mask}
			p.set.copies[width/p.set.vec](dy)
			a.dy = dy.to
			for t := t0; t < t1; t++ {
				if each := int(w.segments[2*(t-t0)+1]); each > 0 {
					begin, end := 2*int(w.segments[2*(t-t0)]), 2*(int(w.segments[2*(t-t0)])+each*n)
					p.gradientRows(w, s.x[b*source:], w.pairs[begin:end], w.side[begin:end], g.InC, sums[t*g.InC*width:], width)
				}
			}
		}
	}
}

// gradientChannels is how many channels of x are copied side by side: they and the outputs of a segment fit the first
// cache, and tiles of six divide them.
const gradientChannels = 48

// gradientRows adds x[a+i]·dy[b+j] over the pairs (a, b) into sum [rows, width], for channels i < rows; dy and the mask
// are in w.gradient. side lists the same pairs with x's rows copied side by side.
func (p *Pool) gradientRows(w *worker, x []float32, pairs, side []int32, rows int, sum []float32, width int) {
	a := &w.gradient
	a.stride = int64(width)
	a.pairs, a.count = unsafe.Pointer(&pairs[0]), int64(len(pairs)/2)
	tiles := p.set.gradients[width/p.set.vec]
	height := len(tiles) - 1
	if rows < 16 { // too few to be worth a copy
		for r := 0; r < rows; r += height {
			a.x, a.sum = unsafe.Pointer(&x[r]), unsafe.Pointer(&sum[r*width])
			tiles[min(height, rows-r)](a)
		}
		return
	}
	for c := 0; c < rows; c += gradientChannels {
		n := min(gradientChannels, rows-c)
		vecs := (n + p.set.vec - 1) / p.set.vec
		w.copy = copyArgs{from: unsafe.Pointer(&x[c]), to: unsafe.Pointer(&w.rows[0]), stride: gradientChannels,
			rows: a.count, offsets: a.pairs, mask: p.set.mask(n)}
		p.set.copies[vecs](&w.copy)
		a.pairs = unsafe.Pointer(&side[0])
		blocks := (n + height - 1) / height
		for i := range blocks {
			r0, r1 := i*n/blocks, (i+1)*n/blocks
			a.x, a.sum = unsafe.Pointer(&w.rows[r0]), unsafe.Pointer(&sum[(c+r0)*width])
			tiles[r1-r0](a)
		}
		a.pairs = unsafe.Pointer(&pairs[0])
	}
}

// pairs lists, for taps [t0, t1), the offsets in x and in the copied dy of the pixels [from, to) that the tap has inside
// the image, for as many samples as go together; w.segments says where each tap's list begins and how long it is for one
// sample. w.pixels has the offsets of the pixels themselves in dy.
func (s *gradientSweep) pairs(w *worker, t0, t1, from, to, width int) {
	g := &s.g
	v := &s.volume
	source, image := product(g.In)*g.InC, product(g.Out)*g.OutC
	w.pixels = grow(w.pixels, 2*(to-from)*s.together)
	for i := range (to - from) * s.together { // several samples go together only as whole images
		w.pixels[2*i] = int32(i/(to-from)*image + i%(to-from)*g.OutC)
	}
	w.pairs = grow(w.pairs, 2*(t1-t0)*(to-from)*s.together)
	w.side = grow(w.side, len(w.pairs))
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
					w.pairs[2*n], w.pairs[2*n+1] = int32((line+ix)*g.InC), int32((point-from)*width)
					n++
				}
				ix += v[2].stride
			}
		}
		each := n - begin
		for b := 1; b < s.together; b++ {
			for i := range each {
				w.pairs[2*n] = w.pairs[2*(begin+i)] + int32(b*source)
				w.pairs[2*n+1] = w.pairs[2*(begin+i)+1] + int32(b*(to-from)*width)
				n++
			}
		}
		for i := range n - begin {
			w.side[2*(begin+i)], w.side[2*(begin+i)+1] = int32(i*gradientChannels), w.pairs[2*(begin+i)+1]
		}
		w.segments[2*(t-t0)], w.segments[2*(t-t0)+1] = int32(begin), int32(each)
	}
}

// gradientAddTask adds the other parts to the first, for a block of the sums.
func gradientAddTask(p *Pool, w *worker, task int) {
	s := &p.wgrad
	size := s.taps * s.g.InC * s.padded
	from, to := task*gradientAddBlock, min((task+1)*gradientAddBlock, size)
	a := &w.row
	*a = rowArgs{rows: 1}
	a.columns(p.set, to-from)
	a.stream(1, s.sums, from, 0)
	a.stream(2, s.sums, from, 0)
	for part := 1; part < s.parts; part++ {
		a.stream(0, s.sums, part*size+from, 0)
		p.set.loops.add(a)
	}
}

// gradientAddBlock is how many sums one task adds up.
const gradientAddBlock = 4096

// gradientSumTask turns the sums of 16 outputs × 16 channels into dw.
func gradientSumTask(p *Pool, w *worker, task int) {
	s := &p.wgrad
	g := &s.g
	blocks := (g.InC + 15) / 16
	o0, c0 := task/blocks*16, task%blocks*16
	o1, c1 := min(o0+16, g.OutC), min(c0+16, g.InC)
	panel := o0 / p.set.width
	first := panel * p.set.width
	width := p.set.panel(g.OutC, panel)
	w.places = grow(w.places, (c1-c0)*s.taps)
	for i := range w.places {
		w.places[i] = int32((i%s.taps*g.InC + c0 + i/s.taps) * width)
	}
	p.turnAdd(w, s.dw[(o0*g.InC+c0)*s.taps:], g.InC*s.taps, o1-o0, s.sums[first*s.taps*g.InC+o0-first:], w.places)
}
