package kernel

import (
	"fmt"
	"unsafe"
)

// A depthwise convolution gives each channel of x taps of its own: w is [OutC, 1, Kernel…], OutC = m·InC for a multiplier
// m, and output o reads channel o/m alone. g.Out may be smaller than the geometry says: then outputs at the end of an axis
// are left out, as the transposed convolution with much output padding needs it.

// DepthwiseForward computes y [Batch, Out…, OutC] from x [Batch, In…, InC], w [OutC, 1, Kernel…] and bias [OutC], which
// may be nil. y is overwritten.
func (p *Pool) DepthwiseForward(g Geometry, x, w, bias, y []float32) {
	wantDepthwise("DepthwiseForward", &g, x, w, y)
	wantOptional("DepthwiseForward", "bias", bias, g.OutC)
	p.begin()
	defer p.end()
	d := &p.depthwise
	d.forward(p.set, &g)
	d.x, d.w, d.bias, d.y = x, w, bias, y
	d.run(p)
}

// DepthwiseInputGradient computes dx from dy and w. dx is overwritten.
func (p *Pool) DepthwiseInputGradient(g Geometry, dy, w, dx []float32) {
	wantDepthwise("DepthwiseInputGradient", &g, dx, w, dy)
	p.begin()
	defer p.end()
	d := &p.depthwise
	d.backward(p.set, &g)
	d.x, d.w, d.y = dy, w, dx
	d.run(p)
}

// DepthwiseWeightGradient adds to dw [OutC, 1, Kernel…] the gradient from x and dy. That of a bias is ColumnSum of dy.
func (p *Pool) DepthwiseWeightGradient(g Geometry, x, dy, dw []float32) {
	wantDepthwise("DepthwiseWeightGradient", &g, x, dw, dy)
	p.begin()
	defer p.end()
	d := &p.depthwise
	d.forward(p.set, &g)
	d.x, d.w, d.y = x, dw, dy
	d.weightGradient(p)
}

func wantDepthwise(op string, g *Geometry, x, w, y []float32) {
	g.mustWithin()
	if g.OutC%g.InC != 0 {
		panic(fmt.Sprintf("kernel: %s: %d outputs are no multiple of %d channels", op, g.OutC, g.InC))
	}
	want(op, "x or dx", len(x), g.InLen())
	want(op, "w or dw", len(w), g.OutC*g.Taps())
	want(op, "y or dy", len(y), g.OutLen())
}

// CheckWithin is Check for a geometry that may leave out outputs at the ends of axes.
func (g Geometry) CheckWithin() error {
	rank := len(g.Kernel)
	var out [3]int
	fits := func(s []int) bool { return s == nil || len(s) == rank }
	if rank <= 3 && len(g.In) == rank && len(g.Out) == rank && fits(g.Stride) && fits(g.Pad) && fits(g.Dilation) {
		for i, n := range g.Out {
			if out[i] = n; n > 0 && at(g.Stride, i, 1) > 0 {
				out[i] = max(n, OutSize(g.In[i], g.Kernel[i], at(g.Stride, i, 1), at(g.Pad, i, 0), at(g.Dilation, i, 1)))
			}
		}
		g.Out = out[:rank]
	}
	return g.Check()
}

func (g *Geometry) mustWithin() {
	if err := g.CheckWithin(); err != nil {
		panic(err)
	}
}

// A depthwise is the sweep that the three share. For every point j of a lattice of destination pixels and every lane (a
// channel of y),
//
//	y[dst(j), lane] = bias[lane] + Σ over taps t of x[src(j, t), …]·w[t, lane]
//
// where along each axis src = j·step + offset(t) and dst = phase + j·stride. The input gradient of a convolution with
// stride has a phase for each remainder, with the taps that reach it.
//
// A task takes a block of one sample's points and a few vectors of lanes. It copies what the points read of x, vector by
// vector, into a buffer where the pixels of a line lie side by side, with zeros left and right of the image, and pixels of
// the same remainder by step together: so tiles read consecutive vectors, whatever the stride, dilation and channels.
// Lines outside the image are left out.
type depthwise struct {
	x, w, bias, y []float32
	batch         int
	channels      int // of x
	lanes         int // channels of y; for the weight gradient of x's too
	repeat        int // lanes that read one channel of x: the multiplier, and 1 for the input gradient
	planes        int // channels of x that a lane reads: the multiplier for the input gradient, else 1
	axes          [3]depthwiseAxis
	set           *set
	tiles         *depthwiseSet
	vecs          int // vectors of a task
	blocks        int // of vecs vectors
	line, plane   int // pixels of the buffer in a line and in a plane
	list          [][2]int64
	starts        []int     // of each combination of phases in list
	rows          int       // of packed weights: a bias and the taps
	packed        []float32 // weights of each vector of lanes, [rows, lane]; or sums of the weight gradient, for each part
	memory        []float32 // of packed
	parts         int       // of the samples, for the weight gradient
}

