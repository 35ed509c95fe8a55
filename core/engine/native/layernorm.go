package native

import (
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Layer norm: each row by its own mean and variance. The gradients of γ and β come with that of x, in one pass over memory.
const (
	opLayerNorm      kind = "layer norm"            // x, [γ], [β] → y; " with γ" and " with β" tell which there are
	opLayerStats     kind = "layer norm statistics" // its second output: mean and 1/√(variance+ε) of each row
	opLayerNormInput kind = "layer norm dx"         // x, statistics, dy, [γ] → dx
	opLayerNormSums  kind = "layer norm sums"       // its second output: Σ dy·x̂ and Σ dy [2, channels]
	opLayerNormGamma kind = "layer norm dγ"         // dx, sums → dγ
	opLayerNormBeta  kind = "layer norm dβ"         // dx, sums → dβ
)

// affine tells whether a norm has a scale γ and a shift β.
type affine struct{ gamma, beta bool }

var affines = []affine{{}, {true, false}, {false, true}, {true, true}}

// of gives the kind of a norm that has them.
func (a affine) of(k kind) kind {
	if a.gamma {
		k += " with γ"
	}
	if a.beta {
		k += " with β"
	}
	return k
}

// wrt is operator.wrt where γ and β follow inputs for which that is first.
func (a affine) wrt(first ...bool) []bool {
	for _, has := range []bool{a.gamma, a.beta} {
		if has {
			first = append(first, true)
		}
	}
	return first
}

// find gives γ and β, nil where there is none, and their places, of inputs that follow the first ones.
func find[T any](a affine, in []*T, first int) (gamma, beta *T, atGamma, atBeta int) {
	at := first
	if a.gamma {
		gamma, atGamma, at = in[at], at, at+1
	}
	if a.beta {
		beta, atBeta = in[at], at
	}
	return gamma, beta, atGamma, atBeta
}

// affine gives what a norm has of γ and β, appended to its inputs.
func (b *lowering) affine(weight, bias string, in ...*gorgonia.Node) (affine, []*gorgonia.Node) {
	for _, name := range []string{weight, bias} {
		if name != "" {
			in = append(in, b.param(name))
		}
	}
	return affine{weight != "", bias != ""}, in
}

// optional gives the values of a parameter that there may be.
func (v *value) optional() []float32 {
	if v == nil {
		return nil
	}
	return v.data
}

func init() {
	lowerings[model.LayerNorm] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
		n := l.GetLayerNorm()
		o.epsilon = float32(n.Epsilon)
		has, in := b.affine(n.Weight, n.Bias, in[0])
		return o.pair(opLayerStats, tensor.Shape{b.batch, o.rows, 2}, has.of(opLayerNorm), b.shaped(l.Shape), in...)
	}
	operators[opLayerStats] = &operator{side: true}
	for _, has := range affines {
		operators[has.of(opLayerNorm)] = &operator{
			wrt: has.wrt(true),
			diff: func(d *derivation, in gorgonia.Nodes, _, grad *gorgonia.Node) {
				gamma, _, atGamma, atBeta := find(has, in, 1)
				from := []*gorgonia.Node{in[0], in[len(in)-1], grad}
				if has.gamma {
					from = append(from, gamma)
				}
				if has == (affine{}) {
					d.set(0, opLayerNormInput, from...)
					return
				}
				var sums *gorgonia.Node
				d.nodes[0], sums = d.pair(opLayerNormSums, tensor.Shape{2, d.op.channels}, opLayerNormInput, in[0].Shape().Clone(), from...)
				if has.gamma {
					d.set(atGamma, opLayerNormGamma, d.nodes[0], sums)
				}
				if has.beta {
					d.set(atBeta, opLayerNormBeta, d.nodes[0], sums)
				}
			},
			onto: inputs(0),
			run: func(n *network, _ *passPlan, i *instruction) func(b int) {
				p, o, x := n.pool, i.op, i.in[0]
				gamma, beta, _, _ := find(has, i.in, 1)
				return func(b int) {
					p.LayerNorm(b*o.rows, o.channels, x.at(b), gamma.optional(), beta.optional(), o.epsilon, i.out.at(b), i.side.at(b))
				}
			},
		}
	}
	operators[opLayerNormSums] = &operator{fixed: true, side: true}
	operators[opLayerNormInput] = &operator{second: opLayerNormSums, onto: inputs(2), run: func(n *network, _ *passPlan, i *instruction) func(b int) {
		p, o, in := n.pool, i.op, i.in
		var gamma, dgamma, dbeta []float32
		if len(in) == 4 {
			gamma = in[3].data
		}
		if i.side != nil {
			dgamma, dbeta = halves(i.side)
		}
		return func(b int) {
			p.LayerNormGradient(b*o.rows, o.channels, in[0].at(b), in[1].at(b), gamma, in[2].at(b), i.out.at(b), dgamma, dbeta)
		}
	}}
	for k, half := range map[kind]int{opLayerNormGamma: 0, opLayerNormBeta: 1} {
		operators[k] = &operator{fixed: true, adds: true, half: true, run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, out := n.pool, i.out
			sums := i.in[1].data[half*i.op.channels:][:i.op.channels]
			return func(int) { p.Axpy(1, sums, out.data) }
		}}
	}
}

// pair makes a gradient with two outputs, as op.pair does a layer: the operator of first has second as its second.
func (d *derivation) pair(second kind, secondOut tensor.Shape, first kind, out tensor.Shape, in ...*gorgonia.Node) (f, s *gorgonia.Node) {
	s = d.node(second, secondOut, in...)
	return d.node(first, out, append(in, s)...), s
}
