// Package vit describes vision transformers (Dosovitskiy et al. 2021, ICLR) in the small sizes of Touvron et al. 2021 (ICML),
// with the parameter names, layouts and start of torchvision's, so that weights can be exchanged.
//
// Samples of rank 1, 2 or 3 are cut into patches that become tokens, with learned positions; each block is layer norm and
// attention, layer norm and two linear layers with GELU, each added to what came in.
package vit

import (
	_ "embed"
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed vit.cue
var schema string

// Plugin gives the components of the plugin "vit".
func Plugin() sdk.Plugin {
	component := func(name, summary string, width, heads int64, depth int) sdk.Component {
		return sdk.Encoder(name, 1, summary, schema, func(c config) (sdk.Architecture, error) {
			return &network{config: c, width: width, heads: heads, depth: depth}, nil
		})
	}
	return sdk.Plugin{Name: "vit", Version: "0.1.0", Components: []sdk.Component{
		component("tiny", "Vision transformer, tiny: 12 blocks of 192 channels in 3 heads", 192, 3, 12),
		component("small", "Vision transformer, small: 12 blocks of 384 channels in 6 heads", 384, 6, 12),
	}}
}

type config struct {
	Patch   int64
	Pooling string
}

type network struct {
	config
	width, heads int64
	depth        int
}

// mostTokens is where the table of every token's attention to every other reaches 16 GiB a head and sample.
const mostTokens = 1 << 16

// Describe gives the network for samples of the shape input: "features" is the patches' tokens after the last norm,
// [patches, channels], row-major in space; "representation" is the class token there, or the mean of "features".
func (n *network) Describe(input []int64) (*sdk.Model, error) {
	space, err := sdk.SpaceOf("a vision transformer", input)
	if err != nil {
		return nil, err
	}
	patches, err := n.patches(space)
	if err != nil {
		return nil, err
	}
	m := sdk.NewModel(input)
	m.DecayMatricesOnly()
	pixels := input[len(input)-1]
	for range space {
		pixels *= n.Patch
	}
	x := m.Conv("conv_proj", m.Input(), sdk.ConvOptions{Out: n.width, Kernel: n.Patch, Stride: n.Patch, Bias: true,
		Init: sdk.Normal(1 / math.Sqrt(float64(pixels))), BiasInit: sdk.Constant(0)})
	x = m.Reshape("patches", x, patches, n.width)
	if n.Pooling == "class" {
		class := m.Learned("class_token", sdk.LearnedOptions{Shape: []int64{1, 1, n.width}, Init: sdk.Constant(0), NoDecay: true})
		x = m.Concat("tokens", 0, m.Reshape("class", class, 1, n.width), x)
	}
	tokens := x.Shape
	positions := m.Learned("encoder.pos_embedding", sdk.LearnedOptions{Shape: append([]int64{1}, tokens...), Init: sdk.Normal(0.02), NoDecay: true})
	x = m.Add("placed", x, m.Reshape("positions", positions, tokens...))
	for i := range n.depth {
		x = n.block(m, x, fmt.Sprintf("encoder.layers.encoder_layer_%d", i))
	}
	x = norm(m, "encoder.ln", x)
	if n.Pooling == "mean" {
		m.Output("features", x)
		m.Output("representation", m.GlobalAveragePool("mean", x))
	} else {
		m.Output("features", m.Slice("features", x, 0, 1, patches))
		m.Output("representation", m.Reshape("representation", m.Slice("first", x, 0, 0, 1), n.width))
	}
	return m.Model()
}

// block adds attention and two linear layers, each on what a layer norm leaves and added to what came in.
func (n *network) block(m *sdk.ModelBuilder, x sdk.Node, name string) sdk.Node {
	y := m.SelfAttention(name+".self_attention", norm(m, name+".ln_1", x), n.heads)
	x = m.Add(name+".attended", y, x)
	linear := sdk.LinearOptions{Out: 4 * n.width, Init: sdk.XavierUniform, BiasInit: sdk.Normal(1e-6)}
	y = m.Gelu(name+".mlp.1", m.Linear(name+".mlp.0", norm(m, name+".ln_2", x), linear))
	linear.Out = n.width
	return m.Add(name, x, m.Linear(name+".mlp.3", y, linear))
}

func norm(m *sdk.ModelBuilder, name string, x sdk.Node) sdk.Node {
	return m.LayerNorm(name, x, sdk.NormOptions{Epsilon: 1e-6})
}

// patches is their number, or why the samples cannot be cut into patches.
func (n *network) patches(space []int64) (int64, error) {
	count, common, whole := int64(1), int64(0), true
	for _, size := range space {
		whole = whole && size%n.Patch == 0
		common = divisor(size, common)
		if count *= max(1, size/n.Patch); count > mostTokens {
			return 0, sdk.FieldError{Field: "patch", What: fmt.Sprintf("samples of %s have more than %d patches of %d, and each attends to all", sdk.SizeText(space), mostTokens, n.Patch),
				Advice: "use a larger patch, or smaller samples"}
		}
	}
	if whole {
		return count, nil
	}
	return 0, sdk.FieldError{Field: "patch", What: fmt.Sprintf("samples of %s cannot be cut into patches of %d", sdk.SizeText(space), n.Patch), Advice: advice(space, n.Patch, common)}
}

// advice names the nearest patches that fit, which divide the common divisor of all axes, and the nearest sizes that fit.
func advice(space []int64, patch, common int64) string {
	below, above := min(patch, common), patch+1
	for common%below != 0 {
		below--
	}
	for above <= common && common%above != 0 {
		above++
	}
	fits := fmt.Sprintf("patch: %d", below)
	if above <= common {
		fits += fmt.Sprintf(" or %d", above)
	}
	var down, up []int64
	for _, size := range space {
		down = append(down, size/patch*patch)
		up = append(up, (size+patch-1)/patch*patch)
	}
	sizes := sdk.SizeText(up)
	if slices.Min(down) > 0 {
		sizes = sdk.SizeText(down) + " or " + sizes
	}
	return fmt.Sprintf("use %s, the nearest that fit, or samples of %s", fits, sizes)
}

// divisor is the greatest that a and b have in common.
func divisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
