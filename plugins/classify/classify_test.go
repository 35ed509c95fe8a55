package classify_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/classify"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

func Example() {
	p := classify.Plugin()
	fmt.Println(p.Name, p.Components[0].Name, p.Components[1].Name)
	// Output: classify linear knn
}

var components = []string{"linear", "knn"}

// task configures a component for a number column cut at 0.5 and 1.5, whose classes are thus 0, 1 and 2.
func task(t testing.TB, component string, width, rows int) sdk.Predictor {
	t.Helper()
	p := sdktest.Configure(t, classify.Plugin(), component, `{label: "kind", edges: [0.5, 1.5]}`).(sdk.Predictor)
	needs, err := p.Needs(&sdk.TaskNeedsRequest{Width: uint32(width), FitRows: uint64(rows), PredictRows: uint64(rows),
		Labels: []*sdk.LabelFacts{{Column: "kind", Count: uint64(rows), Maximum: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(needs.Labels) != 1 || needs.Labels[0] != "kind" {
		t.Fatalf("needs %v", needs)
	}
	return p
}

func matrix(x []float32, width int) sdk.Tensor {
	return sdk.Tensor{Shape: []int{len(x) / width, width}, F32: x}
}

func column(y []float64) map[string]sdk.Tensor {
	return map[string]sdk.Tensor{"kind": {Name: "kind", Shape: []int{len(y)}, F64: y}}
}

// clouds gives rows around three well separated directions.
func clouds(n, width int, seed uint64) ([]float32, []float64) {
	x, y := make([]float32, n*width), make([]float64, n)
	r := sdk.NewKey(seed, "test").At(0, 0)
	for i := range n {
		y[i] = float64(i % 3)
		for j := range width {
			x[i*width+j] = float32(0.6 * r.Normal())
			if j == i%3 {
				x[i*width+j] += 3
			}
		}
	}
	return x, y
}

func metric(t testing.TB, a *sdk.ScoreAnswer, name string) float64 {
	t.Helper()
	for _, m := range a.Metrics {
		if m.Name == name {
			return m.Value
		}
	}
	t.Fatalf("no metric %q", name)
	return 0
}

func TestSeparatesClouds(t *testing.T) {
	for _, component := range components {
		const width, n = 8, 90
		p := task(t, component, width, n)
		x, y := clouds(n, width, 1)
		state, err := p.Fit(&sdk.FitData{X: matrix(x, width), Labels: column(y)})
		if err != nil {
			t.Fatal(err)
		}
		x, y = clouds(n, width, 2)
		columns, err := p.Predict(state, matrix(x, width))
		if err != nil {
			t.Fatal(err)
		}
		score, err := p.Score(&sdk.ScoreData{Predictions: columns, Labels: column(y)})
		if err != nil {
			t.Fatal(err)
		}
		if score.Metrics[0].Name != "accuracy" || score.Metrics[0].Value < 0.95 {
			t.Errorf("%s: %s is %g", component, score.Metrics[0].Name, score.Metrics[0].Value)
		}
		total := 0.0
		for _, v := range score.Figures[0].GetMatrix().Values {
			total += v
		}
		if total != n {
			t.Errorf("%s: the confusion matrix counts %g of %d rows", component, total, n)
		}
		var damaged sdk.DataError
		if _, err := p.Predict(state, matrix(x[:n*4], 4)); !errors.As(err, &damaged) {
			t.Errorf("%s: representations of another width: %v", component, err)
		}
		if columns[0].Categories[1] != "0.5 to 1.5" {
			t.Errorf("%s: class names %v", component, columns[0].Categories)
		}
	}
}

// Representations without information give the majority class to everything, also with weights.
func TestConstantFeaturesGiveTheMajority(t *testing.T) {
	for _, component := range components {
		rapid.Check(t, func(r *rapid.T) {
			n, width := rapid.IntRange(1, 60).Draw(r, "n"), rapid.IntRange(1, 9).Draw(r, "width")
			value := float32(rapid.SampledFrom([]float64{0, 1, -0.3, 1e6}).Draw(r, "value"))
			weighted := rapid.Bool().Draw(r, "weighted")
			x := make([]float32, n*width)
			for i := range x {
				x[i] = value
			}
			y, weights, count := make([]float64, n), []float64(nil), [3]float64{}
			for i := range y {
				y[i] = float64(rapid.IntRange(0, 2).Draw(r, "y"))
				w := 1.0
				if weighted {
					w = float64(rapid.IntRange(1, 5).Draw(r, "w"))
					weights = append(weights, w)
				}
				count[int(y[i])] += w
			}
			majority := 0
			for k, c := range count {
				if c > count[majority] {
					majority = k
				}
			}
			p := task(t, component, width, n)
			state, err := p.Fit(&sdk.FitData{X: matrix(x, width), Labels: column(y), Weights: weights})
			if err != nil {
				r.Fatal(err)
			}
			columns, err := p.Predict(state, matrix(x[:width], width))
			if err != nil {
				r.Fatal(err)
			}
			if got := columns[0].I64[0]; count[got] != count[majority] {
				r.Fatalf("%s predicts class %d of %v", component, got, count)
			}
			sum := 0.0
			for _, v := range columns[1].F64 {
				sum += v
			}
			if math.Abs(sum-1) > 1e-9 {
				r.Fatalf("%s: probabilities sum to %g", component, sum)
			}
		})
	}
}

// A case small enough to count by hand: truth 0 0 1 2, predicted 0 1 1 1.
func TestScoreByHand(t *testing.T) {
	p := task(t, "linear", 2, 4)
	half, none := 0.5, 0.0
	score, err := p.Score(&sdk.ScoreData{Labels: column([]float64{0, 0, 1, 2}), Predictions: []sdk.Tensor{
		{Name: "kind", I64: []int64{0, 1, 1, 1}},
		{Name: "probability", F64: []float64{1, none, none, half, half, none, none, 1, none, none, 1, none}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"accuracy": 0.5, "balanced accuracy": (0.5 + 1 + 0) / 3, "macro F1": (2./3 + 2./4 + 0) / 3, "log loss": (math.Log(2) - math.Log(1e-6)) / 4,
	} {
		if got := metric(t, score, name); math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %g, not %g", name, got, want)
		}
	}
	if got := score.Figures[0].GetMatrix().Values; got[0*3+1] != 1 || got[2*3+1] != 1 || got[1*3+2] != 0 {
		t.Errorf("confusion %v: rows are the truth", got)
	}
}

// The k-th similarity is shared by three objects: all vote.
func TestKNNTies(t *testing.T) {
	p := sdktest.Configure(t, classify.Plugin(), "knn", `{label: "kind", edges: [0.5, 1.5], k: 2, temperature: 1000}`).(sdk.Predictor)
	if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 2, FitRows: 5, PredictRows: 1, Labels: []*sdk.LabelFacts{{Column: "kind", Count: 5}}}); err != nil {
		t.Fatal(err)
	}
	state, err := p.Fit(&sdk.FitData{X: matrix([]float32{1, 0, 0, 1, 0, 2, 0, 3, -1, 0}, 2), Labels: column([]float64{0, 1, 1, 2, 2})})
	if err != nil {
		t.Fatal(err)
	}
	columns, err := p.Predict(state, matrix([]float32{2, 1}, 2))
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range []float64{0.25, 0.5, 0.25} {
		if got := columns[1].F64[k]; math.Abs(got-want) > 1e-3 {
			t.Errorf("class %d has %g of the votes, not %g", k, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, component := range components {
		p := sdktest.Configure(t, classify.Plugin(), component, `{label: "kind"}`).(sdk.Predictor)
		for name, columns := range map[string][]*sdk.LabelFacts{
			"no such column": {{Column: "other", Count: 3}},
			"no edges":       {{Column: "kind", Count: 3}},
			"no values":      {{Column: "kind"}},
			"one class":      {{Column: "kind", Count: 3, Categories: []string{"E"}}},
		} {
			if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 2, Labels: columns}); err == nil {
				t.Errorf("%s: %s is accepted", component, name)
			}
		}
		p = sdktest.Configure(t, classify.Plugin(), component, `{label: "probability", edges: [1]}`).(sdk.Predictor)
		if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 2, Labels: []*sdk.LabelFacts{{Column: "probability", Count: 3}}}); err == nil {
			t.Errorf("%s: a label called as the probabilities is accepted", component)
		}
		if _, err := sdktest.Build(classify.Plugin(), component, `{label: "kind", spread: 3}`); err == nil {
			t.Errorf("%s: an unknown field is accepted", component)
		}
		if _, err := p.Predict(nil, matrix([]float32{1, 2}, 2)); err == nil {
			t.Errorf("%s: an empty state is accepted", component)
		}
	}
}
