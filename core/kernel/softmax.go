package kernel

import (
	"math"
	"unsafe"
)

// rowTasks runs a job over rows of so many columns, several to a task.
func (p *Pool) rowTasks(rows, cols int, task func(p *Pool, w *worker, task int)) {
	c := &p.call
	c.rows, c.cols = rows, cols
	block := max(1, 4096/max(cols, 1))
	c.n = block
	p.run((rows+block-1)/block, task)
}

// eachRow calls f for the rows of a task.
func (c *call) eachRow(task int, f func(r int)) {
	for r := task * c.n; r < min((task+1)*c.n, c.rows); r++ {
		f(r)
	}
}

// dot is Σ a·b in float64, in four sums.
func dot(a, b []float32) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
		s2 += float64(a[i+2]) * float64(b[i+2])
		s3 += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

func normalizeTask(p *Pool, _ *worker, task int) {
	c := &p.call
	c.eachRow(task, func(r int) {
		x, y := c.streams[0][r*c.cols:(r+1)*c.cols], c.streams[1][r*c.cols:(r+1)*c.cols]
		norm := max(float32(math.Sqrt(dot(x, x))), c.scalars[0])
		c.streams[2][r] = norm
		scale := 1 / norm
		for i, v := range x {
			y[i] = v * scale
		}
	})
}

func normalizeBackwardTask(p *Pool, _ *worker, task int) {
	c := &p.call
	c.eachRow(task, func(r int) {
		y, dy, dx := c.streams[0][r*c.cols:(r+1)*c.cols], c.streams[2][r*c.cols:(r+1)*c.cols], c.streams[3][r*c.cols:(r+1)*c.cols]
		along := float32(dot(y, dy))
		scale := 1 / c.streams[1][r]
		for i, d := range dy {
			dx[i] = (d - y[i]*along) * scale
		}
	})
}

// lanes is how many sums or maxima of a long row are kept side by side.
const lanes = 16

// expBlock is how many values of a row are worked on at a time.
const expBlock = 1024

func logSumExpTask(p *Pool, w *worker, task int) {
	c := &p.call
	w.sums = grow(w.sums, lanes+expBlock)
	side, block := w.sums[:lanes], w.sums[lanes:]
	a := &w.row
	c.eachRow(task, func(r int) {
		x := c.streams[0][r*c.cols : (r+1)*c.cols]
		scale := c.scalars[0]
		top := p.greatest(a, scale, x, side)
		if math.IsInf(float64(top), 0) || top != top {
			c.streams[1][r] = top
			return
		}
		var sum float64
		for len(x) > 0 {
			part := block[:min(len(x), expBlock)]
			*a = rowArgs{rows: 1, scalars: [3]float32{scale, top}}
			a.columns(p.set, len(part))
			a.stream(0, x, 0, 0)
			a.stream(1, part, 0, 0)
			p.set.loops.exp(a)
			clear(side)
			p.fold(a, p.set.loops.columnSum, 1, part, side)
			for _, v := range side {
				sum += float64(v)
			}
			x = x[len(part):]
		}
		c.streams[1][r] = float32(float64(top) + math.Log(sum))
	})
}

func rowMaxTask(p *Pool, w *worker, task int) {
	c := &p.call
	w.sums = grow(w.sums, lanes)
	c.eachRow(task, func(r int) {
		c.streams[1][r] = p.greatest(&w.row, 1, c.streams[0][r*c.cols:(r+1)*c.cols], w.sums)
	})
}

// greatest gives the greatest of scale·x.
func (p *Pool) greatest(a *rowArgs, scale float32, x, side []float32) float32 {
	top := float32(math.Inf(-1))
	for i := range side {
		side[i] = top
	}
	p.fold(a, p.set.loops.columnMax, scale, x, side)
	for _, v := range side {
		top = max(top, v)
	}
	return top
}

// fold runs a loop with one parameter over x as rows of 16 lanes, the last one perhaps shorter.
func (p *Pool) fold(a *rowArgs, loop func(*rowArgs), scale float32, x, side []float32) {
	for _, part := range [2]struct{ from, rows, cols int }{{0, len(x) / lanes, lanes}, {len(x) / lanes * lanes, 1, len(x) % lanes}} {
		if part.rows == 0 || part.cols == 0 {
			continue
		}
		*a = rowArgs{rows: int64(part.rows), scalars: [3]float32{scale}}
		a.columns(p.set, part.cols)
		a.stream(0, x, part.from, lanes)
		a.params[0] = unsafe.Pointer(&side[0])
		loop(a)
	}
}

func softmaxTask(p *Pool, w *worker, task int) {
	c := &p.call
	a := &w.row
	c.eachRow(task, func(r int) {
		*a = rowArgs{rows: 1, scalars: [3]float32{c.scalars[0], c.streams[1][r]}}
		a.columns(p.set, c.cols)
		a.stream(0, c.streams[0], r*c.cols, 0)
		a.stream(1, c.streams[2], r*c.cols, 0)
		p.set.loops.exp(a)
	})
}

// exp is eˣ to about two units in the last place: x = n·ln 2 + r with |r| ≤ ½ ln 2, in two parts, then a polynomial of
// degree seven (Taylor's, whose remainder is below 2⁻²⁷ there) scaled by 2ⁿ. At most −87 it gives 0, above 88 e⁸⁸.
func exp(x float32) float32 {
	if !(x > -87) {
		if x != x {
			return x
		}
		return 0
	}
	x = min(x, 88)
	const magic = 1.5 * (1 << 23) // adding it rounds to a whole number
	n := x*(1/math.Ln2) + magic
	k := int32(math.Float32bits(n)) - int32(math.Float32bits(magic))
	n -= magic
	r := (x - n*0.693145751953125) - n*1.42860682030941723212e-6
	e := 1 + r*(1+r*(1./2+r*(1./6+r*(1./24+r*(1./120+r*(1./720+r*(1./5040)))))))
	return e * math.Float32frombits(uint32(k+127)<<23)
}
