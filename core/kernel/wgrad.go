package kernel

import (
	"math"
	"unsafe"
)

// A gradientSweep is the weight gradient: for every tap, channel c and output o,
//
//	dw[o, c, tap] += Σ over pixels j inside the image of x[src(j, tap), c]·dy[j, o]
//
// Its tasks are blocks of outputs, groups of taps, groups of channels and parts of the samples. Where the samples are in one
// part, sums go to the packed gradient at once; else each part has sums of its own in the scratch,
// which are added up at the end.
//
// A task walks its samples in segments of pixels, short enough that a panel of dy and a few channels of x stay in the
// first-level cache. Both are first laid side by side: dy once for all taps, x once for all panels. For bfloat16 the rows
// of the same pixel in two samples are interleaved on the way, since the instruction sums over pairs: both are inside the
// image, or neither. The lists of rows that a tap visits in a segment are the same for every sample.
type gradientSweep struct {
	x, dy    Array
	sums     []float32 // [parts][panels][taps, channels, width]
	g        Geometry
	volume   [3]axis
	pixels   int // of an image of dy
	pair     int // samples whose pixel one row of the walk holds: 2 for bfloat16
	together int // samples that share a segment: several where images are small
	segments int // of an image
	gradientSplit
}

// gradientSplit is how the work of a weight gradient is cut.
type gradientSplit struct {
	taps, channels                          int // taps of a row are one where they follow each other in memory
	blocks, tapGroups, channelGroups, parts int
	padded                                  int // OutC in whole vectors of 16
}

const (
	// gradientPixels is the longest segment, in rows of the walk.
	gradientPixels = 128
	// gradientChannels is how many channels of x are laid side by side: they and a panel of dy of a segment fit the first
	// cache, and tiles of six divide them.
	gradientChannels = 48
	// gradientWork is what one part should take at least, in operations.
	gradientWork = 96 << 20
	// gradientOutputs is how many outputs one task takes.
	gradientOutputs = 256
	// gradientSums is how many sums a task goes over again and again: they stay in a second-level cache.
	gradientSums = 96 << 10
	// gradientPart is the fewest pixels of a part, whose sums are added up once.
	gradientPart = 2048
	// gradientCopy is what laying a value side by side costs, in products.
	gradientCopy = 12
)

// splitGradient finds the parts by the shape alone, as they decide in which order products are added up. Every sum is one
// task's, however outputs, taps and channels are cut: that is done for the threads.
func splitGradient(g *Geometry, threads int) gradientSplit {
	s := gradientSplit{taps: g.Taps(), channels: g.InC, padded: roundUp(g.OutC), parts: 1}
	if v := g.volume()[2]; v.kernel > 1 && v.pad == 0 && v.dilation == 1 && v.kernel*g.InC <= 64 {
		s.taps, s.channels = s.taps/v.kernel, s.channels*v.kernel
	}
	s.blocks = (s.padded + gradientOutputs - 1) / gradientOutputs
	tasks := int(min(max(g.FLOPs()/gradientWork, 6), 64))
	s.cut(1)
	n := s.blocks * s.channelGroups * s.tapGroups
	walk := gradientSweep{g: *g, pixels: product(g.Out), pair: 2}
	together := walk.samples() // a part is whole rounds of them, and never empty
	s.parts = max(1, min((tasks+n-1)/n, g.Batch*product(g.Out)/gradientPart, (g.Batch+together-1)/together))
	s.cut(threads)
	return s
}

// cut finds the groups of taps and of channels with which so many threads end soonest: each task copies dy for itself, the
// last ones should end together, and the sums of each should stay in a second-level cache.
func (s *gradientSplit) cut(threads int) {
	outputs, most := min(s.padded, gradientOutputs), max(1, s.channels/16)
	best := math.MaxInt
	for a := 1; a <= s.taps; a++ {
		for c := 1; c <= most; c++ {
			rows := (s.taps + a - 1) / a * ((s.channels + c - 1) / c) // of the largest task
			if rows*outputs > gradientSums && (a < s.taps || c < most) {
				continue
			}
			tasks := s.blocks * s.parts * a * c
			work := rows*outputs + gradientCopy*(rows+outputs)
			// An eighth of a task, for threads that other work on the machine holds up.
			if time := (tasks+threads-1)/threads*work + work/8; time < best {
				best, s.tapGroups, s.channelGroups = time, a, c
			}
			if tasks >= 8*threads {
				break
			}
		}
	}
}

// size is the number of sums of one part.
func (s *gradientSplit) size() int { return s.taps * s.channels * s.padded }

