package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
)

// Choices of tokens. Indices are integers in memory of float32 values.
const (
	opOrder       kind = "order"      // the pass's input → a permutation for each sample, drawn
	opInOrder     kind = "in order"   // the pass's input → 0, 1, 2, … for each sample
	opGather      kind = "gather"     // x, indices → y
	opGatherInput kind = "gather dx"  // dy, indices → dx, zero where no index points
	opScatter     kind = "scatter"    // x, indices, filling → y
	opRestSum     kind = "rest"       // dy, indices → Σ of each sample's rows where no index points
	opRestSumAll  kind = "rest total" // dy, indices → Σ over samples, too: the gradient of a parameter
)

func init() {
	// An order has nothing to do with the values of the tokens: it reads the pass's input, which is there anyway.
	lowerings[model.TokenOrder] = func(b *lowering, o op, l *model.Layer, _ []*gorgonia.Node) (*gorgonia.Node, error) {
		if o.kind = opInOrder; b.training {
			o.kind = opOrder
		}
		return apply(o, b.shaped(l.Shape), b.input)
	}
	operators[opOrder] = &operator{whole: true, integers: true, run: func(n *network, q *passPlan, i *instruction) func(b int) {
		k, tokens := key.New(n.seed, "token order", i.layer, q.Name), i.out.sample
		draw := func(sample int) { shuffle(k.At(n.step, uint64(sample)), integers(i.out.data)[sample*tokens:][:tokens]) }
		return func(b int) { n.pool.Do(b, draw) }
	}}
	operators[opInOrder] = &operator{whole: true, integers: true, run: func(_ *network, _ *passPlan, i *instruction) func(b int) {
		return func(b int) {
			for j, order := 0, integers(i.out.at(b)); j < len(order); j++ {
				order[j] = int32(j % i.out.sample)
			}
		}
	}}

	lowerings[model.GatherTokens] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		o.kind = opGather
		o.picks = kernel.Picks{Picked: int(l.Shape[0]), Tokens: o.rows, Channels: o.channels}
		return apply(o, b.shaped(l.Shape), in[0], in[1])
	}
	operators[opGather] = &operator{
		wrt: []bool{true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			d.set(0, opGatherInput, grad, in[1])
		},
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) { p.GatherTokens(o.picksOf(b), in[0].at(b), integers(in[1].at(b)), i.out.at(b)) }
		},
	}
	operators[opGatherInput] = &operator{run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		return func(b int) { p.ScatterTokens(o.picksOf(b), in[0].at(b), integers(in[1].at(b)), nil, i.out.at(b)) }
	}}

	lowerings[model.ScatterTokens] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		o.kind = opScatter
		o.picks = kernel.Picks{Picked: o.rows, Tokens: int(l.Shape[0]), Channels: o.channels}
		filling := in[2]
		if parameter := b.learned(filling); parameter != nil {
			filling, o.shared = parameter, true
		}
		return apply(o, b.shaped(l.Shape), in[0], in[1], filling)
	}
	operators[opScatter] = &operator{
		wrt: []bool{true, false, true},
		diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
			d.set(0, opGather, grad, in[1])
			d.set(2, d.op.rowKind(opRestSum, opRestSumAll), grad, in[1])
		},
		run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) {
				p.ScatterTokens(o.picksOf(b), in[0].at(b), integers(in[1].at(b)), in[2].at(b), i.out.at(b))
			}
		},
	}
	for k, all := range map[kind]bool{opRestSum: false, opRestSumAll: true} {
		operators[k] = &operator{fixed: all, adds: all, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) { p.SumRest(o.picksOf(b), in[0].at(b), integers(in[1].at(b)), i.out.at(b), all) }
		}}
	}
}

// picksOf is the choice of tokens in b samples.
func (o *op) picksOf(b int) kernel.Picks {
	n := o.picks
	n.Samples = b
	return n
}

// shuffle draws a permutation of 0…n−1 as key.Source.Shuffle does, into the memory at hand.
func shuffle(s *key.Source, order []int32) {
	for i := range order {
		order[i] = int32(i)
	}
	for i := len(order) - 1; i > 0; i-- {
		j := s.Intn(i + 1)
		order[i], order[j] = order[j], order[i]
	}
}
