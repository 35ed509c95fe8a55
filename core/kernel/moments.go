package kernel

import "unsafe"

// moments takes the mean and variance of each output of a product while its tiles are still in registers, for the batch
// norm that follows.
//
// Each task sums, for the outputs and the group of samples that it works on, deviations from a shift and their squares.
// The shift is a guess of the mean, the running one, so that little is lost to rounding where the mean is far greater than
// the deviation. Sums go to float64 every few tiles and are joined in the order of tasks: the result depends on the shape
// alone.
type moments struct {
	norm           Norm
	shift          []float32 // [Channels]
	mean, variance []float32 // [Groups, Channels]
}

// momentTiles is how many tiles are summed in float32 before the sums go to float64.
const momentTiles = 24

// start takes room for the sums: [panel group][part][norm group][2][outputs of the panel group].
func (m *moments) start(p *Pool, s *sweep) {
	n := s.parts * m.norm.Groups * 2 * roundUp(s.outputs)
	p.sums = grow(p.sums, n)
	clear(p.sums)
}

// tally is what one task sums.
type tally struct {
	on    bool
	w     *worker
	p     *Pool
	s     *sweep
	width int
	size  int // sums of one kind: outputs of the task, in whole panels
	at    int // of the task's sums in p.sums
	group int
	count int // tiles in w.sums
}

func (m *moments) begin(p *Pool, w *worker, s *sweep, g group, part, width int) tally {
	if m == nil {
		return tally{}
	}
	size := (g.last - g.first) * width
	w.sums = grow(w.sums, 2*size)
	clear(w.sums)
	w.shift = grow(w.shift, size)
	first := g.first * p.set.width
	n := copy(w.shift, m.shift[first:min(first+size, s.outputs)])
	clear(w.shift[n:])
	return tally{on: true, w: w, p: p, s: s, width: width, size: size, at: 2 * m.norm.Groups * (s.parts*first + part*size)}
}

// tile is told of each tile before its sums are taken.
func (t *tally) tile(tile, tiles int) {
	if !t.on {
		return
	}
	group := 0
	if !t.s.byPixel {
		group = tile / (tiles / t.s.moments.norm.Groups)
	}
	if t.count == momentTiles || group != t.group {
		t.flush()
	}
	t.group = group
	t.count++
}

// sums tells a tile of panel i of the task where its sums go.
func (t *tally) sums(a *productArgs, i int) {
	if t.on {
		a.sums, a.shift = unsafe.Pointer(&t.w.sums[2*i*t.width]), unsafe.Pointer(&t.w.shift[i*t.width])
	}
}

func (t *tally) flush() {
	sums := t.p.sums[t.at+2*t.group*t.size:][:2*t.size]
	for i, v := range t.w.sums {
		sums[i] += float64(v)
	}
	clear(t.w.sums)
	t.count = 0
}

func (t *tally) end() {
	if t.on {
		t.flush()
	}
}

// finish joins the sums of all parts.
func (m *moments) finish(p *Pool, s *sweep) {
	n := float64(m.norm.Rows)
	for _, g := range s.groups {
		width := p.set.panel(s.outputs, g.first)
		first, size := g.first*p.set.width, (g.last-g.first)*width
		for group := range m.norm.Groups {
			for j := range min(size, s.outputs-first) {
				var sum, square float64
				for part := range s.parts {
					at := 2*m.norm.Groups*(s.parts*first+part*size) + 2*group*size + j/width*2*width + j%width
					sum += p.sums[at]
					square += p.sums[at+width]
				}
				sum, square = sum/n, square/n
				i := group*m.norm.Channels + first + j
				m.mean[i] = float32(float64(m.shift[first+j]) + sum)
				m.variance[i] = max(float32(square-sum*sum), 0)
			}
		}
	}
}

// momentsFit tells whether tiles keep enough rows when they keep within groups of samples; else moments are taken from y.
func momentsFit(g *Geometry, n Norm) bool {
	if n.Groups <= 1 {
		return true
	}
	each := g.Batch / n.Groups
	return g.Batch >= 6 && each >= 5*((each+5)/6)
}
