package kernel

import "fmt"

// Upsampling is the shape of an enlargement of maps [Batch, In…, Channels] to [Batch, In·Scale…, Channels] of rank 1 to 3.
// Nearest repeats each pixel; Linear takes pixels as areas and interpolates between their centres, beyond the outermost
// ones with their values (PyTorch's interpolate with align_corners false).
type Upsampling struct {
	Batch     int
	In, Scale []int // outermost axis first
	Channels  int
	Linear    bool
}

// InLen is the number of values of x.
func (u Upsampling) InLen() int { return u.Batch * product(u.In) * u.Channels }

// OutLen is the number of values of y.
func (u Upsampling) OutLen() int { return u.InLen() * product(u.Scale) }

func (u Upsampling) must() {
	ok := len(u.In) == len(u.Scale) && len(u.In) <= 3 && u.Batch >= 0 && u.Channels > 0
	for i := 0; ok && i < len(u.In); i++ {
		ok = u.In[i] > 0 && u.Scale[i] > 0
	}
	if !ok {
		panic(fmt.Sprintf("kernel: an enlargement of %d axes by %d, batch %d, channels %d makes no sense", len(u.In), len(u.Scale), u.Batch, u.Channels))
	}
}

// Upsample computes y from x. y is overwritten.
func (p *Pool) Upsample(u Upsampling, x, y []float32) {
	u.must()
	want("Upsample", "x", len(x), u.InLen())
	want("Upsample", "y", len(y), u.OutLen())
	p.begin()
	defer p.end()
	v := p.upsampling(&u, x, y)
	p.linesOf(u.Batch*v[0].out*v[1].out, v[2].out*u.Channels, upsampleTask)
}

// UpsampleBackward computes dx from dy. dx is overwritten.
func (p *Pool) UpsampleBackward(u Upsampling, dy, dx []float32) {
	u.must()
	want("UpsampleBackward", "dy", len(dy), u.OutLen())
	want("UpsampleBackward", "dx", len(dx), u.InLen())
	p.begin()
	defer p.end()
	v := p.upsampling(&u, dy, dx)
	p.linesOf(u.Batch*v[0].in*v[1].in, v[2].out*u.Channels, upsampleBackwardTask)
}

// upsampling sets the call: an axis has the scale as its stride, and the volume's pad says whether it is linear.
func (p *Pool) upsampling(u *Upsampling, x, y []float32) *[3]axis {
	c := &p.call
	c.streams = [5][]float32{x, y}
	c.cols = u.Channels
	if u.Linear {
		c.params = 1
	}
	for i := range c.volume {
		c.volume[i] = axis{in: 1, out: 1, stride: 1}
		if k := i - 3 + len(u.In); k >= 0 {
			c.volume[i] = axis{in: u.In[k], out: u.In[k] * u.Scale[k], stride: u.Scale[k]}
		}
	}
	return &c.volume
}

// linesOf runs a job over lines of so many values, several to a task.
func (p *Pool) linesOf(lines, length int, task func(p *Pool, w *worker, task int)) {
	p.call.n, p.call.rows = lines, max(1, flatBlock/length)
	p.run((lines+p.call.rows-1)/p.call.rows, task)
}

// sources gives the two inputs that output i of an axis lies between, and their shares.
func (a *axis) sources(i int, linear bool) (at [2]int, share [2]float64) {
	if !linear {
		return [2]int{i / a.stride, i / a.stride}, [2]float64{1, 0}
	}
	place := max((float64(i)+0.5)/float64(a.stride)-0.5, 0)
	first := int(place)
	second := place - float64(first)
	return [2]int{first, min(first+1, a.in-1)}, [2]float64{1 - second, second}
}

// offsets gives the same for outputs phase, phase + scale, …, counted from the inputs of the same number; at the ends they
// may lie outside, where the nearest input stands for them.
func (a *axis) offsets(phase int, linear bool) (at [2]int, share [2]float64) {
	if !linear {
		return [2]int{}, [2]float64{1, 0}
	}
	place := (float64(phase)+0.5)/float64(a.stride) - 0.5
	if place < 0 {
		return [2]int{-1, 0}, [2]float64{-place, 1 + place}
	}
	return [2]int{0, 1}, [2]float64{1 - place, place}
}