// depthwiseAxis is an axis of the lattice.
type depthwiseAxis struct {
	size, step, dest, stride int
	kernel                   int            // taps of the kernel
	taps                     []depthwiseTap // phase by phase, offsets ascending
	starts                   []int          // of each phase in taps
	low, high                int            // least and greatest offset
	block, count             int            // points of a block, and blocks
	extent                   int            // lines of a block's buffer
}

type depthwiseTap struct{ index, offset int }

// depthwiseLanes is how many channels a task takes: enough of each pixel for reading to go along memory.
const depthwiseLanes = 128

// depthwiseCache is how many bytes a task's buffer may take: it stays in a second-level cache.
const depthwiseCache = 384 << 10

func (d *depthwise) forward(set *set, g *Geometry) {
	m := g.OutC / g.InC
	d.batch, d.channels, d.lanes, d.repeat, d.planes = g.Batch, g.InC, g.OutC, m, 1
	for i, v := range g.volume() {
		a := &d.axes[i]
		*a = depthwiseAxis{size: v.in, step: v.stride, dest: v.out, stride: 1, kernel: v.kernel, taps: a.taps[:0], starts: a.starts[:0]}
		a.starts = append(a.starts, 0)
		for k := range v.kernel {
			a.add(k, k*v.dilation-v.pad)
		}
	}
	d.plan(set)
}

func (d *depthwise) backward(set *set, g *Geometry) {
	m := g.OutC / g.InC
	d.batch, d.channels, d.lanes, d.repeat, d.planes = g.Batch, g.OutC, g.InC, 1, m
	for i, v := range g.volume() {
		a := &d.axes[i]
		*a = depthwiseAxis{size: v.out, step: 1, dest: v.in, stride: v.stride, kernel: v.kernel, taps: a.taps[:0], starts: a.starts[:0]}
		for phase := range min(v.stride, v.in) {
			a.starts = append(a.starts, len(a.taps))
			for k := v.kernel - 1; k >= 0; k-- {
				if from := phase + v.pad - v.dilation*k; from%v.stride == 0 {
					a.add(k, from/v.stride)
				}
			}
		}
	}
	d.plan(set)
}

// add adds a tap to the last phase, unless it lies outside x for every point.
func (a *depthwiseAxis) add(index, offset int) {
	if last := (a.points(len(a.starts)-1) - 1) * a.step; offset < a.size && last+offset >= 0 {
		a.taps = append(a.taps, depthwiseTap{index, offset})
	}
}

// phases is the number of phases of the axis.
func (a *depthwiseAxis) phases() int { return len(a.starts) }

// of gives the taps of a phase.
func (a *depthwiseAxis) of(phase int) []depthwiseTap {
	if phase+1 < len(a.starts) {
		return a.taps[a.starts[phase]:a.starts[phase+1]]
	}
	return a.taps[a.starts[phase]:]
}

// points is the number of lattice points of a phase.
func (a *depthwiseAxis) points(phase int) int { return (a.dest - phase + a.stride - 1) / a.stride }

// within gives the taps [from, to) of a phase that lie in x for point j.
func within(taps []depthwiseTap, at, size int) (from, to int) {
	to = len(taps)
	for from < to && at+taps[from].offset < 0 {
		from++
	}
	for to > from && at+taps[to-1].offset >= size {
		to--
	}
	return from, to
}

