package engine

import (
	"fmt"
	"sort"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Checked is a program that holds together, with what follows from it for every engine.
type Checked struct {
	Program
	Graph      *model.Graph                   // of the encoder
	HeadGraphs map[string]*model.Graph        // by name
	Params     map[string]*protocol.Parameter // by full name: "encoder.conv1.weight"
	Names      []string                       // of Params, sorted
}

// The beginnings of the names of arrays.
const (
	EncoderPrefix   = "encoder."
	HeadPrefix      = "head."
	MomentumPrefix  = "momentum."
	OptimiserPrefix = "optimiser."
)

const defect = "this is a defect of the component that describes the program"

func refuse(kind fault.Kind, do, format string, args ...any) error {
	return &fault.Error{Op: "compile", Kind: kind, What: fmt.Sprintf(format, args...), Do: do}
}

// Check checks what a program says, and what the options ask of it whatever the engine.
func Check(e Program, o Options) (*Checked, error) {
	if o.Batch < 1 || o.Batch > 1<<24 {
		return nil, refuse(fault.Config, "choose a batch of at least 1", "a batch of %d cannot be computed", o.Batch)
	}
	c := &Checked{Program: e, HeadGraphs: map[string]*model.Graph{}, Params: map[string]*protocol.Parameter{}}
	var err error
	if c.Graph, err = model.Check(e.Encoder); err != nil {
		return nil, err
	}
	c.add(EncoderPrefix, c.Graph)
	for _, h := range e.Heads {
		if err := c.head(h); err != nil {
			return nil, err
		}
	}
	sort.Strings(c.Names)
	if err := c.checkPasses(o); err != nil {
		return nil, err
	}
	if err := c.checkTaps(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Checked) add(prefix string, g *model.Graph) {
	for _, p := range g.Params {
		c.Names = append(c.Names, prefix+p.Name)
		c.Params[prefix+p.Name] = p
	}
}

func (c *Checked) head(h *protocol.Head) error {
	name := h.GetName()
	if name == "" || c.HeadGraphs[name] != nil || c.Graph.Outputs[name] != nil {
		return refuse(fault.Plugin, defect, "the name %q of a head is empty, or taken by another head or an output of the encoder", name)
	}
	g, err := model.Check(h.Model)
	if err != nil {
		return fmt.Errorf("head %q: %w", name, err)
	}
	from := c.Graph.Outputs[h.Input]
	if from == nil {
		return refuse(fault.Plugin, defect, "head %q reads the output %q, which the encoder does not have", name, h.Input)
	}
	if fmt.Sprint(from.Shape) != fmt.Sprint(g.Input) {
		return refuse(fault.Plugin, defect, "head %q takes the shape %v, the encoder's %q has %v", name, g.Input, h.Input, from.Shape)
	}
	if g.Outputs["out"] == nil {
		return refuse(fault.Plugin, defect, `head %q has no output "out"`, name)
	}
	c.HeadGraphs[name] = g
	c.add(HeadPrefix+name+".", g)
	return nil
}

func (c *Checked) checkPasses(o Options) error {
	seen := map[string]bool{}
	for _, pass := range c.Passes {
		name := pass.GetName()
		if name == "" || seen[name] {
			return refuse(fault.Plugin, defect, "a pass has the name %q, which is empty or taken", name)
		}
		seen[name] = true
		for _, h := range pass.Heads {
			if c.HeadGraphs[h] == nil {
				return refuse(fault.Plugin, defect, "pass %q computes the head %q, which does not exist", name, h)
			}
		}
		switch pass.Network {
		case protocol.Network_ONLINE:
		case protocol.Network_MOMENTUM:
			if !c.Momentum {
				return refuse(fault.Plugin, defect, "pass %q is through the momentum network, and the program has none", name)
			}
			if pass.Gradient {
				return refuse(fault.Plugin, defect, "pass %q asks for a gradient through the momentum network, which has none", name)
			}
		default:
			return refuse(fault.Plugin, defect, "pass %q is through the unknown network %d", name, pass.Network)
		}
		if o.Mode != Train {
			continue
		}
		groups := max(1, int(pass.NormGroups))
		if o.Batch%groups != 0 {
			return refuse(fault.Config, "choose a batch that is a multiple of the groups", "a batch of %d cannot be split into the %d batch-norm groups of pass %q", o.Batch, groups, name)
		}
		for _, h := range append([]string{""}, pass.Heads...) {
			g, prefix := c.Graph, "the encoder"
			if h != "" {
				g, prefix = c.HeadGraphs[h], "head "+h
			}
			for _, l := range g.Layers {
				if width := l.Shape[len(l.Shape)-1]; l.Kind == model.BatchNorm && int64(o.Batch/groups)*model.Size(l.Shape)/width < 2 {
					return refuse(fault.Config, "choose a larger batch, or fewer groups", "layer %q of %s cannot take statistics over a single value (batch %d in %d groups)", l.Name, prefix, o.Batch, groups)
				}
			}
		}
	}
	return nil
}

func (c *Checked) checkTaps() error {
	seen := map[string]bool{}
	for _, t := range c.Taps {
		name := t.GetName()
		if name == "" || seen[name] {
			return refuse(fault.Plugin, defect, "a tap has the name %q, which is empty or taken", name)
		}
		seen[name] = true
		pass := c.Pass(t.Pass)
		if pass == nil {
			return refuse(fault.Plugin, defect, "tap %q looks at the pass %q, which does not exist", name, t.Pass)
		}
		known := c.Graph.Outputs[t.Output] != nil
		for _, h := range pass.Heads {
			known = known || h == t.Output
		}
		if !known {
			return refuse(fault.Plugin, defect, "tap %q looks at %q, which pass %q does not compute", name, t.Output, t.Pass)
		}
	}
	return nil
}

// Pass gives a pass by its name, nil where there is none.
func (c *Checked) Pass(name string) *protocol.Pass {
	for _, p := range c.Passes {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// TapShape is the shape of what a tap looks at, of one sample.
func (c *Checked) TapShape(t *protocol.Tap) []int64 {
	if g := c.HeadGraphs[t.Output]; g != nil {
		return g.Outputs["out"].Shape
	}
	return c.Graph.Outputs[t.Output].Shape
}

// NoArray refuses an array that a network does not have.
func NoArray(a Array) error {
	return &fault.Error{Op: "load weights", Kind: fault.Data, What: fmt.Sprintf("the network has no array %q", a.Name), Do: "give the weights of the same encoder and heads"}
}

// OtherShape refuses an array that has another shape in the network.
func OtherShape(a Array, shape []int64) error {
	return &fault.Error{Op: "load weights", Kind: fault.Data, What: fmt.Sprintf("the array %q has the shape %v and %d values, the network's has %v", a.Name, a.Shape, len(a.Data), shape), Do: "give the weights of the same encoder and heads"}
}
