package export

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/safetensors"
)

// The versions of ONNX that are written: of 2022, the first with layer normalisation.
const (
	irVersion = 8
	opset     = 17
)

// mostBytes is where protocol buffers end, with room for the graph.
const mostBytes = 1<<31 - 1<<24

// ONNX writes the encoder as an ONNX graph. Its input is "input" [batch, bands, height, width], or of as many dimensions
// of space as samples have, its output "representation" [batch, width]; weights have their names and layouts of PyTorch.
func (e *Encoder) ONNX(path string) error {
	output, ok := e.Graph.Outputs["representation"]
	if !ok {
		return &fault.Error{Op: "export", Kind: fault.Plugin, What: "the encoder has no output representation"}
	}
	g := &graph{arrays: map[string]engine.Array{}, values: map[string]*values{}, taken: map[string]bool{"input": true, "representation": true}, ints: map[string]string{}, learned: map[string]bool{}}
	var bytes int
	for _, a := range e.Arrays {
		name := strings.TrimPrefix(a.Name, prefix)
		g.arrays[name], g.taken[name] = a, true
		bytes += 4 * len(a.Data)
	}
	if bytes > mostBytes {
		return &fault.Error{Op: "export", Kind: fault.Config, What: fmt.Sprintf("the encoder's weights take %d MB, and an ONNX file holds 2 GB", bytes/1e6), Do: "use --format safetensors"}
	}
	g.values[model.Input] = &values{first: "input", shape: e.Graph.Input}
	needed := map[*model.Layer]bool{output: true}
	for _, l := range slices.Backward(e.Graph.Layers) {
		if needed[l] {
			for _, from := range l.From {
				needed[from] = true // nil, the input, among them
			}
		}
	}
	for _, l := range e.Graph.Layers {
		if !needed[l] {
			continue
		}
		lower, ok := lowerings[l.Kind]
		if !ok || l.GetLinear().GetUnitNorm() {
			return &fault.Error{Op: "export", Kind: fault.Config, What: fmt.Sprintf("the encoder's layer %q (%s) is none that is written as ONNX", l.Name, l.Kind), Do: "use --format safetensors"}
		}
		lower(g, l)
	}
	out := g.values[output.Name]
	g.nodes.bytes(1, node("Identity", "representation", []string{g.batched(out, g.first(out))}, "representation", nil))

	g.nodes.text(2, "encoder")
	g.nodes.bytes(11, value("input", bandsFirst(e.Graph.Input)))
	g.nodes.bytes(12, value("representation", bandsFirst(output.Shape)))
	size := len(g.nodes)
	for _, t := range g.initializers {
		size += protowire.SizeTag(5) + protowire.SizeBytes(len(t))
	}
	var m, opsets message // ModelProto: ir_version 1, producer 2 and 3, graph 7, opset_import 8, metadata_props 14
	opsets.text(1, "")
	opsets.number(2, opset)
	m.number(1, irVersion)
	m.text(2, "asterism")
	m.text(3, e.Metadata["asterism"])
	m.bytes(8, opsets)
	for _, k := range slices.Sorted(maps.Keys(e.Metadata)) {
		m.bytes(14, pair(k, e.Metadata[k]))
	}
	m = slices.Grow(m, size+16) // the weights are copied once
	m = protowire.AppendVarint(protowire.AppendTag(m, 7, protowire.BytesType), uint64(size))
	m = append(m, g.nodes...)
	for _, t := range g.initializers {
		m.bytes(5, t)
	}
	return run.WriteFile(path, m)
}

// graph is a GraphProto in the making: node 1, name 2, initializer 5, input 11, output 12.
type graph struct {
	nodes        message
	initializers []message
	arrays       map[string]engine.Array // by the name of the parameter
	values       map[string]*values      // by the name of the layer
	taken        map[string]bool         // names of the graph
	ints         map[string]string       // constants by what they hold
	learned      map[string]bool         // parameters that are written
}

// values are what a layer gives. Our layers have channels last, and some of ONNX channels first: either is made of the
// other when it is wanted, and a layer that does not care takes what there is.
type values struct {
	last, first string  // names in the graph; empty: not made
	shape       []int64 // of a sample, channels last
	constant    bool    // does not depend on the input: of a batch of one, which stands for any
}

// in gives an input of a layer.
func (g *graph) in(l *model.Layer, i int) *values { return g.values[l.Inputs[i]] }