// weightGradient adds to sums, or sets them where the scratch takes the parts.
func (p *Pool) weightGradient(g *Geometry, x, dy Array, dw, scratch []float32) {
	if g.Batch == 0 {
		return
	}
	s := &p.wgrad
	*s = gradientSweep{x: x, dy: dy, sums: dw, g: *g, volume: g.volume(), pixels: product(g.Out), pair: 1, gradientSplit: splitGradient(g, p.threads)}
	if s.taps < g.Taps() {
		s.volume[2].kernel = 1
	}
	if x.half {
		s.pair = 2
	}
	s.together = s.samples()
	s.segments = (s.pixels + gradientPixels - 1) / gradientPixels
	p.calls++
	if s.parts > 1 {
		s.sums = scratch
	}
	p.run(s.blocks*s.tapGroups*s.channelGroups*s.parts, gradientTask)
	if s.parts > 1 {
		last := (g.OutC - 1) / p.set.width
		p.call.streams[0], p.call.n = dw, s.taps*s.channels*(last*p.set.width+p.set.panel(g.OutC, last)) // what panels hold
		p.run((p.call.n+gradientAddBlock-1)/gradientAddBlock, gradientAddTask)
	}
	*s = gradientSweep{}
}

// samples is how many samples share a segment: as many as it has room for and as offsets of 32 bits reach, a pair at least.
func (s *gradientSweep) samples() int {
	longest := max(product(s.g.In)*s.g.InC, s.pixels*s.g.OutC)
	return min(s.g.Batch, max(1, min(gradientPixels/s.pixels, math.MaxInt32/longest/s.pair))*s.pair)
}

func gradientTask(p *Pool, w *worker, task int) {
	s := &p.wgrad
	g := &s.g
	block := task % s.blocks
	tapGroup := task / s.blocks % s.tapGroups
	channelGroup := task / s.blocks / s.tapGroups % s.channelGroups
	part := task / s.blocks / s.tapGroups / s.channelGroups
	t0, t1 := tapGroup*s.taps/s.tapGroups, (tapGroup+1)*s.taps/s.tapGroups
	c0, c1 := channelGroup*s.channels/s.channelGroups, (channelGroup+1)*s.channels/s.channelGroups
	rounds := (g.Batch + s.together - 1) / s.together
	b0, b1 := part*rounds/s.parts*s.together, min((part+1)*rounds/s.parts*s.together, g.Batch)
	o0, o1 := block*gradientOutputs, min((block+1)*gradientOutputs, g.OutC)
	source, image := product(g.In)*g.InC, s.pixels*g.OutC

	sums := s.sums
	if s.parts > 1 {
		sums = sums[part*s.size():][:s.size()]
	}
	stride := gradientPixels * p.set.width // of a panel of dy in w.panel
	panels := (o1 - o0 + p.set.width - 1) / p.set.width
	w.panel = grow(w.panel, panels*stride)
	w.begun = grow(w.begun, t1-t0) // taps whose sums hold something
	for t := range w.begun {
		w.begun[t] = s.parts == 1
	}
	for segment := range s.segments {
		from, to := segment*s.pixels/s.segments, (segment+1)*s.pixels/s.segments
		for b := b0; b < b1; b += s.together {
			n := min(s.together, b1-b) // samples of this round
			s.list(p, w, t0, t1, from, to, n)
			s.fetch(w, segment, b, b0, b1)
			for i := range panels {
				first, width := o0+i*p.set.width, p.set.panel(g.OutC, o0/p.set.width+i)
				p.copyPairs(w, s.dy.at(b*image+first), min(width, g.OutC-first), w.pixels, unsafe.Pointer(&w.panel[i*stride]), p.set.width, s.x.half)
			}
			for t := t0; t < t1; t++ {
				begin, end := 2*w.segments[2*(t-t0)], 2*w.segments[2*(t-t0)+1]
				if begin == end {
					continue
				}
				w.gradient.set = 1
				if w.begun[t-t0] {
					w.gradient.set = 0
				}
				w.begun[t-t0] = true
				for c := c0; c < c1; c += gradientChannels {
					rows := min(gradientChannels, c1-c)
					p.sideBySide(w, s.x.at(b*source+c), rows, w.pairs[begin:end], s.x.half)
					for i := range panels {
						first, width := o0+i*p.set.width, p.set.panel(g.OutC, o0/p.set.width+i)
						w.gradient.dy, w.gradient.mask = unsafe.Pointer(&w.panel[i*stride]), p.set.mask(width)
						p.gradientTiles(w, w.side[begin:end], rows, width, sums[(first*s.taps+t*width)*s.channels+c*width:], s.x.half)
					}
				}
			}
		}
	}
	for t, begun := range w.begun { // taps that are never inside the image
		for i := range panels {
			if first, width := o0+i*p.set.width, p.set.panel(g.OutC, o0/p.set.width+i); !begun {
				at := (first*s.taps + (t0+t)*width) * s.channels
				clear(sums[at+c0*width : at+c1*width])
			}
		}
	}
}

