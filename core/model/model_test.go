package model_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// small is a convolution, batch norm, activation and pooling over 8×8 images of three bands.
func small() *protocol.Model {
	one := &protocol.Init{Is: &protocol.Init_Constant{Constant: 1}}
	normal := &protocol.Init{Is: &protocol.Init_Normal{Normal: 0.1}}
	return &protocol.Model{
		Opset: 1, Input: []int64{8, 8, 3},
		Parameters: []*protocol.Parameter{
			{Name: "conv.weight", Shape: []int64{4, 3, 3, 3}, Init: normal},
			{Name: "bn.weight", Shape: []int64{4}, Init: one}, {Name: "bn.bias", Shape: []int64{4}, Init: one},
			{Name: "bn.running_mean", Shape: []int64{4}, Init: one, Buffer: true}, {Name: "bn.running_var", Shape: []int64{4}, Init: one, Buffer: true},
			{Name: "fc.weight", Shape: []int64{10, 4}, Init: normal}, {Name: "fc.bias", Shape: []int64{10}, Init: normal},
		},
		Layers: []*protocol.Layer{
			{Name: "conv", Inputs: []string{"input"}, Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: "conv.weight", Stride: []int64{2, 2}, Padding: []int64{1, 1}, Dilation: []int64{1, 1}}}},
			{Name: "bn", Inputs: []string{"conv"}, Op: &protocol.Layer_BatchNorm{BatchNorm: &protocol.BatchNorm{Weight: "bn.weight", Bias: "bn.bias", RunningMean: "bn.running_mean", RunningVar: "bn.running_var", Epsilon: 1e-5, Momentum: 0.1}}},
			{Name: "relu", Inputs: []string{"bn"}, Op: &protocol.Layer_Relu{Relu: &protocol.Relu{}}},
			{Name: "sum", Inputs: []string{"relu", "bn"}, Op: &protocol.Layer_Add{Add: &protocol.Add{}}},
			{Name: "pool", Inputs: []string{"sum"}, Op: &protocol.Layer_GlobalAveragePool{GlobalAveragePool: &protocol.GlobalAveragePool{}}},
			{Name: "fc", Inputs: []string{"pool"}, Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: "fc.weight", Bias: "fc.bias"}}},
		},
		Outputs: map[string]string{"features": "sum", "representation": "fc"},
	}
}

func ExampleCheck() {
	g, err := model.Check(small())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range g.Layers {
		fmt.Println(l.Name, l.Kind, l.Shape)
	}
	fmt.Println(g.Parameters(), "parameters,", g.FLOPs(), "FLOPs a sample")
	// Output:
	// conv conv [4 4 4]
	// bn batch_norm [4 4 4]
	// relu relu [4 4 4]
	// sum add [4 4 4]
	// pool global_average_pool [4]
	// fc linear [10]
	// 166 parameters, 3536 FLOPs a sample
}

func TestEveryDefectIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*protocol.Model)
		say   string
		kind  fault.Kind
	}{
		"opset":         {func(m *protocol.Model) { m.Opset = 3 }, "asks for opset 3", fault.Plugin},
		"no op":         {func(m *protocol.Model) { m.Layers[2].Op = nil }, `layer "relu" has no operation`, fault.Plugin},
		"order":         {func(m *protocol.Model) { m.Layers[0].Inputs[0] = "pool" }, `layer "conv" reads "pool", which comes after it`, fault.Plugin},
		"itself":        {func(m *protocol.Model) { m.Layers[2].Inputs[0] = "relu" }, `layer "relu" reads "relu", which comes after it`, fault.Plugin},
		"unknown layer": {func(m *protocol.Model) { m.Layers[2].Inputs[0] = "bm" }, `reads "bm", which does not exist`, fault.Plugin},
		"inputs":        {func(m *protocol.Model) { m.Layers[3].Inputs = nil }, `layer "sum" (add) has 0 inputs, it takes 2`, fault.Plugin},
		"twice":         {func(m *protocol.Model) { m.Layers[1].Name = "conv" }, `two layers are named "conv"`, fault.Plugin},
		"missing":       {func(m *protocol.Model) { m.Parameters = m.Parameters[1:] }, `layer "conv" (conv): its weight is the parameter "conv.weight", which does not exist`, fault.Plugin},
		"shape":         {func(m *protocol.Model) { m.Parameters[0].Shape[1] = 5 }, `"conv.weight" has the shape [4 5 3 3], it must be [any 3 any any]`, fault.Plugin},
		"rank":          {func(m *protocol.Model) { m.Parameters[0].Shape = []int64{4, 3, 9} }, `it must be [any 3 any any]`, fault.Plugin},
		"unused": {func(m *protocol.Model) {
			m.Parameters = append(m.Parameters, &protocol.Parameter{Name: "lost", Shape: []int64{1}, Init: m.Parameters[0].Init})
		}, `parameter "lost" is used by no layer`, fault.Plugin},
		"no init":       {func(m *protocol.Model) { m.Parameters[0].Init = nil }, `parameter "conv.weight": nothing says how`, fault.Plugin},
		"buffer":        {func(m *protocol.Model) { m.Parameters[3].Buffer = false }, `running mean "bn.running_mean" must be a buffer`, fault.Plugin},
		"trained":       {func(m *protocol.Model) { m.Parameters[0].Buffer = true }, `weight "conv.weight" must be trained`, fault.Plugin},
		"output":        {func(m *protocol.Model) { m.Outputs["features"] = "nothing" }, `output "features" is the layer "nothing"`, fault.Plugin},
		"no output":     {func(m *protocol.Model) { m.Outputs = nil }, `names no output`, fault.Plugin},
		"stride":        {func(m *protocol.Model) { m.Layers[0].GetConv().Stride = []int64{2} }, `layer "conv" (conv): stride [2] must have 2 values`, fault.Plugin},
		"zero stride":   {func(m *protocol.Model) { m.Layers[0].GetConv().Stride[0] = 0 }, `stride [0 2] must have values of at least 1`, fault.Plugin},
		"epsilon":       {func(m *protocol.Model) { m.Layers[1].GetBatchNorm().Epsilon = 0 }, `epsilon 0 must be positive`, fault.Plugin},
		"add":           {func(m *protocol.Model) { m.Layers[3].Inputs[0] = "input" }, `have the shapes [8 8 3] and [4 4 4]`, fault.Plugin},
		"linear on map": {func(m *protocol.Model) { m.Layers[5].Inputs[0] = "sum" }, `layer "fc" (linear): reading a map or tokens is of opset 2, and the description asks for opset 1`, fault.Plugin},
		"input too small": {func(m *protocol.Model) { m.Input = []int64{1, 1, 3}; m.Layers[0].GetConv().Padding = []int64{0, 0} },
			`layer "conv" (conv): its window of [3 3] does not fit into the input [1 1 3]`, fault.Config},
		"rank of the input": {func(m *protocol.Model) { m.Input = []int64{8, 8, 8, 8, 3} }, `the model's input [8 8 8 8 3] has 5 dimensions`, fault.Plugin},
		"no input":          {func(m *protocol.Model) { m.Input = nil }, `the model's input []: it has no dimensions`, fault.Plugin},
		"layers":            {func(m *protocol.Model) { m.Layers = make([]*protocol.Layer, 1<<16+1) }, `the model has 65537 layers, at most 65536 are allowed`, fault.Plugin},
		"nameless layer":    {func(m *protocol.Model) { m.Layers[2].Name = "" }, `layer 2 has no name`, fault.Plugin},
		"nil layer":         {func(m *protocol.Model) { m.Layers[2] = nil }, `layer 2 has no name`, fault.Plugin},
		"nameless array":    {func(m *protocol.Model) { m.Parameters[1].Name = "" }, `parameter 1 has no name`, fault.Plugin},
		"arrays":            {func(m *protocol.Model) { m.Parameters[1].Name = "conv.weight" }, `two parameters are named "conv.weight"`, fault.Plugin},
		"empty array":       {func(m *protocol.Model) { m.Parameters[1].Shape[0] = 0 }, `parameter "bn.weight" of shape [0]: a dimension must be between 1 and 16777216`, fault.Plugin},
		"deviation": {func(m *protocol.Model) { m.Parameters[0].Init = &protocol.Init{Is: &protocol.Init_Normal{Normal: -1}} },
			`parameter "conv.weight": its initial standard deviation -1 is negative`, fault.Plugin},
		"bound": {func(m *protocol.Model) {
			m.Parameters[0].Init = &protocol.Init{Is: &protocol.Init_Uniform{Uniform: -1}}
		},
			`parameter "conv.weight": its initial bound -1 is negative`, fault.Plugin},
		"constant": {func(m *protocol.Model) {
			m.Parameters[0].Init = &protocol.Init{Is: &protocol.Init_Constant{Constant: 1e60}}
		},
			`parameter "conv.weight": its initial constant 1e+60 is not a float32`, fault.Plugin},
		"shared statistics": {func(m *protocol.Model) { m.Layers[1].GetBatchNorm().RunningVar = "bn.running_mean" },
			`layers "bn" and "bn" both keep running statistics in "bn.running_mean"`, fault.Plugin},
		"momentum": {func(m *protocol.Model) { m.Layers[1].GetBatchNorm().Momentum = 2 }, `layer "bn" (batch_norm): momentum 2 must be between 0 and 1`, fault.Plugin},
		"nothing to pool": {func(m *protocol.Model) {
			m.Layers[5] = &protocol.Layer{Name: "fc", Inputs: []string{"pool"}, Op: m.Layers[4].Op}
		},
			`layer "fc" (global_average_pool) reads a vector; there is nothing to pool`, fault.Plugin},
		"epsilon of a length": {func(m *protocol.Model) {
			m.Layers[2].Op = &protocol.Layer_L2Normalise{L2Normalise: &protocol.L2Normalise{}}
		}, `layer "relu" (l2_normalise): epsilon 0 must be positive`, fault.Plugin},
		"nameless output": {func(m *protocol.Model) { m.Outputs[""] = "fc" }, `an output has no name`, fault.Plugin},
		"huge":            {func(m *protocol.Model) { m.Input = []int64{1 << 24, 1 << 24, 3} }, `values`, fault.Plugin},
	} {
		m := small()
		c.spoil(m)
		g, err := model.Check(m)
		if err == nil || g != nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if !strings.Contains(err.Error(), c.say) || fault.KindOf(err) != c.kind {
			t.Errorf("%s: got %q of kind %v, want it to say %q", name, err, fault.KindOf(err), c.say)
		}
	}
	if _, err := model.Check(nil); err == nil {
		t.Error("nil: no error")
	}
}

