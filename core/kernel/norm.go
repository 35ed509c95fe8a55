package kernel

import (
	"math"
	"unsafe"
)

// normTasks starts an operation of batch norm: tasks are blocks of rows of one group.
func (p *Pool) normTasks(n Norm, task func(p *Pool, w *worker, task int)) {
	p.run(n.Groups*normBlocks(n), task)
}

// normBlocks is the number of blocks of one group.
func normBlocks(n Norm) int { return (n.Rows + rowBlock(n.Channels) - 1) / rowBlock(n.Channels) }

// normBlock sets the columns of the worker's row loop and gives group and rows of a task.
func (p *Pool) normBlock(w *worker, n Norm, task int) (group, first, last int) {
	group = task / normBlocks(n)
	first = task % normBlocks(n) * rowBlock(n.Channels)
	last = min(first+rowBlock(n.Channels), n.Rows)
	w.row = rowArgs{}
	w.row.columns(p.set, n.Channels)
	return group, group*n.Rows + first, group*n.Rows + last
}

// normSums adds up what a loop with two sums per column makes of the rows of a task, in float64.
func (p *Pool) normSums(w *worker, n Norm, task, first, last int) {
	c := &p.call
	a := &w.row
	w.sums = grow(w.sums, 2*n.Channels)
	a.params[0], a.params[1] = unsafe.Pointer(&w.sums[0]), unsafe.Pointer(&w.sums[n.Channels])
	sums := p.sums[task*2*n.Channels:][:2*n.Channels]
	for r := first; r < last; r += sumRows {
		clear(w.sums)
		a.rows = int64(min(sumRows, last-r))
		for i, s := range c.arrays {
			if !s.None() {
				a.array(i, s, r*n.Channels, n.Channels)
			}
		}
		c.loop(a)
		for i, v := range w.sums {
			sums[i] += float64(v)
		}
	}
}

// normTotal adds up the blocks of group g, channel c.
func (p *Pool) normTotal(n Norm, g, c int) (a, b float64) {
	blocks := normBlocks(n)
	for i := g * blocks; i < (g+1)*blocks; i++ {
		a += p.sums[i*2*n.Channels+c]
		b += p.sums[(i*2+1)*n.Channels+c]
	}
	return a, b
}

func (p *Pool) startSums(n Norm) {
	p.sums = grow(p.sums, n.Groups*normBlocks(n)*2*n.Channels)
	clear(p.sums)
}

// batchNormStatistics sums deviations from the first row of the group and their squares, which loses nothing where the
// mean is far greater than the deviation.
func (p *Pool) batchNormStatistics(n Norm, x Array, mean, variance []float32) {
	c := &p.call
	c.norm, c.loop, c.arrays[0] = n, p.set.loopsOf(x).moments, x
	p.params = grow(p.params, n.Groups*n.Channels)
	for i := range p.params {
		p.params[i] = x.value(i/n.Channels*n.Rows*n.Channels + i%n.Channels)
	}
	p.startSums(n)
	p.normTasks(n, momentsTask)
	for i := range mean {
		g, ch := i/n.Channels, i%n.Channels
		sum, square := p.normTotal(n, g, ch)
		sum, square = sum/float64(n.Rows), square/float64(n.Rows)
		mean[i] = float32(float64(p.params[i]) + sum)
		variance[i] = float32(square - sum*sum)
		if variance[i] < 0 {
			variance[i] = 0
		}
	}
}

func momentsTask(p *Pool, w *worker, task int) {
	n := p.call.norm
	group, first, last := p.normBlock(w, n, task)
	w.row.params[2] = unsafe.Pointer(&p.params[group*n.Channels])
	p.normSums(w, n, task, first, last)
}

// inverse is 1/√(variance+eps).
func inverse(variance, eps float32) float64 { return 1 / math.Sqrt(float64(variance)+float64(eps)) }