// upsampleTask makes lines of y: each input line that a line lies between, pixel by pixel of the scale.
func upsampleTask(p *Pool, w *worker, task int) {
	c := &p.call
	v := &c.volume
	linear := c.params == 1
	for line := task * c.rows; line < min((task+1)*c.rows, c.n); line++ {
		jy, jz, n := line%v[1].out, line/v[1].out%v[0].out, line/v[1].out/v[0].out
		z, shareZ := v[0].sources(jz, linear)
		y, shareY := v[1].sources(jy, linear)
		for k, iz := range z {
			for l, iy := range y {
				if weight := shareZ[k] * shareY[l]; weight > 0 { // as that of the first always is
					p.interpolate(w, ((n*v[0].in+iz)*v[1].in+iy)*v[2].in, line*v[2].out, weight, k+l == 0, false)
				}
			}
		}
	}
}

// interpolate adds weight times the enlarged input line at pixel small to the output line at pixel large (back: the
// gradients the other way), or writes it where it is the first.
func (p *Pool) interpolate(w *worker, small, large int, weight float64, first, back bool) {
	c := &p.call
	ax := &c.volume[2]
	a := &w.row
	*a = rowArgs{}
	a.columns(p.set, c.cols)
	for phase := range ax.stride {
		offsets, shares := ax.offsets(phase, c.params == 1)
		for tap, offset := range offsets {
			if shares[tap] == 0 {
				continue
			}
			a.scalars[0] = float32(weight * shares[tap])
			loop := p.set.loops.axpy
			if first && tap == 0 {
				loop = p.set.loops.scale
			}
			run := func(j, rows int) { // outputs j…, and their inputs, all of them inside
				i := min(max(j+offset, 0), ax.in-1)
				a.rows = int64(rows)
				if back {
					a.stream(0, c.streams[0], (large+phase+j*ax.stride)*c.cols, ax.stride*c.cols)
					a.stream(1, c.streams[1], (small+i)*c.cols, c.cols)
				} else {
					a.stream(0, c.streams[0], (small+i)*c.cols, c.cols)
					a.stream(1, c.streams[1], (large+phase+j*ax.stride)*c.cols, ax.stride*c.cols)
				}
				loop(a)
			}
			lo, hi := max(0, -offset), ax.in-max(0, offset)
			if lo > 0 {
				run(0, 1)
			}
			if hi > lo {
				run(lo, hi-lo)
			}
			if hi < ax.in {
				run(ax.in-1, 1)
			}
		}
	}
}

// upsampleBackwardTask makes lines of dx whole, of all lines of dy that they went into.
func upsampleBackwardTask(p *Pool, w *worker, task int) {
	c := &p.call
	v := &c.volume
	for line := task * c.rows; line < min((task+1)*c.rows, c.n); line++ {
		iy, iz, n := line%v[1].in, line/v[1].in%v[0].in, line/v[1].in/v[0].in
		small := line * v[2].in
		p.fillRow(&w.row, Float32s(c.streams[1]), small*c.cols, v[2].in*c.cols, 0)
		z0, z1 := v[0].reached(iz, c.params == 1)
		y0, y1 := v[1].reached(iy, c.params == 1)
		for jz := z0; jz < z1; jz++ {
			for jy := y0; jy < y1; jy++ {
				if weight := v[0].share(iz, jz, c.params == 1) * v[1].share(iy, jy, c.params == 1); weight != 0 {
					p.interpolate(w, small, ((n*v[0].out+jz)*v[1].out+jy)*v[2].out, weight, false, true)
				}
			}
		}
	}
}

// reached gives outputs [from, to), among which are all that input i goes into.
func (a *axis) reached(i int, linear bool) (from, to int) {
	if !linear {
		return i * a.stride, (i + 1) * a.stride
	}
	return max((i-1)*a.stride, 0), min((i+2)*a.stride, a.out)
}

// share is the weight of input i in output j.
func (a *axis) share(i, j int, linear bool) float64 {
	at, share := a.sources(j, linear)
	weight := 0.0
	for k, v := range at {
		if v == i {
			weight += share[k]
		}
	}
	return weight
}
