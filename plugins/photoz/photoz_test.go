package photoz_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/photoz"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func Example() {
	p := photoz.Plugin()
	fmt.Println(p.Name, p.Components[0].Name, p.Components[0].Summary)
	// Output: photoz bins photometric redshift as probabilities over bins
}

func task(t testing.TB, config string) sdk.Predictor {
	t.Helper()
	p := sdktest.Configure(t, photoz.Plugin(), "bins", config).(sdk.Predictor)
	if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 6, FitRows: 300, PredictRows: 100, Labels: []*sdk.LabelFacts{{Column: "z", Count: 300, Maximum: 0.4}}}); err != nil {
		t.Fatal(err)
	}
	return p
}

// survey gives objects whose first features follow redshift, with noise in all.
func survey(n int, seed uint64) (sdk.Tensor, []float64) {
	const width = 6
	x, z := make([]float32, n*width), make([]float64, n)
	r := sdk.NewKey(seed, "test").At(0, 0)
	for i := range n {
		z[i] = r.Between(0, 0.4)
		for j := range width {
			x[i*width+j] = float32(0.2 * r.Normal())
		}
		for j := range 4 {
			x[i*width+j] += float32(math.Tanh(10 * (z[i] - 0.1*float64(j))))
		}
	}
	return sdk.Tensor{Shape: []int{n, width}, F32: x}, z
}

func run(t testing.TB, p sdk.Predictor, fitRows int) ([]sdk.Tensor, *sdk.ScoreAnswer) {
	t.Helper()
	x, z := survey(fitRows, 1)
	state, err := p.Fit(&sdk.FitData{X: x, Labels: map[string]sdk.Tensor{"z": {F64: z}}})
	if err != nil {
		t.Fatal(err)
	}
	x, z = survey(200, 2)
	columns, err := p.Predict(state, x)
	if err != nil {
		t.Fatal(err)
	}
	score, err := p.Score(&sdk.ScoreData{Predictions: columns, Labels: map[string]sdk.Tensor{"z": {F64: z}}})
	if err != nil {
		t.Fatal(err)
	}
	return columns, score
}

// Redshift is found, with the paper's 180 bins and few labels too.
func TestFindsRedshift(t *testing.T) {
	for _, c := range []struct {
		config string
		rows   int
		limit  float64
	}{{`{label: "z"}`, 2000, 0.025}, {`{label: "z"}`, 60, 0.05}, {`{label: "z", bins: 20}`, 2000, 0.025}} {
		columns, score := run(t, task(t, c.config), c.rows)
		t.Logf("%s, %d rows: σ_MAD %.4f, bias %.4f, outliers %.3f", c.config, c.rows, score.Metrics[0].Value, score.Metrics[1].Value, score.Metrics[2].Value)
		if m := score.Metrics[0]; m.Name != "σ_MAD" || m.Value > c.limit {
			t.Errorf("%s with %d rows: %s is %.4f", c.config, c.rows, m.Name, m.Value)
		}
		bins := columns[2].Shape[1]
		for i := range 200 {
			sum := 0.0
			for _, p := range columns[2].F32[i*bins : (i+1)*bins] {
				sum += float64(p)
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Fatalf("row %d: probabilities sum to %g", i, sum)
			}
		}
	}
}

// Without information every object gets the mean of the bins' centres over the fitted rows: centres, not edges.
func TestConstantFeaturesGiveOneRedshift(t *testing.T) {
	p := task(t, `{label: "z", bins: 4}`)
	zero := sdk.Tensor{Shape: []int{4, 6}, F32: make([]float32, 24)}
	state, err := p.Fit(&sdk.FitData{X: zero, Labels: map[string]sdk.Tensor{"z": {F64: []float64{0.01, -1e300, 0.399, 1e300}}}})
	if err != nil {
		t.Fatal(err)
	}
	columns, err := p.Predict(state, zero)
	if err != nil {
		t.Fatal(err)
	}
	for i, z := range columns[0].F64 {
		if math.Abs(z-(0.05+0.35)/2) > 1e-6 {
			t.Errorf("row %d: %g, not 0.2", i, z)
		}
		if math.Abs(columns[1].F64[i]-0.15) > 1e-6 {
			t.Errorf("row %d: spread %g, not 0.15", i, columns[1].F64[i])
		}
	}
}

