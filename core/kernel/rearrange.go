package kernel

import "unsafe"

// Operations that move values: they are bits to them, so that indices may be moved, too.

// CopyRows copies rows of width values: row r lies at from[r·fromStride:] and goes to to[r·toStride:]. With a stride of 0
// it is the same row every time.
func (p *Pool) CopyRows(rows, width int, from []float32, fromStride int, to []float32, toStride int) {
	if rows == 0 || width == 0 {
		return
	}
	wantAtLeast("CopyRows", "from", len(from), (rows-1)*fromStride+width)
	wantAtLeast("CopyRows", "to", len(to), (rows-1)*toStride+width)
	p.begin()
	defer p.end()
	p.call.volume[0] = axis{in: width, stride: fromStride, out: toStride}
	p.moveTasks(rows, width, copyRowsTask, from, to)
}

func copyRowsTask(p *Pool, _ *worker, task int) {
	c := &p.call
	v, from, to := c.volume[0], c.streams[0], c.streams[1]
	for r := task * c.n; r < min((task+1)*c.n, c.rows); r++ {
		copy(to[r*v.out:][:v.in], from[r*v.stride:])
	}
}

// PadRows computes y [rows, cols], which is zero but for the columns from at on, which are those of x [rows, width].
func (p *Pool) PadRows(rows, width, at, cols int, x, y []float32) {
	want("PadRows", "x", len(x), rows*width)
	want("PadRows", "y", len(y), rows*cols)
	if at < 0 || at+width > cols {
		panic("kernel: PadRows: x does not fit into y")
	}
	p.begin()
	defer p.end()
	p.call.volume[0] = axis{in: width, pad: at, out: cols}
	p.moveTasks(rows, cols, padRowsTask, x, y)
}

func padRowsTask(p *Pool, _ *worker, task int) {
	c := &p.call
	v, x, y := c.volume[0], c.streams[0], c.streams[1]
	for r := task * c.n; r < min((task+1)*c.n, c.rows); r++ {
		row := y[r*v.out:][:v.out]
		clear(row[:v.pad])
		copy(row[v.pad:], x[r*v.in:][:v.in])
		clear(row[v.pad+v.in:])
	}
}

// moveTasks starts an operation on rows of which each moves so many values, several to a task.
func (p *Pool) moveTasks(rows, values int, task func(p *Pool, w *worker, task int), streams ...[]float32) {
	c := &p.call
	copy(c.streams[:], streams)
	c.rows, c.n = rows, max(1, flatBlock/max(values, 1))
	p.run((rows+c.n-1)/c.n, task)
}

// Picks is a choice of tokens in each sample: Picked of Tokens, all of so many Channels. The indices that go with it,
// [Samples, Picked], must differ within a sample and lie in [0, Tokens).
type Picks struct{ Samples, Picked, Tokens, Channels int }

// GatherTokens computes y [Samples, Picked, Channels], whose row i is row indices[i] of x [Samples, Tokens, Channels].
func (p *Pool) GatherTokens(n Picks, x []float32, indices []int32, y []float32) {
	n.want("GatherTokens", indices, y, x)
	p.begin()
	defer p.end()
	p.pickTasks(n, gatherTask, x, bits(indices), y)
}

// ScatterTokens computes x [Samples, Tokens, Channels], whose row indices[i] is row i of y [Samples, Picked, Channels],
// and the filling where no index points: [Channels] for all samples, [Samples, Channels] for each one, nil for zeros.
func (p *Pool) ScatterTokens(n Picks, y []float32, indices []int32, filling, x []float32) {
	n.want("ScatterTokens", indices, y, x)
	if filling != nil && len(filling) != n.Channels {
		want("ScatterTokens", "filling", len(filling), n.Samples*n.Channels)
	}
	p.begin()
	defer p.end()
	p.pickTasks(n, scatterTask, y, bits(indices), filling, x)
}

