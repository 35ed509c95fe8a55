// Package mlp describes perceptrons of several layers for vectors and small samples, with the parameter names of
// torchvision.ops.MLP without its last layer, so that weights can be exchanged.
//
// A sample of any shape is one vector, row-major with the bands last.
package mlp

import (
	_ "embed"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed mlp.cue
var schema string

// Plugin gives the component of the plugin "mlp".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "mlp", Version: "0.1.0", Components: []sdk.Component{
		sdk.Encoder("encoder", 1, "Perceptron of several layers, for vectors and small samples", schema, func(c config) (sdk.Architecture, error) { return &c, nil }),
	}}
}

type config struct {
	Hidden []int64
	Norm   string
}

// mostValues keeps the first layer's weight from outgrowing every machine.
const mostValues = 1 << 20

// Describe gives the network for samples of the shape input. There is no map: "features" is "representation", the last
// layer's activation.
func (c *config) Describe(input []int64) (*sdk.Model, error) {
	values := int64(1)
	for _, n := range input {
		if values *= n; values > mostValues {
			return nil, sdk.ConfigError{What: fmt.Sprintf("samples of the shape %v have more than %d values, each of which a perceptron ties to each of its own", input, mostValues),
				Advice: "use smaller samples, or an encoder that looks at neighbouring pixels: resnet.r18, convnext.atto, vit.tiny"}
		}
	}
	m := sdk.NewModel(input)
	x := m.Input()
	if x.Rank() > 0 {
		x = m.Reshape("flat", x, values)
	}
	place := 0 // torchvision's: linear, norm, activation and dropout count, the norm only where there is one
	next := func() string { place++; return fmt.Sprint(place - 1) }
	for _, width := range c.Hidden {
		x = m.Linear(next(), x, sdk.LinearOptions{Out: width})
		switch c.Norm {
		case "batch":
			x = m.BatchNorm(next(), x, sdk.BatchNormOptions{})
		case "layer":
			x = m.LayerNorm(next(), x, sdk.NormOptions{})
		}
		x = m.Relu(next(), x)
		next() // dropout
	}
	m.Output("features", x)
	m.Output("representation", x)
	return m.Model()
}
