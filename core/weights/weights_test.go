package weights_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/safetensors"
	"github.com/asterism-ssl/asterism/core/weights"
)

// small is the encoder of testdata/golden.py in core/torch: a convolution and a batch norm.
func small(bands int64) *protocol.Model {
	m := &protocol.Model{Parameters: []*protocol.Parameter{{Name: "conv1.weight", Shape: []int64{3, bands, 2, 2}}}}
	for _, name := range []string{"weight", "bias", "running_mean", "running_var"} {
		m.Parameters = append(m.Parameters, &protocol.Parameter{Name: "bn1." + name, Shape: []int64{3}, Buffer: strings.HasPrefix(name, "running")})
	}
	return m
}

func Example() {
	w, err := weights.Load("../torch/testdata/twins.pth", small(2))
	if err != nil {
		panic(err)
	}
	fmt.Println("from", w.Prefix)
	for _, a := range w.Arrays {
		fmt.Println(a.Name, a.Shape, len(a.Data))
	}
	// Output:
	// from state_dict.module.encoder_q.
	// encoder.conv1.weight [3 2 2 2] 24
	// encoder.bn1.weight [3] 3
	// encoder.bn1.bias [3] 3
	// encoder.bn1.running_mean [3] 3
	// encoder.bn1.running_var [3] 3
}

// file writes a safetensors file with arrays of the names and shapes.
func file(t *testing.T, path string, shapes map[string][]int64) string {
	t.Helper()
	var arrays []engine.Array
	for name, shape := range shapes {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		arrays = append(arrays, engine.Array{Name: name, Shape: shape, Data: slices.Repeat([]float32{float32(len(name))}, int(n))})
	}
	if err := engine.WriteArrays(path, arrays, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// with puts a prefix before the names of the small encoder's arrays, of another number of bands, and adds others.
func with(prefix string, bands int64, others ...string) map[string][]int64 {
	shapes := map[string][]int64{}
	for _, p := range small(bands).Parameters {
		shapes[prefix+p.Name] = p.Shape
	}
	for _, name := range others {
		shapes[name] = []int64{1}
	}
	return shapes
}

// The weights of a run, of an export and of other programs are found under what stands before their names.
func TestNamesAreFoundUnderAnyPrefix(t *testing.T) {
	dir := t.TempDir()
	one := file(t, filepath.Join(dir, "one"), with("", 2, "fc.weight", "bn1.num_batches_tracked"))
	file(t, filepath.Join(dir, weights.File), with("encoder.", 2, "head.projector.0.weight"))
	deep := file(t, filepath.Join(dir, "deep"), with("model.backbone.", 2, "model.other.conv1.weight", "model.backbone.fc.0.bias"))
	moco3 := file(t, filepath.Join(dir, "moco3"), with("module.momentum_encoder.", 2, slices.Collect(func(yield func(string) bool) {
		for _, p := range small(2).Parameters {
			if !yield("module.base_encoder." + p.Name) {
				return
			}
		}
	})...))
	wide := filepath.Join(dir, "wide")
	var arrays []safetensors.Array
	for _, p := range small(2).Parameters {
		n := 1
		for _, d := range p.Shape {
			n *= int(d)
		}
		arrays = append(arrays, safetensors.Of(p.Name, p.Shape, slices.Repeat([]float64{0.1}, n)))
	}
	if err := safetensors.Write(wide, arrays, nil); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		one: " left fc.weight", dir: "encoder. left ", deep: "model.backbone. left model.backbone.fc.0.bias", wide: " left ",
		"../torch/testdata/twins.legacy.pth": "state_dict.module.encoder_q. left ",
	} {
		w, err := weights.Load(path, small(2))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := w.Prefix + " left " + strings.Join(w.Left, " "); got != want || len(w.Arrays) != 5 {
			t.Errorf("%s: %q with %d arrays, want %q", path, got, len(w.Arrays), want)
		}
	}
	// Of an encoder and the copy that follows it, the one that learned; here with scales of the wrong shape.
	if _, err := weights.Load(moco3, small(2)); err == nil || !strings.Contains(err.Error(), "bn1.bias [1] instead of [3]") {
		t.Errorf("MoCo v3: %v", err)
	}
}

// What does not fit is named, all of it.
func TestMisfitsAreNamed(t *testing.T) {
	dir := t.TempDir()
	odd := with("encoder.", 5, "encoder.layer9.weight", "encoder.layer9.bias")
	delete(odd, "encoder.bn1.running_mean")
	delete(odd, "encoder.bn1.bias")
	two := with("a.", 2)
	for name, shape := range with("b.", 2) {
		two[name] = shape
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		file(t, filepath.Join(dir, "odd"), odd): {
			"odd: arrays of the encoder that it lacks (2): bn1.bias, bn1.running_mean",
			"odd: arrays that the encoder lacks (2): encoder.layer9.bias, encoder.layer9.weight",
			"odd: arrays of another shape than the encoder's (1): conv1.weight [3 5 2 2] instead of [3 2 2 2]",
		},
		file(t, filepath.Join(dir, "two"), two):                                  {"several encoders in it fit, whose names begin with a. and b."},
		file(t, filepath.Join(dir, "other"), map[string][]int64{"net.0.w": {1}}): {"none of its 1 arrays has a name of the encoder's: the first is net.0.w, and the encoder's bn1.bias"},
		dir:                             {"has no weights.safetensors"},
		empty:                           {"empty"},
		filepath.Join(dir, "none"):      {"cannot read " + filepath.Join(dir, "none")},
		"../torch/testdata/foreign.pth": {"a pickle with foreign code: it names posix.system"},
		"../torch/testdata/golden.json": {"cannot read ../torch/testdata/golden.json"},
	} {
		_, err := weights.Load(path, small(2))
		if err == nil {
			t.Errorf("%s was taken", path)
			continue
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: no %q in\n%v", path, text, err)
			}
		}
		if all := fault.All(err); all[len(all)-1].Do == "" {
			t.Errorf("%s: nothing says what to do next", path)
		}
	}
}

