package kernel

// forward sets the sweep's axes for the convolution itself.
func (s *sweep) forward(g *Geometry) {
	s.batch, s.channels, s.outputs, s.taps = g.Batch, g.InC, g.OutC, g.Taps()
	for i, v := range g.volume() {
		a := &s.axes[i]
		*a = sweepAxis{count: v.out, step: v.stride, size: v.in, stride: 1, dest: v.out, kernel: v.kernel,
			run: i == 2 && v.dilation == 1, taps: a.taps[:0]}
		for k := range v.kernel {
			a.taps = append(a.taps, tapRef{k, k*v.dilation - v.pad})
		}
	}
}

// gradient sets the sweep's axes for one phase of the input gradient: destination pixels i = phase + stride·j are reached
// from output pixel j + (phase + pad − dilation·k)/stride by each tap k for which that is whole.
func (s *sweep) gradient(g *Geometry, phase [3]int) {
	s.batch, s.channels, s.outputs, s.taps = g.Batch, g.OutC, g.InC, g.Taps()
	for i, v := range g.volume() {
		a := &s.axes[i]
		*a = sweepAxis{count: (v.in - phase[i] + v.stride - 1) / v.stride, step: 1, size: v.out, start: phase[i], stride: v.stride,
			dest: v.in, kernel: v.kernel, run: i == 2 && v.dilation == 1, taps: a.taps[:0]}
		for place := range v.kernel {
			k := v.kernel - 1 - place // descending taps are ascending pixels
			if i == 2 {
				k = gradientTap(v, place)
			}
			if from := phase[i] + v.pad - v.dilation*k; from%v.stride == 0 {
				index := k
				if i == 2 {
					index = place
				}
				a.taps = append(a.taps, tapRef{index, from / v.stride})
			}
		}
	}
}

// gradientTap gives the tap of the last axis at a place of the weights packed for the input gradient: phase by phase,
// each descending, so that the taps of one phase are one run; all descending where dilation leaves no runs.
func gradientTap(v axis, place int) int {
	if v.dilation != 1 {
		return v.kernel - 1 - place
	}
	for r := range min(v.stride, v.kernel) {
		n := (v.kernel - r + v.stride - 1) / v.stride // taps r, r+stride, …
		if place < n {
			return r + (n-1-place)*v.stride
		}
		place -= n
	}
	panic("kernel: no such tap")
}

func (p *Pool) convForward(g *Geometry, x, packed, bias, y []float32) {
	s := &p.conv
	s.x, s.w, s.bias, s.y = x, packed, bias, y
	s.forward(g)
	p.sweep()
	s.x, s.w, s.bias, s.y = nil, nil, nil, nil
}

func (p *Pool) convInputGradient(g *Geometry, dy, packed, dx []float32) {
	s := &p.conv
	s.x, s.w, s.y = dy, packed, dx
	v := g.volume()
	for z := range min(v[0].stride, v[0].in) {
		for y := range min(v[1].stride, v[1].in) {
			for x := range min(v[2].stride, v[2].in) {
				s.gradient(g, [3]int{z, y, x})
				p.sweep()
			}
		}
	}
	s.x, s.w, s.y = nil, nil, nil
}

// packing is a job of PackForward or PackInputGradient: weights [OutC, InC, taps] to panels [taps, depth, width].
type packing struct {
	w, dst         []float32
	outputs, depth int // of the packed product
	taps           int
	blocks         int  // of the depth
	turned         bool // outputs are InC
	last           axis
}

// packBlock is how many of the depth one packing task takes.
const packBlock = 16

func (p *Pool) pack(g *Geometry, w, dst []float32, turned bool) {
	k := &p.packing
	*k = packing{w: w, dst: dst, outputs: g.OutC, depth: g.InC, taps: g.Taps(), turned: turned, last: g.volume()[2]}
	if turned {
		k.outputs, k.depth = g.InC, g.OutC
	}
	k.blocks = (k.depth + packBlock - 1) / packBlock
	p.run((k.outputs+p.set.width-1)/p.set.width*k.blocks, packTask)
	*k = packing{}
}

func packTask(p *Pool, w *worker, task int) {
	k := &p.packing
	panel := task / k.blocks
	d0 := task % k.blocks * packBlock
	d1 := min(d0+packBlock, k.depth)
	first := panel * p.set.width
	width := p.set.panel(k.outputs, panel)
	n := min(width, k.outputs-first)
	dst := k.dst[first*k.taps*k.depth:]
	if n < width {
		for place := range k.taps {
			for d := d0; d < d1; d++ {
				clear(dst[(place*k.depth+d)*width+n:][:width-n])
			}
		}
	}
	if !k.turned { // rows are outputs, columns (channel, tap)
		w.places = grow(w.places, (d1-d0)*k.taps)
		for i := range w.places {
			w.places[i] = int32((i%k.taps*k.depth + d0 + i/k.taps) * width)
		}
		p.turn(w, k.w[(first*k.depth+d0)*k.taps:], k.depth*k.taps, n, dst, w.places)
		return
	}
	if k.taps == 1 {
		for d := d0; d < d1; d++ {
			copy(dst[d*width:], k.w[d*k.outputs+first:][:n])
		}
		return
	}
	w.places = grow(w.places, k.taps) // rows are channels, columns taps
	for place := range k.taps {
		tap := place - place%k.last.kernel + gradientTap(k.last, place%k.last.kernel)
		w.places[tap] = int32(place * k.depth * width)
	}
	for d := d0; d < d1; d++ {
		p.turn(w, k.w[(d*k.outputs+first)*k.taps:], k.taps, n, dst[d*width:], w.places)
	}
}
