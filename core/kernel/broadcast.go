package kernel

import "unsafe"

// Rows is the shape of an operation between x [Groups, Rows, Columns] and one row for each group, [Groups, Columns]: a
// scale of each channel of a sample (a group is a sample), or positions that are the same for every sample (there is one
// group, whose rows are the samples).
type Rows struct{ Groups, Rows, Columns int }

func (n Rows) length() int { return n.Groups * n.Rows * n.Columns }

// AddRows computes y = x + row of the group. y may be x.
func (p *Pool) AddRows(n Rows, x, row, y []float32) {
	wantRows("AddRows", n, x, row, y)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{x, y, row}
	p.call.params = 2
	p.rowsTasks(n, spreadRowsTask)
}

// MultiplyRows computes y = x · row of the group. y may be x.
func (p *Pool) MultiplyRows(n Rows, x, row, y []float32) {
	wantRows("MultiplyRows", n, x, row, y)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{x, y, row}
	p.call.params = 1
	p.rowsTasks(n, spreadRowsTask)
}

// Multiply computes y = a · b. y may be a or b.
func (p *Pool) Multiply(a, b, y []float32) { p.MultiplyRows(Rows{1, 1, len(a)}, a, b, y) }

func wantRows(op string, n Rows, x, row, y []float32) {
	want(op, "x", len(x), n.length())
	want(op, "row", len(row), n.Groups*n.Columns)
	want(op, "y", len(y), n.length())
}

// SumRows computes sum [Groups, Columns] = Σ over the rows of each group of x, or of x·z unless z is nil: the gradient of
// the row of AddRows, or of MultiplyRows. With add, what is in sum is added too.
func (p *Pool) SumRows(n Rows, x, z, sum []float32, add bool) {
	want("SumRows", "x", len(x), n.length())
	wantOptional("SumRows", "z", z, n.length())
	want("SumRows", "sum", len(sum), n.Groups*n.Columns)
	if n.Rows == 0 && !add {
		clear(sum)
	}
	if n.length() == 0 {
		return
	}
	p.begin()
	defer p.end()
	c := &p.call
	c.streams = [5][]float32{x, z, sum}
	if c.params = 0; add {
		c.params = 1
	}
	if blocks := n.blocks(); blocks.rows > 1 {
		p.sums = grow(p.sums, n.Groups*blocks.rows*n.Columns)
		p.rowsTasks(n, sumRowsTask)
		p.run((len(sum)+sumBlock-1)/sumBlock, totalTask)
		return
	}
	p.rowsTasks(n, sumRowsTask)
}

// A task of these operations takes about rowsTask values of one group: rowsColumns columns of many rows, more columns
// where there are few rows. A loop goes over rowsColumns columns at a time, so that their row stays in the first cache.
const (
	rowsTask    = 1 << 16
	rowsColumns = 1 << 10
	sumBlock    = 1 << 12 // sums that a task of their totals takes
)

// rowsBlocks is how a group is split: height rows and width columns to a task.
type rowsBlocks struct{ height, width, rows, columns int }

func (n Rows) blocks() (b rowsBlocks) {
	b.height = max(1, min(n.Rows, rowsTask/min(n.Columns, rowsColumns)))
	b.width = max(1, rowsTask/rowsColumns/b.height) * rowsColumns
	b.rows, b.columns = (n.Rows+b.height-1)/b.height, (n.Columns+b.width-1)/b.width
	return b
}

func (p *Pool) rowsTasks(n Rows, task func(p *Pool, w *worker, task int)) {
	if n.length() == 0 {
		return
	}
	p.call.norm = Norm{n.Groups, n.Rows, n.Columns}
	b := n.blocks()
	p.run(n.Groups*b.rows*b.columns, task)
}