// Whatever bytes a plugin sends as a model, Check gives a graph or an error.
func FuzzCheck(f *testing.F) {
	seed, _ := proto.Marshal(small())
	f.Add(seed)
	for _, s := range samples() {
		seed, _ := proto.Marshal(s.model())
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m protocol.Model
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		g, err := model.Check(&m)
		if (g == nil) == (err == nil) {
			t.Fatalf("graph %v with error %v", g, err)
		}
		if g == nil {
			return
		}
		// What engines rely on.
		for _, l := range g.Layers {
			if n := len(l.Shape); n < 1 || n > 4 || slices.Min(l.Shape) < 1 || model.Size(l.Shape) < 1 {
				t.Fatalf("layer %q (%s) has the shape %v", l.Name, l.Kind, l.Shape)
			}
			if l.FLOPs < 0 || l.Axis < 0 || len(l.From) > 0 && l.Axis >= len(l.InShape(0)) {
				t.Fatalf("layer %q (%s) has %d FLOPs and the axis %d", l.Name, l.Kind, l.FLOPs, l.Axis)
			}
			if (l.Kind == model.GatherTokens || l.Kind == model.ScatterTokens) && (l.From[1] == nil || l.From[1].Indices < 1) {
				t.Fatalf("layer %q (%s) has indices from anywhere", l.Name, l.Kind)
			}
			if l.Kind == model.GatherTokens && l.From[1].Indices > l.InShape(0)[0] || l.Kind == model.ScatterTokens && l.From[1].Indices > l.Shape[0] {
				t.Fatalf("layer %q (%s) has indices that point outside", l.Name, l.Kind)
			}
		}
		if g.FLOPs() < 0 {
			t.Fatalf("%d FLOPs", g.FLOPs())
		}
	})
}

// A window's output times its stride never reaches further than the padded input.
func TestWindowsStayInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, k := rapid.Int64Range(1, 40).Draw(t, "in"), rapid.Int64Range(1, 9).Draw(t, "kernel")
		s, p, d := rapid.Int64Range(1, 4).Draw(t, "stride"), rapid.Int64Range(0, 5).Draw(t, "padding"), rapid.Int64Range(1, 3).Draw(t, "dilation")
		m := &protocol.Model{Opset: 1, Input: []int64{in, 2},
			Parameters: []*protocol.Parameter{{Name: "w", Shape: []int64{3, 2, k}, Init: &protocol.Init{Is: &protocol.Init_Normal{Normal: 1}}}},
			Layers: []*protocol.Layer{{Name: "c", Inputs: []string{"input"}, Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: "w",
				Stride: []int64{s}, Padding: []int64{p}, Dilation: []int64{d}}}}},
			Outputs: map[string]string{"out": "c"}}
		g, err := model.Check(m)
		reach := d*(k-1) + 1
		if in+2*p < reach {
			if err == nil {
				t.Fatal("the window does not fit and nobody says so")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		out := g.Outputs["out"].Shape[0]
		if last := (out-1)*s + reach; last > in+2*p || last+s <= in+2*p {
			t.Fatalf("%d outputs reach to %d of %d", out, last, in+2*p)
		}
	})
}