// A name stands for a file, a run directory or a run; and weights say of which encoder they are, where something does.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("runs/deep-11111111/manifest.json", `{"name": "deep", "id": "deep-11111111"}`)
	write("runs/deep-11111111/resolved.json", `{"encoder": {"from": "x", "resnet.r18": {"width": 2}}}`)
	file(t, "runs/deep-11111111/weights.safetensors", with("encoder.", 2))
	write("runs/half-22222222/manifest.json", `{"name": "half", "id": "half-22222222"}`)
	write("runs/half-33333333/manifest.json", `{"name": "other", "id": "half-33333333"}`)
	file(t, "bare.safetensors", with("", 2))
	var all []safetensors.Array
	if err := safetensors.Write("exported.safetensors", all, map[string]string{"encoder": `{"vit.tiny":{"patch":4}}`}); err != nil {
		t.Fatal(err)
	}
	write("broken.safetensors", "not at all")
	torch, err := filepath.Abs("torch.pth")
	if err != nil {
		t.Fatal(err)
	}
	write(torch, "PK\x03\x04 and so on")
	for name, want := range map[string]struct{ found, component, fails string }{
		"deep":                 {"runs/deep-11111111/weights.safetensors", "resnet.r18", ""},
		"deep-1111":            {"runs/deep-11111111/weights.safetensors", "resnet.r18", ""},
		"runs/deep-11111111":   {"runs/deep-11111111/weights.safetensors", "resnet.r18", ""},
		"exported.safetensors": {"exported.safetensors", "vit.tiny", ""},
		"bare.safetensors":     {"bare.safetensors", "", "bare.safetensors does not say which encoder its weights are of"},
		"broken.safetensors":   {"broken.safetensors", "", "cannot read broken.safetensors"},
		torch:                  {torch, "", "does not say which encoder"},
		"half-2":               {"", "", "the run runs/half-22222222 has no weights.safetensors: it has not learned to the end"},
		"half-":                {"", "", `there is no file half-, and "half-" could be any of half-`},
		"none.pth":             {"", "", `there is no file none.pth, and no run "none.pth" in runs`},
	} {
		found, err := weights.Find("runs", name)
		component, config := "", []byte(nil)
		if err == nil {
			component, config, err = weights.EncoderOf(found)
		}
		switch {
		case found != want.found, component != want.component, (want.component == "") != (config == nil):
			t.Errorf("%s: %q of %s %s", name, found, component, config)
		case want.fails == "" && err != nil, want.fails != "" && (err == nil || !strings.Contains(err.Error(), want.fails)):
			t.Errorf("%s: %v, want %q", name, err, want.fails)
		}
	}
}

// Weights that are not finite would be found in the first step only.
func TestWeightsAreFinite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "diverged")
	var arrays []engine.Array
	for _, p := range small(1).Parameters {
		arrays = append(arrays, engine.Array{Name: p.Name, Shape: p.Shape, Data: make([]float32, p.Shape[0]*map[bool]int64{true: 4, false: 1}[len(p.Shape) > 1])})
	}
	arrays[3].Data[1] = float32(math.Inf(-1))
	if err := engine.WriteArrays(path, arrays, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := weights.Load(path, small(1)); err == nil || !strings.Contains(err.Error(), "diverged: the array bn1.running_mean has values that are not finite") {
		t.Errorf("%v", err)
	}
}
