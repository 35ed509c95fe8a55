package native

import (
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"gorgonia.org/gorgonia"
)

// Smooth functions of each value. An operator has its layer's name, its gradient that with " dx".

func init() {
	// A gradient is taken at x, or from y.
	for k, f := range map[model.Kind]struct {
		fromOutput bool
		run        func(p *kernel.Pool, o *op, x, y []float32)
		gradient   func(p *kernel.Pool, o *op, dy, at, dx []float32)
	}{
		model.Gelu: {false, func(p *kernel.Pool, _ *op, x, y []float32) { p.GELU(x, y) },
			func(p *kernel.Pool, _ *op, dy, x, dx []float32) { p.GELUGradient(dy, x, dx) }},
		model.Silu: {false, func(p *kernel.Pool, _ *op, x, y []float32) { p.SiLU(x, y) },
			func(p *kernel.Pool, _ *op, dy, x, dx []float32) { p.SiLUGradient(dy, x, dx) }},
		model.Sigmoid: {true, func(p *kernel.Pool, _ *op, x, y []float32) { p.Sigmoid(x, y) },
			func(p *kernel.Pool, _ *op, dy, y, dx []float32) { p.SigmoidGradient(dy, y, dx) }},
		model.Tanh: {true, func(p *kernel.Pool, _ *op, x, y []float32) { p.Tanh(x, y) },
			func(p *kernel.Pool, _ *op, dy, y, dx []float32) { p.TanhGradient(dy, y, dx) }},
		model.LeakyRelu: {true, func(p *kernel.Pool, o *op, x, y []float32) { p.LeakyReLU(o.slope, x, y) },
			func(p *kernel.Pool, o *op, dy, y, dx []float32) { p.LeakyReLUGradient(o.slope, dy, y, dx) }},
	} {
		name := kind(k)
		lowerings[k] = func(b *lowering, o op, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
			o.kind, o.slope = name, float32(l.GetActivation().Slope)
			return apply(o, b.shaped(l.Shape), in[0])
		}
		operators[name] = &operator{
			wrt: []bool{true},
			diff: func(d *derivation, in gorgonia.Nodes, out, grad *gorgonia.Node) {
				at := in[0]
				if f.fromOutput {
					at = out
				}
				d.set(0, name+" dx", at, grad)
			},
			onto: inputs(0),
			run: func(n *network, _ *passPlan, i *instruction) func(b int) {
				p, o, in := n.pool, i.op, i.in
				return func(b int) { f.run(p, o, in[0].at(b), i.out.at(b)) }
			},
		}
		operators[name+" dx"] = &operator{onto: inputs(1), run: func(n *network, _ *passPlan, i *instruction) func(b int) {
			p, o, in := n.pool, i.op, i.in
			return func(b int) { f.gradient(p, o, in[1].at(b), in[0].at(b), i.out.at(b)) }
		}}
	}
}
