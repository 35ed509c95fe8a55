package kernel

import "fmt"

// Grouping is a convolution in groups: InC and OutC are split into as many equal groups, the outputs of a group read the
// channels of that group alone, and w is [OutC, InC/groups, Kernel…]. Groups are copied side by side and are ordinary
// convolutions then; small ones go together as one with zeros between them, since a tile has 16 outputs anyway. As many
// groups as channels have kernels of their own: see DepthwiseForward. A Grouping serves one call at a time.
type Grouping struct {
	g        Geometry
	part     Geometry // of one convolution, with all outputs
	most     int      // samples at a time
	together int      // groups in one convolution
	count    int      // of convolutions
	each     int      // weights of one, without the zeros between groups
	row      int      // weights of one output

	x, y, block, packs, sums []float32 // of the scratch
	pack                     int       // length of each of packs
}

// sliceValues is about how many values of one side are computed at a time: they stay in a cache.
const sliceValues = 1 << 20

// NewGrouping plans a convolution of at most g.Batch samples; g has the channels of all groups. g.Out may leave out
// outputs at the ends of axes, as the transposed convolution with much output padding needs it.
func NewGrouping(g Geometry, groups int) *Grouping {
	g.mustWithin()
	if groups < 1 || g.InC%groups != 0 || g.OutC%groups != 0 {
		panic(fmt.Sprintf("kernel: %d groups do not divide %d and %d channels", groups, g.InC, g.OutC))
	}
	in, out := g.InC/groups, g.OutC/groups
	s := &Grouping{g: g, part: g, together: 1}
	s.part.Out = nil
	for i := range g.Out {
		s.part.Out = append(s.part.Out, OutSize(g.In[i], g.Kernel[i], at(g.Stride, i, 1), at(g.Pad, i, 0), at(g.Dilation, i, 1)))
	}
	for n := 2; n <= 16/max(in, out); n++ {
		if groups%n == 0 {
			s.together = n
		}
	}
	s.count = groups / s.together
	s.part.InC, s.part.OutC = in*s.together, out*s.together
	s.row = in * g.Taps()
	s.each = s.part.OutC * s.row
	s.most = max(sliceValues/max(product(g.In)*s.part.InC, product(s.part.Out)*s.part.OutC)/12*12, 12) // tiles take up to twelve samples
	s.most = min(s.most, max(g.Batch, 1))
	return s
}

// Scratch is the length of the scratch that the operations need; its content does not matter.
func (s *Grouping) Scratch() int {
	s.part.Batch = s.most
	return s.carve(nil)
}

// GroupedForward computes y [Batch, Out…, OutC] from x [Batch, In…, InC], w and bias [OutC], which may be nil. y is
// overwritten.
func (p *Pool) GroupedForward(s *Grouping, batch int, x, w, bias, y, scratch []float32) {
	s.begin("GroupedForward", batch, x, w, y, scratch)
	defer s.end()
	wantOptional("GroupedForward", "bias", bias, s.g.OutC)
	for k := range s.count {
		p.Pack(s.packed(k), s.part, s.weights(w, k))
	}
	for first := 0; first < batch; first += s.most {
		s.samples(min(s.most, batch-first))
		for k := range s.count {
			s.takeX(p, x, first, k)
			var b []float32
			if bias != nil {
				b = bias[k*s.part.OutC:][:s.part.OutC]
			}
			p.ConvForward(s.part, Forward{X: Float32s(s.x), Y: Float32s(s.y), Packed: Float32s(s.packed(k)), Bias: b})
			p.copyMaps(s.part.Batch, s.part.OutC, s.y, s.part.OutC, s.part.Out, y[first*product(s.g.Out)*s.g.OutC+k*s.part.OutC:], s.g.OutC, s.g.Out)
		}
	}
}

// GroupedInputGradient computes dx from dy and w. dx is overwritten.
func (p *Pool) GroupedInputGradient(s *Grouping, batch int, dy, w, dx, scratch []float32) {
	s.begin("GroupedInputGradient", batch, dx, w, dy, scratch)
	defer s.end()
	for k := range s.count {
		p.Pack(s.sums, s.part, s.weights(w, k))
		p.PackInputGradient(Float32s(s.packed(k)), s.part, s.sums)
	}
	for first := 0; first < batch; first += s.most {
		s.samples(min(s.most, batch-first))
		for k := range s.count {
			s.takeY(p, dy, first, k)
			p.ConvInputGradient(s.part, Backward{Dy: Float32s(s.y), Dx: Float32s(s.x), Packed: Float32s(s.packed(k))})
			p.copyMaps(s.part.Batch, s.part.InC, s.x, s.part.InC, s.g.In, dx[first*product(s.g.In)*s.g.InC+k*s.part.InC:], s.g.InC, s.g.In)
		}
	}
}

// GroupedWeightGradient adds to dw the gradient from x and dy. That of a bias is ColumnSum of dy.
func (p *Pool) GroupedWeightGradient(s *Grouping, batch int, x, dy, dw, scratch []float32) {
	s.begin("GroupedWeightGradient", batch, x, dw, dy, scratch)
	defer s.end()
	p.Fill(0, s.packs)
	for first := 0; first < batch; first += s.most {
		s.samples(min(s.most, batch-first))
		for k := range s.count {
			s.takeX(p, x, first, k)
			s.takeY(p, dy, first, k)
			p.ConvWeightGradient(s.part, Float32s(s.x), Float32s(s.y), s.packed(k), s.sums)
		}
	}
	for k := range s.count {
		to := dw[k*s.each:][:s.each]
		if s.together == 1 {
			p.Unpack(to, s.part, s.packed(k))
			continue
		}
		clear(s.block)
		p.Unpack(s.block, s.part, s.packed(k))
		for o := range s.part.OutC {
			for i, v := range s.block[s.place(o):][:s.row] {
				to[o*s.row+i] += v
			}
		}
	}
}

