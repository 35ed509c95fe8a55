package kernel

import (
	"math"
	"unsafe"
)

// SoftmaxRows computes y = exp(x)/Σ exp(x) along rows of x [rows, cols]; what is e⁻⁸⁷ of the greatest or less is 0. y may
// be x.
func (p *Pool) SoftmaxRows(rows, cols int, x, y []float32) {
	want("SoftmaxRows", "x", len(x), rows*cols)
	want("SoftmaxRows", "y", len(y), rows*cols)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{x, y}
	p.softmaxTasks(rows, cols, softmaxRowsTask)
}

// SoftmaxRowsGradient computes dx = y·(dy − Σ y·dy) from SoftmaxRows's output. dx may be dy.
func (p *Pool) SoftmaxRowsGradient(rows, cols int, y, dy, dx []float32) {
	want("SoftmaxRowsGradient", "y", len(y), rows*cols)
	want("SoftmaxRowsGradient", "dy", len(dy), rows*cols)
	want("SoftmaxRowsGradient", "dx", len(dx), rows*cols)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{y, dy, dx}
	p.softmaxTasks(rows, cols, softmaxRowsGradientTask)
}

func (p *Pool) softmaxTasks(rows, cols int, task func(p *Pool, w *worker, task int)) {
	c := &p.call
	if c.rows, c.cols = rows, cols; rows*cols > 0 {
		p.run((rows+rowBlock(cols)-1)/rowBlock(cols), task)
	}
}

// softmaxRow sets the row loop of a task on the streams of the call.
func (p *Pool) softmaxRow(w *worker, task int) (first int) {
	c := &p.call
	first = task * rowBlock(c.cols)
	a := &w.row
	*a = rowArgs{rows: int64(min(rowBlock(c.cols), c.rows-first)), scalars: [3]float32{1}}
	a.columns(p.set, c.cols)
	for i, s := range c.streams {
		if s != nil {
			a.stream(i, s, first*c.cols, c.cols)
		}
	}
	return first
}

func softmaxRowsTask(p *Pool, w *worker, task int) {
	p.softmaxRow(w, task)
	w.sums = grow(w.sums, 2)
	w.row.stream(2, w.sums, 0, 0) // nobody asks for them
	p.set.tokens().softmaxRows(&w.row)
}

func softmaxRowsGradientTask(p *Pool, w *worker, task int) {
	p.softmaxRow(w, task)
	p.set.tokens().softmaxGradient(&w.row)
}

// softmaxRowsPortable writes s1 = exp(k0·s0 − m)·i, for the greatest k0·s0 of the row m and the inverse i of the sum of
// those exponentials, and (m, i) to s2.
var softmaxRowsPortable = statLoop(2, func(a *rowArgs, s *[5][]float32, _ *[4][]float32, stat unsafe.Pointer) {
	x, y, scale := s[0], s[1], a.scalars[0]
	top := float32(math.Inf(-1))
	for _, v := range x {
		top = max(top, v)
	}
	top = float32(top * scale) // as below, rounded before the difference: the greatest is 1 exactly, and what is kept is what was used
	var sum float32
	for i, v := range x {
		y[i] = expNegative(float32(scale*v) - top)
		sum += y[i]
	}
	inverse := 1 / sum
	for i := range y {
		y[i] *= inverse
	}
	*(*[2]float32)(stat) = [2]float32{top, inverse}
})

// softmaxGradientPortable writes s2 = k0·s0·(s1 − Σ s0·s1).
var softmaxGradientPortable = loop(func(a *rowArgs, s *[5][]float32, _ *[4][]float32) {
	softmaxGradient(a.scalars[0], s[0], s[1], s[2])
})

// attentionGradientPortable writes softmaxRows of s0, as s3 says of the row, over s0, and then s2 = k0·s0·(s1 − Σ s0·s1).
var attentionGradientPortable = statLoop(3, func(a *rowArgs, s *[5][]float32, _ *[4][]float32, stat unsafe.Pointer) {
	y, of := s[0], *(*[2]float32)(stat)
	for i, v := range y {
		y[i] = expNegative(float32(a.scalars[0]*v)-of[0]) * of[1]
	}
	softmaxGradient(a.scalars[0], y, s[1], s[2])
})

func softmaxGradient(scale float32, y, dy, dx []float32) {
	var along float32
	for i, d := range dy {
		along += y[i] * d
	}
	for i, d := range dy {
		dx[i] = (d - along) * y[i] * scale
	}
}

