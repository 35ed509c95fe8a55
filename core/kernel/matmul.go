package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// matrix is the right-hand side of a matrix product, packed panel by panel as the sweep goes.
type matrix struct {
	b     []float32
	k, n  int
	turns bool // b is [n, k]
}

// pack lays columns [first, first+n) of rows [k0, k1) out as [k1−k0, width].
func (m *matrix) pack(p *Pool, w *worker, dst []float32, first, n, width, k0, k1 int) {
	if !m.turns {
		for k := k0; k < k1; k++ {
			row := dst[(k-k0)*width:][:width]
			copy(row, m.b[k*m.n+first:][:n])
			clear(row[n:])
		}
		return
	}
	w.places = grow(w.places, k1-k0)
	for k := range w.places {
		w.places[k] = int32(k * width)
		clear(dst[k*width+n : (k+1)*width])
	}
	p.turn(w, m.b[first*m.k+k0:], m.k, n, dst, w.places)
}

func (p *Pool) matMul(m, n, k int, a, b []float32, turns bool, c []float32) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		clear(c)
		return
	}
	s := &p.conv
	g := Geometry{Batch: m, InC: k, OutC: n}
	s.x, s.y, s.matrix = Float32s(a), Float32s(c), matrix{b, k, n, turns}
	s.forward(&g)
	p.sweep()
	s.forget()
	s.matrix = matrix{}
}

// transposed is the product aᵀ·b, which walks both down their rows.
type transposed struct {
	a, b, c []float32
	m, n, k int
	parts   int
}

// transposedBlock is how many rows of the sum one task of aᵀ·b makes.
const transposedBlock = 48

func (p *Pool) matMulTN(m, n, k int, a, b, c []float32) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		clear(c)
		return
	}
	if gradientPixels*max(m, n) > math.MaxInt32 { // offsets are 32 bits wide
		panic(fmt.Sprintf("kernel: MatMulTN: a result of %d × %d is too wide", m, n))
	}
	p.turned = transposed{a, b, c, m, n, k, (m + transposedBlock - 1) / transposedBlock}
	p.run((n+p.set.width-1)/p.set.width*p.turned.parts, transposedTask)
	p.turned = transposed{}
}

func transposedTask(p *Pool, w *worker, task int) {
	t := &p.turned
	panel := task / t.parts
	first := panel * p.set.width
	width := p.set.panel(t.n, panel)
	n := min(width, t.n-first)
	i0, i1 := task%t.parts*t.m/t.parts, (task%t.parts+1)*t.m/t.parts
	w.panel = grow(w.panel, (i1-i0)*width)
	clear(w.panel)
	w.rows = grow(w.rows, gradientPixels*gradientChannels)
	g := &w.gradient
	w.soon = soon{}
	*g = gradientArgs{mask: p.set.mask(n), stride: int64(width)}
	for k := 0; k < t.k; k += gradientPixels {
		count := min(gradientPixels, t.k-k)
		w.pairs, w.side = grow(w.pairs, 2*count+ahead)[:2*count], grow(w.side, 2*count)
		for l := range count {
			w.pairs[2*l], w.pairs[2*l+1] = int32(l*t.m), 0
			w.side[2*l], w.side[2*l+1] = int32(l*gradientChannels), int32(l*t.n)
		}
		g.dy = unsafe.Pointer(&t.b[k*t.n+first])
		for i := i0; i < i1; i += gradientChannels {
			rows := min(gradientChannels, i1-i)
			p.sideBySide(w, Float32s(t.a).at(k*t.m+i), rows, w.pairs, false)
			p.gradientTiles(w, w.side, rows, width, w.panel[(i-i0)*width:], false)
		}
	}
	for i := i0; i < i1; i++ {
		copy(t.c[i*t.n+first:][:n], w.panel[(i-i0)*width:])
	}
}
