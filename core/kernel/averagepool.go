package kernel

// AveragePool computes y [Batch, Out…, OutC], the means over the windows of x [Batch, In…, InC], where padding counts as
// zeros. InC must be OutC, padding at most half the window.
func (p *Pool) AveragePool(g Geometry, x, y []float32) {
	wantPool("AveragePool", g)
	want("AveragePool", "x", len(x), g.InLen())
	want("AveragePool", "y", len(y), g.OutLen())
	p.begin()
	defer p.end()
	v := g.volume()
	p.call.streams = [5][]float32{x, y}
	p.call.scalars[0] = 1 / float32(g.Taps())
	p.poolTasks(&g, g.Batch*v[0].out*v[1].out, v[2].out, averagePoolTask)
}

// AveragePoolBackward computes dx from dy. dx is overwritten.
func (p *Pool) AveragePoolBackward(g Geometry, dy, dx []float32) {
	wantPool("AveragePoolBackward", g)
	want("AveragePoolBackward", "dy", len(dy), g.OutLen())
	want("AveragePoolBackward", "dx", len(dx), g.InLen())
	p.begin()
	defer p.end()
	v := g.volume()
	p.call.streams = [5][]float32{dy, dx}
	p.call.scalars[0] = 1 / float32(g.Taps())
	p.poolTasks(&g, g.Batch*v[0].in*v[1].in, v[2].in, averagePoolBackwardTask)
}

func averagePoolTask(p *Pool, w *worker, task int) {
	c := &p.call
	v := &c.volume
	x, y := c.streams[0], c.streams[1]
	a := &w.row
	for line := task * c.rows; line < min((task+1)*c.rows, c.n); line++ {
		jy, jz, n := line%v[1].out, line/v[1].out%v[0].out, line/v[1].out/v[0].out
		to := line * v[2].out * c.cols
		p.fillRow(a, Float32s(y), to, v[2].out*c.cols, 0)
		a.columns(p.set, c.cols)
		a.scalars[0] = c.scalars[0]
		for kz := range v[0].kernel {
			iz := jz*v[0].stride - v[0].pad + kz*v[0].dilation
			for ky := range v[1].kernel {
				iy := jy*v[1].stride - v[1].pad + ky*v[1].dilation
				if uint(iz) >= uint(v[0].in) || uint(iy) >= uint(v[1].in) {
					continue
				}
				from := ((n*v[0].in+iz)*v[1].in + iy) * v[2].in
				for kx := range v[2].kernel {
					lo, hi := v[2].span(kx)
					if lo == hi {
						continue
					}
					a.rows = int64(hi - lo)
					a.stream(0, x, (from+lo*v[2].stride-v[2].pad+kx*v[2].dilation)*c.cols, v[2].stride*c.cols)
					a.stream(1, y, to+lo*c.cols, c.cols)
					p.set.loops.axpy(a)
				}
			}
		}
	}
}

// averagePoolBackwardTask makes lines of dx whole, as maxPoolBackwardTask does.
func averagePoolBackwardTask(p *Pool, w *worker, task int) {
	c := &p.call
	v := &c.volume
	dy, dx := c.streams[0], c.streams[1]
	a := &w.row
	for line := task * c.rows; line < min((task+1)*c.rows, c.n); line++ {
		iy, iz, n := line%v[1].in, line/v[1].in%v[0].in, line/v[1].in/v[0].in
		to := line * v[2].in * c.cols
		p.fillRow(a, Float32s(dx), to, v[2].in*c.cols, 0)
		a.columns(p.set, c.cols)
		a.scalars[0] = c.scalars[0]
		for kz := range v[0].kernel {
			jz, okz := v[0].window(iz, kz)
			for ky := range v[1].kernel {
				jy, oky := v[1].window(iy, ky)
				if !okz || !oky {
					continue
				}
				from := ((n*v[0].out+jz)*v[1].out + jy) * v[2].out
				for kx := range v[2].kernel {
					lo, hi := v[2].span(kx)
					if lo == hi {
						continue
					}
					a.rows = int64(hi - lo)
					a.stream(0, dy, (from+lo)*c.cols, c.cols)
					a.stream(1, dx, to+(lo*v[2].stride-v[2].pad+kx*v[2].dilation)*c.cols, v[2].stride*c.cols)
					p.set.loops.axpy(a)
				}
			}
		}
	}
}