// floorDiv is the quotient that leaves a remainder of at least 0.
func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// plan decides blocks and lists the taps, from the shapes and the instruction set alone.
func (d *depthwise) plan(set *set) {
	d.set, d.tiles = set, depthwiseSets[set.name]
	d.vecs = max(1, depthwiseLanes/set.vec/d.planes)
	d.blocks = (d.lanes + d.vecs*set.vec - 1) / (d.vecs * set.vec)
	for i := range d.axes {
		a := &d.axes[i]
		for n, t := range a.taps {
			if n == 0 || t.offset < a.low {
				a.low = t.offset
			}
			if n == 0 || t.offset > a.high {
				a.high = t.offset
			}
		}
		a.block = a.points(0)
	}
	for d.measure(); 4*d.plane*set.vec*d.vecs*d.planes > depthwiseCache; d.measure() {
		longest := &d.axes[0]
		for i := range d.axes {
			if d.axes[i].block > longest.block {
				longest = &d.axes[i]
			}
		}
		if longest.block == 1 {
			break
		}
		longest.block = (longest.block + 1) / 2
	}
	taps := len(d.axes[0].taps) * len(d.axes[1].taps) * len(d.axes[2].taps) // of all phases together
	d.list, d.starts = grow(d.list, taps*d.planes)[:0], d.starts[:0]
	d.rows = 1 + d.axes[0].kernel*d.axes[1].kernel*d.axes[2].kernel*d.planes
	bytes := int64(4 * set.vec)
	az, ay, ax := &d.axes[0], &d.axes[1], &d.axes[2]
	for pz := range az.phases() {
		for py := range ay.phases() {
			for px := range ax.phases() {
				d.starts = append(d.starts, len(d.list))
				for plane := range d.planes {
					for _, tz := range az.of(pz) {
						for _, ty := range ay.of(py) {
							at := plane*d.plane + ((tz.offset-az.low)*ay.extent+ty.offset-ay.low)*d.line
							row := 1 + ((plane*az.kernel+tz.index)*ay.kernel+ty.index)*ax.kernel
							for _, tx := range ax.of(px) {
								d.list = append(d.list, [2]int64{int64(at+d.column(tx.offset)) * bytes, int64(row+tx.index) * bytes})
							}
						}
					}
				}
			}
		}
	}
}

// measure computes the buffer of the blocks as they are.
func (d *depthwise) measure() {
	for i := range d.axes {
		a := &d.axes[i]
		points := a.points(0)
		a.count = (points + a.block - 1) / a.block
		a.extent = (a.block-1)*a.step + a.high - a.low + 1
	}
	ax := &d.axes[2]
	d.line = ax.step * (ax.block + floorDiv(ax.high, ax.step) - floorDiv(ax.low, ax.step))
	d.plane = d.axes[0].extent * d.axes[1].extent * d.line
}

// column gives the place in the buffer's line of what the block's first point reads at an offset: remainder by remainder.
func (d *depthwise) column(offset int) int {
	a := &d.axes[2]
	q := floorDiv(offset, a.step)
	return (offset-q*a.step)*(d.line/a.step) + q - floorDiv(a.low, a.step)
}

// aligned gives n values that begin at a cache line, of s where that is long enough.
func aligned(s *[]float32, n int) []float32 {
	*s = grow(*s, n+15)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(*s)))%64) / 4
	return (*s)[skip : skip+n]
}

// depthwiseWorker is what one thread has for itself.
type depthwiseWorker struct {
	args        depthwiseArgs
	copy        depthwiseCopyArgs
	lines       []depthwiseLine
	list        [][2]int64 // of taps of lines
	x, dy, sums []float32
}

// run packs the weights and sweeps.
func (d *depthwise) run(p *Pool) {
	if d.batch > 0 {
		d.packed = aligned(&d.memory, d.blocks*d.vecs*d.rows*d.set.vec)
		p.run(d.blocks*d.vecs, depthwisePackTask)
		p.run(d.batch*d.places()*d.blocks, depthwiseTask)
	}
	d.x, d.w, d.bias, d.y = nil, nil, nil, nil
}

// of gives the weights of a vector of lanes, [rows, lane], or a part's sums.
func (d *depthwise) of(vec int) []float32 {
	return d.packed[vec*d.rows*d.set.vec:][:d.rows*d.set.vec]
}