// Attention is scaled dot product attention of one shape: for each sample and head,
//
//	y = softmax(q·kᵀ/√Width)·v
//
// with queries q [Tokens, Width], keys k and values v [Keys, Width]. The heads of a token lie side by side, and a token of
// q, k and v begins Stride values after the one before: Heads·Width where they are arrays of their own, three times that
// where they are parts of one. An Attention serves one operation at a time.
//
// A task is one head of one sample. It packs the keys and values once and goes over the queries in blocks, whose scores
// stay in the second-level cache; nothing of the size [Tokens, Keys] outlives it. The gradient computes the scores again,
// from the greatest of each query and the inverse of its softmax's sum, which are all that is kept: not one logarithm for
// both, whose rounding would keep the weights from adding up to one, which the gradients of sharp weights cannot bear.
type Attention struct {
	Tokens, Keys, Heads, Width, Stride int

	q, k, v, y, stats, dy, dq, dk, dv []float32
	forward, backward                 func(p *Pool, w *worker, task int)
}

// queryBlock is how many queries are worked on together.
const queryBlock = 48

// scale is what the scores are multiplied with.
func (a *Attention) scale() float32 { return float32(1 / math.Sqrt(float64(a.Width))) }

func (a *Attention) want(op string, samples int) (queries, keys, out int) {
	channels := a.Heads * a.Width
	if a.Tokens < 1 || a.Keys < 1 || a.Heads < 1 || a.Width < 1 || a.Stride < channels || samples < 0 {
		panic("kernel: " + op + ": tokens, keys, heads and width must be at least 1, and a token's stride its heads times their width")
	}
	if samples == 0 {
		return 0, 0, 0
	}
	return (samples*a.Tokens-1)*a.Stride + channels, (samples*a.Keys-1)*a.Stride + channels, samples * a.Tokens * channels
}

// Attention computes y [samples, Tokens, Heads·Width] and stats [samples, Heads, Tokens, 2] for the gradient. q, k and v
// begin at the first head of the first token.
func (p *Pool) Attention(a *Attention, samples int, q, k, v, y, stats []float32) {
	const op = "Attention"
	queries, keys, out := a.want(op, samples)
	wantAtLeast(op, "q", len(q), queries)
	wantAtLeast(op, "k", len(k), keys)
	wantAtLeast(op, "v", len(v), keys)
	want(op, "y", len(y), out)
	want(op, "stats", len(stats), 2*samples*a.Heads*a.Tokens)
	p.begin()
	defer p.end()
	if a.forward == nil {
		a.forward = a.forwardTask
	}
	a.q, a.k, a.v, a.y, a.stats = q, k, v, y, stats
	p.run(samples*a.Heads, a.forward)
	a.forget()
}

// AttentionGradient computes dq, dk and dv, which lie as q, k and v do, from dy and the stats of Attention.
func (p *Pool) AttentionGradient(a *Attention, samples int, q, k, v, stats, dy, dq, dk, dv []float32) {
	const op = "AttentionGradient"
	queries, keys, out := a.want(op, samples)
	wantAtLeast(op, "q", len(q), queries)
	wantAtLeast(op, "k", len(k), keys)
	wantAtLeast(op, "v", len(v), keys)
	want(op, "stats", len(stats), 2*samples*a.Heads*a.Tokens)
	want(op, "dy", len(dy), out)
	wantAtLeast(op, "dq", len(dq), queries)
	wantAtLeast(op, "dk", len(dk), keys)
	wantAtLeast(op, "dv", len(dv), keys)
	p.begin()
	defer p.end()
	if a.backward == nil {
		a.backward = a.backwardTask
	}
	a.q, a.k, a.v, a.stats, a.dy, a.dq, a.dk, a.dv = q, k, v, stats, dy, dq, dk, dv
	p.run(samples*a.Heads, a.backward)
	a.forget()
}

func (a *Attention) forget() {
	a.q, a.k, a.v, a.y, a.stats, a.dy, a.dq, a.dk, a.dv = nil, nil, nil, nil, nil, nil, nil, nil, nil
}

// at gives where a task's queries (and y's tokens), and its keys, begin.
func (a *Attention) at(task int) (query, key, out int) {
	sample, head := task/a.Heads, task%a.Heads*a.Width
	return sample*a.Tokens*a.Stride + head, sample*a.Keys*a.Stride + head, sample*a.Tokens*a.Heads*a.Width + head
}

