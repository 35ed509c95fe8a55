package vit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine/enginetest"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func ExamplePlugin() {
	for _, c := range Plugin().Components {
		fmt.Println(c.Name, c.Summary)
	}
	// Output:
	// tiny Vision transformer, tiny: 12 blocks of 192 channels in 3 heads
	// small Vision transformer, small: 12 blocks of 384 channels in 6 heads
}

func describe(t testing.TB, a sdk.Architecture, input ...int64) *sdk.Model {
	t.Helper()
	m, err := a.Describe(input)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func component(t testing.TB, name, config string) sdk.Architecture {
	t.Helper()
	return sdktest.Configure(t, Plugin(), name, config).(sdk.Architecture)
}

// Names and shapes of parameters are torchvision's.
func TestParametersAreTorchvisions(t *testing.T) {
	for name, want := range enginetest.Read(t, "testdata/golden.json").Whole {
		want.Check(t, describe(t, component(t, name, `{patch: 16}`), 224, 224, 3))
	}
}

// Small networks give PyTorch's representations and gradients in one to three dimensions.
func TestAgreesWithPyTorch(t *testing.T) {
	golden := enginetest.Read(t, "testdata/golden.json").Cases
	for name, config := range map[string]config{
		"2D class": {8, "class"},
		"2D mean":  {4, "mean"},
		"1D class": {6, "class"},
		"3D mean":  {4, "mean"},
	} {
		c := golden[name]
		c.Check(t, native.New(), name, describe(t, &network{config: config, width: 24, heads: 3, depth: 2}, c.Input[1:]...))
	}
}

// Matrices decay; biases, norms, the class token and positions do not.
func TestDecay(t *testing.T) {
	for _, p := range describe(t, component(t, "tiny", `{}`), 64, 64, 5).Parameters {
		free := len(p.Shape) == 1 || p.Name == "class_token" || p.Name == "encoder.pos_embedding"
		if p.NoDecay != free {
			t.Errorf("%s: no_decay is %v", p.Name, p.NoDecay)
		}
	}
}

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		name, config string
		input        []int64
		features     []int64
	}{
		{"tiny", `{}`, []int64{64, 64, 5}, []int64{64, 192}},
		{"small", `{pooling: "mean"}`, []int64{64, 32, 1}, []int64{32, 384}},
		{"tiny", `{patch: 16}`, []int64{160, 2}, []int64{10, 192}},
		{"tiny", `{patch: 4, pooling: "mean"}`, []int64{8, 12, 16, 1}, []int64{24, 192}},
		{"tiny", `{patch: 20}`, []int64{20, 20, 3}, []int64{1, 192}},
	} {
		g, err := model.Check(describe(t, component(t, c.name, c.config), c.input...))
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Outputs["features"].Shape; !slices.Equal(got, c.features) {
			t.Errorf("%s %s of %v: features %v, not %v", c.name, c.config, c.input, got, c.features)
		}
		if got := g.Outputs["representation"].Shape; !slices.Equal(got, c.features[1:]) {
			t.Errorf("%s %s of %v: representation %v", c.name, c.config, c.input, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		config string
		input  []int64
		advice string
	}{
		{`{}`, []int64{20, 20, 3}, "use patch: 5 or 10, the nearest that fit, or samples of 16×16 or 24×24"},
		{`{}`, []int64{64, 60, 3}, "use patch: 4, the nearest that fit, or samples of 64×56 or 64×64"},
		{`{}`, []int64{17, 3}, "use patch: 1 or 17, the nearest that fit, or samples of 16 or 24"},
		{`{}`, []int64{6, 6, 6, 3}, "use patch: 6, the nearest that fit, or samples of 8×8×8"},
		{`{patch: 1}`, []int64{64, 64, 64, 1}, "use a larger patch, or smaller samples"},
	} {
		_, err := component(t, "tiny", c.config).Describe(c.input)
		var f sdk.FieldError
		if !errors.As(err, &f) || f.Field != "patch" || f.Advice != c.advice || !strings.Contains(f.What, sdk.SizeText(c.input[:len(c.input)-1])) {
			t.Errorf("%v: %#v", c.input, err)
		}
	}
	for _, input := range [][]int64{nil, {5}, {8, 8, 8, 8, 1}, {64, 64, 0}, {0, 64, 3}} {
		if _, err := component(t, "tiny", `{}`).Describe(input); err == nil {
			t.Errorf("%v is accepted", input)
		}
	}
	for _, config := range []string{`{patch: 0}`, `{pooling: "max"}`, `{heads: 3}`} {
		if _, err := sdktest.Build(Plugin(), "tiny", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
}
