package sdktest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

const schema = `
// Adds between low and high to every pixel.
#Config: {
	// nanomaggies
	low: number | *1
	// nanomaggies
	high: number | *2
	#rules: [{path: "high", ok: high >= low, say: "high must be at least low"}]
}`

type offset struct {
	Low, High float64
}

func (offset) Plan(f *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	return &sdk.AugmentationPlan{Leaves: f}, nil
}

func (o offset) Apply(s *sdk.Sample) error {
	add := float32(s.Random.Between(o.Low, o.High))
	for i, v := range s.In {
		s.Out[i] = v + add
	}
	return nil
}

var acme = sdk.Plugin{Name: "acme", Version: "1.0.0", Components: []sdk.Component{
	sdk.Augmentation("offset", 1, "Adds a number.", schema, func(o offset) (sdk.Augmenter, error) { return o, nil })}}

func TestConfigurationIsCompletedAndChecked(t *testing.T) {
	if got := sdktest.Configure(t, acme, "offset", `{"high": 5}`); got != (offset{1, 5}) {
		t.Errorf("%+v", got)
	}
	for config, want := range map[string]string{
		`{"higher": 5}`:          "higher",
		`{"high": "5"}`:          "high",
		`{`:                      "config.cue",
		`{"low": 3, "high": 2}`:  "high must be at least low",
		`{"low": 3, "high": 2.}`: "at least",
	} {
		if _, err := sdktest.Build(acme, "offset", config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
	var field sdk.FieldError
	if _, err := sdktest.Build(acme, "offset", `{"high": 0}`); !errors.As(err, &field) || field.Field != "high" {
		t.Errorf("%v is no error of the field", err)
	}
	if _, err := sdktest.Build(acme, "scale", `{}`); err == nil {
		t.Error("a component that is not there")
	}
}

func TestAugment(t *testing.T) {
	a := sdktest.Configure(t, acme, "offset", `{}`).(sdk.Augmenter)
	facts := &sdk.SampleFacts{Shape: []int64{2, 1}}
	one, two := sdktest.Augment(t, a, facts, []float32{1, 2}, 7), sdktest.Augment(t, a, facts, []float32{1, 2}, 8)
	if one[1]-one[0] != 1 || one[0] < 2 || one[0] >= 3 || slices.Equal(one, two) {
		t.Errorf("%v, %v", one, two)
	}
}

func ExampleComplete() {
	config, err := sdktest.Complete(schema, `{low: 0}`)
	fmt.Println(string(config), err)
	// Output: {"low":0,"high":2} <nil>
}
