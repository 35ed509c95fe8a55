package model

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Limits that no sensible model meets; they keep products of dimensions within int64 and refuse nonsense early.
const (
	maxDimension = 1 << 24
	maxValues    = 1 << 36
	maxLayers    = 1 << 16
	maxProducts  = math.MaxInt64 / 8 // of one sample through the whole model
	maxRank      = 4                 // three dimensions of space and the channels
)

// checker is a graph in the making.
type checker struct {
	*Graph
	used     map[string]string // the layer that uses a parameter, by parameter
	products int64             // of the layers so far
}

// Check checks a description and gives its graph. It reports every broken parameter and, since shapes build on one
// another, the first broken layer.
func Check(m *protocol.Model) (*Graph, error) {
	if m == nil {
		return nil, broken("there is no model")
	}
	if m.Opset < 1 || m.Opset > Opset {
		return nil, &fault.Error{Op: "model", Kind: fault.Plugin,
			What: fmt.Sprintf("the model asks for opset %d, and the opsets 1 to %d are known here", m.Opset, Opset),
			Do:   "use versions of Asterism and of the plugin that belong together"}
	}
	if len(m.Layers) > maxLayers {
		return nil, broken("the model has %d layers, at most %d are allowed", len(m.Layers), maxLayers)
	}
	g := &Graph{Model: m, Input: m.Input, Outputs: map[string]*Layer{}, byLayer: map[string]*Layer{}, byParam: map[string]*protocol.Parameter{}}
	c := &checker{Graph: g, used: map[string]string{}}
	if err := shape(m.Input); err != nil {
		return nil, broken("the model's input %v: %v", m.Input, err)
	}
	if len(m.Input) > maxRank {
		return nil, broken("the model's input %v has %d dimensions; at most three of space and the channels are possible", m.Input, len(m.Input))
	}
	if list := c.parameters(); len(list) > 0 {
		return nil, list
	}
	for i, p := range m.Layers {
		l, err := c.layer(i, p)
		if err != nil {
			return nil, err
		}
		g.Layers = append(g.Layers, l)
		g.byLayer[p.Name] = l
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	return g, nil
}

func (c *checker) layer(i int, p *protocol.Layer) (*Layer, error) {
	if p == nil || p.Name == "" {
		return nil, broken("layer %d has no name", i)
	}
	if p.Name == Input || c.byLayer[p.Name] != nil {
		return nil, broken("two layers are named %q", p.Name)
	}
	l := &Layer{Layer: p, Kind: kindOf(p), graph: c.Graph}
	rule, ok := rules[l.Kind]
	if !ok {
		if a := p.GetActivation(); a != nil {
			return nil, broken("layer %q has the activation %v, which opset %d does not know", p.Name, a.Function, Opset)
		}
		return nil, broken("layer %q has no operation that opset %d knows", p.Name, Opset)
	}
	if rule.opset > c.Model.Opset {
		return nil, broken("layer %q (%s) is of opset %d, and the description asks for opset %d", p.Name, l.Kind, rule.opset, c.Model.Opset)
	}
	if len(p.Inputs) == 0 && rule.inputs == nil {
		return nil, broken("layer %q (%s) has 0 inputs, it takes at least 1", p.Name, l.Kind)
	}
	if rule.inputs != nil && !slices.Contains(rule.inputs, len(p.Inputs)) {
		return nil, broken("layer %q (%s) has %d inputs, it takes %s", p.Name, l.Kind, len(p.Inputs), either(rule.inputs))
	}
	for _, name := range p.Inputs {
		from := c.byLayer[name]
		if from == nil && name != Input {
			if slices.ContainsFunc(c.Model.Layers[i:], func(o *protocol.Layer) bool { return o.GetName() == name }) {
				return nil, broken("layer %q reads %q, which comes after it: layers must stand in the order of computation, without a cycle", p.Name, name)
			}
			return nil, broken("layer %q reads %q, which does not exist", p.Name, name)
		}
		l.From = append(l.From, from)
	}
	if err := checkIndices(l); err != nil {
		return nil, err
	}
	if err := rule.infer(c, l); err != nil {
		return nil, err
	}
	if err := shape(l.Shape); err != nil {
		return nil, broken("layer %q (%s) would give the shape %v: %v", p.Name, l.Kind, l.Shape, err)
	}
	if len(l.Shape) > maxRank {
		return nil, broken("layer %q (%s) would give the shape %v of %d dimensions; at most three of space and the channels are possible", p.Name, l.Kind, l.Shape, len(l.Shape))
	}
	return l, nil
}

func either(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, " or ")
}

// cost counts the product of the factors as multiply-adds of a layer. The factors are dimensions that need not have been
// checked.
func (c *checker) cost(l *Layer, factors ...int64) error {
	total := 1.0
	for _, f := range factors {
		total *= float64(f)
	}
	if total += float64(c.products); total > maxProducts {
		return broken("layer %q (%s) brings the model to %.0e products a sample", l.Name, l.Kind, total)
	}
	n := Size(factors)
	c.products += n
	l.FLOPs = 2 * n
	return nil
}

func (c *checker) finish() error {
	var list fault.List
	for _, p := range c.Params {
		if _, ok := c.used[p.Name]; !ok {
			list = append(list, broken("parameter %q is used by no layer", p.Name))
		}
	}
	if len(c.Model.Outputs) == 0 {
		list = append(list, broken("the model names no output"))
	}
	names := make([]string, 0, len(c.Model.Outputs))
	for name := range c.Model.Outputs {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		l := c.byLayer[c.Model.Outputs[name]]
		switch {
		case name == "":
			list = append(list, broken("an output has no name"))
		case l == nil:
			list = append(list, broken("output %q is the layer %q, which does not exist", name, c.Model.Outputs[name]))
		case l.Indices > 0:
			list = append(list, broken("output %q is the layer %q (%s), which gives indices; they cannot leave the model", name, l.Name, l.Kind))
		default:
			c.Outputs[name] = l
		}
	}
	if len(list) > 0 {
		return list
	}
	return nil
}

func shape(s []int64) error {
	if len(s) == 0 {
		return fmt.Errorf("it has no dimensions")
	}
	n := int64(1)
	for _, d := range s {
		if d < 1 || d > maxDimension {
			return fmt.Errorf("a dimension must be between 1 and %d", maxDimension)
		}
		if n *= d; n > maxValues {
			return fmt.Errorf("it has more than %d values", int64(maxValues))
		}
	}
	return nil
}
