package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/weights"
	"github.com/asterism-ssl/asterism/plugins/convnext"
	"github.com/asterism-ssl/asterism/plugins/mlp"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
	"github.com/asterism-ssl/asterism/plugins/vit"
)

// How close other programs' representations must be to ours, relative to their norm.
const near = 1e-5

// python runs a script of testdata, or skips the test where Debian's Python has not the modules.
func python(t *testing.T, script, folder string, modules string) {
	t.Helper()
	if out, err := exec.Command("/usr/bin/python3", "-c", "import "+modules).CombinedOutput(); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set, and Python has not all of %s: %s", modules, out)
		}
		t.Skipf("needs Debian's Python with %s", modules)
	}
	out, err := exec.Command("/usr/bin/python3", filepath.Join("testdata", script), folder).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func describe(t *testing.T, p sdk.Plugin, component, config string, input ...int64) *sdk.Model {
	t.Helper()
	m, err := sdktest.Configure(t, p, component, config).(sdk.Architecture).Describe(input)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drawn is an encoder with weights such as a network has after learning: scales about one, shifts about zero, no branch
// that is idle.
func drawn(t *testing.T, m *sdk.Model) *Encoder {
	t.Helper()
	g, err := model.Check(m)
	if err != nil {
		t.Fatal(err)
	}
	e := &Encoder{Graph: g, Metadata: map[string]string{"experiment": "drawn", "input": strings.ReplaceAll(fmt.Sprint(bandsFirst(m.Input)), " ", ",")}}
	for _, p := range m.Parameters {
		centre, bound := 0.0, 0.1
		switch {
		case strings.HasSuffix(p.Name, "running_var"), len(p.Shape) == 1 && strings.HasSuffix(p.Name, "weight"):
			centre, bound = 1, 0.3
		case strings.HasSuffix(p.Name, "layer_scale"):
			centre = 0.3
		case len(p.Shape) > 1:
			bound = math.Sqrt(3 / float64(model.Size(p.Shape[1:])))
		}
		e.Arrays = append(e.Arrays, engine.Array{Name: prefix + p.Name, Shape: p.Shape, Data: uniforms(p.Name, int(model.Size(p.Shape)), centre, bound)})
	}
	return e
}

func uniforms(name string, n int, centre, bound float64) []float32 {
	values, k := make([]float32, n), key.New(1, "export", name)
	for i := range values {
		s := k.At(0, uint64(i))
		values[i] = float32(centre + s.Between(-bound, bound))
	}
	return values
}

// samples draws n samples, writes them bands first to folder/name.in, and gives them as the engine takes them.
func samples(t *testing.T, folder, name string, n int, shape []int64) []float32 {
	t.Helper()
	size, bands := int(model.Size(shape)), int(shape[len(shape)-1])
	x := uniforms(name, n*size, 0, 1)
	var first []byte
	for i := range n {
		for b := range bands {
			for pixel := range size / bands {
				first = binary.LittleEndian.AppendUint32(first, math.Float32bits(x[i*size+pixel*bands+b]))
			}
		}
	}
	if err := os.WriteFile(filepath.Join(folder, name+".in"), first, 0o666); err != nil {
		t.Fatal(err)
	}
	return x
}

// represent computes with the native engine.
func represent(t *testing.T, e *Encoder, arrays []engine.Array, x []float32, n int) []float32 {
	t.Helper()
	network, err := native.New().Compile(flow.InferenceProgram(e.Graph.Model), engine.Options{Mode: engine.Infer, Batch: n})
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	if err := network.SetParams(arrays); err != nil {
		t.Fatal(err)
	}
	copy(network.Input("eval"), x)
	if err := network.Forward("eval", n, 0); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(network.Tap("representation"))
}

// numbers reads a file of float64.
func numbers(t *testing.T, path string) []float64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float64, len(b)/8)
	for i := range values {
		values[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return values
}

// distance is that of two sets of representations, relative to the second's norm.
func distance(a []float32, b []float64) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return math.Inf(1)
	}
	var d, norm float64
	for i, v := range a {
		d, norm = math.Hypot(d, float64(v)-b[i]), math.Hypot(norm, b[i])
	}
	return d / norm
}

