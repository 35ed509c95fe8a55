// Package regress answers "how much?" from frozen representations and labels: a size, an axis ratio, a colour.
//
// regress.linear is ridge regression. Its penalty is chosen on the fitted rows alone, by leaving each out in turn, so that
// it suits fifty labels as well as fifty thousand.
package regress

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
	"github.com/asterism-ssl/asterism/plugins/sdk/regress"
)

//go:embed linear.cue
var schema string

// Plugin gives the components of the plugin "regress".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "regress", Version: "0.1.0", Components: []sdk.Component{
		sdk.Task("linear", 2, "numbers by ridge regression on representations", schema, newLinear),
	}}
}

type config struct {
	Label string
	L2    *float64
}

type linear struct{ config }

func newLinear(c config) (sdk.Predictor, error) { return &linear{c}, nil }

// Needs wants a column of numbers.
func (l *linear) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	if _, err := labels.Numbers("label", l.Label, "numbers", r.Labels); err != nil {
		return nil, err
	}
	return &sdk.TaskNeeds{Labels: []string{l.Label}, StateBytes: regress.RidgeStateBytes(int(r.Width)), PredictionBytes: 8*r.PredictRows + 64}, nil
}

// Fit keeps a regression.
func (l *linear) Fit(f *sdk.FitData) ([]sdk.Tensor, error) {
	y := f.Labels[l.Label].F64
	if len(y) != f.X.Shape[0] {
		return nil, fmt.Errorf("regress: %d labels for %d rows", len(y), f.X.Shape[0])
	}
	penalties := regress.Penalties(len(y))
	if l.L2 != nil {
		penalties = []float64{*l.L2 * float64(len(y))}
	}
	model, err := regress.FitRidge(f.X.F32, f.X.Shape[1], y, f.Weights, penalties)
	if err != nil {
		return nil, err
	}
	return model.State(), nil
}

// Predict gives the column LABEL [rows].
func (l *linear) Predict(state []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	model, err := regress.RidgeFromState(state)
	if err != nil {
		return nil, err
	}
	if len(model.Mean) != x.Shape[1] {
		return nil, sdk.DataError{What: "the stored regression is of another size", Advice: "run the task again with --fresh"}
	}
	return []sdk.Tensor{{Name: l.Label, Shape: []int{x.Shape[0]}, F64: model.Predict(x.F32)}}, nil
}

// Score measures Δ = predicted − true, in the label's unit.
func (l *linear) Score(s *sdk.ScoreData) (*sdk.ScoreAnswer, error) {
	truth := s.Labels[l.Label].F64
	var predicted []float64
	for _, t := range s.Predictions {
		if t.Name == l.Label {
			predicted = t.F64
		}
	}
	if len(predicted) != len(truth) {
		return nil, fmt.Errorf("regress: %d predictions for %d rows", len(predicted), len(truth))
	}
	if len(truth) == 0 {
		return nil, sdk.DataError{What: fmt.Sprintf("no row to score has a value in the column %q", l.Label), Advice: "give the split a larger test part"}
	}
	rows, mean := float64(len(truth)), 0.0
	for _, v := range truth {
		mean += v / rows
	}
	delta := make([]float64, len(truth))
	spread, rest, bias, away := 0.0, 0.0, 0.0, 0.0
	for i, v := range truth {
		delta[i] = predicted[i] - v
		spread += (v - mean) * (v - mean)
		rest += delta[i] * delta[i]
		bias += delta[i] / rows
		away += math.Abs(delta[i]) / rows
	}
	if spread == 0 {
		return nil, sdk.DataError{What: fmt.Sprintf("all rows to score have the same value in the column %q: there is nothing to tell apart", l.Label), Advice: "choose another label, or give the split a larger test part"}
	}
	return &sdk.ScoreAnswer{
		Metrics: []*sdk.Metric{
			{Name: "R²", Value: 1 - rest/spread, Better: sdk.Higher, Doc: "1 − Σ(predicted − true)² / Σ(true − mean of true)²: the share of the variance that is explained"},
			{Name: "σ_MAD", Value: regress.SigmaMAD(delta), Better: sdk.Lower, Doc: "1.4826 × median of |Δ − median Δ|, Δ = predicted − true"},
			{Name: "MAE", Value: away, Better: sdk.Lower, Doc: "mean of |predicted − true|"},
			{Name: "bias", Value: bias, Better: sdk.Neither, Doc: "mean of predicted − true"},
		},
		Figures: []*sdk.Figure{
			regress.Scatter("Predicted against true "+l.Label, l.Label, truth, predicted),
			regress.Residuals("Residuals of "+l.Label, "true "+l.Label, "predicted − true "+l.Label, truth, delta),
		},
	}, nil
}
