package native_test

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The beginning and the end of a vision transformer: patches become tokens, a class token stands before them, each gets
// its position, a residual branch with a scale of its own follows, and the class token is the representation.
func Example_tokens() {
	m := &protocol.Model{Opset: 2, Input: []int64{8, 8, 3}, Outputs: map[string]string{"representation": "representation"}}
	parameter := func(name string, shape ...int64) string {
		m.Parameters = append(m.Parameters, &protocol.Parameter{Name: name, Shape: shape, Init: &protocol.Init{Is: &protocol.Init_Normal{Normal: 0.02}}})
		return name
	}
	layer := func(l *protocol.Layer, inputs ...string) {
		l.Inputs = inputs
		m.Layers = append(m.Layers, l)
	}
	learned := func(name string, shape ...int64) string {
		layer(&protocol.Layer{Name: name, Op: &protocol.Layer_Learned{Learned: &protocol.Learned{Parameter: parameter(name, shape...)}}})
		return name
	}
	layer(&protocol.Layer{Name: "patches", Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: parameter("patches.weight", 16, 3, 4, 4),
		Stride: []int64{4, 4}, Padding: []int64{0, 0}, Dilation: []int64{1, 1}}}}, "input")
	layer(&protocol.Layer{Name: "tokens", Op: &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: []int64{4, 16}}}}, "patches")
	layer(&protocol.Layer{Name: "with class", Op: &protocol.Layer_Concat{Concat: &protocol.Concat{Axis: 0}}}, learned("class", 1, 16), "tokens")
	layer(&protocol.Layer{Name: "placed", Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, "with class", learned("positions", 5, 16))
	layer(&protocol.Layer{Name: "branch", Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: parameter("branch.weight", 16, 16)}}}, "placed")
	layer(&protocol.Layer{Name: "scaled", Op: &protocol.Layer_Multiply{Multiply: &protocol.Multiply{}}}, "branch", learned("scale", 16))
	layer(&protocol.Layer{Name: "residual", Op: &protocol.Layer_Add{Add: &protocol.Add{}}}, "placed", "scaled")
	layer(&protocol.Layer{Name: "first", Op: &protocol.Layer_Slice{Slice: &protocol.Slice{Axis: 0, Size: 1}}}, "residual")
	layer(&protocol.Layer{Name: "representation", Op: &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: []int64{16}}}}, "first")

	network, err := native.New().Compile(engine.Program{Encoder: m,
		Passes: []*protocol.Pass{{Name: "pass", Gradient: true}},
		Taps:   []*protocol.Tap{{Name: "z", Pass: "pass", Output: "representation"}}}, engine.Options{Batch: 2, Seed: 7})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer network.Close()
	fmt.Println(network.Cost().Parameters, "parameters give", network.TapShape("z"))
	z, dz := network.Tap("z"), network.TapGradient("z")
	for step := range uint64(100) { // let the class token become 1
		if err := network.Forward("pass", 2, step); err != nil {
			fmt.Println(err)
		}
		for i := range dz {
			dz[i] = z[i] - 1
		}
		if err := network.Backward("pass"); err != nil {
			fmt.Println(err)
		}
		if err := network.Step(engine.Optimiser{LR: 0.1}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Printf("%.2f\n", z[:4])
	// Output:
	// 1136 parameters give [16]
	// [1.00 1.00 1.00 1.00]
}
