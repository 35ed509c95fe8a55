package regress_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/regress"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func Example() {
	p := regress.Plugin()
	fmt.Println(p.Name, p.Components[0].Name, p.Components[0].Summary)
	// Output: regress linear numbers by ridge regression on representations
}

func task(t testing.TB, config string) sdk.Predictor {
	t.Helper()
	p := sdktest.Configure(t, regress.Plugin(), "linear", config).(sdk.Predictor)
	if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 6, FitRows: 300, PredictRows: 100, Labels: []*sdk.LabelFacts{{Column: "size", Count: 300, Maximum: 9}}}); err != nil {
		t.Fatal(err)
	}
	return p
}

// galaxies gives objects whose features follow their size, with noise.
func galaxies(n int, seed uint64) (sdk.Tensor, []float64) {
	const width = 6
	x, size := make([]float32, n*width), make([]float64, n)
	r := sdk.NewKey(seed, "test").At(0, 0)
	for i := range n {
		size[i] = r.Between(1, 9)
		for j := range width {
			x[i*width+j] = float32(0.3*r.Normal() + float64(j)*size[i]/5)
		}
	}
	return sdk.Tensor{Shape: []int{n, width}, F32: x}, size
}

// Sizes are found, with few labels too; a penalty that is far too strong leaves the mean.
func TestFindsSize(t *testing.T) {
	for _, c := range []struct {
		config      string
		rows        int
		least, most float64
	}{{`{label: "size"}`, 2000, 0.98, 1}, {`{label: "size"}`, 30, 0.97, 1}, {`{label: "size", l2: 0}`, 2000, 0.98, 1}, {`{label: "size", l2: 1e9}`, 2000, -0.1, 0.01}} {
		p := task(t, c.config)
		x, size := galaxies(c.rows, 1)
		state, err := p.Fit(&sdk.FitData{X: x, Labels: map[string]sdk.Tensor{"size": {F64: size}}})
		if err != nil {
			t.Fatal(err)
		}
		x, size = galaxies(500, 2)
		columns, err := p.Predict(state, x)
		if err != nil {
			t.Fatal(err)
		}
		score, err := p.Score(&sdk.ScoreData{Predictions: columns, Labels: map[string]sdk.Tensor{"size": {F64: size}}})
		if err != nil {
			t.Fatal(err)
		}
		m := score.Metrics[0]
		t.Logf("%s, %d rows: %s %.4f, %s %.3f", c.config, c.rows, m.Name, m.Value, score.Metrics[1].Name, score.Metrics[1].Value)
		if m.Name != "R²" || m.Value < c.least || m.Value > c.most {
			t.Errorf("%s with %d rows: %s is %.4f", c.config, c.rows, m.Name, m.Value)
		}
	}
}

// Without information every object gets the mean, and no variance is explained.
func TestConstantFeaturesGiveTheMean(t *testing.T) {
	p := task(t, `{label: "size"}`)
	zero := sdk.Tensor{Shape: []int{4, 6}, F32: make([]float32, 24)}
	labels := map[string]sdk.Tensor{"size": {F64: []float64{1, 2, 3, 6}}}
	state, err := p.Fit(&sdk.FitData{X: zero, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	columns, err := p.Predict(state, zero)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range columns[0].F64 {
		if math.Abs(v-3) > 1e-12 {
			t.Errorf("row %d: %g, not 3", i, v)
		}
	}
	score, err := p.Score(&sdk.ScoreData{Predictions: columns, Labels: labels})
	if err != nil || math.Abs(score.Metrics[0].Value) > 1e-12 {
		t.Errorf("%v %v", score, err)
	}
}

// Δ = 1, −1, 0, 4 by hand: the median is 0.5, the deviations 0.5, 1.5, 0.5, 3.5; the truth's variance is 1.25 · 4.
func TestScoreByHand(t *testing.T) {
	score, err := task(t, `{label: "size"}`).Score(&sdk.ScoreData{
		Predictions: []sdk.Tensor{{Name: "size", F64: []float64{2, 1, 3, 8}}},
		Labels:      map[string]sdk.Tensor{"size": {F64: []float64{1, 2, 3, 4}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1 - 18./5, 1.4826, 1.5, 1} {
		if got := score.Metrics[i].Value; math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %g, not %g", score.Metrics[i].Name, got, want)
		}
	}
	if s := score.Figures[0].GetScatter(); len(s.X) != 4 || !s.Identity || s.X[3] != 4 || s.Y[3] != 8 || s.XLabel != "true size" {
		t.Errorf("scatter %v", s)
	}
	if s := score.Figures[1].GetScatter(); len(s.X) != 4 || !s.Zero || s.X[3] != 4 || s.Y[3] != 4 || s.YLabel != "predicted − true size" || s.Series[0].Y[0] != 0.5 {
		t.Errorf("residuals %v", s)
	}
}

func TestRefusals(t *testing.T) {
	p := task(t, `{label: "size"}`)
	for says, column := range map[string]*sdk.LabelFacts{
		`no column "size"`:               {Column: "other", Count: 3},
		"a column of names, not of numb": {Column: "size", Count: 3, Categories: []string{"a", "b"}},
		"no training row has a value":    {Column: "size"},
	} {
		if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 2, Labels: []*sdk.LabelFacts{column}}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	for _, config := range []string{`{}`, `{label: ""}`, `{label: "z", l2: -1}`, `{label: "z", penalty: 1}`} {
		if _, err := sdktest.Build(regress.Plugin(), "linear", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
	if _, err := p.Fit(&sdk.FitData{X: sdk.Tensor{Shape: []int{1, 2}, F32: []float32{1, 2}}, Labels: map[string]sdk.Tensor{"size": {F64: []float64{math.NaN()}}}}); err == nil {
		t.Error("a missing size is fitted")
	}
	x, size := galaxies(20, 1)
	state, err := p.Fit(&sdk.FitData{X: x, Labels: map[string]sdk.Tensor{"size": {F64: size}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Predict(state, sdk.Tensor{Shape: []int{1, 2}, F32: []float32{1, 2}}); err == nil {
		t.Error("representations of another width are taken")
	}
	for _, truth := range [][]float64{nil, {2, 2}} {
		_, err := p.Score(&sdk.ScoreData{Predictions: []sdk.Tensor{{Name: "size", F64: truth}}, Labels: map[string]sdk.Tensor{"size": {F64: truth}}})
		if _, ok := err.(sdk.DataError); !ok {
			t.Errorf("truth %v: %v", truth, err)
		}
	}
}
