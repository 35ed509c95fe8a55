package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func voxels(shape []int64) []float32 {
	n := int64(1)
	for _, s := range shape {
		n *= s
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sin(0.37*float64(i) + 0.1))
	}
	return x
}

// Rotation is scipy.ndimage's.
func TestRotateAgainstSciPy(t *testing.T) {
	text, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens []struct {
		Shape        []int64
		Axes         []int
		Degrees, Out []float64
		Spacing      [3]float64
		Fill         float32
	}
	if err := json.Unmarshal(text, &goldens); err != nil || len(goldens) < 4 {
		t.Fatal(err, len(goldens))
	}
	for _, g := range goldens {
		m := unit
		for i, axis := range g.Axes {
			sin, cos := math.Sincos(g.Degrees[i] * math.Pi / 180)
			m = about(axis, cos, sin).times(m)
		}
		in := voxels(g.Shape)
		out := make([]float32, len(in))
		resample(out, in, append(slices.Clone(g.Shape), 1), m.spaced(g.Spacing), g.Fill)
		for i := range out {
			if math.Abs(float64(out[i])-g.Out[i]) > 3e-6 {
				t.Fatalf("%v about %v by %v: voxel %d is %v, SciPy has %v", g.Shape, g.Axes, g.Degrees, i, out[i], g.Out[i])
			}
		}
	}
}

func facts(shape ...int64) *sdk.SampleFacts { return &sdk.SampleFacts{Shape: shape} }

func apply(t *testing.T, component, config string, f *sdk.SampleFacts, sample uint64) []float32 {
	t.Helper()
	return sdktest.Augment(t, sdktest.Configure(t, plugin(), component, config).(sdk.Augmenter), f, voxels(f.Shape), sample)
}

// About one axis only the planes across it change, each alike: what is constant along it stays so.
func TestOnlyTheChosenAxes(t *testing.T) {
	n := 5
	for axis := range 3 {
		for _, component := range []string{"rotate", "turn"} {
			x := make([]float32, n*n*n)
			for i := range x {
				at := [3]int{i / n / n, i / n % n, i % n}
				x[i] = float32(at[axis]) + 1
			}
			a := sdktest.Configure(t, plugin(), component, fmt.Sprintf(`{axes: [%d]}`, axis-3)).(sdk.Augmenter)
			out := sdktest.Augment(t, a, facts(5, 5, 5, 1), x, 3)
			for i, v := range out {
				at := [3]int{i / n / n, i / n % n, i % n}
				if centre := at[(axis+1)%3] == 2 && at[(axis+2)%3] == 2; (component == "turn" || centre) && math.Abs(float64(v-x[i])) > 1e-5 {
					t.Errorf("%s about %d: voxel %v is %v", component, axis, at, v)
				}
			}
		}
	}
}

// Turns move voxels: none is lost, none is made. The isotropic ones are the 24 rotations of a cube, each as often.
func TestTurns(t *testing.T) {
	f := facts(3, 3, 3, 2)
	in := voxels(f.Shape)
	sorted := slices.Sorted(slices.Values(in))
	seen := map[string]int{}
	const draws = 4800
	for sample := range uint64(draws) {
		out := apply(t, "turn", `{isotropic: true}`, f, sample)
		seen[fmt.Sprint(out)]++
		if !slices.Equal(slices.Sorted(slices.Values(out)), sorted) {
			t.Fatal("a turn changes values")
		}
	}
	chi2 := 0.0
	for _, n := range seen {
		chi2 += math.Pow(float64(n)-draws/24, 2) / (draws / 24)
	}
	if len(seen) != 24 || chi2 > 49.7 { // 99.9 % of χ² with 23 degrees of freedom
		t.Errorf("%d rotations, χ² %.1f", len(seen), chi2)
	}
	all := map[string]bool{}
	for sample := range uint64(400) {
		all[fmt.Sprint(apply(t, "turn", `{}`, f, sample))] = true
	}
	if len(all) != 24 {
		t.Errorf("turns about three axes give %d of 24", len(all))
	}
}

// A turn is the rotation by the same angle, about whichever axis.
func TestTurnsAreRotations(t *testing.T) {
	f := facts(4, 4, 4, 1)
	in := voxels(f.Shape)
	for axis := range 3 {
		for q := range 4 {
			turned, rotated := make([]float32, len(in)), make([]float32, len(in))
			straight.quarter(axis, q).move(turned, in, f.Shape)
			best := math.Inf(1)
			for _, sign := range []float64{1, -1} { // either sense
				sin, cos := math.Sincos(sign * float64(q) * math.Pi / 2)
				resample(rotated, in, f.Shape, about(axis, cos, sin), 0)
				worst := 0.0
				for i := range in {
					worst = max(worst, math.Abs(float64(turned[i]-rotated[i])))
				}
				best = min(best, worst)
			}
			if best > 1e-5 {
				t.Errorf("%d quarters about %d differ by %g", q, axis, best)
			}
		}
	}
}

// Isotropic rotations are rotations, and bring a direction everywhere alike.
func TestIsotropic(t *testing.T) {
	const draws = 20000
	var mean, squares [3]float64
	for sample := range uint64(draws) {
		m := uniform(sdk.NewKey(1, "test").At(0, sample))
		for i := range 3 {
			for j := range 3 {
				dot := m[i][0]*m[j][0] + m[i][1]*m[j][1] + m[i][2]*m[j][2]
				if want := map[bool]float64{true: 1}[i == j]; math.Abs(dot-want) > 1e-12 {
					t.Fatalf("%v is no rotation", m)
				}
			}
			mean[i] += m[i][0] / draws
			squares[i] += m[i][0] * m[i][0] / draws
		}
	}
	for i := range 3 { // of a component: variance 1/3, and of its square 4/45
		if math.Abs(mean[i]) > 4*math.Sqrt(1./3/draws) || math.Abs(squares[i]-1./3) > 4*math.Sqrt(4./45/draws) {
			t.Errorf("component %d has the mean %.4f and the mean square %.4f", i, mean[i], squares[i])
		}
	}
}

func TestRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		component, config string
		facts             *sdk.SampleFacts
		says              string
	}{
		{"rotate", `{}`, facts(8, 8, 1), "2D samples"},
		{"turn", `{}`, facts(8, 1), "1D samples"},
		{"turn", `{axes: [0]}`, facts(8, 4, 5, 1), "about axis 0 does not fit into a frame of 8×4×5"},
		{"turn", `{isotropic: true}`, facts(8, 4, 4, 1), "does not fit"},
	} {
		a := sdktest.Configure(t, plugin(), c.component, c.config).(sdk.Augmenter)
		if _, err := a.Plan(c.facts); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	a := sdktest.Configure(t, plugin(), "turn", `{axes: [0]}`).(sdk.Augmenter)
	if _, err := a.Plan(facts(8, 4, 4, 1)); err != nil {
		t.Error(err)
	}
}
