package kernel

import "unsafe"

// A sweep is the product that ConvForward and ConvInputGradient share: for every point j of a lattice of destination
// pixels, and every output o,
//
//	y[dst(j), o] = bias[o] + Σ over taps t, channels c of x[src(j, t), c]·w[t, c, o]
//
// where along each axis src = j·step + offset(t) and dst = start + j·stride. The input gradient of a convolution with
// stride is one sweep per phase of the destination, each with the taps that reach it.
//
// Taps that follow each other in memory along the last axis, in the image and in the packed weights alike, are one run:
// a product over run × channels values. Tiles hold the same pixel of several samples, so that a tap outside the image is
// outside for the whole tile and is left out; only where there are few samples do tiles hold neighbouring pixels, with a
// row of zeros outside.
type sweep struct {
	x, w, y           Array
	bias              []float32
	addend            Array // added to the product, like y
	relu              bool  // then negative values become zero
	moments           *moments
	axes              [3]sweepAxis
	batch             int
	channels, outputs int // of x and of y
	taps              int // of the whole kernel: the depth of the packed weights is taps·channels
	matrix            matrix

	byPixel       bool // tiles hold neighbouring pixels instead of samples
	points        int  // of the lattice in one sample
	source, image int  // values of a sample of x and of y
	groups        []group
	chunks        []chunk
	parts         int // row parts of a group
	panels        int
	pair          int // values of the reduction that one weight holds: 2 for bfloat16
}

// tapRef is a tap of an axis: its place in the packed weights and its offset in the source.
type tapRef struct{ index, offset int }

type sweepAxis struct {
	count, step, size   int // lattice points; source pixels per point; source size
	start, stride, dest int // destination of a point; destination size
	kernel              int
	run                 bool // taps are neighbours in source and weights
	taps                []tapRef
}

// group is panels [first, last) of the same width, whose weights of a chunk stay in the cache together.
type group struct{ first, last int }

// chunk is a part of the reduction: taps [t0, t1) of the first two axes, values [k0, k1) of each run.
type chunk struct{ t0, t1, k0, k1 int }

// weightCache is how many bytes of weights a tile loop goes over again and again: they stay in a second-level cache.
const weightCache = 384 << 10

// plan decides tiles, groups and chunks, from the shapes and the instruction set alone.
func (s *sweep) plan(set *set) {
	a := &s.axes
	s.points = a[0].count * a[1].count * a[2].count
	s.source = a[0].size * a[1].size * a[2].size * s.channels
	s.image = a[0].dest * a[1].dest * a[2].dest * s.outputs
	s.byPixel = s.batch < 6 && s.points > s.batch
	s.panels = (s.outputs + set.width - 1) / set.width
	width := set.panel(s.outputs, 0)

	run, each := s.channels, len(a[2].taps)
	if a[2].run && !s.byPixel {
		run, each = run*each, min(each, 1)
	}
	s.pair = 1
	if s.x.half {
		s.pair = 2
	}
	rowBytes := s.x.bytes() * width * run * max(each, 1) // weights of one tap of the first two axes
	rows := len(a[0].taps) * len(a[1].taps)
	s.chunks = s.chunks[:0]
	block := 1
	switch {
	case rows == 0 || each == 0:
		s.chunks = append(s.chunks, chunk{})
	case rows*rowBytes <= weightCache && s.matrix.b == nil:
		s.chunks = append(s.chunks, chunk{0, rows, 0, run})
		block = weightCache / (rows * rowBytes)
	case rowBytes <= weightCache:
		n := (rows*rowBytes + weightCache - 1) / weightCache
		for i := range n {
			s.chunks = append(s.chunks, chunk{i * rows / n, (i + 1) * rows / n, 0, run})
		}
	default:
		n := min((rowBytes+weightCache-1)/weightCache, run)
		for t := range rows {
			for i := range n {
				s.chunks = append(s.chunks, chunk{t, t + 1, i * run / n / s.pair * s.pair, (i + 1) * run / n / s.pair * s.pair})
			}
		}
	}

	s.groups = s.groups[:0]
	full := s.panels
	if set.panel(s.outputs, s.panels-1) != width {
		full--
	}
	tiles := s.tiles(set.height(width / set.vec))
	const tasks = 48 // enough for the threads to end together; each worth the while
	if need := (full + tasks - 1) / tasks; s.matrix.b == nil && tiles < 16*tasks && block > need {
		block = max(need, 1) // few rows: split the outputs as well
	}
	for t := 0; t < full; t += block {
		s.groups = append(s.groups, group{t, min(t+block, full)})
	}
	if full < s.panels {
		s.groups = append(s.groups, group{full, s.panels})
	}
	flops := 2 * s.batch * s.points * rows * run * each * s.outputs
	least := 8
	if s.matrix.b != nil {
		least = 64 // each part packs for itself
	}
	s.parts = max(1, min(tasks/len(s.groups), tiles/least, flops/len(s.groups)>>19))
}

