package kernel

// Frame copies x [Batch, In…, Channels] into y [Batch, In + 2·Pad…, Padded].
func (p *Pool) Frame(f Frame, x, y []float32) {
	g := Geometry{In: f.In, Kernel: f.In, Pad: f.Pad} // only for its axes
	g.Out = f.In
	v := g.volume()
	in, out := f.Channels, f.Padded
	for _, a := range v {
		in, out = in*a.in, out*(a.in+2*a.pad)
	}
	want("Frame", "x", len(x), f.Batch*in)
	want("Frame", "y", len(y), f.Batch*out)
	p.begin()
	defer p.end()
	c := &p.call
	c.volume, c.rows, c.cols = v, f.Channels, f.Padded
	c.streams = [5][]float32{x[:f.Batch*in], y[:f.Batch*out]}
	c.n, c.params = in, out
	p.run(f.Batch, frameTask)
}

func frameTask(p *Pool, _ *worker, sample int) {
	c := &p.call
	v, channels, padded := &c.volume, c.rows, c.cols
	x, y := c.streams[0][sample*c.n:(sample+1)*c.n], c.streams[1][sample*c.params:(sample+1)*c.params]
	clear(y)
	line := v[2].in * channels
	for z := range v[0].in {
		for r := range v[1].in {
			from := x[(z*v[1].in+r)*line:][:line]
			to := y[(((z+v[0].pad)*(v[1].in+2*v[1].pad)+r+v[1].pad)*(v[2].in+2*v[2].pad)+v[2].pad)*padded:]
			if channels == padded {
				copy(to, from)
				continue
			}
			for i := 0; i < v[2].in; i++ {
				pixel := to[i*padded:][:channels]
				for k := range pixel { // a few values: quicker than a copy
					pixel[k] = from[i*channels+k]
				}
			}
		}
	}
}