// soon is what a task reads in its next round: x and dy, of one sample or of two, or of several that follow each other.
type soon [4]stretch

type stretch struct {
	from  unsafe.Pointer
	lines int
}

// lineBytes is the size of a cache line.
const lineBytes = 64

// take gives the next lines to fetch, so many at most, and their distance.
func (s *soon) take(n int) (unsafe.Pointer, int64) {
	for i := range s {
		if part := &s[i]; part.lines > 0 {
			from := part.from
			part.lines -= n
			if part.lines > 0 { // never a pointer past the end: the collector might see it
				part.from = unsafe.Add(from, n*lineBytes)
			}
			return from, lineBytes
		}
	}
	return unsafe.Pointer(&noRow[0]), 0
}

// fetch finds what the round after that of sample b in a segment reads.
func (s *gradientSweep) fetch(w *worker, segment, b, b0, b1 int) {
	if b += s.together; b >= b1 {
		segment, b = segment+1, b0
	}
	w.soon = soon{}
	if segment >= s.segments {
		return
	}
	g := &s.g
	n := 0
	for _, a := range [2]struct {
		of    Array
		image int
	}{{s.x, product(g.In) * g.InC}, {s.dy, s.pixels * g.OutC}} {
		first, last := b, min(b+s.together, b1)
		if s.segments == 1 { // whole samples follow each other
			w.soon[n] = stretch{a.of.at(first * a.image), (last - first) * a.image * a.of.bytes() / lineBytes}
			n++
			continue
		}
		for ; first < last; first++ {
			from := first*a.image + a.image/s.segments*segment
			w.soon[n] = stretch{a.of.at(from), a.image / s.segments * a.of.bytes() / lineBytes}
			n++
		}
	}
}

// copyPairs lays rows of n values side by side, stride apart.
func (p *Pool) copyPairs(w *worker, from unsafe.Pointer, n int, rows []int32, to unsafe.Pointer, stride int, half bool) {
	w.copy = copyArgs{from: from, to: to, stride: int64(stride), rows: int64(len(rows) / 2), offsets: unsafe.Pointer(&rows[0]), mask: p.set.mask(n)}
	copies := p.set.copies
	if half {
		copies = p.set.half.copies
		w.copy.zeros = unsafe.Pointer(&noRow[0])
	}
	copies[(n+p.set.vec-1)/p.set.vec](&w.copy)
}

// noRow stands for a pixel outside the image.
var noRow [64]BFloat16

// sideBySide lays so many channels of x of the listed rows side by side in w.rows.
func (p *Pool) sideBySide(w *worker, x unsafe.Pointer, channels int, rows []int32, half bool) {
	w.rows = grow(w.rows, gradientPixels*gradientChannels)
	p.copyPairs(w, x, channels, rows, unsafe.Pointer(&w.rows[0]), gradientChannels, half)
}

// gradientTiles adds to sum [channels, width] the products of w.rows with dy, which is in w.gradient with the mask, over
// the pairs of rows.
func (p *Pool) gradientTiles(w *worker, pairs []int32, channels, width int, sum []float32, half bool) {
	tiles := p.set.gradients[width/p.set.vec]
	if half {
		tiles = p.set.half.gradients[width/p.set.vec]
	}
	a := &w.gradient
	a.stride = int64(width)
	a.pairs, a.count = unsafe.Pointer(&pairs[0]), int64(len(pairs)/2)
	height := len(tiles) - 1
	blocks := (channels + height - 1) / height
	for i := range blocks {
		r0, r1 := i*channels/blocks, (i+1)*channels/blocks
		a.x, a.sum = unsafe.Pointer(&w.rows[r0]), unsafe.Pointer(&sum[r0*width])
		a.next, a.step = w.soon.take(len(pairs) / 2)
		tiles[r1-r0](a)
	}
}

// listed says what a worker's lists are of.
type listed struct {
	call                uint64
	t0, t1, from, to, n int
}