// tiles is the number of tiles of so many rows. Tiles of samples keep within a group of the moments.
func (s *sweep) tiles(height int) int {
	if s.byPixel {
		return (s.batch*s.points + height - 1) / height
	}
	each := s.batch / s.normGroups()
	return s.normGroups() * ((each + height - 1) / height) * s.points
}

// normGroups is the number of groups of samples that have moments of their own.
func (s *sweep) normGroups() int {
	if s.moments == nil {
		return 1
	}
	return s.moments.norm.Groups
}

// samples gives the samples of one of so many blocks.
func (s *sweep) samples(block, blocks int) (from, to int) {
	groups := s.normGroups()
	each, per := s.batch/groups, blocks/groups
	group, i := block/per, block%per
	return group*each + i*each/per, group*each + (i+1)*each/per
}

// partialTiles is how many tiles go through all chunks together where their sums cannot wait in y.
const partialTiles = 64

// sweep runs the planned product.
func (p *Pool) sweep() {
	s := &p.conv
	if s.batch == 0 {
		return
	}
	s.plan(p.set)
	if s.byPixel && len(p.zeros) < s.channels {
		p.zeros = make([]float32, s.channels)
	}
	if s.moments != nil {
		s.moments.start(p, s)
	}
	p.run(len(s.groups)*s.parts, sweepTask)
	if s.moments != nil {
		s.moments.finish(p, s)
	}
}

func sweepTask(p *Pool, w *worker, task int) {
	s := &p.conv
	g := s.groups[task/s.parts]
	part := task % s.parts
	width := p.set.panel(s.outputs, g.first)
	vecs := width / p.set.vec
	height := p.set.height(vecs)
	tiles := s.tiles(height)
	first, last := part*tiles/s.parts, (part+1)*tiles/s.parts
	entries := len(s.axes[0].taps) * len(s.axes[1].taps) * len(s.axes[2].taps)
	w.table = grow(w.table, entries*height)
	w.offsets = grow(w.offsets, entries)
	w.out = grow(w.out, height)

	products := p.set.products
	if s.x.half {
		products = p.set.half.products
	}
	a := &w.product
	*a = productArgs{}
	a.table = unsafe.Pointer(unsafe.SliceData(w.table))
	a.offsets = unsafe.Pointer(unsafe.SliceData(w.offsets))
	panel := s.taps * s.channels // depth of a panel
	// Sums of chunks wait in y, or, where y cannot hold them, beside it for a few tiles at a time.
	block := last - first
	aside := len(s.chunks) > 1 && (s.y.half || !s.addend.None()) // the addend may be y
	if aside {
		block = partialTiles
		w.partial = grow(w.partial, partialTiles*height*width)
		w.partials = grow(w.partials, height)
	}
	tally := s.moments.begin(p, w, s, g, part, width)
	for from := first; from < last; from += block {
		for ci, c := range s.chunks {
			if s.matrix.b != nil {
				w.panel = grow(w.panel, (c.k1-c.k0)*width)
				s.matrix.pack(p, w, w.panel, g.first*p.set.width, min(width, s.outputs-g.first*p.set.width), width, c.k0, c.k1)
			}
			final := ci == len(s.chunks)-1
			for tile := from; tile < min(from+block, last); tile++ {
				var rows, taps int
				if s.byPixel {
					rows, taps = s.pixelTile(w, tile*height, min(height, s.batch*s.points-tile*height), c, p.zeros)
				} else {
					rows, taps = s.sampleTile(w, tile, tiles/s.points, c)
				}
				if taps == 0 && ci > 0 && !final {
					continue
				}
				if final {
					tally.tile(tile, tiles, rows)
				}
				multiply := products[vecs][rows]
				a.taps = int64(taps)
				for t := g.first; t < g.last; t++ {
					column := t * p.set.width
					if a.weights = unsafe.Pointer(unsafe.SliceData(w.panel)); s.matrix.b == nil {
						a.weights = s.w.at(column * panel)
					}
					a.mask = p.set.mask(min(width, s.outputs-column))
					a.out, a.column = unsafe.Pointer(unsafe.SliceData(w.out)), int64(column*s.y.bytes())
					a.from, a.bias, a.sums, a.addend, a.relu, a.narrow = nil, nil, nil, 0, 0, 0
					if aside {
						for r := range rows {
							w.partials[r] = unsafe.Pointer(&w.partial[((tile-from)*height+r)*width])
						}
					}
					if ci > 0 {
						a.from, a.fromColumn = a.out, a.column
						if aside {
							a.from, a.fromColumn = unsafe.Pointer(unsafe.SliceData(w.partials)), 0
						}
					}
					if !final {
						if aside {
							a.out, a.column = unsafe.Pointer(unsafe.SliceData(w.partials)), 0
						}
						multiply(a)
						continue
					}
					s.last(a, column)
					tally.sums(a, t-g.first)
					multiply(a)
				}
			}
		}
	}
	tally.end()
}