// set keeps the output of a layer.
func (g *graph) set(l *model.Layer, name string, first bool) {
	v := &values{shape: l.Shape, constant: true}
	for i := range l.Inputs {
		v.constant = v.constant && g.in(l, i).constant
	}
	if first {
		v.first = name
	} else {
		v.last = name
	}
	g.values[l.Name] = v
}

// first gives the name of values with channels first.
func (g *graph) first(v *values) string {
	if v.first == "" {
		v.first = v.last
		if n := len(v.shape); n > 1 {
			v.first = g.turned(v.last, bandsFirst(count(n))) // as the shape turns, so do the axes
		}
	}
	return v.first
}

// last gives the name of values with channels last.
func (g *graph) last(v *values) string {
	if v.last == "" {
		v.last = v.first
		if axes := count(len(v.shape)); len(axes) > 1 {
			v.last = g.turned(v.first, append(axes[1:], axes[0]))
		}
	}
	return v.last
}

// either gives the name of values as they are, and whether channels are first.
func (v *values) either() (name string, first bool) {
	if v.last != "" {
		return v.last, false
	}
	return v.first, true
}

// turned brings the axes of a sample into another order.
func (g *graph) turned(x string, axes []int64) string {
	return g.add("Transpose", x+".turned", []string{x}, "perm", append([]int64{0}, axes...))
}

// count gives 1 to n, the axes of a sample after the batch.
func count(n int) []int64 {
	axes := make([]int64, n)
	for i := range axes {
		axes[i] = int64(i + 1)
	}
	return axes
}

// axisOf is the place of an axis of a sample of ours in the graph.
func axisOf(axis, rank int, first bool) int {
	switch {
	case !first:
		return axis + 1
	case axis == rank-1:
		return 1
	}
	return axis + 2
}

// add adds a node with attributes, names and values in turn, and gives the name of its output, which it may have to number.
func (g *graph) add(op, name string, inputs []string, attributes ...any) string {
	name = g.unique(name)
	var all []message
	for i := 0; i < len(attributes); i += 2 {
		all = append(all, attribute(attributes[i].(string), attributes[i+1]))
	}
	g.nodes.bytes(1, node(op, name, inputs, name, all))
	return name
}

func (g *graph) unique(name string) string {
	free := name
	for n := 1; g.taken[free]; n++ {
		free = fmt.Sprintf("%s_%d", name, n)
	}
	g.taken[free] = true
	return free
}

// parameter gives the name of a parameter, which is written when it is first used.
func (g *graph) parameter(name string) string {
	if !g.learned[name] {
		g.learned[name] = true
		a := g.arrays[name]
		g.initializers = append(g.initializers, tensor(name, typeFloat, a.Shape, safetensors.Of("", nil, a.Data).Data))
	}
	return name
}

// whole gives the name of a constant vector of whole numbers.
func (g *graph) whole(v ...int64) string {
	key := fmt.Sprint(v)
	if g.ints[key] == "" {
		g.ints[key] = g.unique("whole")
		g.initializers = append(g.initializers, tensor(g.ints[key], typeInt64, []int64{int64(len(v))}, safetensors.Of("", nil, v).Data))
	}
	return g.ints[key]
}

// scalar gives the name of a constant.
func (g *graph) scalar(v float64) string {
	name := g.unique("constant")
	g.initializers = append(g.initializers, tensor(name, typeFloat, nil, binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(v)))))
	return name
}

// filled gives the name of a constant vector of n times a value.
func (g *graph) filled(n int64, v float32) string {
	name := g.unique("constant")
	g.initializers = append(g.initializers, tensor(name, typeFloat, []int64{n}, safetensors.Of("", nil, slices.Repeat([]float32{v}, int(n))).Data))
	return name
}

// reshaped gives samples another shape; a zero of ONNX's leaves the batch as it is.
func (g *graph) reshaped(x string, shape ...int64) string {
	return g.add("Reshape", x+".reshaped", []string{x, g.whole(append([]int64{0}, shape...)...)})
}

// batched repeats values that do not depend on the input for each sample.
func (g *graph) batched(v *values, name string) string {
	if !v.constant {
		return name
	}
	batch := g.add("Slice", name+".batch", []string{g.add("Shape", "shape", []string{"input"}), g.whole(0), g.whole(1)})
	return g.add("Expand", name+".batched", []string{name, g.add("Concat", name+".shape", []string{batch, g.whole(slices.Repeat([]int64{1}, len(v.shape))...)}, "axis", 0)})
}
