package kernel

import "unsafe"

// moments takes the mean and variance of each output of a product while its tiles are still in registers, for the batch
// norm that follows.
//
// Each task sums, for the outputs and the group of samples that it works on, deviations from a shift and their squares:
// the mean of what it has summed before, so that little is lost to rounding where the mean is far greater than the
// deviation. Every few tiles, and after the first of a group, the sums go to float64, about zero, and are joined in the
// order of tasks: the result depends on the shape and the values alone.
type moments struct {
	norm           Norm
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
	count int  // tiles in w.sums
	rows  int  // of those tiles
	fresh bool // the shift knows nothing of the group yet
}

func (m *moments) begin(p *Pool, w *worker, s *sweep, g group, part, width int) tally {
	if m == nil {
		return tally{}
	}
	size := (g.last - g.first) * width
	w.sums, w.shift = grow(w.sums, 2*size), grow(w.shift, size)
	clear(w.sums)
	clear(w.shift)
	at := 2 * m.norm.Groups * (s.parts*g.first*p.set.width + part*size)
	return tally{on: true, fresh: true, w: w, p: p, s: s, width: width, size: size, at: at}
}

// tile is told of each tile before its sums are taken.
func (t *tally) tile(tile, tiles, rows int) {
	if !t.on {
		return
	}
	group := 0
	if !t.s.byPixel {
		group = tile / (tiles / t.s.moments.norm.Groups)
	}
	if group != t.group {
		t.flush()
		clear(t.w.shift)
		t.group, t.fresh = group, true
	} else if t.count == momentTiles || t.count == 1 && t.fresh {
		t.flush()
		t.fresh = false
	}
	t.count++
	t.rows += rows
}

// sums tells a tile of panel i of the task where its sums go.
func (t *tally) sums(a *productArgs, i int) {
	if t.on {
		a.sums, a.shift = unsafe.Pointer(&t.w.sums[2*i*t.width]), unsafe.Pointer(&t.w.shift[i*t.width])
	}
}

// flush adds the sums to those in float64, about zero, and sets the shift to their mean.
func (t *tally) flush() {
	if t.count == 0 {
		return
	}
	all, n := t.p.sums[t.at+2*t.group*t.size:][:2*t.size], float64(t.rows)
	for i := 0; i < t.size; i += t.width {
		shift, sums, squares := t.w.shift[i:i+t.width], t.w.sums[2*i:2*i+t.width], t.w.sums[2*i+t.width:2*(i+t.width)]
		for j, v := range shift {
			c, sum := float64(v), float64(sums[j])
			all[2*i+j] += sum + n*c
			all[2*i+t.width+j] += float64(squares[j]) + c*(2*sum+n*c)
			shift[j] = float32(c + sum/n)
		}
	}
	clear(t.w.sums)
	t.count, t.rows = 0, 0
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
				m.mean[i] = float32(sum)
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
