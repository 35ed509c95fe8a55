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

// convForward computes a convolution, with its moments if they are wanted and fit.
func (p *Pool) convForward(g *Geometry, f *Forward, fit bool) {
	s := &p.conv
	s.x, s.w, s.bias, s.y, s.addend, s.relu = f.X, f.Packed, f.Bias, f.Y, f.Addend, f.ReLU
	if m := &f.Moments; fit && m.Norm.Groups > 0 {
		p.moments = moments{norm: m.Norm, mean: m.Mean, variance: m.Variance}
		s.moments = &p.moments
	}
	s.forward(g)
	p.sweep()
	s.forget()
}

// forget lets go of the caller's memory.
func (s *sweep) forget() {
	s.x, s.w, s.bias, s.y, s.addend, s.relu, s.moments = Array{}, Array{}, nil, Array{}, Array{}, false, nil
}

func (p *Pool) convInputGradient(g *Geometry, b Backward) {
	s := &p.conv
	s.x, s.w, s.y, s.addend = b.Dy, b.Packed, b.Dx, b.Addend
	v := g.volume()
	for z := range min(v[0].stride, v[0].in) {
		for y := range min(v[1].stride, v[1].in) {
			for x := range min(v[2].stride, v[2].in) {
				s.gradient(g, [3]int{z, y, x})
				p.sweep()
			}
		}
	}
	s.forget()
}
