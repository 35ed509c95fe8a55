package mlp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine/enginetest"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/plugins/mlp"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func ExamplePlugin() {
	for _, c := range mlp.Plugin().Components {
		fmt.Println(c.Name, c.Summary)
	}
	// Output:
	// encoder Perceptron of several layers, for vectors and small samples
}

func describe(t testing.TB, config string, input ...int64) *sdk.Model {
	t.Helper()
	m, err := sdktest.Configure(t, mlp.Plugin(), "encoder", config).(sdk.Architecture).Describe(input)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Names and shapes of parameters and buffers are torchvision's.
func TestParametersAreTorchvisions(t *testing.T) {
	for _, want := range enginetest.Read(t, "testdata/golden.json").Whole {
		want.Check(t, describe(t, `{}`, 8, 8, 3))
	}
}

// Vectors and samples of any rank give PyTorch's representations and gradients.
func TestAgreesWithPyTorch(t *testing.T) {
	for name, c := range enginetest.Read(t, "testdata/golden.json").Cases {
		_, norm, _ := strings.Cut(name, " ")
		c.Check(t, native.New(), name, describe(t, fmt.Sprintf(`{hidden: [24, 17, 9], norm: %q}`, norm), c.Input[1:]...))
	}
}

func TestShapes(t *testing.T) {
	for _, input := range [][]int64{{1}, {12}, {40, 2}, {8, 6, 3}, {4, 5, 6, 1}} {
		g, err := model.Check(describe(t, `{hidden: [7, 3], norm: "layer"}`, input...))
		if err != nil {
			t.Fatal(err)
		}
		for _, output := range []string{"features", "representation"} {
			if got := g.Outputs[output].Shape; !slices.Equal(got, []int64{3}) {
				t.Errorf("%v: %s %v", input, output, got)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, input := range [][]int64{nil, {8, 8, 8, 8, 1}, {64, 64, 0}, {1024, 1024, 2}} {
		_, err := sdktest.Configure(t, mlp.Plugin(), "encoder", `{}`).(sdk.Architecture).Describe(input)
		var e sdk.ConfigError
		if !errors.As(err, &e) {
			t.Errorf("%v: %v", input, err)
		}
	}
	for _, config := range []string{`{hidden: []}`, `{hidden: [0]}`, `{hidden: [8, 0]}`, `{norm: "group"}`, `{depth: 3}`} {
		if _, err := sdktest.Build(mlp.Plugin(), "encoder", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
}
