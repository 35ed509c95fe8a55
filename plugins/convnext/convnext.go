// Package convnext describes ConvNeXts (Liu et al. 2022, CVPR): stages of 7×7 depthwise convolutions, layer norm and pairs of
// linear layers, with the parameter names, layouts and start of torchvision's, so that weights can be exchanged.
//
// tiny is the paper's smallest. Smaller ones take the depths and widths of Woo et al. 2023 (CVPR), with the blocks of the
// first paper: layer scale, no global response normalisation. Weights are drawn from normals of deviation 0.02.
package convnext

import (
	_ "embed"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed convnext.cue
var schema string

// Plugin gives the components of the plugin "convnext".
func Plugin() sdk.Plugin {
	component := func(name, summary string, width int64, depth [4]int) sdk.Component {
		return sdk.Encoder(name, 1, summary, schema, func(c config) (sdk.Architecture, error) {
			return &network{config: c, width: width, depth: depth}, nil
		})
	}
	return sdk.Plugin{Name: "convnext", Version: "0.1.0", Components: []sdk.Component{
		component("atto", "ConvNeXt atto: 12 blocks of 40 to 320 channels", 40, [4]int{2, 2, 6, 2}),
		component("femto", "ConvNeXt femto: 12 blocks of 48 to 384 channels", 48, [4]int{2, 2, 6, 2}),
		component("pico", "ConvNeXt pico: 12 blocks of 64 to 512 channels", 64, [4]int{2, 2, 6, 2}),
		component("nano", "ConvNeXt nano: 14 blocks of 80 to 640 channels", 80, [4]int{2, 2, 8, 2}),
		component("tiny", "ConvNeXt tiny: 18 blocks of 96 to 768 channels", 96, [4]int{3, 3, 9, 3}),
	}}
}

type config struct {
	Patch      int64
	LayerScale float64 `json:"layer_scale"`
}

type network struct {
	config
	width int64 // channels of the first stage; each of the others has twice as many as the one before
	depth [4]int
}

// reduction is how many pixels after the stem one of the last map stands for, along an axis.
const reduction = 8

// Describe gives the network for samples of the shape input: "features" is the last map, [spatial/(8·patch)…, channels],
// "representation" its mean over space after a layer norm.
func (n *network) Describe(input []int64) (*sdk.Model, error) {
	space, err := sdk.SpaceOf("a ConvNeXt", input)
	if err != nil {
		return nil, err
	}
	for _, size := range space {
		if size < reduction*n.Patch {
			advice := fmt.Sprintf("use samples of at least %d pixels along each axis", reduction)
			if size >= reduction {
				advice = fmt.Sprintf("use patch: %d, or larger samples", size/reduction)
			}
			return nil, sdk.FieldError{Field: "patch", What: fmt.Sprintf("samples of %s are too small: with patches of %d a pixel of the last map stands for %d, and an axis has %d",
				sdk.SizeText(space), n.Patch, reduction*n.Patch, size), Advice: advice}
		}
	}
	m := sdk.NewModel(input)
	m.DecayMatricesOnly()
	x := norm(m, "features.0.1", m.Conv("features.0.0", m.Input(), patches(n.width, n.Patch)))
	for stage, blocks := range n.depth {
		if stage > 0 {
			name := fmt.Sprintf("features.%d", 2*stage)
			x = m.Conv(name+".1", norm(m, name+".0", x), patches(n.width<<stage, 2))
		}
		for block := range blocks {
			x = n.block(m, x, fmt.Sprintf("features.%d.%d", 2*stage+1, block))
		}
	}
	m.Output("features", x)
	m.Output("representation", norm(m, "classifier.0", m.GlobalAveragePool("avgpool", x)))
	return m.Model()
}

// patches joins every size pixels along each axis.
func patches(out, size int64) sdk.ConvOptions {
	return sdk.ConvOptions{Out: out, Kernel: size, Stride: size, Bias: true, Init: start, BiasInit: sdk.Constant(0)}
}

// block adds a residual block: a depthwise convolution that mixes pixels, two linear layers that mix channels, and a scale
// of each channel.
func (n *network) block(m *sdk.ModelBuilder, x sdk.Node, name string) sdk.Node {
	c := x.Channels()
	y := m.Conv(name+".block.0", x, sdk.ConvOptions{Out: c, Kernel: 7, Padding: 3, Groups: c, Bias: true, Init: start, BiasInit: sdk.Constant(0)})
	y = m.Linear(name+".block.3", norm(m, name+".block.2", y), sdk.LinearOptions{Out: 4 * c, Init: start, BiasInit: sdk.Constant(0)})
	y = m.Linear(name+".block.5", m.Gelu(name+".block.4", y), sdk.LinearOptions{Out: c, Init: start, BiasInit: sdk.Constant(0)})
	shape := []int64{c} // PyTorch's, where channels come first
	for range x.Rank() {
		shape = append(shape, 1)
	}
	scale := m.Learned(name+".layer_scale", sdk.LearnedOptions{Shape: shape, Init: sdk.Constant(n.LayerScale), NoDecay: true})
	y = m.Multiply(name+".scaled", y, m.Reshape(name+".layer_scale.channels", scale, c))
	return m.Add(name, y, x)
}

func norm(m *sdk.ModelBuilder, name string, x sdk.Node) sdk.Node {
	return m.LayerNorm(name, x, sdk.NormOptions{Epsilon: 1e-6})
}

var start = sdk.Normal(0.02)