// torchvision's own networks load what is exported, strictly, and give the same representations; and what PyTorch saves of
// them comes back as the same encoder.
func TestTorchvisionLoadsWhatIsExported(t *testing.T) {
	folder := t.TempDir()
	const n = 3
	type exported struct {
		e *Encoder
		x []float32
	}
	all := map[string]exported{}
	for name, m := range map[string]*sdk.Model{
		"resnet18": describe(t, resnet.Plugin(), "r18", `{}`, 64, 48, 5),
		"resnet50": describe(t, resnet.Plugin(), "r50", `{}`, 64, 64, 3),
		"vit":      describe(t, vit.Plugin(), "tiny", `{patch: 8}`, 32, 32, 4),
		"convnext": describe(t, convnext.Plugin(), "atto", `{patch: 4}`, 32, 40, 2),
		"mlp":      describe(t, mlp.Plugin(), "encoder", `{hidden: [64, 32], norm: "batch"}`, 20),
	} {
		e := drawn(t, m)
		all[name] = exported{e, samples(t, folder, name, n, m.Input)}
		if err := e.Safetensors(filepath.Join(folder, name+".safetensors")); err != nil {
			t.Fatal(err)
		}
	}
	python(t, "torchvision_load.py", folder, "torch, torchvision")
	for name, a := range all {
		want, off := numbers(t, filepath.Join(folder, name+".out")), numbers(t, filepath.Join(folder, name+".off"))
		most := max(near, 2*off[0])
		for _, ending := range []string{".safetensors", ".pth.tar", ".legacy.pth"} {
			w, err := weights.Load(filepath.Join(folder, name+ending), a.e.Graph.Model)
			if err != nil {
				t.Error(err)
				continue
			}
			d := distance(represent(t, a.e, w.Arrays, a.x, n), want)
			t.Logf("%s%s: PyTorch's representations differ by %.1e", name, ending, d)
			if !(d <= most) {
				t.Errorf("%s%s: PyTorch's representations differ by %.1e, at most %.1e is allowed", name, ending, d, most)
			}
		}
	}
}

// mixture is no good network, and has every layer that is written as ONNX.
func mixture(t *testing.T, b *sdk.ModelBuilder) *sdk.Model {
	t.Helper()
	x := b.Conv("conv", b.Input(), sdk.ConvOptions{Out: 8, Kernel: 3, Stride: 1, Padding: 2, Dilation: 2, Groups: 2, Bias: true})
	x = b.LeakyRelu("leaky", b.GroupNorm("groups", x, 4, sdk.NormOptions{}), 0.1)
	x = b.Silu("silu", b.AveragePool("mean", x, 3, 2, 1))
	scale := b.Learned("scale", sdk.LearnedOptions{Shape: []int64{8}, Init: sdk.Normal(1)})
	x = b.Multiply("scaled", x, scale) // channels first by a vector
	x = b.Sigmoid("sigmoid", b.Concat("both", -1, x, b.Tanh("tanh", x)))
	x = b.Softmax("softmax", b.Slice("some", x, -1, 3, 12))
	x = b.Add("placed", b.Slice("rows", x, 0, 1, 2), b.Learned("places", sdk.LearnedOptions{Shape: []int64{3, 12}, Init: sdk.Normal(1)})) // as the last axes
	x = b.Dropout("dropout", b.StopGradient("stop", x), 0.5)
	x = b.L2Normalise("unit", b.Linear("linear", x, sdk.LinearOptions{Out: 12}))
	tokens := b.Reshape("tokens", x, 6, 12)
	few := b.Slice("few", tokens, 0, 0, 4)
	x = b.Attention("across", few, tokens, b.Gelu("gelu", tokens), 3)
	x = b.Concat("more", 0, b.Reshape("class", b.Learned("class_token", sdk.LearnedOptions{Shape: []int64{12}, Init: sdk.Normal(1)}), 1, 12), x)
	x = b.SelfAttention("self", x, 2)
	x = b.LayerNorm("layer", x, sdk.NormOptions{})
	x = b.BatchNorm("batch", x, sdk.BatchNormOptions{})
	b.Output("features", b.UpsampleNearest("up", x, 2)) // not written as ONNX, and not needed
	b.Output("representation", b.Relu("relu", b.Linear("last", b.GlobalAveragePool("pool", x), sdk.LinearOptions{Out: 7})))
	m, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	m.Parameters = slices.DeleteFunc(m.Parameters, func(p *sdk.Parameter) bool { return p.Name == "layer.weight" })
	for _, l := range m.Layers {
		if norm := l.GetLayerNorm(); norm != nil {
			norm.Weight = "" // as a description may
		}
	}
	return m
}

