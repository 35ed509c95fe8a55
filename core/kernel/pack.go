package kernel

import "unsafe"

// Weights and their gradients live packed for ConvForward, in panels of the instruction set's width,
//
//	packed[panel][tap][c][o − first output of the panel]
//
// with outputs padded to whole vectors by zeros: the layout in which products read and sum them, so that a step packs
// nothing for float32. PyTorch's layout [OutC, InC, Kernel…] is made and read where weights enter and leave.

// PackedLen is the length of packed weights.
func PackedLen(g Geometry) int { return g.Taps() * g.InC * roundUp(g.OutC) }

// roundUp gives the channels of packed panels: whole vectors of 16.
func roundUp(c int) int { return (c + 15) &^ 15 }

// Pack lays out w [OutC, InC, Kernel…] for ConvForward. Packed weights are for pools of the same instruction set, for one
// geometry up to its Batch, spatial sizes, stride and padding.
func (p *Pool) Pack(dst []float32, g Geometry, w []float32) {
	g.must()
	want("Pack", "w", len(w), g.WeightLen())
	wantAtLeast("Pack", "dst", len(dst), PackedLen(g))
	p.begin()
	defer p.end()
	p.packing = packing{w: w, dst: Float32s(dst), outputs: g.OutC, depth: g.InC, taps: g.Taps()}
	p.packTasks(packTask)
}

// Unpack adds to w [OutC, InC, Kernel…] what Pack or ConvWeightGradient laid out.
func (p *Pool) Unpack(w []float32, g Geometry, packed []float32) {
	g.must()
	want("Unpack", "w", len(w), g.WeightLen())
	wantAtLeast("Unpack", "packed", len(packed), PackedLen(g))
	p.begin()
	defer p.end()
	p.packing = packing{w: w, dst: Float32s(packed), outputs: g.OutC, depth: g.InC, taps: g.Taps(), unpack: true}
	p.packTasks(packTask)
}

// PackBFloat16 rounds packed weights to bfloat16, in pairs of neighbouring channels. InC must be even.
func (p *Pool) PackBFloat16(dst []BFloat16, g Geometry, packed []float32) {
	g.must()
	wantAtLeast("PackBFloat16", "packed", len(packed), PackedLen(g))
	wantAtLeast("PackBFloat16", "dst", len(dst), PackedLen(g))
	p.wantHalf("PackBFloat16", g.InC)
	p.begin()
	defer p.end()
	p.packing = packing{w: packed, dst: BFloat16s(dst), outputs: g.OutC, depth: g.InC, taps: g.Taps()}
	p.packTasks(pairTask)
}

// PackInputGradient turns packed weights for ConvInputGradient; dst is float32, or bfloat16, for which OutC must be even.
func (p *Pool) PackInputGradient(dst Array, g Geometry, packed []float32) {
	g.must()
	wantAtLeast("PackInputGradient", "packed", len(packed), PackedLen(g))
	wantAtLeast("PackInputGradient", "dst", dst.Len(), PackedInputGradientLen(g))
	if dst.half {
		p.wantHalf("PackInputGradient", g.OutC)
	}
	p.begin()
	defer p.end()
	p.packing = packing{w: packed, dst: dst, outputs: g.InC, depth: g.OutC, taps: g.Taps(), last: g.volume()[2]}
	p.packTasks(turnedTask)
}

// PackedInputGradientLen is the length of the weights packed for ConvInputGradient.
func PackedInputGradientLen(g Geometry) int { return g.Taps() * g.OutC * roundUp(g.InC) }

// packing is a job of packing weights to panels [taps, depth, width] of outputs.
type packing struct {
	w              []float32
	dst            Array
	outputs, depth int // of the packed product
	taps           int
	blocks         int // of the depth
	last           axis
	unpack         bool
}

// packBlock is how many of the depth one packing task takes, an even number.
const packBlock = 16

func (p *Pool) packTasks(task func(p *Pool, w *worker, task int)) {
	k := &p.packing
	k.blocks = (k.depth + packBlock - 1) / packBlock
	p.run((k.outputs+p.set.width-1)/p.set.width*k.blocks, task)
	*k = packing{}
}