// Δz = 0.1/1.0, −0.2/2.0, 0, 0.04/1.0 by hand: the median is 0.02, the deviations 0.08, 0.12, 0.02, 0.02.
func TestScoreByHand(t *testing.T) {
	score, err := task(t, `{label: "z", bins: 2}`).Score(&sdk.ScoreData{
		Predictions: []sdk.Tensor{{Name: "z", F64: []float64{0.1, 0.8, 0.3, 0.04}}, {Name: "probability", F32: []float32{1, 0, 0, 1, 0.5, 0.5, 1, 0}}},
		Labels:      map[string]sdk.Tensor{"z": {F64: []float64{0, 1, 0.3, 0}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1.4826 * 0.05, 0.01, 0.5} {
		if got := score.Metrics[i].Value; math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %g, not %g", score.Metrics[i].Name, got, want)
		}
	}
	if s := score.Figures[0].GetScatter(); len(s.X) != 4 || !s.Identity || s.X[1] != 1 || s.Y[1] != 0.8 {
		t.Errorf("scatter %v", s)
	}
	if s := score.Figures[1].GetScatter(); len(s.X) != 4 || !s.Zero || s.X[1] != 1 || math.Abs(s.Y[1]+0.1) > 1e-12 || math.Abs(s.Series[0].Y[0]-0.02) > 1e-12 {
		t.Errorf("residuals %v", s)
	}
	// The PIT is 0, 1 beyond the last bin, 0.75 and 0.
	if s := score.Figures[2].GetScatter(); !s.Identity || s.Series[0].Y[0] != 0.5 || s.Series[0].Y[74] != 0.5 || s.Series[0].Y[75] != 0.75 || s.Series[0].Y[100] != 1 {
		t.Errorf("PIT %v", s)
	}
}

// A column that headers call text is refused before anything is learned; it may be one without any value, and the
// message says so.
func TestTextIsRefusedWhenPlanned(t *testing.T) {
	p := sdktest.Configure(t, photoz.Plugin(), "bins", `{label: "z"}`).(sdk.Predictor)
	z := &sdk.LabelFacts{Column: "z", Count: 3, Unread: true, Type: sdk.Number}
	ask := &sdk.TaskNeedsRequest{Width: 2, Labels: []*sdk.LabelFacts{z}}
	if _, err := p.Needs(ask); err != nil {
		t.Error(err)
	}
	z.Type = sdk.String
	_, err := p.Needs(ask)
	if f, ok := err.(sdk.FieldError); !ok || f.Field != "label" || !strings.Contains(f.What, "a column of names, not of redshifts") || !strings.Contains(f.What, "no training row has a value") {
		t.Errorf("text: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	p := task(t, `{label: "z"}`)
	for name, columns := range map[string][]*sdk.LabelFacts{
		"no such column": {{Column: "other", Count: 3}},
		"names":          {{Column: "z", Count: 3, Categories: []string{"a", "b"}}},
		"no values":      {{Column: "z"}},
	} {
		if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 2, Labels: columns}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	spread := sdktest.Configure(t, photoz.Plugin(), "bins", `{label: "spread"}`).(sdk.Predictor)
	if _, err := spread.Needs(&sdk.TaskNeedsRequest{Width: 2, Labels: []*sdk.LabelFacts{{Column: "spread", Count: 3}}}); err == nil {
		t.Error("a label called as a prediction is accepted")
	}
	for _, config := range []string{`{}`, `{label: "z", bins: 1}`, `{label: "z", z_max: 0}`, `{label: "z", bin: 180}`} {
		if _, err := sdktest.Build(photoz.Plugin(), "bins", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
	if _, err := p.Fit(&sdk.FitData{X: sdk.Tensor{Shape: []int{1, 2}, F32: []float32{1, 2}}, Labels: map[string]sdk.Tensor{"z": {F64: []float64{math.NaN()}}}}); err == nil {
		t.Error("a missing redshift is fitted")
	}
}
