package native

import (
	"fmt"
	"sort"

	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// lowered is one pass as a Gorgonia graph, differentiated where it has a gradient.
type lowered struct {
	graph     *gorgonia.ExprGraph
	input     *gorgonia.Node
	params    map[string]*gorgonia.Node // by full name, of those that are read
	taps      map[string]*gorgonia.Node // by tap
	seeds     map[string]*gorgonia.Node // gradients given at taps, by tap
	gradients map[string]*gorgonia.Node // of trained parameters, by full name
	forward   int64                     // nodes with a smaller id belong to the forward pass
}

// lowering builds the graph of one pass.
type lowering struct {
	*lowered
	batch    int
	groups   int // of batch norms
	training bool
	half     bool   // activations are bfloat16
	prefix   string // of the model at hand: "encoder.", "head.projector."
}

// lower builds the graph of a pass over a batch, and differentiates it if the pass has a gradient and training is true.
func (p *program) lower(pass *protocol.Pass, batch int, training, half bool) (*lowered, error) {
	b := &lowering{batch: batch, groups: groupsOf(pass), training: training, half: half, lowered: &lowered{graph: gorgonia.NewGraph(),
		params: map[string]*gorgonia.Node{}, taps: map[string]*gorgonia.Node{}, seeds: map[string]*gorgonia.Node{}, gradients: map[string]*gorgonia.Node{}}}
	b.input = b.variable("input", b.shaped(p.encoder.Input))
	encoder, err := b.model("encoder.", p.encoder, b.input)
	if err != nil {
		return nil, err
	}
	outputs := map[string]*gorgonia.Node{}
	for name, l := range p.encoder.Outputs {
		outputs[name] = encoder[l.Name]
	}
	for _, name := range pass.Heads {
		h := p.heads[name]
		layers, err := b.model("head."+name+".", h.graph, outputs[h.input])
		if err != nil {
			return nil, err
		}
		outputs[name] = layers[h.graph.Outputs["out"].Name]
	}
	for _, t := range p.taps {
		if t.Pass == pass.Name {
			b.taps[t.Name] = outputs[t.Output]
		}
	}
	b.forward = int64(len(b.graph.AllNodes()))
	if training && pass.Gradient {
		if err := b.differentiate(p); err != nil {
			return nil, err
		}
	}
	return b.lowered, nil
}

func groupsOf(pass *protocol.Pass) int { return max(int(pass.NormGroups), 1) }

func (b *lowering) shaped(sample []int64) tensor.Shape {
	s := tensor.Shape{b.batch}
	for _, d := range sample {
		s = append(s, int(d))
	}
	return s
}

func (b *lowering) variable(name string, s tensor.Shape) *gorgonia.Node {
	return gorgonia.NewTensor(b.graph, tensor.Float32, len(s), gorgonia.WithShape(s...), gorgonia.WithName(name))
}

// model lowers the layers of one model on an input and gives their outputs by layer name.
func (b *lowering) model(prefix string, g *model.Graph, input *gorgonia.Node) (map[string]*gorgonia.Node, error) {
	b.prefix = prefix
	nodes := map[string]*gorgonia.Node{}
	for _, l := range g.Layers {
		in := make([]*gorgonia.Node, len(l.From))
		for i, from := range l.From {
			if in[i] = input; from != nil {
				in[i] = nodes[from.Name]
			}
		}
		for _, name := range l.Params {
			full := prefix + name
			if p, _ := g.Param(name); b.params[full] == nil && (!p.Buffer || !b.training) { // training reads no running statistics
				b.params[full] = b.variable(full, ints(p.Shape))
			}
		}
		n, err := b.layer(l, in)
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", prefix+l.Name, err)
		}
		nodes[l.Name] = n
	}
	return nodes, nil
}

func ints(s []int64) tensor.Shape {
	r := make(tensor.Shape, len(s))
	for i, d := range s {
		r[i] = int(d)
	}
	return r
}

// layer lowers one layer on its inputs.
func (b *lowering) layer(l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
	lower := lowerings[l.Kind]
	if lower == nil {
		return nil, fmt.Errorf("the native engine does not know %s", l.Kind)
	}
	o := op{layer: b.prefix + l.Name, rows: 1}
	if len(l.From) > 0 {
		from := ints(l.InShape(0))
		o.channels = from[len(from)-1]
		for _, d := range from[:len(from)-1] {
			o.rows *= d
		}
	}
	return lower(b, o, l, in)
}

// param gives a parameter of the model at hand, nil for the name "".
func (b *lowering) param(name string) *gorgonia.Node { return b.params[b.prefix+name] }

// differentiate lets Gorgonia add the gradients of every trained parameter that a tap depends on.
func (b *lowering) differentiate(p *program) error {
	names := make([]string, 0, len(b.taps))
	for name := range b.taps {
		names = append(names, name)
	}
	sort.Strings(names)
	// One gradient for each output node, though several taps may look at it.
	var outputs, seeds gorgonia.Nodes
	at := map[*gorgonia.Node]int{}
	reached := map[*gorgonia.Node]bool{}
	for _, name := range names {
		n := b.taps[name]
		seed := b.variable("gradient of "+name, n.Shape())
		b.seeds[name] = seed
		if i, again := at[n]; again {
			sum, err := apply(op{kind: opAdd, layer: "gradient of " + name, sum: true}, n.Shape(), seeds[i], seed)
			if err != nil {
				return err
			}
			seeds[i] = sum
			continue
		}
		if !b.reach(n, reached, p) {
			continue // no parameter before it: there is nothing to differentiate
		}
		at[n] = len(outputs)
		outputs, seeds = append(outputs, n), append(seeds, seed)
	}
	var trained []string
	var wrt gorgonia.Nodes
	for _, full := range p.names {
		if n := b.params[full]; n != nil && reached[n] && !p.params[full].buffer {
			trained, wrt = append(trained, full), append(wrt, n)
		}
	}
	if len(wrt) == 0 {
		return nil
	}
	gradients, err := gorgonia.Backpropagate(outputs, seeds, wrt)
	if err != nil {
		return fmt.Errorf("differentiating: %w", err)
	}
	for i, full := range trained {
		b.gradients[full] = gradients[i]
	}
	return nil
}

// reach marks what a node depends on by differentiable ways and tells whether a parameter is among it.
func (b *lowering) reach(n *gorgonia.Node, seen map[*gorgonia.Node]bool, p *program) bool {
	if done, ok := seen[n]; ok {
		return done
	}
	o, ok := n.Op().(*op)
	if !ok {
		isParam := n != b.input
		seen[n] = isParam
		return isParam
	}
	any := false
	wrt := o.DiffWRT(len(o.in))
	for i, child := range children(b.graph, n) {
		if wrt[i] && b.reach(child, seen, p) {
			any = true
		}
	}
	seen[n] = any
	return any
}

// children gives the inputs of a node in order.
func children(g *gorgonia.ExprGraph, n *gorgonia.Node) []*gorgonia.Node {
	var list []*gorgonia.Node
	it := g.From(n.ID())
	for it.Next() {
		list = append(list, it.Node().(*gorgonia.Node))
	}
	return list
}
