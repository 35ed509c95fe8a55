package native

import (
	"fmt"
	"unsafe"

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// bind gives every value of a pass its memory and every instruction the function that computes it. The functions
// capture all that they need: a step allocates nothing.
func (n *network) bind(q *passPlan) error {
	q.input.data = n.slabs.inputs[q.Name]
	for name, v := range q.taps {
		if v.data == nil { // several taps may look at one value
			v.data = n.slabs.taps[name][:v.size(n.batch)]
		}
		n.slabs.taps[name] = v.data
	}
	for name, v := range q.seeds {
		v.data = n.slabs.seeds[name][:v.size(n.batch)]
	}
	weights, area := n.slabs.online, n.slabs.arenas[q.Name]
	if q.Network == protocol.Network_MOMENTUM {
		weights = n.slabs.momentum
	}
	if !q.gradient {
		area = n.slabs.shared
	}
	for _, v := range q.values {
		switch v.place {
		case inArena:
			if v.made != nil && !v.made.gone {
				v.data = area[v.offset : v.offset+v.size(n.batch)]
			}
		case inWeights:
			v.data = n.params[v.name].of(weights)
		case inGradients:
			v.data = n.params[v.name].of(n.slabs.gradients)
		}
	}
	for _, i := range q.instructions {
		if i.run = n.function(q, i, weights); i.run == nil {
			return fmt.Errorf("the executor does not know %s", i.op)
		}
	}
	return nil
}

// of gives a parameter's part of a slab.
func (p *param) of(slab []float32) []float32 { return slab[p.offset : p.offset+p.size] }

// norm is the shape of a batch norm over b samples.
func (o *op) norm(b int) kernel.Norm {
	return kernel.Norm{Groups: o.groups, Rows: b / o.groups * o.rows, Channels: o.channels}
}

// with is the geometry for b samples.
func with(g kernel.Geometry, b int) kernel.Geometry {
	g.Batch = b
	return g
}

// halves splits a value of two rows of statistics.
func halves(v *value) (a, b []float32) { return v.data[:len(v.data)/2], v.data[len(v.data)/2:] }

// integers views float32 memory as int32, of the same size.
func integers(s []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

func (n *network) function(q *passPlan, i *instruction, weights []float32) func(b int) {
	p, o, in, out := n.pool, i.op, i.in, i.out
	packed := func(backward bool) []float32 {
		return n.packs[packKey{in[1].name, q.Network == protocol.Network_MOMENTUM, backward}].data
	}
	switch o.kind {
	case opConv:
		w, x := packed(false), in[0]
		var bias []float32
		if len(in) == 3 {
			bias = in[2].data
		}
		return func(b int) { p.ConvForward(with(o.conv, b), x.at(b), w, bias, out.at(b)) }
	case opConvInput:
		w, dy := packed(true), in[0]
		return func(b int) { p.ConvInputGradient(with(o.conv, b), dy.at(b), w, out.at(b)) }
	case opConvWeight:
		scratch := n.slabs.scratch
		return func(b int) { p.ConvWeightGradient(with(o.conv, b), in[0].at(b), in[1].at(b), out.data, scratch) }
	case opColumnSum:
		return func(b int) { p.ColumnSum(len(in[0].at(b))/out.fixed, out.fixed, in[0].at(b), out.data) }
	case opStatistics:
		mean, variance := halves(out)
		runningMean, runningVar := n.params[o.running[0]].of(weights), n.params[o.running[1]].of(weights)
		return func(b int) {
			p.BatchNormStatistics(o.norm(b), in[0].at(b), mean, variance)
			p.BatchNormUpdate(o.norm(b), o.momentum, mean, variance, runningMean, runningVar)
		}
	case opNorm:
		mean, variance := halves(in[1])
		return func(b int) {
			p.BatchNormApply(o.norm(b), in[0].at(b), mean, variance, in[2].data, in[3].data, o.epsilon, i.residual.at(b), i.relu, out.at(b))
		}
	case opNormFixed:
		return func(b int) {
			p.BatchNormApply(o.norm(b), in[0].at(b), in[1].data, in[2].data, in[3].data, in[4].data, o.epsilon, i.residual.at(b), i.relu, out.at(b))
		}
	case opNormReduce:
		mean, variance := halves(in[1])
		sumDy, sumDyX := halves(out)
		return func(b int) {
			p.BatchNormReduce(o.norm(b), in[2].at(b), in[0].at(b), i.mask.at(b), mean, variance, o.epsilon, sumDy, sumDyX)
		}
	case opNormInput:
		mean, variance := halves(in[1])
		sumDy, sumDyX := halves(in[4])
		return func(b int) {
			p.BatchNormInputGradient(o.norm(b), in[3].at(b), in[0].at(b), i.mask.at(b), mean, variance, in[2].data, o.epsilon, sumDy, sumDyX, out.at(b), i.masked.at(b))
		}
	case opNormGamma:
		sumDy, sumDyX := halves(in[0])
		return func(b int) { p.BatchNormParameterGradient(o.norm(b), sumDy, sumDyX, out.data, nil) }
	case opNormBeta:
		sumDy, sumDyX := halves(in[0])
		return func(b int) { p.BatchNormParameterGradient(o.norm(b), sumDy, sumDyX, nil, out.data) }
	case opRelu:
		return func(b int) { p.ReLU(in[0].at(b), out.at(b)) }
	case opReluInput:
		return func(b int) { p.ReLUBackward(in[1].at(b), in[0].at(b), out.at(b)) }
	case opAdd:
		return func(b int) { p.Add(in[0].at(b), in[1].at(b), out.at(b)) }
	case opPool:
		return func(b int) { p.MaxPool(with(o.conv, b), in[0].at(b), out.at(b), integers(i.side.at(b))) }
	case opPoolInput:
		return func(b int) { p.MaxPoolBackward(with(o.conv, b), in[1].at(b), integers(in[0].at(b)), out.at(b)) }
	case opMean:
		return func(b int) { p.GlobalAveragePool(b, o.rows, o.channels, in[0].at(b), out.at(b)) }
	case opMeanInput:
		return func(b int) { p.GlobalAveragePoolBackward(b, o.rows, o.channels, in[0].at(b), out.at(b)) }
	case opUnit:
		return func(b int) { p.L2Normalize(b*o.rows, o.channels, o.epsilon, in[0].at(b), out.at(b), i.side.at(b)) }
	case opUnitInput:
		return func(b int) {
			p.L2NormalizeBackward(b*o.rows, o.channels, in[0].at(b), in[1].at(b), in[2].at(b), out.at(b))
		}
	}
	return nil
}
