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
)

// Check checks a description and gives its graph. It reports every broken parameter and, since shapes build on one
// another, the first broken layer.
func Check(m *protocol.Model) (*Graph, error) {
	if m == nil {
		return nil, broken("there is no model")
	}
	if m.Opset != Opset {
		return nil, &fault.Error{Op: "model", Kind: fault.Plugin,
			What: fmt.Sprintf("the model asks for opset %d, and opset %d is known here", m.Opset, Opset),
			Do:   "use versions of Asterism and of the plugin that belong together"}
	}
	if len(m.Layers) > maxLayers {
		return nil, broken("the model has %d layers, at most %d are allowed", len(m.Layers), maxLayers)
	}
	g := &Graph{Model: m, Input: m.Input, Outputs: map[string]*Layer{}, byLayer: map[string]*Layer{}, byParam: map[string]*protocol.Parameter{}}
	if err := shape(m.Input); err != nil {
		return nil, broken("the model's input %v: %v", m.Input, err)
	}
	if len(m.Input) > 4 {
		return nil, broken("the model's input %v has %d dimensions; at most three of space and the channels are possible", m.Input, len(m.Input))
	}
	if list := g.parameters(); len(list) > 0 {
		return nil, list
	}
	used := map[string]string{}
	for i, p := range m.Layers {
		l, err := g.layer(i, p, used)
		if err != nil {
			return nil, err
		}
		g.Layers = append(g.Layers, l)
		g.byLayer[p.Name] = l
	}
	if err := g.finish(used); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *Graph) parameters() fault.List {
	var list fault.List
	for i, p := range g.Model.Parameters {
		switch {
		case p == nil || p.Name == "":
			list = append(list, broken("parameter %d has no name", i))
			continue
		case g.byParam[p.Name] != nil:
			list = append(list, broken("two parameters are named %q", p.Name))
			continue
		}
		if err := shape(p.Shape); err != nil {
			list = append(list, broken("parameter %q of shape %v: %v", p.Name, p.Shape, err))
		}
		if err := initial(p.Init); err != nil {
			list = append(list, broken("parameter %q: %v", p.Name, err))
		}
		g.byParam[p.Name] = p
		g.Params = append(g.Params, p)
	}
	return list
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

func initial(in *protocol.Init) error {
	v, name := 0.0, ""
	switch is := in.GetIs().(type) {
	case *protocol.Init_Constant:
		v, name = is.Constant, "constant"
	case *protocol.Init_Normal:
		v, name = is.Normal, "standard deviation"
		if v < 0 {
			return fmt.Errorf("its initial standard deviation %v is negative", v)
		}
	case *protocol.Init_Uniform:
		v, name = is.Uniform, "bound"
		if v < 0 {
			return fmt.Errorf("its initial bound %v is negative", v)
		}
	default:
		return fmt.Errorf("nothing says how it is initialised")
	}
	if math.IsNaN(v) || math.IsInf(v, 0) || math.Abs(v) > math.MaxFloat32 {
		return fmt.Errorf("its initial %s %v is not a float32", name, v)
	}
	return nil
}

func (g *Graph) layer(i int, p *protocol.Layer, used map[string]string) (*Layer, error) {
	if p == nil || p.Name == "" {
		return nil, broken("layer %d has no name", i)
	}
	if p.Name == Input || g.byLayer[p.Name] != nil {
		return nil, broken("two layers are named %q", p.Name)
	}
	l := &Layer{Layer: p, graph: g}
	want := 1
	switch p.Op.(type) {
	case *protocol.Layer_Conv:
		l.Kind = Conv
	case *protocol.Layer_Linear:
		l.Kind = Linear
	case *protocol.Layer_BatchNorm:
		l.Kind = BatchNorm
	case *protocol.Layer_Relu:
		l.Kind = Relu
	case *protocol.Layer_MaxPool:
		l.Kind = MaxPool
	case *protocol.Layer_GlobalAveragePool:
		l.Kind = GlobalAveragePool
	case *protocol.Layer_Add:
		l.Kind, want = Add, 2
	case *protocol.Layer_L2Normalise:
		l.Kind = L2Normalise
	default:
		return nil, broken("layer %q has no operation that opset %d knows", p.Name, Opset)
	}
	if len(p.Inputs) != want {
		return nil, broken("layer %q (%s) has %d inputs, it takes %d", p.Name, l.Kind, len(p.Inputs), want)
	}
	for _, name := range p.Inputs {
		from := g.byLayer[name]
		if from == nil && name != Input {
			if slices.ContainsFunc(g.Model.Layers[i:], func(o *protocol.Layer) bool { return o.GetName() == name }) {
				return nil, broken("layer %q reads %q, which comes after it: layers must stand in the order of computation, without a cycle", p.Name, name)
			}
			return nil, broken("layer %q reads %q, which does not exist", p.Name, name)
		}
		l.From = append(l.From, from)
	}
	if err := g.infer(l, used); err != nil {
		return nil, err
	}
	if err := shape(l.Shape); err != nil {
		return nil, broken("layer %q (%s) would give the shape %v: %v", p.Name, l.Kind, l.Shape, err)
	}
	return l, nil
}

// param finds a parameter of a layer and checks its shape; -1 stands for any size.
func (g *Graph) param(l *Layer, role, name string, buffer bool, want []int64, used map[string]string) (*protocol.Parameter, error) {
	p := g.byParam[name]
	if p == nil {
		return nil, broken("layer %q (%s): its %s is the parameter %q, which does not exist", l.Name, l.Kind, role, name)
	}
	fits := len(p.Shape) == len(want)
	for i := 0; fits && i < len(want); i++ {
		fits = want[i] < 0 || p.Shape[i] == want[i]
	}
	if !fits {
		return nil, broken("layer %q (%s): its %s %q has the shape %v, it must be %s", l.Name, l.Kind, role, name, p.Shape, pattern(want))
	}
	if p.Buffer != buffer {
		if buffer {
			return nil, broken("layer %q (%s): its %s %q must be a buffer", l.Name, l.Kind, role, name)
		}
		return nil, broken("layer %q (%s): its %s %q must be trained, it is a buffer", l.Name, l.Kind, role, name)
	}
	if by, ok := used[name]; ok && buffer {
		return nil, broken("layers %q and %q both keep running statistics in %q", by, l.Name, name)
	}
	used[name] = l.Name
	l.Params = append(l.Params, name)
	return p, nil
}

func pattern(want []int64) string {
	words := make([]string, len(want))
	for i, w := range want {
		if words[i] = fmt.Sprint(w); w < 0 {
			words[i] = "any"
		}
	}
	return "[" + strings.Join(words, " ") + "]"
}

func (g *Graph) finish(used map[string]string) error {
	var list fault.List
	for _, p := range g.Params {
		if _, ok := used[p.Name]; !ok {
			list = append(list, broken("parameter %q is used by no layer", p.Name))
		}
	}
	if len(g.Model.Outputs) == 0 {
		list = append(list, broken("the model names no output"))
	}
	names := make([]string, 0, len(g.Model.Outputs))
	for name := range g.Model.Outputs {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		l := g.byLayer[g.Model.Outputs[name]]
		switch {
		case name == "":
			list = append(list, broken("an output has no name"))
		case l == nil:
			list = append(list, broken("output %q is the layer %q, which does not exist", name, g.Model.Outputs[name]))
		default:
			g.Outputs[name] = l
		}
	}
	if len(list) > 0 {
		return list
	}
	return nil
}
