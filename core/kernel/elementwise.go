package kernel

import "unsafe"

// flatBlock is how many values one task of an element-wise operation takes.
const flatBlock = 1 << 15

// flat runs a row loop over whole slices of n values.
func (p *Pool) flat(loop func(*rowArgs), n int, scalars [3]float32, streams ...[]float32) {
	c := &p.call
	c.n, c.loop, c.scalars = n, loop, scalars
	copy(c.streams[:], streams)
	p.run((n+flatBlock-1)/flatBlock, flatTask)
}

// flatArrays is flat for arrays of either type.
func (p *Pool) flatArrays(loop func(*rowArgs), arrays ...Array) {
	c := &p.call
	c.n, c.loop = arrays[0].n, loop
	copy(c.arrays[:], arrays)
	p.run((c.n+flatBlock-1)/flatBlock, flatTask)
}

func flatTask(p *Pool, w *worker, task int) {
	c := &p.call
	first := task * flatBlock
	a := &w.row
	a.columns(p.set, min(flatBlock, c.n-first))
	a.rows = 1
	a.scalars = c.scalars
	for i, s := range c.streams {
		a.streams[i] = nil
		if s != nil {
			a.stream(i, s, first, 0)
		}
	}
	for i, s := range c.arrays {
		if !s.None() {
			a.array(i, s, first, 0)
		}
	}
	a.params = [4]unsafe.Pointer{}
	c.loop(a)
}

// columnSums adds to sums the columns of rows [first, last) of x, which has so many columns, in blocks short enough for
// float32.
func (p *Pool) columnSums(w *worker, x Array, first, last, cols int, sums []float64) {
	w.sums = grow(w.sums, cols)
	a := &w.row
	*a = rowArgs{}
	a.columns(p.set, cols)
	a.params[0] = unsafe.Pointer(&w.sums[0])
	for r := first; r < last; r += sumRows {
		clear(w.sums)
		a.rows = int64(min(sumRows, last-r))
		a.array(0, x, r*cols, cols)
		p.set.loopsOf(x).columnSum(a)
		for i, v := range w.sums {
			sums[i] += float64(v)
		}
	}
}

// sumRows is how many rows are added in float32 before the sums go to float64.
const sumRows = 128

// rowBlock is how many rows of so many columns one task of a row-wise operation takes.
func rowBlock(cols int) int { return max(1, (1<<16)/max(cols, 1)) }

func (p *Pool) columnSum(rows, cols int, x Array, sum []float32) {
	if rows == 0 || cols == 0 {
		return
	}
	c := &p.call
	c.rows, c.cols, c.arrays[0] = rows, cols, x
	blocks := (rows + rowBlock(cols) - 1) / rowBlock(cols)
	p.sums = grow(p.sums, blocks*cols)
	clear(p.sums)
	p.run(blocks, columnSumTask)
	for i := range sum {
		v := float64(sum[i])
		for b := range blocks {
			v += p.sums[b*cols+i]
		}
		sum[i] = float32(v)
	}
}

func columnSumTask(p *Pool, w *worker, task int) {
	c := &p.call
	block := rowBlock(c.cols)
	p.columnSums(w, c.arrays[0], task*block, min((task+1)*block, c.rows), c.cols, p.sums[task*c.cols:][:c.cols])
}

// Finite tells whether all values are finite.
func (p *Pool) Finite(x []float32) bool {
	p.begin()
	defer p.end()
	p.call.streams[0] = x
	p.broken.Store(false)
	p.run((len(x)+flatBlock-1)/flatBlock, finiteTask)
	return !p.broken.Load()
}

// finiteLanes is how many sums are kept side by side, an odd rest aside.
const finiteLanes = 256

func finiteTask(p *Pool, w *worker, task int) {
	x := p.call.streams[0][task*flatBlock : min((task+1)*flatBlock, len(p.call.streams[0]))]
	w.sums = grow(w.sums, finiteLanes)
	clear(w.sums)
	a := &w.row
	for len(x) > 0 {
		rows, cols := len(x)/finiteLanes, finiteLanes
		if rows == 0 {
			rows, cols = 1, len(x)
		}
		*a = rowArgs{rows: int64(rows)}
		a.columns(p.set, cols)
		a.stream(0, x, 0, cols)
		a.params[0] = unsafe.Pointer(&w.sums[0])
		p.set.loops.defects(a)
		x = x[rows*cols:]
	}
	for _, v := range w.sums {
		if v != 0 { // NaN
			p.broken.Store(true)
		}
	}
}
