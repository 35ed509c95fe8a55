package torch_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/engine/enginetest"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/plugins/convnext"
	"github.com/asterism-ssl/asterism/plugins/mlp"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/vit"
)

// What PyTorch computes of descriptions is what it computes of torchvision's networks, in bfloat16 within twice what its own
// autocast is off.
func TestGoldens(t *testing.T) {
	torch := pytorch(t)
	golden := enginetest.Read(t, "../../mlp/testdata/golden.json").Cases
	for _, name := range []string{"2D batch", "1D layer", "3D none"} {
		_, norm, _ := strings.Cut(name, " ")
		c := golden[name]
		c.Check(t, torch, name, describe(t, mlp.Plugin(), "encoder", fmt.Sprintf(`{hidden: [24, 17, 9], norm: %q}`, norm), c.Input[1:]...))
	}
	golden = enginetest.Read(t, "../../resnet/testdata/golden.json").Cases
	for name, config := range map[string]string{"r18 imagenet 2D": `{width: 8}`, "r18 small 3D": `{width: 4, stem: "small"}`, "r50 imagenet 1D": `{width: 4}`} {
		component, _, _ := strings.Cut(name, " ")
		c := golden[name]
		c.Check(t, torch, name, describe(t, resnet.Plugin(), component, config, c.Input[1:]...))
	}
}

// Transformers in bfloat16 are as close to float64 as values of eight bits allow.
func TestBFloat16(t *testing.T) {
	torch := pytorch(t)
	for name, m := range map[string]*protocol.Model{
		"convnext": describe(t, convnext.Plugin(), "atto", `{patch: 1, layer_scale: 0.1}`, 8, 8, 3),
		"vit":      describe(t, vit.Plugin(), "tiny", `{patch: 8}`, 64, 1),
	} {
		p := engine.Program{Encoder: m, Passes: []*protocol.Pass{{Name: "only", Gradient: true}}, Taps: []*protocol.Tap{{Name: "out", Pass: "only", Output: "representation"}}}
		var taps [2][]float32
		var velocities [2]state
		for side, precision := range []engine.Precision{engine.BFloat16, "float64"} {
			n, err := torch.Compile(p, engine.Options{Batch: batch, Seed: seed, Threads: 1, Precision: precision})
			must(t, err)
			draw(n.Input("only"), name)
			must(t, n.Forward("only", batch, 0))
			draw(n.TapGradient("out"), name, "gradient")
			must(t, n.Backward("only"))
			must(t, n.Step(engine.Optimiser{}))
			arrays, err := n.State()
			must(t, err)
			taps[side], velocities[side] = append(taps[side], n.Tap("out")...), state{}
			for _, a := range arrays {
				velocities[side][a.Name] = a.Data
			}
			must(t, n.Close())
		}
		forward := apart(t, "out", taps[0], taps[1]) / norm(taps[1])
		var off, all float64
		for _, v := range velocities[1].under(engine.OptimiserPrefix) {
			off, all = math.Hypot(off, apart(t, v, velocities[0][v], velocities[1][v])), math.Hypot(all, norm(velocities[1][v]))
		}
		t.Logf("%s: outputs differ by %.2g, gradients by %.2g", name, forward, off/all)
		if !(forward <= 2e-2 && off <= 5e-2*all) {
			t.Errorf("%s in bfloat16: outputs differ by %.2g from float64, gradients by %.2g", name, forward, off/all)
		}
		if forward < 1e-5 {
			t.Errorf("%s was not computed in bfloat16", name)
		}
	}
}