// last sets what happens to the sums of a tile before they are stored for good.
func (s *sweep) last(a *productArgs, column int) {
	if s.bias != nil {
		a.bias = unsafe.Pointer(&s.bias[column])
	}
	if !s.addend.None() {
		a.addend, a.addendAt = 1, int64(uintptr(s.addend.p)-uintptr(s.y.p))
	}
	if s.relu {
		a.relu = 1
	}
	if s.y.half {
		a.narrow = 1
	}
}

// inside gives the taps [from, to) of the axis that lie in the source for lattice point j; taps ascend.
func (a *sweepAxis) inside(j int) (from, to int) {
	at := j * a.step
	to = len(a.taps)
	for from < to && at+a.taps[from].offset < 0 {
		from++
	}
	for to > from && at+a.taps[to-1].offset >= a.size {
		to--
	}
	return from, to
}

// sampleTile fills the tables for one lattice point of consecutive samples; it gives the rows of the tile and its taps.
func (s *sweep) sampleTile(w *worker, tile, blocks int, c chunk) (rows, taps int) {
	block, point := tile/s.points, tile%s.points
	b0, b1 := s.samples(block, blocks)
	rows = b1 - b0
	ax, ay, az := &s.axes[2], &s.axes[1], &s.axes[0]
	jx, jy, jz := point%ax.count, point/ax.count%ay.count, point/ax.count/ay.count
	to := ((az.start+jz*az.stride)*ay.dest+ay.start+jy*ay.stride)*ax.dest + ax.start + jx*ax.stride
	for i := range w.out[:rows] { // never a pointer past the end: the collector might see it
		w.out[i] = s.y.at((b0+i)*s.image + to*s.outputs)
	}
	x0, x1 := ax.inside(jx)
	if x0 == x1 {
		return rows, 0
	}
	each, depth := x1-x0, min(c.k1, s.channels)-c.k0
	if ax.run {
		each, depth = 1, min(c.k1, each*s.channels)-c.k0
	}
	if depth <= 0 {
		return rows, 0
	}
	w.product.depth = int64(depth / s.pair)
	base, size := s.x.at(b0*s.source+c.k0), s.x.bytes()
	n := 0
	offset := c.k0
	if s.matrix.b != nil {
		offset = 0
	}
	ny := len(ay.taps)
	for t := c.t0; t < c.t1; t++ {
		tz, ty := az.taps[t/ny], ay.taps[t%ny]
		iz, iy := jz*az.step+tz.offset, jy*ay.step+ty.offset
		if uint(iz) >= uint(az.size) || uint(iy) >= uint(ay.size) {
			continue
		}
		line := (iz*ay.size+iy)*ax.size + jx*ax.step
		index := (tz.index*ay.kernel + ty.index) * ax.kernel
		for q := x0; q < x0+each; q++ {
			tx := ax.taps[q]
			w.offsets[taps] = int64(((index+tx.index)*s.channels + offset) / s.pair)
			from := unsafe.Add(base, size*(line+tx.offset)*s.channels)
			for i := range w.table[n : n+rows] {
				w.table[n+i] = unsafe.Add(from, size*i*s.source)
			}
			n += rows
			taps++
		}
	}
	return rows, taps
}

// pixelTile fills the tables for neighbouring lattice points, counted through all samples.
func (s *sweep) pixelTile(w *worker, first, rows int, c chunk, zeros []float32) (int, int) {
	ax, ay, az := &s.axes[2], &s.axes[1], &s.axes[0]
	nx, ny := len(ax.taps), len(ay.taps)
	zero := unsafe.Pointer(unsafe.SliceData(zeros))
	w.product.depth = int64((c.k1 - c.k0) / s.pair)
	size := s.x.bytes()
	taps := (c.t1 - c.t0) * nx
	for i := range rows {
		b, point := (first+i)/s.points, (first+i)%s.points
		jx, jy, jz := point%ax.count, point/ax.count%ay.count, point/ax.count/ay.count
		to := ((az.start+jz*az.stride)*ay.dest+ay.start+jy*ay.stride)*ax.dest + ax.start + jx*ax.stride
		w.out[i] = s.y.at(b*s.image + to*s.outputs)
		base := s.x.at(b*s.source + c.k0)
		n := i
		for t := c.t0; t < c.t1; t++ {
			iz, iy := jz*az.step+az.taps[t/ny].offset, jy*ay.step+ay.taps[t%ny].offset
			outside := uint(iz) >= uint(az.size) || uint(iy) >= uint(ay.size)
			for _, tx := range ax.taps {
				ix := jx*ax.step + tx.offset
				if outside || uint(ix) >= uint(ax.size) {
					w.table[n] = zero
				} else {
					w.table[n] = unsafe.Add(base, size*((iz*ay.size+iy)*ax.size+ix)*s.channels)
				}
				n += rows
			}
		}
	}
	n := 0
	for t := c.t0; t < c.t1; t++ {
		index := (az.taps[t/ny].index*ay.kernel + ay.taps[t%ny].index) * ax.kernel
		for _, tx := range ax.taps {
			w.offsets[n] = int64(((index+tx.index)*s.channels + c.k0) / s.pair)
			if s.matrix.b != nil {
				w.offsets[n] = 0
			}
			n++
		}
	}
	return rows, taps
}
