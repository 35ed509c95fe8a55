package regress

import (
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// SigmaMAD is the standard deviation that a normal distribution of this median absolute deviation has.
func SigmaMAD(delta []float64) float64 {
	m := median(delta)
	away := make([]float64, len(delta))
	for i, d := range delta {
		away[i] = math.Abs(d - m)
	}
	return 1.4826 * median(away)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Scatter draws predictions against the truth: at most 4000 points, spread evenly over the rows.
func Scatter(title, label string, truth, predicted []float64) *sdk.Figure {
	f := &sdk.Scatter{XLabel: "true " + label, YLabel: "predicted " + label, Identity: true}
	f.X, f.Y = thinned(truth, predicted)
	return sdk.ScatterFigure(title, f)
}

// thinned gives at most 4000 of the pairs, spread evenly.
func thinned(x, y []float64) (tx, ty []float64) {
	const most = 4000
	step := max(1, (len(x)+most-1)/most)
	for i := 0; i < len(x); i += step {
		tx, ty = append(tx, x[i]), append(ty, y[i])
	}
	return tx, ty
}
