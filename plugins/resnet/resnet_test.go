package resnet_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine/enginetest"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func Example() {
	for _, c := range resnet.Plugin().Components {
		fmt.Println(c.Name, c.Summary)
	}
	// Output:
	// r18 ResNet-18: 8 basic blocks
	// r34 ResNet-34: 16 basic blocks
	// r50 ResNet-50: 16 bottleneck blocks
	// r101 ResNet-101: 33 bottleneck blocks
}

func describe(t testing.TB, name, config string, input ...int64) *sdk.Model {
	t.Helper()
	m, err := sdktest.Configure(t, resnet.Plugin(), name, config).(sdk.Architecture).Describe(input)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Names and shapes of parameters and buffers are torchvision's.
func TestParametersAreTorchvisions(t *testing.T) {
	for name, want := range enginetest.Read(t, "testdata/golden.json").Whole {
		want.Check(t, describe(t, name, `{}`, 64, 64, 3))
	}
}

// Small networks give PyTorch's representations and gradients in one to three dimensions.
func TestAgreesWithPyTorch(t *testing.T) {
	golden := enginetest.Read(t, "testdata/golden.json").Cases
	for name, config := range map[string]string{
		"r18 imagenet 2D": `{width: 8}`,
		"r18 small 3D":    `{width: 4, stem: "small"}`,
		"r18 imagenet 3D": `{width: 4}`,
		"r34 small 1D":    `{width: 8, stem: "small"}`,
		"r50 paper 2D":    `{width: 4, stem: "paper"}`,
		"r50 imagenet 1D": `{width: 4}`,
		"r101 paper 3D":   `{width: 4, stem: "paper"}`,
	} {
		component, _, _ := strings.Cut(name, " ")
		c := golden[name]
		c.Check(t, native.New(), name, describe(t, component, config, c.Input[1:]...))
	}
}

// Convolutions start as torchvision's: normal, variance 2 over outputs times kernel.
func TestStart(t *testing.T) {
	for _, zero := range []bool{false, true} {
		for _, p := range describe(t, "r50", fmt.Sprintf(`{zero_init_residual: %v}`, zero), 64, 64, 5).Parameters {
			switch p.Name {
			case "conv1.weight":
				if want := math.Sqrt(2. / (64 * 49)); math.Abs(p.Init.GetNormal()-want) > 1e-12 || p.Shape[1] != 5 {
					t.Errorf("%v", p)
				}
			case "layer2.0.bn3.weight":
				if want := 1.0; zero == (p.Init.GetConstant() == want) {
					t.Errorf("zero_init_residual %v: %v", zero, p)
				}
			case "layer2.0.bn2.weight", "layer2.0.downsample.1.weight":
				if p.Init.GetConstant() != 1 {
					t.Errorf("%v", p)
				}
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
		{"r18", `{}`, []int64{64, 64, 5}, []int64{2, 2, 512}},
		{"r50", `{stem: "paper"}`, []int64{64, 64, 5}, []int64{8, 8, 2048}},
		{"r50", `{stem: "paper"}`, []int64{107, 107, 5}, []int64{14, 14, 2048}},
		{"r34", `{stem: "small", width: 8}`, []int64{32, 28, 1}, []int64{4, 4, 64}},
		{"r18", `{stem: "small", width: 16}`, []int64{150, 2}, []int64{19, 128}},
		{"r18", `{width: 4}`, []int64{64, 64, 64, 1}, []int64{2, 2, 2, 32}},
	} {
		g, err := model.Check(describe(t, c.name, c.config, c.input...))
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
	for _, input := range [][]int64{{16, 16, 3}, {64, 31, 3}, {7, 7, 3}} {
		_, err := sdktest.Configure(t, resnet.Plugin(), "r18", `{}`).(sdk.Architecture).Describe(input)
		var f sdk.FieldError
		if !errors.As(err, &f) || f.Field != "stem" || f.Advice == "" {
			t.Errorf("%v: %v", input, err)
		}
	}
	for _, input := range [][]int64{nil, {5}, {8, 8, 8, 8, 1}, {64, 64, 0}} {
		if _, err := sdktest.Configure(t, resnet.Plugin(), "r18", `{stem: "small"}`).(sdk.Architecture).Describe(input); err == nil {
			t.Errorf("%v is accepted", input)
		}
	}
	for _, config := range []string{`{stem: "big"}`, `{width: 0}`, `{depth: 3}`} {
		if _, err := sdktest.Build(resnet.Plugin(), "r18", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
}
