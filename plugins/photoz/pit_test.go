package photoz_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// pit scores redshifts under probabilities over bins and gives the figure.
func pit(t testing.TB, bins int, end float64, z []float64, probability []float32) *sdk.Scatter {
	t.Helper()
	score, err := task(t, fmt.Sprintf(`{label: "z", bins: %d, z_max: %g}`, bins, end)).Score(&sdk.ScoreData{
		Predictions: []sdk.Tensor{{Name: "z", F64: make([]float64, len(z))}, {Name: "probability", F32: probability}},
		Labels:      map[string]sdk.Tensor{"z": {F64: z}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return score.Figures[2].GetScatter()
}

func TestPITAgreesWithSciPy(t *testing.T) {
	text, err := os.ReadFile("testdata/pit.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Bins          int
		End, Distance float64
		Probability   []float32
		Z, Curve      []float64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		f := pit(t, c.Bins, c.End, c.Z, c.Probability)
		for k, want := range c.Curve {
			if got := f.Series[0].Y[k]; math.Abs(got-want) > 1e-12 {
				t.Errorf("%d rows: %g lie below %g, not %g", len(c.Z), got, f.Series[0].X[k], want)
			}
		}
		if want := fmt.Sprintf("line: %.4f;", c.Distance); !strings.Contains(f.Note, want) {
			t.Errorf("%d rows: %q lacks %q", len(c.Z), f.Note, want)
		}
	}
}

// Redshifts at evenly spaced quantiles of what was predicted lie on the diagonal, whatever was predicted.
func TestCalibratedRedshiftsLieOnTheDiagonal(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		bins, n := rapid.IntRange(2, 30).Draw(r, "bins"), rapid.IntRange(1, 200).Draw(r, "n")
		z, probability := make([]float64, n), make([]float32, 0, n*bins)
		for i := range z {
			key := sdk.NewKey(uint64(i), "test").At(0, 0)
			p, total := make([]float64, bins), 0.0
			for k := range p {
				p[k] = float64(float32(0.01 + key.Uniform()))
				total += p[k]
				probability = append(probability, float32(p[k]))
			}
			left, k := (float64(i)+0.5)/float64(n)*total, 0
			for k < bins-1 && left > p[k] {
				left, k = left-p[k], k+1
			}
			z[i] = (float64(k) + left/p[k]) * 0.4 / float64(bins)
		}
		f := pit(t, bins, 0.4, z, probability)
		for k, x := range f.Series[0].X {
			if away := math.Abs(f.Series[0].Y[k] - x); away > 0.5/float64(n)+1e-9 {
				r.Fatalf("%g from the diagonal at %g", away, x)
			}
		}
	})
}

// Objects without a number are left out; with none left there is no line.
func TestPITOfNoNumbers(t *testing.T) {
	nan := float32(math.NaN())
	f := pit(t, 2, 0.4, []float64{0.1, math.NaN(), 0.1, 0.1}, []float32{1, 0, 1, 0, nan, 1, 0, 0})
	if f.Series[0].Y[49] != 0 || f.Series[0].Y[50] != 1 || !strings.Contains(f.Note, "Objects: 1.") {
		t.Errorf("one of four has a number: %v", f)
	}
	if f := pit(t, 2, 0.4, []float64{0.1}, []float32{nan, 1}); len(f.Series) != 0 || f.Note != "" {
		t.Errorf("none has a number: %v", f)
	}
}
