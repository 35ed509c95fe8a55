package kernel

import (
	"math"
	"unsafe"
)

// bits sees int32 values as float32 ones, for the row loops, which only move them.
func bits(s []int32) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// poolTasks runs a job over lines of the last axis, several to a task.
func (p *Pool) poolTasks(g *Geometry, lines, length int, task func(p *Pool, w *worker, task int)) {
	c := &p.call
	c.volume, c.n, c.cols = g.volume(), lines, g.InC
	c.rows = max(1, flatBlock/(length*g.InC)) // lines of a task
	p.run((lines+c.rows-1)/c.rows, task)
}

func (p *Pool) maxPool(g *Geometry, x, y Array, arg []int32) {
	v := g.volume()
	p.call.arrays = [5]Array{x, y, Float32s(bits(arg))}
	p.poolTasks(g, g.Batch*v[0].out*v[1].out, v[2].out, maxPoolTask)
}

// span gives the outputs [from, to) of an axis whose tap k lies inside.
func (a *axis) span(k int) (from, to int) {
	at := k*a.dilation - a.pad // input of output 0
	if at < 0 {
		from = (-at + a.stride - 1) / a.stride
	}
	if at < a.in {
		to = min((a.in-1-at)/a.stride+1, a.out)
	}
	return from, max(from, to)
}

func maxPoolTask(p *Pool, w *worker, task int) {
	c := &p.call
	v := &c.volume
	x, y, arg := c.arrays[0], c.arrays[1], c.arrays[2]
	maximum := p.set.loopsOf(x).maxPool
	a := &w.row
	for line := task * c.rows; line < min((task+1)*c.rows, c.n); line++ {
		jy, jz, n := line%v[1].out, line/v[1].out%v[0].out, line/v[1].out/v[0].out
		to := line * v[2].out * c.cols
		p.fillRow(a, y, to, v[2].out*c.cols, float32(math.Inf(-1)))
		p.fillRow(a, arg, to, v[2].out*c.cols, math.Float32frombits(math.MaxUint32))
		a.columns(p.set, c.cols)
		for kz := range v[0].kernel {
			iz := jz*v[0].stride - v[0].pad + kz*v[0].dilation
			for ky := range v[1].kernel {
				iy := jy*v[1].stride - v[1].pad + ky*v[1].dilation
				if uint(iz) >= uint(v[0].in) || uint(iy) >= uint(v[1].in) {
					continue
				}
				from := ((n*v[0].in+iz)*v[1].in + iy) * v[2].in
				for kx := range v[2].kernel {
					lo, hi := v[2].span(kx)
					if lo == hi {
						continue
					}
					a.rows = int64(hi - lo)
					a.tap = int32((kz*v[1].kernel+ky)*v[2].kernel + kx)
					a.array(0, x, (from+lo*v[2].stride-v[2].pad+kx*v[2].dilation)*c.cols, v[2].stride*c.cols)
					a.array(1, y, to+lo*c.cols, c.cols)
					a.array(2, arg, to+lo*c.cols, c.cols)
					maximum(a)
				}
			}
		}
	}
}

// fillRow sets n values of s to v.
func (p *Pool) fillRow(a *rowArgs, s Array, at, n int, v float32) {
	*a = rowArgs{rows: 1, scalars: [3]float32{v}}
	a.columns(p.set, n)
	a.array(0, s, at, 0)
	p.set.loopsOf(s).fill(a)
}

func (p *Pool) maxPoolBackward(g *Geometry, dy Array, arg []int32, dx Array) {
	v := g.volume()
	p.call.arrays = [5]Array{dy, Float32s(bits(arg)), dx}
	p.poolTasks(g, g.Batch*v[0].in*v[1].in, v[2].in, maxPoolBackwardTask)
}

// maxPoolBackwardTask makes lines of dx whole: it asks every window that covers a pixel whether the pixel was its
// greatest, so that no two tasks write the same place.
func maxPoolBackwardTask(p *Pool, w *worker, task int) {
	c := &p.call
	v := &c.volume
	dy, arg, dx := c.arrays[0], c.arrays[1], c.arrays[2]
	add := p.set.loopsOf(dy).maxPoolBackward
	a := &w.row
	for line := task * c.rows; line < min((task+1)*c.rows, c.n); line++ {
		iy, iz, n := line%v[1].in, line/v[1].in%v[0].in, line/v[1].in/v[0].in
		to := line * v[2].in * c.cols
		p.fillRow(a, dx, to, v[2].in*c.cols, 0)
		a.columns(p.set, c.cols)
		for kz := range v[0].kernel {
			jz, okz := v[0].window(iz, kz)
			for ky := range v[1].kernel {
				jy, oky := v[1].window(iy, ky)
				if !okz || !oky {
					continue
				}
				from := ((n*v[0].out+jz)*v[1].out + jy) * v[2].out
				for kx := range v[2].kernel {
					lo, hi := v[2].span(kx)
					if lo == hi {
						continue
					}
					a.rows = int64(hi - lo)
					a.tap = int32((kz*v[1].kernel+ky)*v[2].kernel + kx)
					a.array(0, dy, (from+lo)*c.cols, c.cols)
					a.array(1, arg, (from+lo)*c.cols, c.cols)
					a.array(2, dx, to+(lo*v[2].stride-v[2].pad+kx*v[2].dilation)*c.cols, v[2].stride*c.cols)
					add(a)
				}
			}
		}
	}
}

// window gives the output whose tap k is input i, if there is one.
func (a *axis) window(i, k int) (int, bool) {
	at := i + a.pad - k*a.dilation
	return at / a.stride, at >= 0 && at%a.stride == 0 && at/a.stride < a.out
}

func (p *Pool) globalAveragePool(batch, pixels, channels int, x, y Array) {
	c := &p.call
	c.n, c.rows, c.cols = batch, pixels, channels
	c.arrays = [5]Array{x, y}
	p.run(batch, averageTask)
}

func averageTask(p *Pool, w *worker, task int) {
	c := &p.call
	w.wide = grow(w.wide, c.cols)
	clear(w.wide)
	p.columnSums(w, c.arrays[0], task*c.rows, (task+1)*c.rows, c.cols, w.wide)
	for i, v := range w.wide {
		c.arrays[1].set(task*c.cols+i, float32(v/float64(c.rows)))
	}
}

func (p *Pool) globalAveragePoolBackward(batch, pixels, channels int, dy, dx Array) {
	c := &p.call
	c.n, c.rows, c.cols = batch, pixels, channels
	c.arrays = [5]Array{dy, dx}
	p.run(batch, averageBackwardTask)
}

func averageBackwardTask(p *Pool, w *worker, task int) {
	c := &p.call
	w.sums = grow(w.sums, c.cols)
	for i := range w.sums {
		w.sums[i] = c.arrays[0].value(task*c.cols+i) / float32(c.rows)
	}
	a := &w.row
	*a = rowArgs{rows: int64(c.rows)}
	a.columns(p.set, c.cols)
	a.params[0] = unsafe.Pointer(&w.sums[0])
	a.array(0, c.arrays[1], task*c.rows*c.cols, c.cols)
	p.set.loopsOf(c.arrays[1]).spread(a)
}
