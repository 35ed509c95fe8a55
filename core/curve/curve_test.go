package curve

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/run"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// grown is a result whose arms have the score value(arm, labels) plus noise that is the draw's.
func grown(better string, labels []int, draws int, value func(arm string, n float64) float64) *run.TaskResult {
	r := &run.TaskResult{Task: "morphology", FitRows: labels[len(labels)-1]}
	for _, arm := range []string{"finetuned", "supervised", run.Constant} {
		for i, n := range labels {
			s := run.Score{Arm: arm, Labels: fmt.Sprint(n), Metric: "accuracy", Better: better}
			each := draws
			if i == len(labels)-1 {
				s.Labels, each = "all", 1
			}
			for d := range each {
				noise := key.New(1, "test").At(uint64(n), uint64(d)).Normal() / 50
				s.Draws = append(s.Draws, value(arm, float64(n))+noise)
			}
			r.Scores = append(r.Scores, s)
		}
	}
	return r
}

var some = []int{50, 100, 200, 400, 800}

func TestFourTimesTheLabels(t *testing.T) {
	for better, sign := range map[string]float64{"higher": 1, "lower": -1} {
		r := grown(better, some, 5, func(arm string, n float64) float64 {
			if arm == "finetuned" {
				n *= 4
			}
			return sign * math.Log2(n)
		})
		found := Equivalences(r, "supervised")
		if len(found) != len(some) {
			t.Fatalf("%d equivalences, want one for each number of labels of the one other arm: %v", len(found), found)
		}
		for i, e := range found[:2] {
			if e.Arm != "finetuned" || math.Abs(e.Factor.Value-4) > 0.1 || e.Factor.AtLeast || e.Factor.AtMost {
				t.Errorf("%s labels: %v, want 4", e.Labels, e)
			}
			// The draws' noise is in both arms; with all labels there is only one draw.
			if i == 0 && (e.Low == nil || e.Low.Value > e.Factor.Value || e.High.Value < e.Factor.Value || e.High.Value-e.Low.Value > 0.2) {
				t.Errorf("%s labels: %v to %v is no interval of %v", e.Labels, e.Low, e.High, e.Factor)
			}
		}
		if e := found[4]; !e.Factor.AtLeast || e.Factor.Value != 1 || !strings.HasPrefix(e.String(), "> 1") {
			t.Errorf("beyond all labels: %v, want > 1", e)
		}
	}
}

func TestAnArmBelowTheReference(t *testing.T) {
	r := grown("higher", some, 1, func(arm string, n float64) float64 {
		if arm == "finetuned" {
			n /= 4
		}
		return math.Log2(n)
	})
	for _, e := range Equivalences(r, "supervised") {
		switch {
		case e.Labels == "50" && (e.String() != "< 1"), e.Labels == "all" && math.Abs(e.Factor.Value-0.25) > 0.01:
			t.Errorf("%s labels: %v", e.Labels, e)
		case e.Low != nil:
			t.Error("an interval from one draw")
		}
	}
	if found := Equivalences(r, "untrained"); len(found) != 0 {
		t.Errorf("an arm that was not tried is a reference: %v", found)
	}
}

func TestIsotonicIsTheNearestThatGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := rapid.SliceOfN(rapid.Float64Range(-1, 1), 1, 8).Draw(t, "y")
		got := slices.Clone(y)
		isotonic(got)
		if !slices.IsSorted(got) {
			t.Fatalf("%v falls", got)
		}
		off := func(z []float64) (d float64) {
			for i := range y {
				d += (z[i] - y[i]) * (z[i] - y[i])
			}
			return d
		}
		other := rapid.SliceOfN(rapid.Float64Range(-1, 1), len(y), len(y)).Draw(t, "other")
		slices.Sort(other)
		for _, share := range []float64{0.01, 0.5, 1} { // nothing that grows is nearer
			z := make([]float64, len(y))
			for i := range z {
				z[i] = got[i] + share*(other[i]-got[i])
			}
			if off(z) < off(got)-1e-12 {
				t.Fatalf("%v is nearer to %v than %v", z, y, got)
			}
		}
	})
}

func TestIntervalCoversTheMean(t *testing.T) {
	const sets, n = 400, 20
	covered := 0
	for i := range sets {
		r := key.New(7, "test").At(0, uint64(i))
		draws := make([]float64, n)
		for j := range draws {
			draws[j] = r.Normal()
		}
		if low, high, ok := Interval(draws); ok && low < 0 && high > 0 {
			covered++
		}
	}
	// The percentile interval of 20 draws is a little short: 92 to 93 %; 340 to 388 is that within four deviations.
	if covered < 340 || covered > 388 {
		t.Errorf("%d of %d intervals of 95 %% cover the mean", covered, sets)
	}
	if _, _, ok := Interval([]float64{1}); ok {
		t.Error("one draw has an interval")
	}
}

func ExampleEquivalences() {
	r := grown("higher", some, 5, func(arm string, n float64) float64 {
		if arm == "finetuned" {
			n *= 3
		}
		return math.Log2(n)
	})
	for _, e := range Equivalences(r, "supervised")[:2] {
		fmt.Println(e.Metric, e.Arm, e.Labels, e)
	}
	// Output:
	// accuracy finetuned 50 3 (3 to 3)
	// accuracy finetuned 100 3 (3 to 3)
}