// list finds, for taps [t0, t1) and the pixels [from, to) of n samples, the rows of x that the tap has inside the image:
// w.pairs has their offsets in x, for bfloat16 in two samples (−1: there is no second), w.side the places of their copies
// in w.rows and of their outputs in the panel of dy; w.segments says where each tap's list begins and ends. w.pixels has
// the offsets of the pixels themselves in dy. Tasks that follow each other often need the same.
func (s *gradientSweep) list(p *Pool, w *worker, t0, t1, from, to, n int) {
	what := listed{p.calls, t0, t1, from, to, n}
	if w.listed == what {
		return
	}
	w.listed = what
	g := &s.g
	v := &s.volume
	source, image := product(g.In)*g.InC, s.pixels*g.OutC
	each, units := to-from, (n+s.pair-1)/s.pair
	lone := s.pair == 2 && n%2 == 1 // the last row of the walk holds one sample
	rows := each * units
	w.pixels = grow(w.pixels, 2*rows+ahead)[:2*rows]
	for u := range units { // several samples go together only as whole images
		listRows(w.pixels[2*u*each:2*(u+1)*each], from*g.OutC+u*s.pair*image, g.OutC, s.second(image, lone && u == units-1))
	}
	w.pairs = grow(w.pairs, 2*(t1-t0)*rows+ahead)[:2*(t1-t0)*rows]
	w.side = grow(w.side, len(w.pairs))
	w.segments = grow(w.segments, 2*(t1-t0))
	count := 0
	for t := t0; t < t1; t++ {
		kx, ky, kz := t%v[2].kernel, t/v[2].kernel%v[1].kernel, t/v[2].kernel/v[1].kernel
		first, last := v[2].span(kx) // outputs of a line whose tap is inside the image
		begin := count
		for i := 0; i < each; { // line by line
			j := from + i
			jx, jy, jz := j%v[2].out, j/v[2].out%v[1].out, j/v[2].out/v[1].out
			length := min(v[2].out-jx, each-i)
			iz, iy := jz*v[0].stride-v[0].pad+kz*v[0].dilation, jy*v[1].stride-v[1].pad+ky*v[1].dilation
			if a, b := max(jx, first), min(jx+length, last); a < b && uint(iz) < uint(v[0].in) && uint(iy) < uint(v[1].in) {
				ix := a*v[2].stride - v[2].pad + kx*v[2].dilation
				listRows(w.pairs[2*count:2*(count+b-a)], ((iz*v[1].in+iy)*v[2].in+ix)*g.InC, v[2].stride*g.InC, s.second(source, lone && units == 1))
				for k := range b - a {
					w.side[2*(count+k)], w.side[2*(count+k)+1] = int32((count-begin+k)*gradientChannels), int32((i+a-jx+k)*p.set.width)
				}
				count += b - a
			}
			i += length
		}
		w.segments[2*(t-t0)] = int32(begin)
		inside := count - begin // of the first unit: the others are like it
		for u := 1; u < units; u++ {
			second := s.second(source, lone && u == units-1)
			for k := range inside {
				at := w.pairs[2*(begin+k)] + int32(u*s.pair*source)
				w.pairs[2*count], w.pairs[2*count+1] = at, at+int32(second)
				if second < 0 {
					w.pairs[2*count+1] = -1
				}
				w.side[2*count], w.side[2*count+1] = int32((count-begin)*gradientChannels), w.side[2*(begin+k)+1]+int32(u*each*p.set.width)
				count++
			}
		}
		w.segments[2*(t-t0)+1] = int32(count)
	}
}

// second is how far the second sample of a row of the walk lies behind the first; −1: there is none.
func (s *gradientSweep) second(sample int, lone bool) int {
	if s.pair == 1 || lone {
		return -1
	}
	return sample
}

// listRows writes the offsets of rows that lie step apart, and of those of the second sample.
func listRows(list []int32, at, step, second int) {
	for i := 0; i < len(list); i += 2 {
		list[i], list[i+1] = int32(at), int32(at+second)
		if second < 0 {
			list[i+1] = -1
		}
		at += step
	}
}

// gradientAddTask adds the parts to the gradient, for a block of the sums.
func gradientAddTask(p *Pool, w *worker, task int) {
	s := &p.wgrad
	from, to := task*gradientAddBlock, min((task+1)*gradientAddBlock, p.call.n)
	a := &w.row
	*a = rowArgs{rows: 1}
	a.columns(p.set, to-from)
	a.stream(1, p.call.streams[0], from, 0)
	a.stream(2, p.call.streams[0], from, 0)
	for part := range s.parts {
		a.stream(0, s.sums, part*s.size()+from, 0)
		p.set.loops.add(a)
	}
}

// ahead is how many offsets behind the end of a list may be read, to fetch the rows that they name: 8 rows of two.
const ahead = 16

// gradientAddBlock is how many sums one task adds up.
const gradientAddBlock = 4096
