// Acme is a plugin for Asterism with one encoder.
package main

import (
	_ "embed"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed schema.cue
var schema string

func main() {
	sdk.Serve(sdk.Plugin{Name: "acme", Version: "0.1.0", Components: []sdk.Component{
		// 1 is the revision: raise it whenever results change for the same configuration.
		sdk.Encoder("small", 1, "A small convolutional network.", schema, newSmall),
	}})
}

// small holds the configuration: fields have the names of the schema's, which has checked them.
type small struct {
	Width  int64 `json:"width"`
	Stages int   `json:"stages"`
}

func newSmall(s small) (sdk.Architecture, error) { return s, nil }

// Describe gives the network for samples of the shape input (space…, bands); the engine computes it. The builder keeps
// the first mistake, such as samples that are too small for so many stages, and Model gives it to the user.
func (s small) Describe(input []int64) (*sdk.Model, error) {
	m := sdk.NewModel(input)
	x := m.Input()
	for i := range s.Stages {
		// Layers have names: weights are stored and exchanged by them.
		name := fmt.Sprintf("stage%d.", i+1)
		x = m.Conv(name+"conv", x, sdk.ConvOptions{Out: s.Width << i, Kernel: 3, Stride: 2, Padding: 1, Init: sdk.HeFanOut})
		x = m.Relu(name+"relu", m.BatchNorm(name+"norm", x, sdk.BatchNormOptions{}))
	}
	// Every encoder has these two outputs: the last map, and the vector that objectives and tasks are given.
	m.Output("features", x)
	m.Output("representation", m.GlobalAveragePool("pool", x))
	return m.Model()
}