// depthwisePackTask packs the weights of one vector of lanes.
func depthwisePackTask(p *Pool, _ *worker, vec int) {
	d := &p.depthwise
	width := d.set.vec
	dst := d.of(vec)
	clear(dst)
	taps := (d.rows - 1) / d.planes
	for lane := range min(width, d.lanes-vec*width) {
		o := vec*width + lane
		if d.bias != nil {
			dst[lane] = d.bias[o]
		}
		for t, v := range d.w[o*d.planes*taps : (o+1)*d.planes*taps] {
			dst[(1+t)*width+lane] = v
		}
	}
}

// depthwiseBlock is the part of the lattice that a task takes, and its buffers, vector by vector.
type depthwiseBlock struct {
	sample    int
	first     [3]int // points
	size      [3]int
	vec, vecs int // vectors of lanes
	x, dy     []float32
	sums      []float32 // of the weight gradient, [vecs, rows, lane]
}

// block gives a block: a sample, blocks of lanes, and the rest counted through the lattice.
func (d *depthwise) block(sample, lanes, place int) depthwiseBlock {
	b := depthwiseBlock{sample: sample, vec: lanes * d.vecs}
	b.vecs = min(d.vecs, (d.lanes+d.set.vec-1)/d.set.vec-b.vec)
	for i := 2; i >= 0; i-- {
		a := &d.axes[i]
		b.first[i] = place % a.count * a.block
		b.size[i] = min(a.block, a.points(0)-b.first[i])
		place /= a.count
	}
	return b
}

// places is the number of blocks of a sample's lattice.
func (d *depthwise) places() int { return d.axes[0].count * d.axes[1].count * d.axes[2].count }

func depthwiseTask(p *Pool, w *worker, task int) {
	d := &p.depthwise
	b := d.block(task/d.blocks/d.places(), task%d.blocks, task/d.blocks%d.places())
	d.load(&w.depthwise, &b)
	d.sweep(&w.depthwise, &b)
}

// load copies what a block reads of x.
func (d *depthwise) load(w *depthwiseWorker, b *depthwiseBlock) {
	width := d.set.vec
	az, ay, ax := &d.axes[0], &d.axes[1], &d.axes[2]
	b.x = aligned(&w.x, d.vecs*d.planes*d.plane*width)
	length := d.line / ax.step
	from := b.first[2] + floorDiv(ax.low, ax.step)
	z, y := b.first[0]*az.step+az.low, b.first[1]*ay.step+ay.low // of the buffer's first line
	for iz := max(z, 0); iz < min(z+(b.size[0]-1)*az.step+az.high-az.low+1, az.size); iz++ {
		for iy := max(y, 0); iy < min(y+(b.size[1]-1)*ay.step+ay.high-ay.low+1, ay.size); iy++ {
			line := ((b.sample*az.size+iz)*ay.size + iy) * ax.size
			for remainder := range ax.step {
				to := ((iz-z)*ay.extent+iy-y)*d.line + remainder*length
				lo := max(from, 0) // in pixels of the same remainder
				hi := max(lo, min(from+length, (ax.size-remainder+ax.step-1)/ax.step))
				if lo = min(lo, from+length); lo >= hi {
					lo, hi = from, from
				}
				for plane := range b.vecs * d.planes {
					part := b.x[(plane*d.plane+to)*width:][:length*width]
					clear(part[:(lo-from)*width])
					clear(part[(hi-from)*width:])
				}
				if lo < hi {
					d.copy(w, b, b.x[(to+lo-from)*width:], d.plane, d.x, d.channels, line+remainder+lo*ax.step, ax.step, hi-lo)
				}
			}
		}
	}
}

// copy fills the planes of dst with the block's lanes of every step-th pixel of x from the given one.
func (d *depthwise) copy(w *depthwiseWorker, b *depthwiseBlock, dst []float32, plane int, x []float32, channels, pixel, step, pixels int) {
	width := d.set.vec
	lane := b.vec * width
	n := min(b.vecs*width, d.lanes-lane)
	if channels == d.lanes {
		w.copy = depthwiseCopyArgs{unsafe.Pointer(&x[pixel*channels+lane]), unsafe.Pointer(&dst[0]), int64(pixels), int64(b.vecs - 1),
			int64(4 * step * channels), int64(4 * plane * width), d.set.mask(n)}
		d.tiles.copy(&w.copy)
		return
	}
	for i := range pixels {
		row := x[(pixel+i*step)*channels:][:channels]
		for v := range b.vecs * d.planes {
			to := dst[(v*plane+i)*width:][:width]
			clear(to)
			first := lane + v/d.planes*width
			for j := range min(width, d.lanes-first) {
				to[j] = row[((first+j)*d.planes+v%d.planes)/d.repeat]
			}
		}
	}
}