func (a *Attention) forwardTask(p *Pool, w *worker, task int) {
	query, key, out := a.at(task)
	padded := roundUp(a.Keys)
	keys, values := packedLen(a.Keys, a.Width), packedLen(a.Width, a.Keys)
	w.panel = grow(w.panel, keys+values+queryBlock*padded)
	packedKeys, packedValues, scores := w.panel[:keys], w.panel[keys:keys+values], w.panel[keys+values:]
	p.packColumns(w, a.k[key:], a.Stride, a.Keys, a.Width, packedKeys)
	p.packRows(a.v[key:], a.Stride, a.Keys, a.Width, packedValues)
	for first := 0; first < a.Tokens; first += queryBlock {
		n := min(queryBlock, a.Tokens-first)
		p.multiply(w, n, a.q[query+first*a.Stride:], a.Stride, a.Width, packedKeys, a.Keys, scores, padded)
		r := &w.row
		*r = rowArgs{rows: int64(n), scalars: [3]float32{a.scale()}}
		r.columns(p.set, a.Keys)
		r.stream(0, scores, 0, padded)
		r.stream(1, scores, 0, padded)
		r.stream(2, a.stats, 2*(task*a.Tokens+first), 2)
		p.set.tokens().softmaxRows(r)
		channels := a.Heads * a.Width
		p.multiply(w, n, scores, padded, a.Keys, packedValues, a.Width, a.y[out+first*channels:], channels)
	}
}

// backwardTask computes, for blocks of queries, the weights P = softmax(q·kᵀ·scale) and the scores' gradient
// S = scale·P·(dy·vᵀ − Σ P·dy·vᵀ); then dq = S·k, and adds Pᵀ·dy to dv and Sᵀ·q to dk.
func (a *Attention) backwardTask(p *Pool, w *worker, task int) {
	query, key, out := a.at(task)
	channels := a.Heads * a.Width
	padded, wide := roundUp(a.Keys), roundUp(a.Width)
	columns, rows := packedLen(a.Keys, a.Width), packedLen(a.Width, a.Keys)
	sizes := [...]int{columns, columns, rows, queryBlock * padded, queryBlock * padded, a.Keys * wide, a.Keys * wide}
	var parts [len(sizes)][]float32
	total := 0
	for _, n := range sizes {
		total += n
	}
	w.panel = grow(w.panel, total)
	for i, at := 0, 0; i < len(sizes); i++ {
		parts[i], at = w.panel[at:at+sizes[i]], at+sizes[i]
	}
	packedKeys, packedValues, keyRows, weights, scores, dk, dv := parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]
	p.packColumns(w, a.k[key:], a.Stride, a.Keys, a.Width, packedKeys)
	p.packColumns(w, a.v[key:], a.Stride, a.Keys, a.Width, packedValues)
	p.packRows(a.k[key:], a.Stride, a.Keys, a.Width, keyRows)
	clear(dk)
	clear(dv)
	for first := 0; first < a.Tokens; first += queryBlock {
		n := min(queryBlock, a.Tokens-first)
		q, dy := a.q[query+first*a.Stride:], a.dy[out+first*channels:]
		p.multiply(w, n, q, a.Stride, a.Width, packedKeys, a.Keys, weights, padded)
		p.multiply(w, n, dy, channels, a.Width, packedValues, a.Keys, scores, padded)
		r := &w.row
		*r = rowArgs{rows: int64(n), scalars: [3]float32{a.scale()}}
		r.columns(p.set, a.Keys)
		r.stream(0, weights, 0, padded)
		r.stream(1, scores, 0, padded)
		r.stream(2, scores, 0, padded)
		r.stream(3, a.stats, 2*(task*a.Tokens+first), 2)
		p.set.tokens().attentionGradient(r)
		p.multiply(w, n, scores, padded, a.Keys, keyRows, a.Width, a.dq[query+first*a.Stride:], a.Stride)
		p.addTransposed(w, n, weights, padded, a.Keys, dy, channels, a.Width, dv)
		p.addTransposed(w, n, scores, padded, a.Keys, q, a.Stride, a.Width, dk)
	}
	p.unpackRows(dk, a.Keys, a.Width, a.dk[key:], a.Stride)
	p.unpackRows(dv, a.Keys, a.Width, a.dv[key:], a.Stride)
}

// packedLen is room for a packed matrix of so many outputs and depth.
func packedLen(outputs, depth int) int { return roundUp(outputs) * depth }