// block gives the panel and the depth of a task.
func (k *packing) block(p *Pool, task int) (first, n, width, d0, d1 int) {
	panel := task / k.blocks
	d0 = task % k.blocks * packBlock
	d1 = min(d0+packBlock, k.depth)
	first = panel * p.set.width
	width = p.set.panel(k.outputs, panel)
	return first, min(width, k.outputs-first), width, d0, d1
}

// packTask turns between rows of outputs, whose columns are (channel, tap), and panels.
func packTask(p *Pool, w *worker, task int) {
	k := &p.packing
	first, n, width, d0, d1 := k.block(p, task)
	panel := k.dst.Float32()[first*k.taps*k.depth:]
	if n < width && !k.unpack {
		for tap := range k.taps {
			for d := d0; d < d1; d++ {
				clear(panel[(tap*k.depth+d)*width+n:][:width-n])
			}
		}
	}
	w.places = grow(w.places, (d1-d0)*k.taps)
	for i := range w.places {
		w.places[i] = int32((i%k.taps*k.depth + d0 + i/k.taps) * width)
	}
	rows := k.w[(first*k.depth+d0)*k.taps:]
	if k.unpack {
		p.turnAdd(w, rows, k.depth*k.taps, n, panel, w.places)
		return
	}
	p.turn(w, rows, k.depth*k.taps, n, panel, w.places)
}

// pairTask rounds two rows of a panel at a time.
func pairTask(p *Pool, w *worker, task int) {
	k := &p.packing
	first, _, width, d0, d1 := k.block(p, task)
	a := &w.row
	*a = rowArgs{rows: int64((d1 - d0) / 2)}
	a.columns(p.set, width)
	for tap := range k.taps {
		row := first*k.taps*k.depth + (tap*k.depth+d0)*width
		a.stream(0, k.w, row, 2*width)
		a.stream(1, k.w, row+width, 2*width)
		a.streams[2], a.strides[2] = k.dst.at(row), int64(4*width) // pairs are as wide as a float32
		p.set.half.loops.weave(a)
	}
}

// turnedTask turns panels of outputs into panels of inputs: d counts the outputs of the convolution.
func turnedTask(p *Pool, w *worker, task int) {
	k := &p.packing
	first, n, width, d0, d1 := k.block(p, task)
	from := d0 / p.set.width * p.set.width // the panel of outputs that has d0; panels are whole blocks
	fromWidth := p.set.panel(k.depth, d0/p.set.width)
	pair := 1
	if k.dst.half {
		pair = 2
	}
	w.places = grow(w.places, (d1-d0)/pair)
	for tap := range k.taps {
		place := tap - tap%k.last.kernel + gradientPlace(k.last, tap%k.last.kernel)
		for i := range w.places {
			w.places[i] = int32((place*k.depth/pair + d0/pair + i) * width)
		}
		rows := k.w[from*k.taps*k.outputs+(tap*k.outputs+first)*fromWidth+d0-from:]
		if k.dst.half {
			panel := unsafe.Slice((*uint32)(k.dst.at(first*k.taps*k.depth)), k.taps*k.depth/2*width)
			p.turnPairs(w, rows, fromWidth, n, panel, w.places)
			for _, at := range w.places {
				clear(panel[int(at)+n : int(at)+width])
			}
			continue
		}
		panel := k.dst.Float32()[first*k.taps*k.depth:]
		p.turn(w, rows, fromWidth, n, panel, w.places)
		for _, at := range w.places {
			clear(panel[int(at)+n : int(at)+width])
		}
	}
}

// gradientPlace is the place that gradientTap gives to a tap.
func gradientPlace(v axis, tap int) int {
	for place := range v.kernel {
		if gradientTap(v, place) == tap {
			return place
		}
	}
	panic("kernel: no such tap")
}

// wantHalf panics where bfloat16 cannot be computed: by the machine, or over an odd number of channels.
func (p *Pool) wantHalf(op string, depth int) {
	if p.set.half == nil {
		panic("kernel: " + op + ": no bfloat16 with " + p.set.title)
	}
	if depth%2 != 0 {
		panic("kernel: " + op + ": bfloat16 needs an even number of channels to sum over")
	}
}
