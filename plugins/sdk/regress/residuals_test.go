package regress_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/regress"
	"pgregory.net/rapid"
)

func residuals(truth, delta []float64) *sdk.Scatter {
	return regress.Residuals("Residuals", "true z", "Δz", truth, delta).GetScatter()
}

// halves are the upper and the lower line of a band.
func halves(t interface{ Fatalf(string, ...any) }, band *sdk.ScatterSeries) (high, low []float64) {
	lift := slices.IndexFunc(band.Y, math.IsNaN)
	if lift < 0 || len(band.Y) != 2*lift+1 || len(band.X) != len(band.Y) {
		t.Fatalf("a band of %v", band)
	}
	return band.Y[:lift], band.Y[lift+1:]
}

// Five rows are one bin. Truth 1…5 has the median 3, Δ = 1, 2, 4, 8, 0 the median 2 and deviations 1, 0, 2, 6, 2.
func TestResidualsByHand(t *testing.T) {
	s := residuals([]float64{5, 1, 2, 3, 4, math.NaN(), 2}, []float64{0, 1, 2, 4, 8, 1, math.Inf(1)})
	high, low := halves(t, s.Series[1])
	if m := s.Series[0]; len(m.X) != 1 || m.X[0] != 3 || m.Y[0] != 2 || math.Abs(high[0]-2-2*1.4826) > 1e-12 || math.Abs(low[0]-2+2*1.4826) > 1e-12 {
		t.Errorf("lines %v", s.Series)
	}
	if !s.Zero || s.Identity || len(s.X) != 7 || s.XLabel != "true z" || s.YLabel != "Δz" || !strings.Contains(s.Note, "objects in them: 5.") {
		t.Errorf("figure %v", s)
	}
}

// No object, a single one, and only such as have no number.
func TestResidualsOfFew(t *testing.T) {
	if s := residuals(nil, nil); len(s.Series) != 0 {
		t.Errorf("lines of nothing: %v", s.Series)
	}
	if s := residuals([]float64{1}, []float64{math.NaN()}); len(s.Series) != 0 {
		t.Errorf("lines of no number: %v", s.Series)
	}
	s := residuals([]float64{1}, []float64{-2})
	high, low := halves(t, s.Series[1])
	if m := s.Series[0]; len(m.X) != 1 || m.X[0] != 1 || m.Y[0] != -2 || high[0] != -2 || low[0] != -2 {
		t.Errorf("lines of one object: %v", s.Series)
	}
}

// Every row is in one bin: bins ascend, a truth is in one only, perfect predictions have the zero line as their lines, and
// a shift moves all by itself.
func TestResidualsLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 900).Draw(t, "n")
		different := rapid.SampledFrom([]int{1, 2, 7, 1e6}).Draw(t, "different truths")
		r := sdk.NewKey(rapid.Uint64().Draw(t, "seed"), "test").At(0, 0)
		shift := rapid.SampledFrom([]float64{0, -3, 0.25}).Draw(t, "shift")
		truth, delta := make([]float64, n), make([]float64, n)
		for i := range truth {
			truth[i], delta[i] = math.Floor(r.Uniform()*float64(different)), shift
		}
		s := residuals(truth, delta)
		high, low := halves(t, s.Series[1])
		for i, x := range s.Series[0].X {
			if i > 0 && x <= s.Series[0].X[i-1] {
				t.Fatalf("bins at %v", s.Series[0].X)
			}
			if s.Series[0].Y[i] != shift || high[i] != shift || low[i] != shift {
				t.Fatalf("a shift of %g is drawn at %v", shift, s.Series)
			}
		}
		if bins := len(s.Series[0].X); bins > 20 || bins > max(1, n/20) || different == 1e6 && bins < max(1, min(20, n/20)) {
			t.Fatalf("%d rows are in %d bins", n, bins)
		}
	})
}

// The band of normal residuals has their standard deviation, also where it grows with the truth, and all rows count where
// only some are drawn.
func TestResidualsBandIsTheStandardDeviation(t *testing.T) {
	r := sdk.NewKey(3, "test").At(0, 0)
	truth, delta := make([]float64, 40000), make([]float64, 40000)
	for i := range truth {
		truth[i] = r.Between(1, 3)
		delta[i] = 0.5 + truth[i]*r.Normal()
	}
	s := residuals(truth, delta)
	if len(s.X) != 4000 || len(s.Series[0].X) != 20 {
		t.Errorf("%d points, %d bins", len(s.X), len(s.Series[0].X))
	}
	high, low := halves(t, s.Series[1])
	for i, x := range s.Series[0].X {
		if sigma := (high[i] - low[i]) / 2; math.Abs(sigma/x-1) > 0.1 || math.Abs(s.Series[0].Y[i]-0.5) > 0.2 {
			t.Errorf("at %.2f: %.3f ± %.3f", x, s.Series[0].Y[i], sigma)
		}
	}
}
