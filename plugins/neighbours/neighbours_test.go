package neighbours_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/neighbours"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

func Example() {
	p := neighbours.Plugin()
	fmt.Println(p.Name, p.Components[0].Name, p.Components[0].Summary)
	// Output: neighbours search the most similar objects by cosine
}

func search(t testing.TB, config string) sdk.Predictor {
	t.Helper()
	return sdktest.Configure(t, neighbours.Plugin(), "search", config).(sdk.Predictor)
}

func matrix(x []float32, width int) sdk.Tensor {
	return sdk.Tensor{Shape: []int{len(x) / width, width}, F32: x}
}

// Every query gets the same answers, in the same order, as sorting all similarities; also across the blocks of the
// product and with many ties.
func TestAgreesWithSorting(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		width, top := rapid.IntRange(1, 4).Draw(r, "width"), rapid.IntRange(1, 7).Draw(r, "top")
		kept, asked := rapid.SampledFrom([]int{1, 3, 50, 4100}).Draw(r, "kept"), rapid.SampledFrom([]int{1, 5, 70}).Draw(r, "asked")
		draw := sdk.NewKey(rapid.Uint64().Draw(r, "seed"), "test").At(0, 0)
		values := func(n int) []float32 {
			x := make([]float32, n*width)
			for i := range x {
				x[i] = float32(draw.Intn(5) - 2) // few values: many ties, some rows of zeros
			}
			return x
		}
		base, queries := values(kept), values(asked)
		p := search(t, fmt.Sprintf(`{top: %d}`, top))
		state, err := p.Fit(&sdk.FitData{X: matrix(base, width)})
		if err != nil {
			r.Fatal(err)
		}
		columns, err := p.Predict(state, matrix(queries, width))
		if err != nil {
			r.Fatal(err)
		}
		top = min(top, kept)
		unit, asks := sdk.UnitRows(base, width), sdk.UnitRows(queries, width)
		all := make([]float32, asked*kept)
		sdk.MatMulNT(asked, kept, width, asks, unit, all)
		for q := range asked {
			order := make([]int, kept)
			for i := range order {
				order[i] = i
			}
			row := all[q*kept : (q+1)*kept]
			slices.SortStableFunc(order, func(a, b int) int {
				switch {
				case row[a] > row[b]:
					return -1
				case row[a] < row[b]:
					return 1
				}
				return 0
			})
			for k := range top {
				if got := columns[0].I64[q*top+k]; got != int64(order[k]) {
					r.Fatalf("query %d, neighbour %d: row %d, not %d", q, k, got, order[k])
				}
				if got := columns[1].F32[q*top+k]; got != row[order[k]] {
					r.Fatalf("query %d, neighbour %d: similarity %g, not %g", q, k, got, row[order[k]])
				}
			}
		}
	})
}

func TestScoreByHand(t *testing.T) {
	p := search(t, `{queries: 1, top: 2, label: "kind"}`)
	if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 2, FitRows: 3, PredictRows: 2, Labels: []*sdk.LabelFacts{{Column: "kind", Count: 3, Categories: []string{"E", "S"}}}}); err != nil {
		t.Fatal(err)
	}
	state, err := p.Fit(&sdk.FitData{X: matrix([]float32{1, 0, 0, 5, -1, 0}, 2)})
	if err != nil {
		t.Fatal(err)
	}
	columns, err := p.Predict(state, matrix([]float32{3, 3, -1, 0}, 2))
	if err != nil {
		t.Fatal(err)
	}
	score, err := p.Score(&sdk.ScoreData{Predictions: columns, Labels: map[string]sdk.Tensor{"kind": {F64: []float64{0, 1}}},
		FitLabels: map[string]sdk.Tensor{"kind": {F64: []float64{0, 1, 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	// Query 0 finds rows 0 and 1 (one of its class), query 1 finds rows 2 and 1 (both).
	if m := score.Metrics[0]; m.Value != 0.75 {
		t.Errorf("%s is %g, not 0.75", m.Name, m.Value)
	}
	if m := score.Metrics[1]; math.Abs(m.Value-(math.Sqrt2/2*2+1+0)/4) > 1e-6 {
		t.Errorf("%s is %g", m.Name, m.Value)
	}
	lines := score.Figures[0].GetPanels().Lines
	if len(lines) != 1 || lines[0].Query != 0 || !slices.Equal(lines[0].Rows, []uint64{0, 1}) {
		t.Errorf("panels %v", lines)
	}
}

// Representations that are all equal still give an answer.
func TestConstantFeatures(t *testing.T) {
	p := search(t, `{}`)
	if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 2, FitRows: 9, PredictRows: 3}); err != nil {
		t.Fatal(err)
	}
	state, err := p.Fit(&sdk.FitData{X: matrix(make([]float32, 18), 2)})
	if err != nil {
		t.Fatal(err)
	}
	columns, err := p.Predict(state, matrix(make([]float32, 6), 2))
	if err != nil {
		t.Fatal(err)
	}
	score, err := p.Score(&sdk.ScoreData{Predictions: columns})
	if err != nil {
		t.Fatal(err)
	}
	if m := score.Metrics[0]; m.Value != 0 || columns[0].I64[4] != 4 {
		t.Errorf("%s is %g, rows %v", m.Name, m.Value, columns[0].I64)
	}
}

func TestRefusals(t *testing.T) {
	if _, err := sdktest.Build(neighbours.Plugin(), "search", `{edges: [1]}`); err == nil {
		t.Error("edges without a label are accepted")
	}
	p := search(t, `{label: "kind"}`)
	if _, err := p.Needs(&sdk.TaskNeedsRequest{Width: 2, Labels: []*sdk.LabelFacts{{Column: "sort", Count: 1}}}); err == nil {
		t.Error("a label that is not there is accepted")
	}
	if _, err := p.Fit(&sdk.FitData{X: sdk.Tensor{Shape: []int{0, 2}}}); err == nil {
		t.Error("a search among nothing is accepted")
	}
	if _, err := p.Predict(nil, matrix([]float32{1, 2}, 2)); err == nil {
		t.Error("an empty state is accepted")
	}
}
