package classify_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"pgregory.net/rapid"
)

// calibrated scores answers of class 0, given with these confidences and right or not, and gives the reliability diagram.
func calibrated(t testing.TB, confidence []float64, right []bool) *sdk.Scatter {
	t.Helper()
	p := task(t, "linear", 2, len(right))
	truth, probability := make([]float64, len(right)), make([]float64, 3*len(right))
	for i, c := range confidence {
		if !right[i] {
			truth[i] = 1
		}
		probability[3*i], probability[3*i+2] = c, 1-c
	}
	score, err := p.Score(&sdk.ScoreData{Labels: column(truth), Predictions: []sdk.Tensor{{Name: "kind", I64: make([]int64, len(right))}, {Name: "probability", F64: probability}}})
	if err != nil {
		t.Fatal(err)
	}
	return score.Figures[1].GetScatter()
}

func near(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Abs(x-y) < 1e-12 })
}

func TestCalibrationAgreesWithScikitLearn(t *testing.T) {
	text, err := os.ReadFile("testdata/calibration.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Confidence                []float64
		Right                     []bool
		Mean, Fraction, Low, High []float64
		Error                     float64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		f := calibrated(t, c.Confidence, c.Right)
		if !near(f.Series[0].X, c.Mean) || !near(f.Series[0].Y, c.Fraction) {
			t.Errorf("%d rows: fractions %v, not %v at %v", len(c.Right), f.Series[0], c.Fraction, c.Mean)
		}
		if n := len(c.Mean); !near(f.Series[1].Y[:n], c.High) || !near(f.Series[1].Y[n+1:], c.Low) || !math.IsNaN(f.Series[1].Y[n]) {
			t.Errorf("%d rows: intervals %v, not %v to %v", len(c.Right), f.Series[1], c.Low, c.High)
		}
		if want := fmt.Sprintf("error: %.4f,", c.Error); !strings.Contains(f.Note, want) {
			t.Errorf("%d rows: %q lacks %q", len(c.Right), f.Note, want)
		}
	}
}

// Answers that are right as often as they say lie on the diagonal; bins without any are left out.
func TestCalibratedAnswersLieOnTheDiagonal(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var confidence []float64
		var right []bool
		bins := map[int]bool{}
		for range rapid.IntRange(1, 5).Draw(r, "groups") {
			of := rapid.IntRange(1, 30).Draw(r, "of")
			k := rapid.IntRange(0, of).Draw(r, "right")
			bins[max(0, (10*k+of-1)/of-1)] = true
			for i := range of {
				confidence, right = append(confidence, float64(k)/float64(of)), append(right, i < k)
			}
		}
		f := calibrated(t, confidence, right)
		if len(f.Series[0].X) != len(bins) || !f.Identity || len(f.X) != 0 {
			r.Fatalf("%d places for %d bins", len(f.Series[0].X), len(bins))
		}
		if !near(f.Series[0].X, f.Series[0].Y) || !strings.Contains(f.Note, "error: 0.0000,") {
			r.Fatalf("not on the diagonal: %v, %s", f.Series[0], f.Note)
		}
	})
}

func TestCalibrationOfFew(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		confidence []float64
		right      []bool
		x, y       []float64
		says       string
	}{
		"one object":               {[]float64{0.75}, []bool{true}, []float64{0.75}, []float64{1}, "error: 0.2500,"},
		"all sure":                 {[]float64{1, 1, 1, 1}, []bool{true, true, true, false}, []float64{1}, []float64{0.75}, "error: 0.2500,"},
		"one has no number":        {[]float64{1, nan}, []bool{true, true}, []float64{1}, []float64{1}, "Objects: 1."},
		"beyond what there can be": {[]float64{-1, 2}, []bool{false, true}, []float64{-1, 2}, []float64{0, 1}, "error: 1.0000,"},
	} {
		f := calibrated(t, c.confidence, c.right)
		if !near(f.Series[0].X, c.x) || !near(f.Series[0].Y, c.y) || !strings.Contains(f.Note, c.says) {
			t.Errorf("%s: %v, %s", name, f.Series[0], f.Note)
		}
	}
	if f := calibrated(t, []float64{nan}, []bool{true}); len(f.Series) != 0 || f.Note != "" {
		t.Errorf("no number at all: %v", f)
	}
}
