package convnext

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
	// atto ConvNeXt atto: 12 blocks of 40 to 320 channels
	// femto ConvNeXt femto: 12 blocks of 48 to 384 channels
	// pico ConvNeXt pico: 12 blocks of 64 to 512 channels
	// nano ConvNeXt nano: 14 blocks of 80 to 640 channels
	// tiny ConvNeXt tiny: 18 blocks of 96 to 768 channels
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

// Names and shapes of parameters are those of torchvision's blocks in each of the sizes.
func TestParametersAreTorchvisions(t *testing.T) {
	for name, want := range enginetest.Read(t, "testdata/golden.json").Whole {
		want.Check(t, describe(t, component(t, name, `{}`), 64, 64, 3))
	}
}

// Small networks give PyTorch's representations and gradients in one to three dimensions.
func TestAgreesWithPyTorch(t *testing.T) {
	golden := enginetest.Read(t, "testdata/golden.json").Cases
	for name, patch := range map[string]int64{"2D": 4, "2D small": 1, "1D": 4, "3D": 2} {
		c := golden[name]
		n := &network{config: config{Patch: patch, LayerScale: 1e-6}, width: 8, depth: [4]int{1, 1, 2, 1}}
		c.Check(t, native.New(), name, describe(t, n, c.Input[1:]...))
	}
}

func TestStart(t *testing.T) {
	for _, p := range describe(t, component(t, "atto", `{layer_scale: 0.25}`), 64, 64, 5).Parameters {
		switch {
		case strings.HasSuffix(p.Name, "layer_scale"):
			if p.Init.GetConstant() != 0.25 || !p.NoDecay {
				t.Errorf("%v", p)
			}
		case len(p.Shape) > 1:
			if p.Init.GetNormal() != 0.02 || p.NoDecay {
				t.Errorf("%v", p)
			}
		case strings.HasSuffix(p.Name, "bias"):
			if p.Init.GetConstant() != 0 || !p.NoDecay {
				t.Errorf("%v", p)
			}
		}
	}
}

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		name, config string
		input        []int64
		features     []int64
	}{
		{"tiny", `{}`, []int64{64, 64, 5}, []int64{2, 2, 768}},
		{"atto", `{patch: 2}`, []int64{64, 33, 1}, []int64{4, 2, 320}},
		{"femto", `{patch: 1}`, []int64{8, 15, 3}, []int64{1, 1, 384}},
		{"pico", `{}`, []int64{150, 2}, []int64{4, 512}},
		{"nano", `{}`, []int64{32, 40, 64, 1}, []int64{1, 1, 2, 640}},
	} {
		g, err := model.Check(describe(t, component(t, c.name, c.config), c.input...))
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Outputs["features"].Shape; !slices.Equal(got, c.features) {
			t.Errorf("%s %s of %v: features %v, not %v", c.name, c.config, c.input, got, c.features)
		}
		if got := g.Outputs["representation"].Shape; !slices.Equal(got, c.features[len(c.features)-1:]) {
			t.Errorf("%s %s of %v: representation %v", c.name, c.config, c.input, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	for advice, input := range map[string][]int64{
		"use patch: 2, or larger samples":                  {16, 64, 3},
		"use patch: 3, or larger samples":                  {31, 3},
		"use samples of at least 8 pixels along each axis": {64, 64, 7, 3},
		"use patch: 1, or larger samples":                  {8, 8, 1},
	} {
		_, err := component(t, "atto", `{}`).Describe(input)
		var f sdk.FieldError
		if !errors.As(err, &f) || f.Field != "patch" || f.Advice != advice || !strings.Contains(f.What, sdk.SizeText(input[:len(input)-1])) {
			t.Errorf("%v: %#v", input, err)
		}
	}
	for _, input := range [][]int64{nil, {5}, {64, 64, 64, 64, 1}, {64, 64, 0}} {
		if _, err := component(t, "atto", `{}`).Describe(input); err == nil {
			t.Errorf("%v is accepted", input)
		}
	}
	for _, config := range []string{`{patch: 0}`, `{layer_scale: 0}`, `{width: 3}`} {
		if _, err := sdktest.Build(Plugin(), "atto", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
}
