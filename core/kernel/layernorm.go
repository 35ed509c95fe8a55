package kernel

import (
	"math"
	"unsafe"
)

// LayerNorm computes y = γ·(x−mean)/√(variance+eps) + β with the mean and biased variance of each row of x [rows, cols].
// gamma and beta [cols] may be nil. stats [rows, 2] receives mean and 1/√(variance+eps) for the gradient. y may be x.
func (p *Pool) LayerNorm(rows, cols int, x, gamma, beta []float32, eps float32, y, stats []float32) {
	const op = "LayerNorm"
	want(op, "x", len(x), rows*cols)
	want(op, "y", len(y), rows*cols)
	want(op, "stats", len(stats), 2*rows)
	wantOptional(op, "gamma", gamma, cols)
	wantOptional(op, "beta", beta, cols)
	if rows == 0 || cols == 0 {
		return
	}
	p.begin()
	defer p.end()
	c := &p.call
	c.rows, c.cols, c.scalars[0] = rows, cols, eps
	c.streams = [5][]float32{x, y, gamma, beta, stats}
	p.run((rows+rowBlock(cols)-1)/rowBlock(cols), layerNormTask)
}

// plain gives gamma and beta, or ones and zeros where they are nil, and so many columns of zeros.
func (w *worker) plain(gamma, beta []float32, cols, zeros int) (g, b, z []float32) {
	w.sums = grow(w.sums, (2+zeros)*cols)
	g, b, z = gamma, beta, w.sums[2*cols:]
	if gamma == nil {
		g = w.sums[:cols]
		for i := range g {
			g[i] = 1
		}
	}
	if beta == nil {
		b = w.sums[cols : 2*cols]
		clear(b)
	}
	clear(z)
	return g, b, z
}

func layerNormTask(p *Pool, w *worker, task int) {
	c := &p.call
	first := task * rowBlock(c.cols)
	gamma, beta, _ := w.plain(c.streams[2], c.streams[3], c.cols, 0)
	a := &w.row
	*a = rowArgs{rows: int64(min(rowBlock(c.cols), c.rows-first)), scalars: [3]float32{1 / float32(c.cols), c.scalars[0]}}
	a.columns(p.set, c.cols)
	a.stream(0, c.streams[0], first*c.cols, c.cols)
	a.stream(1, c.streams[1], first*c.cols, c.cols)
	a.stream(2, c.streams[4], 2*first, 2)
	a.params[0], a.params[1] = unsafe.Pointer(&gamma[0]), unsafe.Pointer(&beta[0])
	p.set.tokens().layerNorm(a)
}

// LayerNormGradient computes dx = (g − mean(g) − x̂·mean(g·x̂))/√(variance+eps) with g = γ·dy and x̂ = (x−mean)/√(variance+eps),
// from the stats of LayerNorm; gamma may be nil. dgamma and dbeta [cols], of which both may be nil, receive Σ dy·x̂ and Σ dy
// over the rows. dx may be dy.
func (p *Pool) LayerNormGradient(rows, cols int, x, stats, gamma, dy, dx, dgamma, dbeta []float32) {
	const op = "LayerNormGradient"
	want(op, "x", len(x), rows*cols)
	want(op, "stats", len(stats), 2*rows)
	wantOptional(op, "gamma", gamma, cols)
	want(op, "dy", len(dy), rows*cols)
	want(op, "dx", len(dx), rows*cols)
	if dgamma != nil || dbeta != nil {
		want(op, "dgamma", len(dgamma), cols)
		want(op, "dbeta", len(dbeta), cols)
	}
	p.begin()
	defer p.end()
	blocks := (rows + rowBlock(cols) - 1) / rowBlock(cols)
	if rows > 0 && cols > 0 {
		c := &p.call
		c.rows, c.cols = rows, cols
		c.streams = [5][]float32{x, stats, gamma, dy, dx}
		p.sums = grow(p.sums, blocks*2*cols)
		clear(p.sums)
		p.run(blocks, layerNormGradientTask)
	}
	for i := range dgamma {
		var g, b float64
		for t := range blocks {
			g += p.sums[2*t*cols+i]
			b += p.sums[(2*t+1)*cols+i]
		}
		dgamma[i], dbeta[i] = float32(g), float32(b)
	}
}

func layerNormGradientTask(p *Pool, w *worker, task int) {
	c := &p.call
	first := task * rowBlock(c.cols)
	last := min(first+rowBlock(c.cols), c.rows)
	gamma, _, side := w.plain(c.streams[2], nil, c.cols, 2)
	sums := p.sums[2*task*c.cols:][:2*c.cols]
	a := &w.row
	*a = rowArgs{scalars: [3]float32{1 / float32(c.cols)}}
	a.columns(p.set, c.cols)
	a.params[0], a.params[1], a.params[2] = unsafe.Pointer(&gamma[0]), unsafe.Pointer(&side[0]), unsafe.Pointer(&side[c.cols])
	for r := first; r < last; r += sumRows {
		a.rows = int64(min(sumRows, last-r))
		a.stream(0, c.streams[0], r*c.cols, c.cols)
		a.stream(1, c.streams[3], r*c.cols, c.cols)
		a.stream(2, c.streams[4], r*c.cols, c.cols)
		a.stream(3, c.streams[1], 2*r, 2)
		p.set.tokens().layerNormGradient(a)
		for i, v := range side {
			sums[i] += float64(v)
		}
		clear(side)
	}
}

// layerNormPortable writes s1 = (s0−m)·i·p0 + p1 and (m, i) to s2, for the mean m and i = 1/√(variance+k1) of s0; k0 is
// 1/columns. A second pass gives the variance and what is left of the mean.
var layerNormPortable = statLoop(2, func(a *rowArgs, s *[5][]float32, p *[4][]float32, stat unsafe.Pointer) {
	x, y, gamma, beta := s[0], s[1], p[0], p[1]
	var sum, square float32
	for _, v := range x {
		sum += v
	}
	mean := sum * a.scalars[0]
	sum = 0
	for _, v := range x {
		d := v - mean
		sum += d
		square += d * d
	}
	sum *= a.scalars[0]
	mean += sum
	variance := notNegative(square*a.scalars[0] - sum*sum)
	inverse := float32(1 / math.Sqrt(float64(variance+a.scalars[1])))
	for i, v := range x {
		y[i] = (v-mean)*inverse*gamma[i] + beta[i]
	}
	*(*[2]float32)(stat) = [2]float32{mean, inverse}
})

// layerNormGradientPortable writes s2 = i·(g − mean(g) − u·mean(g·u)) for s0 normalised, u = (s0−m)·i with (m, i) from s3,
// and g = p0·s1; it adds s1·u to p1 and s1 to p2. k0 is 1/columns.
var layerNormGradientPortable = statLoop(3, func(a *rowArgs, s *[5][]float32, p *[4][]float32, stat unsafe.Pointer) {
	x, dy, dx, gamma, dgamma, dbeta := s[0], s[1], s[2], p[0], p[1], p[2]
	mean, inverse := (*[2]float32)(stat)[0], (*[2]float32)(stat)[1]
	var sum, along float32
	for i, d := range dy {
		u := (x[i] - mean) * inverse
		dgamma[i] += d * u
		dbeta[i] += d
		sum += d * gamma[i]
		along += d * gamma[i] * u
	}
	sum, along = sum*a.scalars[0], along*a.scalars[0]
	for i, d := range dy {
		dx[i] = (d*gamma[i] - sum - (x[i]-mean)*inverse*along) * inverse
	}
})
