package native

import (
	"fmt"

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
	weights, area := n.weights(q), n.slabs.arenas[q.Name]
	if !q.gradient {
		area = n.slabs.shared
	}
	for _, v := range q.values {
		switch v.place {
		case inArena:
			if v.made != nil && !v.made.gone {
				v.data = area[v.offset : v.offset+v.room(n.batch)]
			}
		case inWeights:
			v.data = n.params[v.name].of(weights)
		case inGradients:
			v.data = n.params[v.name].of(n.slabs.gradients)
		}
	}
	for _, i := range q.instructions {
		run := operators[i.kind].run
		if run == nil {
			return fmt.Errorf("the executor does not know %s", i.op)
		}
		i.run = n.converted(q, i, run)
		if i.kind == opConv || i.kind == opConvInput {
			p, product := n.packs[i.pack(q, i.kind == opConvInput)], i.run
			i.run = func(b int) { n.ready(p); product(b) }
		}
	}
	return nil
}

// of gives a parameter's part of a slab.
func (p *param) of(slab []float32) []float32 { return slab[p.offset : p.offset+p.room] }

// weights is the slab of weights that a pass reads.
func (n *network) weights(q *passPlan) []float32 {
	return n.slab(q.Network == protocol.Network_MOMENTUM)
}
