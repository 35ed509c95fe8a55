// Package curve reads learning curves: how a task's score grows with the number of labels, how sure that is, and how many
// more labels one way of learning needs to reach the score of another.
//
//	for _, e := range curve.Equivalences(result, run.Supervised) {
//		fmt.Println(e.Metric, e.Arm, e.Labels, e) // accuracy finetuned 100 3.2 (2.1 to 4.8)
//	}
//
// Draws of labels are the same objects for every arm. So intervals are made by drawing whole draws anew, all arms together
// (a paired bootstrap; Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 and 13).
package curve

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/run"
)

// resamples is how often draws are drawn anew: enough for the percentiles of an interval to be steady to a tenth of it.
const resamples = 2000

// tail is the share of resamples that lies beyond each end of an interval of 95 %.
const tail = 0.025

// Labels is a number of labels as a number: "all" is how many there are.
func Labels(text string, all int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return all
}

// Interval is the bootstrap interval of 95 % of the mean over draws. One draw has none: ok is false.
func Interval(draws []float64) (low, high float64, ok bool) {
	if len(draws) < 2 {
		return 0, 0, false
	}
	k := key.New(0, "bootstrap", "mean")
	means := make([]float64, resamples)
	for i := range means {
		r := k.At(0, uint64(i))
		for range draws {
			means[i] += draws[r.Intn(len(draws))] / float64(len(draws))
		}
	}
	slices.Sort(means)
	return quantile(means, tail), quantile(means, 1-tail), true
}

// Ratio is how many times more labels are needed, with what is known of it where a curve does not reach so far.
type Ratio struct {
	Value   float64 `json:"value"`
	AtLeast bool    `json:"at_least,omitempty"` // the reference does not reach the score with all labels that were tried
	AtMost  bool    `json:"at_most,omitempty"`  // it is as good with the fewest that were tried
}

// String is "3.2", "> 20" or "< 0.5".
func (r Ratio) String() string {
	text := strconv.FormatFloat(r.Value, 'g', 2, 64)
	if r.Value >= 10 {
		text = strconv.FormatFloat(r.Value, 'f', 0, 64)
	}
	switch {
	case r.AtLeast:
		return "> " + text
	case r.AtMost:
		return "< " + text
	}
	return text
}

// Equivalence says how many times the labels of an arm a reference needs to reach its score.
type Equivalence struct {
	Metric    string `json:"metric"`
	Arm       string `json:"arm"`
	Reference string `json:"reference"`
	Labels    string `json:"labels"` // of the arm
	Factor    Ratio  `json:"factor"`
	// Low and High are the ends of the interval of 95 %; both are nil where labels were drawn once.
	Low  *Ratio `json:"low,omitempty"`
	High *Ratio `json:"high,omitempty"`
}

// String is "3.2 (2.1 to 4.8)".
func (e Equivalence) String() string {
	if e.Low == nil {
		return e.Factor.String()
	}
	return fmt.Sprintf("%v (%v to %v)", e.Factor, *e.Low, *e.High)
}

// Equivalences holds every arm but the constant one against the reference, for each metric that has a better and a worse
// and each number of labels. It is empty where the reference has fewer than two numbers of labels.
func Equivalences(result *run.TaskResult, reference string) []Equivalence {
	var found []Equivalence
	for _, s := range result.Scores {
		if s.Arm == reference || s.Arm == run.Constant || s.Better == "" {
			continue
		}
		points := ofReference(result, s.Metric, reference)
		if len(points) < 2 {
			continue
		}
		sign := 1.
		if s.Better == "lower" {
			sign = -1
		}
		labels := Labels(s.Labels, result.FitRows)
		draws := len(s.Draws)
		for _, p := range points {
			draws = max(draws, len(p.draws))
		}
		each := make([]int, draws)
		for i := range each {
			each[i] = i
		}
		e := Equivalence{Metric: s.Metric, Arm: s.Arm, Reference: reference, Labels: s.Labels, Factor: factor(points, s.Draws, each, sign, labels)}
		if draws > 1 {
			k := key.New(0, "bootstrap", s.Metric, s.Arm, s.Labels)
			factors := make([]Ratio, resamples)
			for i := range factors {
				r := k.At(0, uint64(i))
				for j := range each {
					each[j] = r.Intn(draws)
				}
				factors[i] = factor(points, s.Draws, each, sign, labels)
			}
			slices.SortFunc(factors, compare)
			low, high := factors[int(tail*resamples)], factors[int((1-tail)*resamples)]
			e.Low, e.High = &low, &high
		}
		found = append(found, e)
	}
	return found
}