// Debian's onnx finds nothing wrong with what is exported, and its operators computed in numpy give our representations.
func TestONNXGivesTheSameRepresentations(t *testing.T) {
	folder := t.TempDir()
	const n = 2
	want := map[string][]float32{}
	for name, m := range map[string]*sdk.Model{
		"r18 imagenet": describe(t, resnet.Plugin(), "r18", `{width: 8}`, 64, 48, 5),
		"r18 small 1D": describe(t, resnet.Plugin(), "r18", `{width: 8, stem: "small"}`, 50, 2),
		"r18 small 3D": describe(t, resnet.Plugin(), "r18", `{width: 4, stem: "small"}`, 12, 10, 9, 1),
		"r50 paper":    describe(t, resnet.Plugin(), "r50", `{width: 4, stem: "paper"}`, 24, 19, 3),
		"vit class":    describe(t, vit.Plugin(), "tiny", `{patch: 4}`, 16, 12, 5),
		"vit mean 1D":  describe(t, vit.Plugin(), "tiny", `{patch: 5, pooling: "mean"}`, 40, 1),
		"convnext":     describe(t, convnext.Plugin(), "atto", `{patch: 2}`, 17, 16, 3),
		"convnext 3D":  describe(t, convnext.Plugin(), "atto", `{patch: 1}`, 8, 8, 9, 1),
		"mlp":          describe(t, mlp.Plugin(), "encoder", `{hidden: [24, 16], norm: "batch"}`, 20),
		"mlp image":    describe(t, mlp.Plugin(), "encoder", `{hidden: [24, 16], norm: "layer"}`, 6, 5, 3),
		"mixture":      mixture(t, sdk.NewModel([]int64{6, 5, 4})),
	} {
		e := drawn(t, m)
		want[name] = represent(t, e, e.Arrays, samples(t, folder, name, n, m.Input), n)
		if err := e.ONNX(filepath.Join(folder, name+".onnx")); err != nil {
			t.Fatal(err)
		}
	}
	python(t, "onnx_eval.py", folder, "onnx")
	for name, ours := range want {
		d := distance(ours, numbers(t, filepath.Join(folder, name+".out")))
		t.Logf("%s: ONNX's representations differ by %.1e", name, d)
		if !(d <= near) {
			t.Errorf("%s: ONNX's representations differ by %.1e, at most %.0e is allowed", name, d, near)
		}
	}
}

// A layer that ONNX is not written for is refused by name, and nothing is written.
func TestLayersThatONNXLacksAreNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.onnx")
	for what, build := range map[string]func(b *sdk.ModelBuilder) sdk.Node{
		`layer "up" (upsample)`: func(b *sdk.ModelBuilder) sdk.Node { return b.UpsampleNearest("up", b.Input(), 2) },
		`layer "prototypes" (linear)`: func(b *sdk.ModelBuilder) sdk.Node {
			return b.Linear("prototypes", b.Input(), sdk.LinearOptions{Out: 3, UnitNorm: true})
		},
	} {
		b := sdk.NewModel([]int64{4, 4, 1})
		b.Output("representation", b.GlobalAveragePool("pool", build(b)))
		m, err := b.Model()
		if err != nil {
			t.Fatal(err)
		}
		if err := drawn(t, m).ONNX(path); err == nil || fault.KindOf(err) != fault.Config || !strings.Contains(err.Error(), what) {
			t.Errorf("want %s, got %v", what, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file is there: %v", what, err)
		}
	}
}
