package native

import (
	"fmt"
	"sort"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// program is a checked engine.Program.
type program struct {
	encoder  *model.Graph
	heads    map[string]*head
	passes   []*protocol.Pass
	taps     []*protocol.Tap
	momentum bool
	params   map[string]*param // by full name: "encoder.conv1.weight"
	names    []string          // of params, sorted
}

type head struct {
	graph *model.Graph
	input string // an output of the encoder
}

type param struct {
	*protocol.Parameter
	name   string
	buffer bool
	size   int // values
	// packed is how a slab of weights, gradients or velocities holds the parameter where products alone read it: as the
	// kernels read it, for this geometry; nil: in PyTorch's layout. See pack.go.
	packed *kernel.Geometry
	room   int // values in a slab
	offset int // in a slab of weights; trained ones lie at the same offset in slabs of gradients and velocities
}

func refuse(kind fault.Kind, do, format string, args ...any) error {
	return &fault.Error{Op: "compile", Kind: kind, What: fmt.Sprintf(format, args...), Do: do}
}

const defect = "this is a defect of the component that describes the program"

// check checks what engine.Program says and what the options ask for.
func check(e engine.Program, o engine.Options) (*program, error) {
	switch {
	case o.Precision == "" || o.Precision == engine.Float32:
	case o.Precision != engine.BFloat16:
		return nil, refuse(fault.Config, "choose float32 or bfloat16", "the native engine does not compute in %q", o.Precision)
	case !kernel.HasBFloat16():
		return nil, &fault.Error{Op: "compile", Kind: fault.Config, What: "bfloat16 cannot be computed here", Err: fmt.Errorf("%w: the kernels compute with %s", engine.ErrPrecision, kernel.Describe()),
			Do: "choose float32, or a processor with AVX-512 BF16"}
	}
	if o.Batch < 1 || o.Batch > 1<<24 {
		return nil, refuse(fault.Config, "choose a batch of at least 1", "a batch of %d cannot be computed", o.Batch)
	}
	p := &program{heads: map[string]*head{}, passes: e.Passes, taps: e.Taps, momentum: e.Momentum, params: map[string]*param{}}
	var err error
	if p.encoder, err = model.Check(e.Encoder); err != nil {
		return nil, err
	}
	p.add("encoder.", p.encoder)
	for _, h := range e.Heads {
		if err := p.head(h); err != nil {
			return nil, err
		}
	}
	sort.Strings(p.names)
	if err := p.checkPasses(o); err != nil {
		return nil, err
	}
	if err := p.checkTaps(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *program) add(prefix string, g *model.Graph) {
	for _, q := range g.Params {
		name := prefix + q.Name
		p.names = append(p.names, name)
		p.params[name] = &param{Parameter: q, name: name, buffer: q.Buffer, size: int(model.Size(q.Shape))}
	}
}

func (p *program) head(h *protocol.Head) error {
	name := h.GetName()
	if name == "" || p.heads[name] != nil || p.encoder.Outputs[name] != nil {
		return refuse(fault.Plugin, defect, "the name %q of a head is empty, or taken by another head or an output of the encoder", name)
	}
	g, err := model.Check(h.Model)
	if err != nil {
		return fmt.Errorf("head %q: %w", name, err)
	}
	from := p.encoder.Outputs[h.Input]
	if from == nil {
		return refuse(fault.Plugin, defect, "head %q reads the output %q, which the encoder does not have", name, h.Input)
	}
	if fmt.Sprint(from.Shape) != fmt.Sprint(g.Input) {
		return refuse(fault.Plugin, defect, "head %q takes the shape %v, the encoder's %q has %v", name, g.Input, h.Input, from.Shape)
	}
	if g.Outputs["out"] == nil {
		return refuse(fault.Plugin, defect, `head %q has no output "out"`, name)
	}
	p.heads[name] = &head{g, h.Input}
	p.add("head."+name+".", g)
	return nil
}

func (p *program) checkPasses(o engine.Options) error {
	seen := map[string]bool{}
	for _, pass := range p.passes {
		name := pass.GetName()
		if name == "" || seen[name] {
			return refuse(fault.Plugin, defect, "a pass has the name %q, which is empty or taken", name)
		}
		seen[name] = true
		for _, h := range pass.Heads {
			if p.heads[h] == nil {
				return refuse(fault.Plugin, defect, "pass %q computes the head %q, which does not exist", name, h)
			}
		}
		switch pass.Network {
		case protocol.Network_ONLINE:
		case protocol.Network_MOMENTUM:
			if !p.momentum {
				return refuse(fault.Plugin, defect, "pass %q is through the momentum network, and the program has none", name)
			}
			if pass.Gradient {
				return refuse(fault.Plugin, defect, "pass %q asks for a gradient through the momentum network, which has none", name)
			}
		default:
			return refuse(fault.Plugin, defect, "pass %q is through the unknown network %d", name, pass.Network)
		}
		if o.Mode != engine.Train {
			continue
		}
		groups := groupsOf(pass)
		if o.Batch%groups != 0 {
			return refuse(fault.Config, "choose a batch that is a multiple of the groups", "a batch of %d cannot be split into the %d batch-norm groups of pass %q", o.Batch, groups, name)
		}
		for _, h := range append([]string{""}, pass.Heads...) {
			g, prefix := p.encoder, "the encoder"
			if h != "" {
				g, prefix = p.heads[h].graph, "head "+h
			}
			for _, l := range g.Layers {
				if c := l.Shape[len(l.Shape)-1]; l.Kind == model.BatchNorm && int64(o.Batch/groups)*model.Size(l.Shape)/c < 2 {
					return refuse(fault.Config, "choose a larger batch, or fewer groups", "layer %q of %s cannot take statistics over a single value (batch %d in %d groups)", l.Name, prefix, o.Batch, groups)
				}
			}
		}
	}
	return nil
}

func (p *program) checkTaps() error {
	seen := map[string]bool{}
	for _, t := range p.taps {
		name := t.GetName()
		if name == "" || seen[name] {
			return refuse(fault.Plugin, defect, "a tap has the name %q, which is empty or taken", name)
		}
		seen[name] = true
		pass := p.pass(t.Pass)
		if pass == nil {
			return refuse(fault.Plugin, defect, "tap %q looks at the pass %q, which does not exist", name, t.Pass)
		}
		known := p.encoder.Outputs[t.Output] != nil
		for _, h := range pass.Heads {
			known = known || h == t.Output
		}
		if !known {
			return refuse(fault.Plugin, defect, "tap %q looks at %q, which pass %q does not compute", name, t.Output, t.Pass)
		}
	}
	return nil
}

func (p *program) pass(name string) *protocol.Pass {
	for _, q := range p.passes {
		if q.Name == name {
			return q
		}
	}
	return nil
}

// tapShape is the shape of what a tap looks at, of one sample.
func (p *program) tapShape(t *protocol.Tap) []int64 {
	if h := p.heads[t.Output]; h != nil {
		return h.graph.Outputs["out"].Shape
	}
	return p.encoder.Outputs[t.Output].Shape
}