// packRows packs x [depth, outputs], whose rows are stride apart, for multiply: panel by panel, [depth, width of the panel].
func (p *Pool) packRows(x []float32, stride, depth, outputs int, packed []float32) {
	for t, at := 0, 0; t*p.set.width < outputs; t++ {
		width := p.set.panel(outputs, t)
		n := min(width, outputs-t*p.set.width)
		for k := range depth {
			row := packed[at : at+width]
			clear(row[copy(row, x[k*stride+t*p.set.width:][:n]):])
			at += width
		}
	}
}

// unpackRows writes y [rows, columns] from sums that lie as packRows lays out.
func (p *Pool) unpackRows(packed []float32, rows, columns int, y []float32, stride int) {
	for t, at := 0, 0; t*p.set.width < columns; t++ {
		width := p.set.panel(columns, t)
		n := min(width, columns-t*p.set.width)
		for k := range rows {
			copy(y[k*stride+t*p.set.width:][:n], packed[at:])
			at += width
		}
	}
}

// packColumns packs the transposed of x [outputs, depth], whose rows are stride apart, for multiply.
func (p *Pool) packColumns(w *worker, x []float32, stride, outputs, depth int, packed []float32) {
	w.places = grow(w.places, depth)
	for t, at := 0, 0; t*p.set.width < outputs; t++ {
		width := p.set.panel(outputs, t)
		n := min(width, outputs-t*p.set.width)
		to := packed[at : at+depth*width]
		for k := range w.places {
			w.places[k] = int32(k * width)
			clear(to[k*width+n : (k+1)*width])
		}
		p.turn(w, x[t*p.set.width*stride:], stride, n, to, w.places)
		at += depth * width
	}
}

// multiply computes y [rows, outputs] = x [rows, depth]·packed. Rows of x and of y are their strides apart.
func (p *Pool) multiply(w *worker, rows int, x []float32, stride, depth int, packed []float32, outputs int, y []float32, yStride int) {
	tallest := p.set.height(1)
	w.table, w.out, w.offsets = grow(w.table, tallest), grow(w.out, tallest), grow(w.offsets, 1)
	w.offsets[0] = 0
	a := &w.product
	*a = productArgs{table: unsafe.Pointer(&w.table[0]), offsets: unsafe.Pointer(&w.offsets[0]), out: unsafe.Pointer(&w.out[0]), taps: 1, depth: int64(depth)}
	for t, at := 0, 0; t*p.set.width < outputs; t++ {
		width := p.set.panel(outputs, t)
		vecs := width / p.set.vec
		height := p.set.height(vecs)
		a.mask = p.set.mask(min(width, outputs-t*p.set.width))
		a.weights = unsafe.Pointer(&packed[at])
		at += depth * width
		tiles := (rows + height - 1) / height
		for i := range tiles {
			r0, r1 := i*rows/tiles, (i+1)*rows/tiles
			for r := r0; r < r1; r++ {
				w.table[r-r0], w.out[r-r0] = unsafe.Pointer(&x[r*stride]), unsafe.Pointer(&y[r*yStride+t*p.set.width])
			}
			p.set.products[vecs][r1-r0](a)
		}
	}
}

// addTransposed adds xᵀ·z to sums, for x [rows, m] and z [rows, columns]; sums [m, columns] lie as packRows lays out.
func (p *Pool) addTransposed(w *worker, rows int, x []float32, stride, m int, z []float32, zStride, columns int, sums []float32) {
	w.pairs = grow(w.pairs, 2*rows)
	for i := range rows {
		w.pairs[2*i], w.pairs[2*i+1] = int32(i*stride), int32(i*zStride)
	}
	a := &w.gradient
	*a = gradientArgs{pairs: unsafe.Pointer(&w.pairs[0]), count: int64(rows)}
	for t, at := 0, 0; t*p.set.width < columns; t++ {
		width := p.set.panel(columns, t)
		tiles := p.set.gradients[width/p.set.vec]
		height := len(tiles) - 1
		a.mask, a.stride = p.set.mask(min(width, columns-t*p.set.width)), int64(width)
		a.dy = unsafe.Pointer(&z[t*p.set.width])
		blocks := (m + height - 1) / height
		for i := range blocks {
			r0, r1 := i*m/blocks, (i+1)*m/blocks
			a.x, a.sum = unsafe.Pointer(&x[r0]), unsafe.Pointer(&sums[at+r0*width])
			tiles[r1-r0](a)
		}
		at += m * width
	}
}
