package regress

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// Rows of a bin of residuals at least, but for the only one, and bins at most.
const (
	leastInBin = 20
	mostBins   = 20
)

// Residuals draws what is wrong with predictions against the truth: at most 4000 points, spread evenly over the rows, and
// over all rows in bins of the truth their median with a band of ± 1.4826·MAD, which is SigmaMAD, around it. The bins
// hold equally many rows, so that each is as certain as another; rows of one truth stay together. delta is in the unit
// that yLabel names. Rows without a finite truth and delta are in no bin.
func Residuals(title, xLabel, yLabel string, truth, delta []float64) *sdk.Figure {
	f := &sdk.Scatter{XLabel: xLabel, YLabel: yLabel, Zero: true}
	f.X, f.Y = thinned(truth, delta)
	type row struct{ truth, delta float64 }
	var rows []row
	for i := range truth {
		if finite(truth[i]) && finite(delta[i]) {
			rows = append(rows, row{truth[i], delta[i]})
		}
	}
	if len(rows) == 0 {
		return sdk.ScatterFigure(title, f)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.truth, b.truth) })
	bins := max(1, min(mostBins, len(rows)/leastInBin))
	var x, middle, low, high []float64
	for from, k := 0, 0; k < bins; k++ {
		to := max(from, (k+1)*len(rows)/bins)
		for to > from && to < len(rows) && rows[to].truth == rows[to-1].truth {
			to++
		}
		if to == from {
			continue // a truth before it had the rows of this bin too
		}
		var z, d []float64
		for _, r := range rows[from:to] {
			z, d = append(z, r.truth), append(d, r.delta)
		}
		m, sigma := median(d), SigmaMAD(d)
		x, middle, low, high = append(x, median(z)), append(middle, m), append(low, m-sigma), append(high, m+sigma)
		from = to
	}
	lift := []float64{math.NaN()}
	f.Series = []*sdk.ScatterSeries{
		{Name: "median", X: x, Y: middle},
		{Name: "± 1.4826·MAD", X: slices.Concat(x, lift, x), Y: slices.Concat(high, lift, low)},
	}
	f.Note = fmt.Sprintf("The lines are the median and a band of 1.4826 times the median absolute deviation around it, in bins of the truth that hold equally many objects. Bins: %d, objects in them: %d.", len(x), len(rows))
	return sdk.ScatterFigure(title, f)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