// SumRest computes sum = Σ over the rows of x [Samples, Tokens, Channels] to which no index points: [Samples, Channels],
// or over the samples, too, and then added to what is in sum [Channels].
func (p *Pool) SumRest(n Picks, x []float32, indices []int32, sum []float32, samples bool) {
	want("SumRest", "x", len(x), n.Samples*n.Tokens*n.Channels)
	want("SumRest", "indices", len(indices), n.Samples*n.Picked)
	if samples {
		want("SumRest", "sum", len(sum), n.Channels)
	} else {
		want("SumRest", "sum", len(sum), n.Samples*n.Channels)
	}
	p.begin()
	defer p.end()
	p.sums = grow(p.sums, n.Samples*n.Channels)
	clear(p.sums)
	p.pickTasks(n, sumRestTask, x, bits(indices))
	for i := range sum {
		if !samples {
			sum[i] = float32(p.sums[i])
			continue
		}
		v := float64(sum[i])
		for s := range n.Samples {
			v += p.sums[s*n.Channels+i]
		}
		sum[i] = float32(v)
	}
}

func (n Picks) want(op string, indices []int32, picked, all []float32) {
	want(op, "the picked tokens", len(picked), n.Samples*n.Picked*n.Channels)
	want(op, "all tokens", len(all), n.Samples*n.Tokens*n.Channels)
	want(op, "indices", len(indices), n.Samples*n.Picked)
}

// pickTasks runs a job over samples.
func (p *Pool) pickTasks(n Picks, task func(p *Pool, w *worker, task int), streams ...[]float32) {
	c := &p.call
	copy(c.streams[:], streams)
	c.volume[0], c.cols = axis{in: n.Tokens, out: n.Picked}, n.Channels
	p.run(n.Samples, task)
}

// picks gives the indices of a sample.
func (c *call) picks(sample int) []int32 {
	k := c.volume[0].out
	return words(c.streams[1])[sample*k:][:k]
}

func gatherTask(p *Pool, _ *worker, task int) {
	c := &p.call
	x := c.streams[0][task*c.volume[0].in*c.cols:][:c.volume[0].in*c.cols]
	y := c.streams[2][task*c.volume[0].out*c.cols:]
	for i, t := range c.picks(task) {
		copy(y[i*c.cols:][:c.cols], x[int(t)*c.cols:][:c.cols])
	}
}

// turnedPicks gives, for each token of a sample, one more than the place of the index that points to it, or 0.
func (c *call) turnedPicks(w *worker, sample int) []int32 {
	w.places = grow(w.places, c.volume[0].in)
	clear(w.places)
	for i, t := range c.picks(sample) {
		w.places[t] = int32(i) + 1
	}
	return w.places
}

func scatterTask(p *Pool, w *worker, task int) {
	c := &p.call
	y, filling := c.streams[0][task*c.volume[0].out*c.cols:], c.streams[2]
	x := c.streams[3][task*c.volume[0].in*c.cols:]
	if len(filling) > c.cols {
		filling = filling[task*c.cols:]
	}
	for t, i := range c.turnedPicks(w, task) {
		row := x[t*c.cols:][:c.cols]
		switch {
		case i > 0:
			copy(row, y[int(i-1)*c.cols:])
		case filling != nil:
			copy(row, filling)
		default:
			clear(row)
		}
	}
}

// sumRestTask adds up the rows between the picked ones, run by run.
func sumRestTask(p *Pool, w *worker, task int) {
	c := &p.call
	first, n := task*c.volume[0].in, c.volume[0].in
	sum := p.sums[task*c.cols:][:c.cols]
	turned := c.turnedPicks(w, task)
	for t := 0; t < n; {
		end := t
		for end < n && turned[end] == 0 {
			end++
		}
		if end > t {
			p.columnSums(w, Float32s(c.streams[0]), first+t, first+end, c.cols, sum)
		}
		t = end + 1
	}
}

// words sees float32 values as the int32 ones that they hold.
func words(s []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}
