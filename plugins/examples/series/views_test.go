package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

// wave is a sample of so many points and two dimensions, the second constant.
func wave(length int) (*sdk.SampleFacts, []float32) {
	x := make([]float32, 2*length)
	for i := range length {
		x[2*i], x[2*i+1] = float32(math.Sin(0.2*float64(i))), 3
	}
	return &sdk.SampleFacts{Shape: []int64{int64(length), 2}, Bands: []string{"x", "y"}}, x
}

func apply(t *testing.T, component, config string, length int, sample uint64) []float32 {
	t.Helper()
	facts, x := wave(length)
	return sdktest.Augment(t, sdktest.Configure(t, plugin(), component, config).(sdk.Augmenter), facts, x, sample)
}

func TestJitterIsAsWideAsSaid(t *testing.T) {
	_, x := wave(4000)
	out := apply(t, "jitter", `{sigma: 0.5}`, 4000, 1)
	noise := make([]float32, len(x))
	for i := range x {
		noise[i] = out[i] - x[i]
	}
	want := 0.5 * deviation(x, 2)
	if got := deviation(noise, 2); math.Abs(got/want-1) > 0.05 {
		t.Errorf("the noise has σ %.3f, not %.3f", got, want)
	}
	if deviation(noise[1:], 2) != 0 {
		t.Error("a constant dimension is not constant any more")
	}
}

func TestScaleIsOneFactorADimension(t *testing.T) {
	_, x := wave(30)
	for _, together := range []bool{false, true} {
		out := apply(t, "scale", fmt.Sprintf(`{sigma: 0.2, together: %v}`, together), 30, 2)
		first, second := out[2]/x[2], out[3]/x[3]
		if first == 1 || (first == second) != together {
			t.Errorf("together %v: factors %v and %v", together, first, second)
		}
		for i := range x {
			factor := first
			if i%2 == 1 {
				factor = second
			}
			if math.Abs(float64(out[i]-factor*x[i])) > 1e-5 {
				t.Fatalf("value %d is %v of %v", i, out[i], x[i])
			}
		}
	}
}

func TestPermuteKeepsSegments(t *testing.T) {
	_, x := wave(40)
	for sample := range uint64(20) {
		out := apply(t, "permute", `{segments: 4}`, 40, sample)
		a, b := slices.Clone(x), slices.Clone(out)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Fatal("values are lost")
		}
		breaks := 0 // neighbours that were none
		for i := 0; i < 39; i++ {
			at := -1
			for k := range 40 {
				if x[2*k] == out[2*i] {
					at = k
				}
			}
			if at == 39 || x[2*at+2] != out[2*i+2] {
				breaks++
			}
		}
		if breaks > 3 {
			t.Fatalf("%d breaks between 4 segments", breaks)
		}
	}
}

// A window and a warp stay within the values, keep constants, and let time run forwards.
func TestTimeRunsForwards(t *testing.T) {
	for _, c := range []struct{ component, config string }{{"slice", `{keep: 0.6}`}, {"warp", `{sigma: 1, knots: 7}`}, {"warp", `{knots: 0}`}, {"slice", `{keep: 1}`}} {
		facts := &sdk.SampleFacts{Shape: []int64{50, 2}}
		x := make([]float32, 100)
		for i := range 50 {
			x[2*i], x[2*i+1] = float32(i), 3
		}
		out := sdktest.Augment(t, sdktest.Configure(t, plugin(), c.component, c.config).(sdk.Augmenter), facts, x, 7)
		for i := range 50 {
			if out[2*i] < 0 || out[2*i] > 49 || i > 0 && out[2*i] <= out[2*i-2] || out[2*i+1] != 3 {
				t.Fatalf("%v: point %d reads at %v, %v", c, i, out[2*i], out[2*i+1])
			}
		}
		if c.component == "warp" && (out[0] != 0 || math.Abs(float64(out[98]-49)) > 1e-4) {
			t.Errorf("%v: the ends moved to %v and %v", c, out[0], out[98])
		}
	}
	for _, component := range []string{"slice", "warp", "permute", "jitter", "scale"} {
		config := "{}"
		if component == "permute" {
			config = "{segments: 1}"
		}
		facts := &sdk.SampleFacts{Shape: []int64{1, 1}}
		out := sdktest.Augment(t, sdktest.Configure(t, plugin(), component, config).(sdk.Augmenter), facts, []float32{5}, 7)
		if component != "scale" && out[0] != 5 {
			t.Errorf("%s makes %v of one point", component, out)
		}
	}
}

func TestOnlySeries(t *testing.T) {
	for _, component := range []string{"slice", "warp", "permute", "jitter", "scale"} {
		a := sdktest.Configure(t, plugin(), component, `{}`).(sdk.Augmenter)
		if _, err := a.Plan(&sdk.SampleFacts{Shape: []int64{8, 8, 1}}); err == nil || !strings.Contains(err.Error(), "2D samples") {
			t.Errorf("%s: %v", component, err)
		}
	}
	a := sdktest.Configure(t, plugin(), "permute", `{segments: 9}`).(sdk.Augmenter)
	if _, err := a.Plan(&sdk.SampleFacts{Shape: []int64{8, 1}}); err == nil || !strings.Contains(err.Error(), "9 segments of a series of 8 points") {
		t.Errorf("%v", err)
	}
}