// begin checks the arguments of an operation on so many samples and deals out the scratch.
func (s *Grouping) begin(op string, batch int, x, w, y, scratch []float32) {
	if batch < 0 || batch > s.g.Batch {
		panic(fmt.Sprintf("kernel: %s of %d samples, planned for %d", op, batch, s.g.Batch))
	}
	want(op, "x or dx", len(x), batch*product(s.g.In)*s.g.InC)
	want(op, "w or dw", len(w), s.count*s.each)
	want(op, "y or dy", len(y), batch*product(s.g.Out)*s.g.OutC)
	s.part.Batch = s.most
	wantAtLeast(op, "scratch", len(scratch), s.carve(nil))
	s.carve(scratch)
}

// end forgets the scratch.
func (s *Grouping) end() { s.x, s.y, s.block, s.packs, s.sums = nil, nil, nil, nil, nil }

// carve deals out the scratch, unless that is nil, and gives the length that is needed.
func (s *Grouping) carve(scratch []float32) int {
	total := 0
	take := func(n int) []float32 {
		from := total
		if total += n; scratch == nil {
			return nil
		}
		return scratch[from:total:total]
	}
	s.x, s.y = take(s.part.InLen()), take(s.part.OutLen())
	s.pack = max(PackedLen(s.part), PackedInputGradientLen(s.part))
	s.packs = take(s.count * s.pack)
	if s.together > 1 {
		s.block = take(s.part.WeightLen())
	}
	s.sums = take(max(PackedLen(s.part), ConvWeightGradientScratch(s.part)))
	return total
}

// samples sets the number of samples of the next convolutions.
func (s *Grouping) samples(n int) {
	s.part.Batch = n
	s.x, s.y = s.x[:s.part.InLen()], s.y[:s.part.OutLen()]
}

func (s *Grouping) packed(k int) []float32 { return s.packs[k*s.pack:][:s.pack] }

// weights gives the weights of convolution k, with zeros between its groups.
func (s *Grouping) weights(w []float32, k int) []float32 {
	w = w[k*s.each:][:s.each]
	if s.together == 1 {
		return w
	}
	clear(s.block)
	for o := range s.part.OutC {
		copy(s.block[s.place(o):], w[o*s.row:(o+1)*s.row])
	}
	return s.block
}

// place is where the weights of output o of a convolution begin among those of all its groups.
func (s *Grouping) place(o int) int {
	group := o / (s.part.OutC / s.together)
	return (o*s.together + group) * s.row
}

// takeX copies the channels of convolution k of the next samples.
func (s *Grouping) takeX(p *Pool, x []float32, first, k int) {
	p.copyMaps(s.part.Batch, s.part.InC, x[first*product(s.g.In)*s.g.InC+k*s.part.InC:], s.g.InC, s.g.In, s.x, s.part.InC, s.g.In)
}

// takeY copies the outputs; those that are left out are zero.
func (s *Grouping) takeY(p *Pool, dy []float32, first, k int) {
	p.copyMaps(s.part.Batch, s.part.OutC, dy[first*product(s.g.Out)*s.g.OutC+k*s.part.OutC:], s.g.OutC, s.g.Out, s.y, s.part.OutC, s.part.Out)
}

// copyMaps copies so many channels of maps whose pixels have more, from x to y; of maps of another size as much as fits,
// with zeros beyond.
func (p *Pool) copyMaps(batch, channels int, x []float32, xChannels int, xSize []int, y []float32, yChannels int, ySize []int) {
	same := true
	for i := range xSize {
		same = same && xSize[i] == ySize[i]
	}
	if same {
		p.CopyRows(batch*product(xSize), channels, x, xChannels, y, yChannels)
		return
	}
	p.begin()
	defer p.end()
	c := &p.call
	c.cols, c.params = xChannels, yChannels
	for i := range c.volume {
		c.volume[i] = axis{in: 1, out: 1}
		if k := i - 3 + len(xSize); k >= 0 {
			c.volume[i] = axis{in: xSize[k], out: ySize[k]}
		}
	}
	v := &c.volume
	v[0].kernel = channels
	p.moveTasks(batch*v[0].out*v[1].out, v[2].out*channels, copyMapsTask, x, y)
}

// copyMapsTask copies lines.
func copyMapsTask(p *Pool, _ *worker, task int) {
	c := &p.call
	v, x, y := &c.volume, c.streams[0], c.streams[1]
	for line := task * c.n; line < min((task+1)*c.n, c.rows); line++ {
		iy, iz, n := line%v[1].out, line/v[1].out%v[0].out, line/v[1].out/v[0].out
		for ix := range v[2].out {
			to := y[(line*v[2].out+ix)*c.params:][:v[0].kernel]
			if ix < v[2].in && iy < v[1].in && iz < v[0].in {
				copy(to, x[(((n*v[0].in+iz)*v[1].in+iy)*v[2].in+ix)*c.cols:])
			} else {
				clear(to)
			}
		}
	}
}
