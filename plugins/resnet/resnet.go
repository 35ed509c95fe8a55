// Package resnet describes residual networks (He et al. 2016, CVPR), with the parameter names, layouts and start of
// torchvision's, so that weights can be exchanged.
//
// They take samples of rank 1, 2 or 3 with any number of bands, and three stems: ImageNet's, for large pictures; the one
// of Hayat et al. 2021 (ApJL 911, L33), which keeps the resolution of 64-pixel galaxies; and a 3×3 one for small ones.
package resnet

import (
	_ "embed"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed resnet.cue
var schema string

// Plugin gives the components of the plugin "resnet".
func Plugin() sdk.Plugin {
	component := func(name, summary string, depth [4]int, bottleneck bool) sdk.Component {
		return sdk.Encoder(name, 1, summary, schema, func(c config) (sdk.Architecture, error) {
			return &network{config: c, depth: depth, bottleneck: bottleneck}, nil
		})
	}
	return sdk.Plugin{Name: "resnet", Version: "0.1.0", Components: []sdk.Component{
		component("r18", "ResNet-18: 8 basic blocks", [4]int{2, 2, 2, 2}, false),
		component("r34", "ResNet-34: 16 basic blocks", [4]int{3, 4, 6, 3}, false),
		component("r50", "ResNet-50: 16 bottleneck blocks", [4]int{3, 4, 6, 3}, true),
		component("r101", "ResNet-101: 33 bottleneck blocks", [4]int{3, 4, 23, 3}, true),
	}}
}

type config struct {
	Width            int
	Stem             string
	ZeroInitResidual bool `json:"zero_init_residual"`
}

type network struct {
	config
	depth      [4]int
	bottleneck bool
}

// Describe gives the network for samples of the shape input: "features" is the last map, [spatial/(8·stem stride)…,
// channels], "representation" its mean over space.
func (n *network) Describe(input []int64) (*sdk.Model, error) {
	space, err := sdk.SpaceOf("a residual network", input)
	if err != nil {
		return nil, err
	}
	stride := int64(8) // of stages 2 to 4
	if n.Stem == "imagenet" {
		stride = 32
	}
	for _, size := range space {
		if size < stride {
			advice := "use larger samples"
			if n.Stem == "imagenet" && size >= 8 {
				advice = `use stem: "small", which keeps the resolution, or larger samples`
			}
			return nil, sdk.FieldError{Field: "stem", What: fmt.Sprintf("samples of %s are too small: with the stem %q a pixel of the last map stands for %d, and an axis has %d", sdk.SizeText(space), n.Stem, stride, size), Advice: advice}
		}
	}
	m := sdk.NewModel(input)
	x := n.stem(m)
	for stage, blocks := range n.depth {
		for block := range blocks {
			stride := int64(1)
			if stage > 0 && block == 0 {
				stride = 2
			}
			x = n.block(m, x, fmt.Sprintf("layer%d.%d", stage+1, block), int64(n.Width)<<stage, stride)
		}
	}
	m.Output("features", x)
	m.Output("representation", m.GlobalAveragePool("avgpool", x))
	return m.Model()
}

func (n *network) stem(m *sdk.ModelBuilder) sdk.Node {
	o := sdk.ConvOptions{Out: int64(n.Width), Kernel: 7, Stride: 1, Padding: 3, Init: sdk.HeFanOut}
	switch n.Stem {
	case "imagenet":
		o.Stride = 2
	case "small":
		o.Kernel, o.Padding = 3, 1
	}
	x := m.Relu("relu", m.BatchNorm("bn1", m.Conv("conv1", m.Input(), o), sdk.BatchNormOptions{}))
	if n.Stem == "imagenet" {
		x = m.MaxPool("maxpool", x, 3, 2, 1)
	}
	return x
}

// block adds a residual block: a branch of two 3×3 convolutions, or of 1×1, 3×3, 1×1 with four times the channels, and a
// shortcut that is the identity where shapes allow. The stride sits on the 3×3 convolution, as in torchvision.
func (n *network) block(m *sdk.ModelBuilder, x sdk.Node, name string, width, stride int64) sdk.Node {
	type conv struct{ out, kernel, stride int64 }
	branch := []conv{{width, 3, stride}, {width, 3, 1}}
	if n.bottleneck {
		branch = []conv{{width, 1, 1}, {width, 3, stride}, {4 * width, 1, 1}}
	}
	y := x
	for i, c := range branch {
		last := i == len(branch)-1
		y = m.Conv(fmt.Sprintf("%s.conv%d", name, i+1), y, sdk.ConvOptions{Out: c.out, Kernel: c.kernel, Stride: c.stride, Padding: c.kernel / 2, Init: sdk.HeFanOut})
		y = m.BatchNorm(fmt.Sprintf("%s.bn%d", name, i+1), y, sdk.BatchNormOptions{ZeroInit: last && n.ZeroInitResidual})
		if !last {
			y = m.Relu(fmt.Sprintf("%s.relu%d", name, i+1), y)
		}
	}
	if out := branch[len(branch)-1].out; stride != 1 || x.Channels() != out {
		x = m.Conv(name+".downsample.0", x, sdk.ConvOptions{Out: out, Kernel: 1, Stride: stride, Init: sdk.HeFanOut})
		x = m.BatchNorm(name+".downsample.1", x, sdk.BatchNormOptions{})
	}
	return m.Relu(name+".relu", m.Add(name+".add", y, x))
}
