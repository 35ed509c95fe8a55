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

func open(t *testing.T, config string) (sdk.Reader, *sdk.Catalogue) {
	t.Helper()
	r := sdktest.Configure(t, plugin(), "scenes", config).(sdk.Reader)
	c, err := r.Open()
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func record(t *testing.T, r sdk.Reader, i int) (one sdk.Record) {
	t.Helper()
	if err := r.Read(i, &one); err != nil {
		t.Fatal(err)
	}
	return one
}

// Stamps have their source in the middle, and at the edge are smaller and still have it there.
func TestStamps(t *testing.T) {
	r, c := open(t, `{files: ["testdata/a.npz"], size: 6, unit: "nJy"}`)
	if c.Count != 4 || !slices.Equal(c.Facts.Shape, []int64{6, 6, 3}) || !slices.Equal(c.Facts.Bands, []string{"g", "r", "i"}) || c.Facts.Flux != sdk.Linear || c.Facts.PixelScale != 0.168 || c.Fields[1].Name != "noise_r" {
		t.Errorf("%v", c)
	}
	for i, want := range []struct{ height, width, y, x int }{{6, 6, 6, 6}, {1, 1, 0, 0}, {2, 2, 9, 11}} {
		one := record(t, r, i)
		if !slices.Equal(one.Shape, []int{want.height, want.width, 3}) {
			t.Fatalf("source %d has the shape %v", i, one.Shape)
		}
		for b := range 3 {
			got := one.F32[(want.height/2*want.width+want.width/2)*3+b]
			if expected := float32(100*(b+1)+want.y) + float32(want.x)/100; math.Abs(float64(got-expected)) > 1e-4 {
				t.Errorf("source %d has %v in its middle, not %v", i, got, expected)
			}
		}
		if one.Values[0] != 2.0 || one.Values[2] != 4.0 || one.Values[5] != "a" {
			t.Errorf("%v", one.Values)
		}
	}
	if one := record(t, r, 3); !strings.Contains(one.Bad, "20, 3 is outside the scene of 12×10") {
		t.Errorf("%+v", one)
	}
	var alone sdk.Record
	if err := r.(sdk.FileReader).ReadFile("testdata/one.npz", &alone); err != nil || !slices.Equal(alone.F32, record(t, r, 0).F32) {
		t.Errorf("%v", err)
	}
	// Without variances the noise is that of the scene.
	r, _ = open(t, `{files: ["testdata/b.npz"], bands: ["g", "r", "i"]}`)
	one := record(t, r, 0)
	for b := range 3 {
		if got := one.Values[b].(float64); math.Abs(got/float64(b+1)-1) > 0.06 {
			t.Errorf("the noise of band %d is %v", b, got)
		}
	}
	if one.Values[3] != 30.0 || one.Values[4] != 20.0 {
		t.Errorf("%v", one.Values)
	}
}

func TestRefusals(t *testing.T) {
	for config, says := range map[string]string{
		`{files: ["nowhere.npz"]}`:                                "nowhere.npz",
		`{files: ["testdata/make.py"]}`:                           "not a valid zip file",
		`{files: ["testdata/b.npz"]}`:                             "does not name its bands",
		`{files: ["testdata/b.npz"], bands: ["g"]}`:               "has 3 bands, and g are named",
		`{files: ["testdata/b.npz"], bands: ["g", "g", "r"]}`:     "there twice",
		`{files: ["testdata/a.npz", "testdata/a.npz"]}`:           "two scenes are called a",
		`{files: ["testdata/a.npz"], bands: ["not a name", "g"]}`: "bands",
	} {
		r, err := sdktest.Build(plugin(), "scenes", config)
		if err == nil {
			_, err = r.(sdk.Reader).Open()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", config, err)
		}
	}
	r, _ := open(t, `{files: ["testdata/a.npz"]}`)
	if err := r.(sdk.FileReader).ReadFile("testdata/a.npz", &sdk.Record{}); err == nil || !strings.Contains(err.Error(), "has 4 sources") {
		t.Errorf("%v", err)
	}
}

// The noise that is added has the σ of the exposure's share, band by band.
func TestShallower(t *testing.T) {
	facts := &sdk.SampleFacts{Shape: []int64{64, 64, 2}, Bands: []string{"g", "r"}, Flux: sdk.Linear}
	for _, each := range []bool{false, true} {
		a := sdktest.Configure(t, plugin(), "shallower", fmt.Sprintf(`{least: 0.25, each: %v}`, each)).(sdk.Augmenter)
		plan, err := a.Plan(facts)
		if err != nil || !slices.Equal(plan.Columns, []string{"noise_g", "noise_r"}) {
			t.Fatalf("%v %v", plan, err)
		}
		for sample := range uint64(20) {
			in, out := make([]float32, 64*64*2), make([]float32, 64*64*2)
			draw := func() *sdk.Source { return sdk.NewKey(1, "view", "test").At(0, sample) }
			err := a.Apply(&sdk.Sample{In: in, Out: out, Facts: facts, OutShape: facts.Shape, Random: draw(), Column: map[string]float64{"noise_g": 2, "noise_r": math.NaN()}})
			if err != nil {
				t.Fatal(err)
			}
			share := draw().Between(0.25, 1)
			want := 4 * (1/share - 1)
			got := 0.0
			for i := 0; i < len(out); i += 2 {
				got += float64(out[i]) * float64(out[i]) / float64(len(out)/2)
				if out[i+1] != 0 {
					t.Fatal("a band without noise gets some")
				}
			}
			if math.Abs(got-want) > 0.12*want {
				t.Errorf("share %.3f: the variance %.3f was added, not %.3f", share, got, want)
			}
		}
	}
	a := sdktest.Configure(t, plugin(), "shallower", `{}`).(sdk.Augmenter)
	for _, f := range []*sdk.SampleFacts{{Shape: []int64{8, 8, 1}, Bands: []string{"g"}, Flux: sdk.Stretched}, {Shape: []int64{8, 8, 1}}} {
		if _, err := a.Plan(f); err == nil {
			t.Errorf("%v is taken", f)
		}
	}
}
