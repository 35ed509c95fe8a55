package native

import (
	"fmt"
	"sort"

	"github.com/asterism-ssl/asterism/core/kernel"
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
	groups   int
	training bool
}

// lower builds the graph of a pass over a batch, and differentiates it if the pass has a gradient and training is true.
func (p *program) lower(pass *protocol.Pass, batch int, training bool) (*lowered, error) {
	b := &lowering{batch: batch, groups: groupsOf(pass), training: training, lowered: &lowered{graph: gorgonia.NewGraph(),
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
		n, err := b.layer(prefix, l, in)
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

func (b *lowering) layer(prefix string, l *model.Layer, in []*gorgonia.Node) (*gorgonia.Node, error) {
	from := ints(l.InShape(0))
	space := from[:len(from)-1]
	o := op{layer: prefix + l.Name, groups: b.groups, channels: from[len(space)], rows: 1}
	for _, d := range space {
		o.rows *= d
	}
	out := b.shaped(l.Shape)
	param := func(name string) *gorgonia.Node { return b.params[prefix+name] }
	switch is := l.Op.(type) {
	case *protocol.Layer_Conv:
		w := param(is.Conv.Weight)
		o.kind = opConv
		o.conv = kernel.Geometry{Batch: b.batch, In: space, Out: ints(l.Shape[:len(space)]), InC: o.channels, OutC: w.Shape()[0], Kernel: w.Shape()[2:],
			Stride: ints(is.Conv.Stride), Pad: ints(is.Conv.Padding), Dilation: ints(is.Conv.Dilation)}
		return o.product(out, in[0], w, param(is.Conv.Bias))
	case *protocol.Layer_Linear:
		w := param(is.Linear.Weight)
		o.kind, o.conv = opConv, kernel.Linear(b.batch, o.channels, w.Shape()[0])
		return o.product(out, in[0], w, param(is.Linear.Bias))
	case *protocol.Layer_BatchNorm:
		n := is.BatchNorm
		o.epsilon, o.momentum = float32(n.Epsilon), float32(n.Momentum)
		o.running = [2]string{prefix + n.RunningMean, prefix + n.RunningVar}
		if !b.training {
			o.kind, o.groups = opNormFixed, 1
			return apply(o, out, in[0], param(n.RunningMean), param(n.RunningVar), param(n.Weight), param(n.Bias))
		}
		s := o
		s.kind = opStatistics
		statistics, err := apply(s, tensor.Shape{2, o.groups, o.channels}, in[0])
		if err != nil {
			return nil, err
		}
		o.kind = opNorm
		return apply(o, out, in[0], statistics, param(n.Weight), param(n.Bias))
	case *protocol.Layer_Relu:
		o.kind = opRelu
		return apply(o, out, in[0])
	case *protocol.Layer_Add:
		o.kind = opAdd
		return apply(o, out, in[0], in[1])
	case *protocol.Layer_MaxPool:
		p := is.MaxPool
		o.conv = kernel.Geometry{Batch: b.batch, In: space, Out: ints(l.Shape[:len(space)]), InC: o.channels, OutC: o.channels,
			Kernel: ints(p.Kernel), Stride: ints(p.Stride), Pad: ints(p.Padding)}
		return o.pair(opPoolArg, out, opPool, out, in[0])
	case *protocol.Layer_GlobalAveragePool:
		o.kind = opMean
		return apply(o, out, in[0])
	case *protocol.Layer_L2Normalise:
		o.epsilon = float32(is.L2Normalise.Epsilon)
		return o.pair(opLength, tensor.Shape{b.batch, o.rows}, opUnit, out, in[0])
	}
	return nil, fmt.Errorf("the native engine does not know %s", l.Kind)
}

// product is a convolution or linear layer, with a bias unless that is nil.
func (o op) product(out tensor.Shape, x, w, bias *gorgonia.Node) (*gorgonia.Node, error) {
	if bias == nil {
		return apply(o, out, x, w)
	}
	return apply(o, out, x, w, bias)
}

// pair is an operation with two outputs. A node has one, so the second is a node of its own that the first one reads;
// the executor computes both at once.
func (o op) pair(second kind, secondOut tensor.Shape, first kind, out tensor.Shape, x *gorgonia.Node) (*gorgonia.Node, error) {
	o.kind = second
	s, err := apply(o, secondOut, x)
	if err != nil {
		return nil, err
	}
	o.kind = first
	return apply(o, out, x, s)
}

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
			sum, err := apply(op{kind: opAdd, layer: "gradient of " + name}, n.Shape(), seeds[i], seed)
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
