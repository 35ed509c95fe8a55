package photoz

import (
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// pit is the probability integral transform of a true redshift (Dawid 1984, J. R. Stat. Soc. A 147, 278): the probability
// that was given to redshifts below it, 0…1, a bin's being spread evenly over it. Redshifts outside [0, z_max) get 0 or
// 1. It is not a number where the probabilities have no sum or the redshift is none.
func (b *bins) pit(z float64, probability []float32) float64 {
	below, total := 0.0, 0.0
	at := z / b.Max * float64(b.Bins) // in bins
	for k, p := range probability {
		total += float64(p)
		below += float64(p) * max(0, min(1, at-float64(k)))
	}
	if !(total > 0) || math.IsNaN(at) || math.IsInf(total, 0) {
		return math.NaN()
	}
	return below / total
}

// pitFigure draws the cumulative distribution of the rows' PIT, which is uniform where the probabilities are right
// (Bordoloi et al. 2010, MNRAS 406, 881), and notes the largest distance from that, Kolmogorov's statistic. A curve that is
// flat in the middle tells of distributions that are too narrow, a steep one of too broad ones, one to a side of a bias.
func pitFigure(values []float64) *sdk.Figure {
	const steps = 100
	f := &sdk.Scatter{XLabel: "PIT", YLabel: "share of objects below", Identity: true}
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(values) == 0 {
		return sdk.ScatterFigure("Calibration of the redshift probabilities", f)
	}
	slices.Sort(values)
	n, distance := float64(len(values)), 0.0
	for i, v := range values {
		distance = max(distance, float64(i+1)/n-v, v-float64(i)/n)
	}
	line := &sdk.ScatterSeries{Name: "objects"}
	below := 0
	for k := range steps + 1 {
		at := float64(k) / steps
		for below < len(values) && values[below] <= at {
			below++
		}
		line.X, line.Y = append(line.X, at), append(line.Y, float64(below)/n)
	}
	f.Series = []*sdk.ScatterSeries{line}
	f.Note = fmt.Sprintf("PIT is the probability that was given to redshifts below the true one; right probabilities spread it evenly. Largest distance from the line: %.4f; right probabilities stay within about %.4f in 95 of 100 cases (Kolmogorov). Objects: %d.",
		distance, min(1, 1.358/math.Sqrt(n)), len(values))
	return sdk.ScatterFigure("Calibration of the redshift probabilities", f)
}