func (p *Pool) batchNormApply(n Norm, x Array, mean, variance, gamma, beta []float32, eps float32, residual Array, relu bool, y Array) {
	c, l := &p.call, p.set.loopsOf(x)
	c.norm = n
	c.arrays = [5]Array{x, y, residual}
	switch {
	case !residual.None() && relu:
		c.loop = l.normaliseAddReLU
	case !residual.None():
		c.loop = l.normaliseAdd
	case relu:
		c.loop = l.normaliseReLU
	default:
		c.loop = l.normalise
	}
	c.params = 3
	p.params = grow(p.params, 3*len(mean))
	for i := range mean {
		g, ch := i/n.Channels, i%n.Channels
		at := p.params[g*3*n.Channels+ch:]
		scale, shift := inverse(variance[i], eps), float32(0)
		if gamma != nil {
			scale *= float64(gamma[ch])
		}
		if beta != nil {
			shift = beta[ch]
		}
		at[0], at[n.Channels], at[2*n.Channels] = mean[i], float32(scale), shift
	}
	p.normTasks(n, normRowsTask)
}

// normRowsTask runs the loop on the rows of a task, with the parameters of its group.
func normRowsTask(p *Pool, w *worker, task int) {
	c := &p.call
	group, first, last := p.normBlock(w, c.norm, task)
	a := &w.row
	a.rows = int64(last - first)
	for i := range c.params {
		a.params[i] = unsafe.Pointer(&p.params[(group*c.params+i)*c.norm.Channels])
	}
	for i, s := range c.arrays {
		if !s.None() {
			a.array(i, s, first*c.norm.Channels, c.norm.Channels)
		}
	}
	c.loop(a)
}

func (p *Pool) batchNormReduce(n Norm, dy, x, y Array, mean, variance []float32, eps float32, sumDy, sumDyX []float32) {
	c := &p.call
	c.norm, c.loop = n, p.set.loopsOf(x).reduce
	c.arrays = [5]Array{dy, x, y}
	c.mean = mean
	if !y.None() {
		c.loop = p.set.loopsOf(x).reduceMasked
	}
	p.startSums(n)
	p.normTasks(n, reduceTask)
	for i := range sumDy {
		a, b := p.normTotal(n, i/n.Channels, i%n.Channels)
		sumDy[i], sumDyX[i] = float32(a), float32(b*inverse(variance[i], eps))
	}
}

func reduceTask(p *Pool, w *worker, task int) {
	n := p.call.norm
	group, first, last := p.normBlock(w, n, task)
	w.row.params[2] = unsafe.Pointer(&p.call.mean[group*n.Channels])
	p.normSums(w, n, task, first, last)
}

func (p *Pool) batchNormInputGradient(n Norm, dy, x, y Array, mean, variance, gamma []float32, eps float32, sumDy, sumDyX []float32, dx, dresidual Array) {
	c, l := &p.call, p.set.loopsOf(x)
	c.norm, c.params = n, 4
	p.params = grow(p.params, 4*len(mean))
	rows := float64(n.Rows)
	for i := range mean {
		g, ch := i/n.Channels, i%n.Channels
		at := p.params[g*4*n.Channels+ch:]
		inv := inverse(variance[i], eps)
		scale := inv
		if gamma != nil {
			scale *= float64(gamma[ch])
		}
		at[0], at[n.Channels] = float32(scale), float32(-scale*inv*float64(sumDyX[i])/rows)
		at[2*n.Channels], at[3*n.Channels] = float32(-scale*float64(sumDy[i])/rows), mean[i]
	}
	c.arrays = [5]Array{dy, x, y, dx, dresidual}
	switch {
	case y.None():
		if c.loop = l.inputGradient; !dresidual.None() {
			if dresidual.p != dy.p {
				p.copy(dy, dresidual)
			}
			c.arrays[4] = Array{}
		}
	case dresidual.None():
		c.loop = l.inputGradientMasked
	default:
		c.loop = l.inputGradientResidual
	}
	p.normTasks(n, normRowsTask)
}

// copy copies from one array to another of the same length and type.
func (p *Pool) copy(from, to Array) {
	saved := p.call
	p.call = call{scalars: [3]float32{1}}
	p.flatArrays(p.set.loopsOf(from).scale, from, to)
	p.call = saved
}