// depthwiseLine is a line of a block's points.
type depthwiseLine struct {
	taps   [][2]int64 // that lie inside x
	x, out int        // first values in the block's first plane of x, and in y or in the block's first plane of dy
	points int
}

// sweep computes the points of a block: y, or sums of the weight gradient where the block has some. It goes vector by
// vector, so that what a vector's lines share stays in the first cache, and cuts lines into tiles as equal as possible.
func (d *depthwise) sweep(w *depthwiseWorker, b *depthwiseBlock) {
	d.lines(w, b)
	width := d.set.vec
	a := &w.args
	a.stride = int64(4 * d.axes[2].stride * d.lanes)
	out, vector, pixel, tiles := d.y[b.vec*width:], width, d.axes[2].stride*d.lanes, d.tiles.forward
	if b.sums != nil {
		out, vector, pixel, tiles = b.dy, b.size[0]*b.size[1]*b.size[2]*width, width, d.tiles.gradient
	}
	for v := range b.vecs {
		n := min(width, d.lanes-(b.vec+v)*width)
		a.mask, a.whole = d.set.mask(n), int64(n/width)
		if b.sums != nil {
			a.weights = unsafe.Pointer(&b.sums[v*d.rows*width])
		} else {
			a.weights = unsafe.Pointer(&d.of(b.vec + v)[0])
		}
		plane := b.x[v*d.planes*d.plane*width:]
		for i := range w.lines {
			l := &w.lines[i]
			a.taps, a.count = unsafe.Pointer(unsafe.SliceData(l.taps)), int64(len(l.taps))
			count := (l.points + len(tiles) - 2) / (len(tiles) - 1)
			for t, j := 0, 0; t < count; t++ {
				end := (t + 1) * l.points / count
				a.x, a.out = unsafe.Pointer(&plane[l.x+j*width]), unsafe.Pointer(&out[v*vector+l.out+j*pixel])
				tiles[end-j](a)
				j = end
			}
		}
	}
}

// lines lists the lines of a block.
func (d *depthwise) lines(w *depthwiseWorker, b *depthwiseBlock) {
	az, ay, ax := &d.axes[0], &d.axes[1], &d.axes[2]
	width := d.set.vec
	w.lines, w.list = w.lines[:0], w.list[:0]
	combination := 0
	for pz := range az.phases() {
		for py := range ay.phases() {
			for px := range ax.phases() {
				points := min(b.size[2], ax.points(px)-b.first[2])
				list := d.list[d.starts[combination]:]
				combination++
				nx := len(ax.of(px))
				last := [4]int{-1} // taps of the line before
				for jz := b.first[0]; jz < min(b.first[0]+b.size[0], az.points(pz)) && points > 0; jz++ {
					z0, z1 := within(az.of(pz), jz*az.step, az.size)
					for jy := b.first[1]; jy < min(b.first[1]+b.size[1], ay.points(py)); jy++ {
						y0, y1 := within(ay.of(py), jy*ay.step, ay.size)
						kz, ky := jz-b.first[0], jy-b.first[1]
						l := depthwiseLine{points: points, x: (kz*az.step*ay.extent + ky*ay.step) * d.line * width}
						if b.sums != nil {
							l.out = (kz*b.size[1] + ky) * b.size[2] * width
						} else {
							line := ((b.sample*az.dest+pz+jz*az.stride)*ay.dest + py + jy*ay.stride) * ax.dest
							l.out = (line + px + b.first[2]*ax.stride) * d.lanes
						}
						if inside := [4]int{z0, z1, y0, y1}; inside == last {
							l.taps = w.lines[len(w.lines)-1].taps
						} else {
							l.taps = d.choose(w, list, inside, len(az.of(pz)), len(ay.of(py)), nx)
							last = inside
						}
						w.lines = append(w.lines, l)
					}
				}
			}
		}
	}
}

