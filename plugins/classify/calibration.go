package classify

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// confidenceBins is how many bins of equal width divide the confidence.
const confidenceBins = 10

// calibration draws how often answers are right against how sure they are: the reliability diagram of Guo et al. (2017,
// arXiv:1706.04599, section 2). The confidence of a row is the probability of its answered class; bin m of M holds
// confidences in ((m−1)/M, m/M], as there, and is drawn at its mean confidence; bins without a row are left out. The note
// gives the expected calibration error, the mean over rows of |fraction correct − mean confidence| of the row's bin. The
// lines around are Wilson's interval of one standard error of each fraction (1927, JASA 22, 209). Rows whose confidence is
// no number are in no bin.
func calibration(confidence []float64, right []bool) *sdk.Figure {
	var rows, sure, correct [confidenceBins]float64
	all := 0.0
	for i, c := range confidence {
		if math.IsNaN(c) {
			continue
		}
		bin := int(max(0, min(confidenceBins-1, math.Ceil(c*confidenceBins)-1))) // in range before it is an integer
		rows[bin]++
		all++
		sure[bin] += c
		if right[i] {
			correct[bin]++
		}
	}
	var x, y, low, high []float64
	away := 0.0
	for k, n := range rows {
		if n == 0 {
			continue
		}
		p := correct[k] / n
		l, h := wilson(p, n)
		x, y, low, high = append(x, sure[k]/n), append(y, p), append(low, l), append(high, h)
		away += math.Abs(correct[k]-sure[k]) / all
	}
	f := &sdk.Scatter{XLabel: "mean confidence", YLabel: "fraction correct", Identity: true}
	if len(x) > 0 {
		aroundX := append(append(append([]float64(nil), x...), math.NaN()), x...)
		around := append(append(high, math.NaN()), low...)
		f.Series = []*sdk.ScatterSeries{{Name: "fraction correct", X: x, Y: y}, {Name: "± one standard error", X: aroundX, Y: around}}
		f.Note = fmt.Sprintf("The probability of the answered class, in ten bins of equal width, of which empty ones are left out. Expected calibration error: %.4f, the mean over objects of the distance between fraction and confidence of their bin (Guo et al. 2017). Objects: %.0f.", away, all)
	}
	return sdk.ScatterFigure("Calibration", f)
}

// wilson is the interval of one standard error of a fraction p of n: unlike p ± √(p(1−p)/n) it has a width where all of
// few rows are right.
func wilson(p, n float64) (low, high float64) {
	centre, half := p+1/(2*n), math.Sqrt(p*(1-p)/n+1/(4*n*n))
	return (centre - half) / (1 + 1/n), (centre + half) / (1 + 1/n)
}
