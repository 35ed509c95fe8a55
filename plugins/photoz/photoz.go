// Package photoz answers "how far is it?": photometric redshift as a distribution over bins.
//
// photoz.bins is a softmax regression over narrow bins of redshift on frozen representations, the form of Pasquet et al.
// (2019, A&A 621, A26) and Hayat et al. (2021, ApJL 911, L33). The point estimate is the mean of the distribution over
// the bins' centres; taking their lower edges instead would shift every estimate by half a bin.
package photoz

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
	"github.com/asterism-ssl/asterism/plugins/sdk/regress"
)

//go:embed bins.cue
var schema string

// Plugin gives the components of the plugin "photoz".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "photoz", Version: "0.1.0", Components: []sdk.Component{
		sdk.Task("bins", 2, "photometric redshift as probabilities over bins", schema, newBins),
	}}
}

type config struct {
	Label string
	Bins  int
	Max   float64 `json:"z_max"`
	L2    float64
}

type bins struct{ config }

func newBins(c config) (sdk.Predictor, error) { return &bins{c}, nil }

// Needs wants a column of numbers.
func (b *bins) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	if b.Label == "spread" || b.Label == "probability" {
		return nil, sdk.FieldError{Field: "label", What: "predictions have a column of this name of their own", Advice: "rename the column in the table"}
	}
	if _, err := labels.Numbers("label", b.Label, "redshifts", r.Labels); err != nil {
		return nil, err
	}
	return &sdk.TaskNeeds{Labels: []string{b.Label}, StateBytes: regress.StateBytes(int(r.Width), b.Bins),
		PredictionBytes: r.PredictRows*uint64(8+8+4*b.Bins) + 192}, nil
}

// bin is the bin of a redshift; what lies outside [0, z_max) goes to the nearest bin.
func (b *bins) bin(z float64) int {
	return int(max(0, min(float64(b.Bins-1), math.Floor(z/b.Max*float64(b.Bins))))) // in range before it is an integer
}

func (b *bins) centre(bin int) float64 { return (float64(bin) + 0.5) * b.Max / float64(b.Bins) }

// Fit keeps a regression over the bins.
func (b *bins) Fit(f *sdk.FitData) ([]sdk.Tensor, error) {
	z := f.Labels[b.Label].F64
	if len(z) != f.X.Shape[0] {
		return nil, fmt.Errorf("photoz: %d redshifts for %d rows", len(z), f.X.Shape[0])
	}
	class := make([]int, len(z))
	for i, v := range z {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, sdk.DataError{What: fmt.Sprintf("row %d has the redshift %v", i, v), Advice: "correct the table, or leave the object out"}
		}
		class[i] = b.bin(v)
	}
	model, err := regress.Fit(f.X.F32, f.X.Shape[1], class, b.Bins, f.Weights,
		regress.Options{L2: regress.Penalty(b.L2, len(class), f.X.Shape[1], b.Bins)})
	if err != nil {
		return nil, err
	}
	return model.State(), nil
}

// Predict gives the columns LABEL [rows], its spread [rows] (the standard deviation of the distribution) and
// probability [rows, bins].
func (b *bins) Predict(state []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	model, err := regress.FromState(state)
	if err != nil {
		return nil, err
	}
	if model.Classes != b.Bins || len(model.Mean) != x.Shape[1] {
		return nil, sdk.DataError{What: "the stored regression is of another size", Advice: "run the task again with --fresh"}
	}
	p := model.Probabilities(x.F32)
	rows := x.Shape[0]
	z, spread, narrow := make([]float64, rows), make([]float64, rows), make([]float32, len(p))
	for i := range rows {
		square := 0.0
		for k, q := range p[i*b.Bins : (i+1)*b.Bins] {
			c := b.centre(k)
			z[i] += q * c
			square += q * c * c
			narrow[i*b.Bins+k] = float32(q)
		}
		spread[i] = math.Sqrt(max(0, square-z[i]*z[i]))
	}
	return []sdk.Tensor{
		{Name: b.Label, Shape: []int{rows}, F64: z},
		{Name: "spread", Shape: []int{rows}, F64: spread},
		{Name: "probability", Shape: []int{rows, b.Bins}, F32: narrow},
	}, nil
}

// Score measures Δz = (predicted − true)/(1 + true).
func (b *bins) Score(s *sdk.ScoreData) (*sdk.ScoreAnswer, error) {
	truth := s.Labels[b.Label].F64
	predicted := sdk.ByName(s.Predictions)
	z, probability := predicted[b.Label].F64, predicted["probability"].F32
	if len(z) != len(truth) || len(probability) != len(truth)*b.Bins {
		return nil, fmt.Errorf("photoz: %d predictions and %d probabilities for %d rows of %d bins", len(z), len(probability), len(truth), b.Bins)
	}
	if len(truth) == 0 {
		return nil, sdk.DataError{What: fmt.Sprintf("no row to score has a value in the column %q", b.Label), Advice: "give the split a larger test part"}
	}
	delta, pit := make([]float64, len(z)), make([]float64, len(z))
	bias, outliers := 0.0, 0.0
	for i := range z {
		delta[i] = (z[i] - truth[i]) / (1 + truth[i])
		pit[i] = b.pit(truth[i], probability[i*b.Bins:(i+1)*b.Bins])
		bias += delta[i] / float64(len(z))
		if math.Abs(delta[i]) > 0.05 {
			outliers++
		}
	}
	return &sdk.ScoreAnswer{
		Metrics: []*sdk.Metric{
			{Name: "σ_MAD", Value: regress.SigmaMAD(delta), Better: sdk.Lower, Doc: "1.4826 × median of |Δz − median Δz|, Δz = (predicted − true)/(1 + true)"},
			{Name: "bias", Value: bias, Better: sdk.Neither, Doc: "mean of Δz"},
			{Name: "outliers", Value: outliers / float64(len(z)), Better: sdk.Lower, Doc: "share of rows with |Δz| above 0.05"},
		},
		Figures: []*sdk.Figure{
			regress.Scatter("Predicted against true redshift", b.Label, truth, z),
			regress.Residuals("Residuals of redshift", "true "+b.Label, "(predicted − true) / (1 + true)", truth, delta),
			pitFigure(pit),
		},
	}, nil
}