// point is one number of labels of the reference.
type point struct {
	labels int
	draws  []float64
}

func ofReference(result *run.TaskResult, metric, reference string) []point {
	var points []point
	for _, s := range result.Scores {
		if s.Metric == metric && s.Arm == reference {
			points = append(points, point{Labels(s.Labels, result.FitRows), s.Draws})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return a.labels - b.labels })
	return points
}

// factor is the ratio for the given draws. The reference's means are first made to grow with the labels, by pooling
// neighbours that fall (isotonic regression; Barlow et al. 1972), and are then joined by straight lines over the logarithm
// of the labels.
func factor(points []point, draws []float64, each []int, sign float64, labels int) Ratio {
	score := sign * mean(draws, each)
	curve := make([]float64, len(points))
	for i, p := range points {
		curve[i] = sign * mean(p.draws, each)
	}
	isotonic(curve)
	last := len(points) - 1
	of := func(n float64) float64 { return n / float64(labels) }
	switch {
	case score > curve[last]:
		return Ratio{Value: of(float64(points[last].labels)), AtLeast: true}
	case score < curve[0]:
		return Ratio{Value: of(float64(points[0].labels)), AtMost: true}
	}
	i := 0
	for curve[i+1] < score && i+1 < last {
		i++
	}
	if curve[i] >= score || curve[i+1] == curve[i] { // the fewest that suffice
		return Ratio{Value: of(float64(points[i].labels))}
	}
	a, b := math.Log(float64(points[i].labels)), math.Log(float64(points[i+1].labels))
	return Ratio{Value: of(math.Exp(a + (b-a)*(score-curve[i])/(curve[i+1]-curve[i])))}
}

// mean is over the chosen draws; what was drawn once is itself.
func mean(draws []float64, each []int) float64 {
	if len(draws) == 1 {
		return draws[0]
	}
	m, n := 0., 0
	for _, i := range each {
		if i < len(draws) {
			m += draws[i]
			n++
		}
	}
	return m / float64(max(n, 1))
}

// isotonic pools neighbours until nothing falls.
func isotonic(y []float64) {
	type pool struct {
		sum float64
		n   int
	}
	var pools []pool
	for _, v := range y {
		pools = append(pools, pool{v, 1})
		for i := len(pools) - 1; i > 0 && pools[i-1].sum/float64(pools[i-1].n) > pools[i].sum/float64(pools[i].n); i-- {
			pools[i-1] = pool{pools[i-1].sum + pools[i].sum, pools[i-1].n + pools[i].n}
			pools = pools[:i]
		}
	}
	at := 0
	for _, p := range pools {
		for range p.n {
			y[at] = p.sum / float64(p.n)
			at++
		}
	}
}

// compare orders what is at most a value before the value, and what is at least it behind.
func compare(a, b Ratio) int {
	rank := func(r Ratio) int {
		switch {
		case r.AtMost:
			return -1
		case r.AtLeast:
			return 1
		}
		return 0
	}
	if ra, rb := rank(a), rank(b); ra != rb {
		return ra - rb
	}
	switch {
	case a.Value < b.Value:
		return -1
	case a.Value > b.Value:
		return 1
	}
	return 0
}

// quantile of sorted values, between neighbours.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-2)
	return sorted[i] + (sorted[i+1]-sorted[i])*(at-float64(i))
}