// choose gives the taps of a list [planes, nz, ny, nx] that lie inside, from and to, along z and y.
func (d *depthwise) choose(w *depthwiseWorker, list [][2]int64, inside [4]int, nz, ny, nx int) [][2]int64 {
	z0, z1, y0, y1 := inside[0], inside[1], inside[2], inside[3]
	if d.planes == 1 && z1-z0 == 1 { // they follow each other
		return list[(z0*ny+y0)*nx : (z0*ny+y1)*nx]
	}
	from := len(w.list)
	for plane := range d.planes {
		for z := z0; z < z1; z++ {
			w.list = append(w.list, list[((plane*nz+z)*ny+y0)*nx:((plane*nz+z)*ny+y1)*nx]...)
		}
	}
	return w.list[from:]
}

// weightGradient sweeps parts of the samples, each with sums of its own, and adds them up.
func (d *depthwise) weightGradient(p *Pool) {
	if d.batch > 0 {
		const tasks = 48 // enough for the threads to end together
		d.parts = min(d.batch, (tasks+d.blocks-1)/d.blocks)
		d.packed = aligned(&d.memory, d.parts*d.blocks*d.vecs*d.rows*d.set.vec)
		p.run(d.parts*d.blocks, depthwiseGradientTask)
		p.run(d.blocks*d.vecs, depthwiseSumTask)
	}
	d.x, d.w, d.y = nil, nil, nil
}

// depthwiseSumPixels is how many pixels are added up, at least, before the sums join those of the part: long sums of
// float32 lose digits.
const depthwiseSumPixels = 1024

func depthwiseGradientTask(p *Pool, w *worker, task int) {
	d := &p.depthwise
	part, lanes := task/d.blocks, task%d.blocks
	s := &w.depthwise
	size := d.vecs * d.rows * d.set.vec
	all := d.packed[task*size:][:size]
	clear(all)
	near := aligned(&s.sums, len(all))
	clear(near)
	pixels := 0
	last := (part + 1) * d.batch / d.parts
	for sample := part * d.batch / d.parts; sample < last; sample++ {
		for place := range d.places() {
			b := d.block(sample, lanes, place)
			b.sums = near
			d.load(s, &b)
			d.loadGradient(s, &b)
			d.sweep(s, &b)
			pixels += b.size[0] * b.size[1] * b.size[2]
			if pixels >= depthwiseSumPixels || sample == last-1 && place == d.places()-1 {
				a := &w.row
				*a = rowArgs{rows: 1}
				a.columns(p.set, len(all))
				a.stream(0, near, 0, 0)
				a.stream(1, all, 0, 0)
				a.stream(2, all, 0, 0)
				p.set.loops.add(a)
				clear(near)
				pixels = 0
			}
		}
	}
}

// loadGradient copies a block of dy.
func (d *depthwise) loadGradient(w *depthwiseWorker, b *depthwiseBlock) {
	ay, ax := &d.axes[1], &d.axes[2]
	width := d.set.vec
	size := b.size[2] * width
	b.dy = aligned(&w.dy, d.vecs*b.size[0]*b.size[1]*size)
	plane := b.size[0] * b.size[1] * b.size[2]
	for z := range b.size[0] {
		for y := range b.size[1] {
			from := ((b.sample*d.axes[0].dest+b.first[0]+z)*ay.dest+b.first[1]+y)*ax.dest + b.first[2]
			d.copy(w, b, b.dy[(z*b.size[1]+y)*size:], plane, d.y, d.lanes, from, 1, b.size[2])
		}
	}
}

// depthwiseSumTask adds the parts of one vector of lanes to dw.
func depthwiseSumTask(p *Pool, w *worker, vec int) {
	d := &p.depthwise
	width := d.set.vec
	taps := d.rows - 1
	w.wide = grow(w.wide, d.rows*width)
	clear(w.wide)
	for part := range d.parts {
		for i, v := range d.of(part*d.blocks*d.vecs + vec) {
			w.wide[i] += float64(v)
		}
	}
	for lane := range min(width, d.lanes-vec*width) {
		to := d.w[(vec*width+lane)*taps:][:taps]
		for t := range to {
			to[t] = float32(float64(to[t]) + w.wide[(1+t)*width+lane])
		}
	}
}
