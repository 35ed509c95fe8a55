package native_test

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// A linear model learns to double: the caller computes the loss, here ½·(y − 2x)², and hands its gradient back.
func Example() {
	encoder := &protocol.Model{Opset: 1, Input: []int64{1},
		Parameters: []*protocol.Parameter{{Name: "weight", Shape: []int64{1, 1}, Init: &protocol.Init{Is: &protocol.Init_Constant{Constant: 0.5}}}},
		Layers:     []*protocol.Layer{{Name: "fc", Inputs: []string{"input"}, Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: "weight"}}}},
		Outputs:    map[string]string{"representation": "fc"}}
	program := engine.Program{Encoder: encoder,
		Passes: []*protocol.Pass{{Name: "pass", Gradient: true}},
		Taps:   []*protocol.Tap{{Name: "y", Pass: "pass", Output: "representation"}}}

	network, err := native.New().Compile(program, engine.Options{Batch: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer network.Close()
	x, y, dy := network.Input("pass"), network.Tap("y"), network.TapGradient("y")
	copy(x, []float32{1, -0.5})
	for range 50 {
		if err := network.Forward("pass", 2, 0); err != nil {
			fmt.Println(err)
		}
		for i := range dy {
			dy[i] = y[i] - 2*x[i]
		}
		if err := network.Backward("pass"); err != nil {
			fmt.Println(err)
		}
		if err := network.Step(engine.Optimiser{LR: 0.2}); err != nil {
			fmt.Println(err)
		}
	}
	params, err := network.Params()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f\n", params[0].Data)
	// Output: [2.000]
}
