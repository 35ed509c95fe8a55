package regress

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// weigh checks rows and weights, which are all one when there are none, and gives their sum.
func weigh(x []float32, rows, width int, weights []float64) (checked []float64, total float64, err error) {
	if rows == 0 {
		return nil, 0, sdk.DataError{What: "there are no rows to fit", Advice: "ask for more labels, or a label that more objects have"}
	}
	if len(x) != rows*width {
		return nil, 0, fmt.Errorf("regress: %d values are not %d rows of %d", len(x), rows, width)
	}
	if weights == nil {
		weights = make([]float64, rows)
		for i := range weights {
			weights[i] = 1
		}
	}
	for i, w := range weights {
		if !(w >= 0) || math.IsInf(w, 1) {
			return nil, 0, sdk.DataError{What: fmt.Sprintf("row %d has the weight %v", i, w), Advice: "weights must be finite and not negative"}
		}
		total += w
	}
	if total == 0 {
		return nil, 0, sdk.DataError{What: "all rows have the weight 0", Advice: "leave weights out or make some positive"}
	}
	return weights, total, nil
}

// standardise gives mean and deviation of every feature over the weighted rows. The deviation of one that does not vary
// is infinite: standardised, it is 0.
func standardise(x []float32, width int, weights []float64, total float64) (mean, scale []float64, err error) {
	mean, scale = make([]float64, width), make([]float64, width)
	for i, w := range weights {
		for j, v := range x[i*width : (i+1)*width] {
			mean[j] += w * float64(v)
		}
	}
	for j := range mean {
		mean[j] /= total
		if math.IsNaN(mean[j]) || math.IsInf(mean[j], 0) {
			return nil, nil, sdk.DataError{What: fmt.Sprintf("feature %d of the representations is not finite", j), Advice: "the encoder has diverged: lower the learning rate"}
		}
	}
	for i, w := range weights {
		for j, v := range x[i*width : (i+1)*width] {
			d := float64(v) - mean[j]
			scale[j] += w * d * d
		}
	}
	for j := range scale {
		scale[j] = math.Sqrt(scale[j] / total)
		if scale[j] <= 1e-7*math.Abs(mean[j]) || scale[j] < 1e-30 { // constant but for rounding
			scale[j] = math.Inf(1)
		}
	}
	return mean, scale, nil
}
