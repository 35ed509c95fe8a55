package native

import (
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Weights that products alone read live in the slabs as the kernels read them, and so do their gradients and velocities:
// for float32 a forward pass packs nothing. What else products need is packed: turned for input gradients, rounded to
// bfloat16, or from a layout that other operators share. In training, where each is needed about once before the weights
// change, that happens right before the product, in memory that all share and that stays in the cache; in inference
// weights stay, and so does what is packed of them.

// packKey names weights packed for a direction. The kernel's layout depends on the weight's shape alone, but turned for
// input gradients on the stride and dilation of the last axis, too: layers that share a weight may differ in them.
type packKey struct {
	weight   string
	momentum bool
	backward bool
	unit     bool      // each row is divided by its length
	half     bool      // bfloat16
	fixed    fixedNorm // that the weights hold; its zero is none
	stride   int       // backward, of the last axis
	dilation int
}

type pack struct {
	packKey
	geometry kernel.Geometry
	size     int // values; 0: the slab itself
	data     []float32
	bias     []float32 // of weights that hold a batch norm
	source   string    // of the bias that the convolution has itself; "": none
	stale    bool
}

// fixedNorm is a batch norm in inference: the names of running mean and variance, γ and β, and ε.
type fixedNorm struct {
	names   [4]string
	epsilon float32
}

// pack names the packed weights of an instruction.
func (i *instruction) pack(q *passPlan, backward bool) packKey {
	k := packKey{weight: i.in[1].name, momentum: q.Network == protocol.Network_MOMENTUM, backward: backward, unit: i.unit, half: i.half()}
	if i.fixed != nil {
		k.fixed = *i.fixed
	}
	if last := len(i.conv.Kernel) - 1; backward && last >= 0 {
		k.stride, k.dilation = i.conv.Stride[last], i.conv.Dilation[last]
	}
	return k
}

// array gives the packed weights.
func (p *pack) array(n *network) kernel.Array {
	switch {
	case p.size == 0:
		return kernel.Float32s(n.params[p.weight].of(n.slab(p.momentum)))
	case p.half:
		return kernel.Halves(p.data).First(p.size)
	}
	return kernel.Float32s(p.data[:p.size])
}

// layouts finds the parameters that products alone read, all alike.
func (l *plan) layouts() {
	plain := map[string]bool{}
	for _, q := range l.passes {
		for _, i := range q.instructions {
			for k, v := range i.reads() {
				if v.place != inWeights {
					continue
				}
				p := l.params[v.name]
				if product := i.kind == opConv || i.kind == opConvInput; product && k == 1 && !i.unit && (p.packed == nil || kernel.PackedLen(*p.packed) == kernel.PackedLen(i.conv)) {
					p.packed = &i.conv
					continue
				}
				plain[v.name] = true
			}
		}
	}
	for _, name := range l.names {
		p := l.params[name]
		if plain[name] {
			p.packed = nil
		}
		if p.room = p.size; p.packed != nil {
			p.room = kernel.PackedLen(*p.packed)
		}
	}
}

// needs collects the packed weights, the scratch and the converted arrays of a pass.
func (l *plan) needs(q *passPlan) {
	for _, i := range q.instructions {
		switch i.kind {
		case opConv, opConvInput:
			k := i.pack(q, i.kind == opConvInput)
			if l.packs[k] == nil {
				p := &pack{packKey: k, geometry: i.conv, stale: true}
				fromSlab := l.params[k.weight].packed != nil && !k.unit && i.fixed == nil
				switch {
				case k.backward:
					p.size = kernel.PackedInputGradientLen(i.conv)
				case p.half || !fromSlab:
					p.size = kernel.PackedLen(i.conv)
				}
				if !fromSlab { // packed plainly first, perhaps of weights divided by their lengths
					l.scratch = max(l.scratch, align(kernel.PackedLen(i.conv))+align(i.conv.WeightLen())+i.conv.OutC)
				}
				if i.fixed != nil {
					p.bias = make([]float32, i.conv.OutC)
					if len(i.in) == 3 {
						p.source = i.in[2].name
					}
				}
				l.packs[k] = p
				l.order = append(l.order, p)
				l.packing = max(l.packing, p.room())
			}
		case opConvWeight, opUnitWeight:
			l.scratch = max(l.scratch, align(kernel.PackedLen(i.conv))+align(i.conv.WeightLen())+kernel.ConvWeightGradientScratch(i.geometry(l.batch)))
		}
		if scratch := operators[i.kind].scratch; scratch != nil {
			l.scratch = max(l.scratch, scratch(i))
		}
		l.shadows = max(l.shadows, i.shadows(l.batch))
	}
}

// room is the memory that it takes, in float32.
func (p *pack) room() int {
	if p.half {
		return (p.size + 1) / 2
	}
	return p.size
}

// ready brings packed weights up to date with the weights.
func (n *network) ready(p *pack) {
	if p.size == 0 || !n.mustFill && !p.stale {
		return
	}
	p.stale = false
	q := n.params[p.weight]
	w := q.of(n.slab(p.momentum))
	if p.bias != nil {
		w = n.fix(p)
	}
	if q.packed == nil || p.unit || p.bias != nil { // w is in PyTorch's layout
		if p.unit {
			w = n.unitRows(p.geometry, w, n.slabs.scratch[align(kernel.PackedLen(p.geometry)):])
		}
		packed := n.slabs.scratch[:kernel.PackedLen(p.geometry)]
		if !p.backward && !p.half {
			packed = p.data[:p.size]
		}
		n.pool.Pack(packed, p.geometry, recut(w, p.geometry.OutC, len(w)/p.geometry.OutC/p.geometry.Taps(), p.geometry.InC, p.geometry.Taps()))
		w = packed
	}
	switch {
	case p.backward:
		n.pool.PackInputGradient(p.array(n), p.geometry, w)
	case p.half:
		n.pool.PackBFloat16(p.array(n).BFloat16(), p.geometry, w)
	}
}

// fix gives weights, in PyTorch's layout, that do what the batch norm after them does, and sets their bias to match:
// γ/√(variance+ε)·(w·x + b − mean) + β. Inference alone has it, whose weights change but when they are set.
func (n *network) fix(p *pack) []float32 {
	slab := n.slab(p.momentum)
	var norm [4][]float32
	for k, name := range p.fixed.names {
		norm[k] = n.params[name].of(slab)
	}
	q := n.params[p.weight]
	g := p.geometry
	w := recut(n.values(q, slab), g.OutC, int(q.Shape[1]), g.InC, g.Taps())
	each := len(w) / g.OutC
	for o := range p.bias {
		scale := float64(norm[2][o]) / math.Sqrt(float64(norm[1][o])+float64(p.fixed.epsilon))
		for k := range w[o*each : (o+1)*each] {
			w[o*each+k] = float32(float64(w[o*each+k]) * scale)
		}
		shift := -float64(norm[0][o])
		if p.source != "" {
			shift += float64(n.params[p.source].of(slab)[o])
		}
		p.bias[o] = float32(shift*scale + float64(norm[3][o]))
	}
	return w
}

// slab gives the weights of the online or the momentum network.
func (n *network) slab(momentum bool) []float32 {
	if momentum {
		return n.slabs.momentum
	}
	return n.slabs.online
}

func (n *network) changed(momentum bool) {
	for _, p := range n.order {
		if p.momentum == momentum {
			p.stale = true
		}
	}
}

// values gives a parameter's values, from a slab of weights or of what has their layout, in PyTorch's layout.
func (n *network) values(p *param, slab []float32) []float32 {
	if p.packed == nil {
		return slices.Clone(p.of(slab))
	}
	wide := make([]float32, p.packed.WeightLen())
	n.pool.Unpack(wide, *p.packed, p.of(slab))
	return recut(wide, p.packed.OutC, p.packed.InC, int(p.Shape[1]), p.packed.Taps())
}

// setValues is the way back.
func (n *network) setValues(p *param, slab, values []float32) {
	if p.packed == nil {
		copy(p.of(slab), values)
		return
	}
	n.pool.Pack(p.of(slab), *p.packed, recut(values, p.packed.OutC, int(p.Shape[1]), p.packed.InC, p.packed.Taps()))
}

// recut gives weights [out, from, taps] for another number of channels: fewer, or more with zeros.
func recut(w []float32, out, from, to, taps int) []float32 {
	if from == to {
		return w
	}
	r := make([]float32, out*to*taps)
	for o := range out {
		copy(r[o*to*taps:(o+1)*to*taps], w[o*from*taps:(o+1)*from*taps])
	}
	return r
}
