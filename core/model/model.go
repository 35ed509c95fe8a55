// Package model understands model descriptions: graphs of layers from a closed, versioned opset (protocol.Model).
//
// Check answers whether a description can be computed at all, and gives the facts that everything else needs: the
// shape of every layer's output, which parameters are used and how large they are, and what a sample costs.
//
//	g, err := model.Check(description)
//	width := g.Outputs["representation"].Shape // of one sample, without the batch
//
// An engine computes a Graph; the plan prints it. A description comes from a plugin, so nothing in it is trusted: any
// message, however odd, gives a Graph or an error that names the layer and the parameter.
package model

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Input is the name by which layers refer to the sample itself.
const Input = "input"

// Graph is a checked model description.
type Graph struct {
	Model   *protocol.Model
	Input   []int64           // shape of one sample: spatial…, channels
	Layers  []*Layer          // in the order of the description, which is an order of computation
	Outputs map[string]*Layer // by output name
	Params  []*protocol.Parameter
	byLayer map[string]*Layer
	byParam map[string]*protocol.Parameter
}

// Layer is one layer with what Check found out about it.
type Layer struct {
	*protocol.Layer
	Kind    Kind
	From    []*Layer // the layers it reads; nil stands for the model's input
	Shape   []int64  // of its output for one sample: at most three dimensions of space and the channels
	Params  []string // the parameters it uses: weight, bias, running mean, running variance, as far as it has them
	Axis    int      // of concat and slice: the axis of a sample, counted from the first
	Indices int64    // of a layer that gives indices (token_order, or a slice of one): they are distinct and below this; else 0
	FLOPs   int64    // of one sample; see Graph.FLOPs
	graph   *Graph
}

// InShape is the shape of the layer's input i for one sample.
func (l *Layer) InShape(i int) []int64 {
	if l.From[i] == nil {
		return l.graph.Input
	}
	return l.From[i].Shape
}

// Layer gives a layer by name.
func (g *Graph) Layer(name string) (*Layer, bool) {
	l, ok := g.byLayer[name]
	return l, ok
}

// Param gives a parameter by name.
func (g *Graph) Param(name string) (*protocol.Parameter, bool) {
	p, ok := g.byParam[name]
	return p, ok
}

// Parameters counts the trained values; running statistics are not among them.
func (g *Graph) Parameters() int64 {
	var n int64
	for _, p := range g.Params {
		if !p.Buffer {
			n += Size(p.Shape)
		}
	}
	return n
}

// Buffers counts the values that are saved but not trained.
func (g *Graph) Buffers() int64 {
	var n int64
	for _, p := range g.Params {
		if p.Buffer {
			n += Size(p.Shape)
		}
	}
	return n
}

// FLOPs counts the operations of one sample forward, a multiply-add as two, in convolutions, linear layers and the two
// products of attention. As in the literature's figures (ResNet-50 at 224×224: 8.2 GFLOP), normalisation, activation and
// pooling are left out.
func (g *Graph) FLOPs() int64 {
	var n int64
	for _, l := range g.Layers {
		n += l.FLOPs
	}
	return n
}

// Size is the number of values of a shape.
func Size(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

func broken(format string, args ...any) *fault.Error {
	return &fault.Error{Op: "model", Kind: fault.Plugin, What: fmt.Sprintf(format, args...),
		Do: "this is a defect of the component that describes the model"}
}

// unfit is a model that is sound but does not suit its input: the user chose the input's size.
func unfit(format string, args ...any) *fault.Error {
	return &fault.Error{Op: "model", Kind: fault.Config, What: fmt.Sprintf(format, args...),
		Do: "give the model a larger input, or choose a model that reduces it less"}
}