// rowsBlock gives the group of a task, its block of rows, and its rows and columns.
func (c *call) rowsBlock(task int) (n Rows, group, block, r0, r1, c0, c1 int) {
	n = Rows{c.norm.Groups, c.norm.Rows, c.norm.Channels}
	b := n.blocks()
	group, block = task/b.columns/b.rows, task/b.columns%b.rows
	r0, c0 = block*b.height, task%b.columns*b.width
	return n, group, block, r0, min(r0+b.height, n.Rows), c0, min(c0+b.width, n.Columns)
}

var (
	noughts [rowsColumns]float32
	ones    = func() (s [rowsColumns]float32) {
		for i := range s {
			s[i] = 1
		}
		return s
	}()
)

// spreadRowsTask is (x − 0)·1 + row, or (x − 0)·row + 0, where the parameter that the row is has the number c.params.
func spreadRowsTask(p *Pool, w *worker, task int) {
	c := &p.call
	n, group, _, r0, r1, c0, c1 := c.rowsBlock(task)
	a := &w.row
	*a = rowArgs{rows: int64(r1 - r0)}
	a.params = [4]unsafe.Pointer{unsafe.Pointer(&noughts), unsafe.Pointer(&ones), unsafe.Pointer(&noughts)}
	for at := c0; at < c1; at += rowsColumns {
		a.columns(p.set, min(rowsColumns, c1-at))
		a.params[c.params] = unsafe.Pointer(&c.streams[2][group*n.Columns+at])
		from := (group*n.Rows+r0)*n.Columns + at
		a.stream(0, c.streams[0], from, n.Columns)
		a.stream(1, c.streams[1], from, n.Columns)
		p.set.loops.normalise(a)
	}
}

func sumRowsTask(p *Pool, w *worker, task int) {
	c := &p.call
	n, group, block, r0, r1, c0, c1 := c.rowsBlock(task)
	x, z, sum := c.streams[0], c.streams[1], c.streams[2]
	w.wide, w.sums = grow(w.wide, rowsColumns), grow(w.sums, 2*rowsColumns)
	loop, result := p.set.loops.columnSum, w.sums[:rowsColumns]
	if z != nil {
		loop, result = p.set.loops.reduce, w.sums[rowsColumns:]
	}
	a := &w.row
	*a = rowArgs{}
	a.params = [4]unsafe.Pointer{unsafe.Pointer(&w.sums[0]), unsafe.Pointer(&w.sums[rowsColumns]), unsafe.Pointer(&noughts)}
	whole := r0 == 0 && r1 == n.Rows
	for at := c0; at < c1; at += rowsColumns {
		width := min(rowsColumns, c1-at)
		wide := w.wide[:width]
		clear(wide)
		a.columns(p.set, width)
		for r := r0; r < r1; r += sumRows {
			clear(w.sums)
			a.rows = int64(min(sumRows, r1-r))
			from := (group*n.Rows+r)*n.Columns + at
			if a.stream(0, x, from, n.Columns); z != nil {
				a.stream(1, z, from, n.Columns)
			}
			loop(a)
			for i := range wide {
				wide[i] += float64(result[i])
			}
		}
		if !whole {
			copy(p.sums[(group*n.blocks().rows+block)*n.Columns+at:], wide)
			continue
		}
		for i, v := range wide {
			to := &sum[group*n.Columns+at+i]
			if c.params == 1 {
				v += float64(*to)
			}
			*to = float32(v)
		}
	}
}

// totalTask adds up the blocks of rows of some sums.
func totalTask(p *Pool, _ *worker, task int) {
	c := &p.call
	n := Rows{c.norm.Groups, c.norm.Rows, c.norm.Channels}
	blocks, sum := n.blocks().rows, c.streams[2]
	for i := task * sumBlock; i < min((task+1)*sumBlock, len(sum)); i++ {
		var v float64
		if c.params == 1 {
			v = float64(sum[i])
		}
		from := p.sums[i/n.Columns*blocks*n.Columns+i%n.Columns:]
		for b := range blocks {
			v += from[b*n.Columns]
		}
		sum[i] = float32(v)
	}
}
