// Package regress is linear regression, for tasks that ask a linear question of representations: Fit for classes
// (multinomial logistic regression), FitRidge for numbers.
//
// Both are deterministic: the same rows give the same weights, for any number of threads. Features are standardised over
// the fitted rows, so one strength of the penalty serves any encoder; a feature that does not vary says nothing and is
// left out. On features that are all constant the fit is the class frequencies, or the mean.
//
// There is no sampling and no learning rate: the penalised likelihood of classes is convex and L-BFGS (Nocedal 1980;
// gonum's) goes to its minimum.
package regress

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// Softmax is a fitted regression: probabilities are softmax(Weight·(x−Mean)/Scale + Bias) over the classes that
// occurred in the fit; the others have probability 0.
type Softmax struct {
	Classes int       // of the question
	Present []int     // classes that occurred, ascending
	Mean    []float64 // [width]
	Scale   []float64 // [width]; infinite where the feature is constant
	Weight  []float64 // [present, width]
	Bias    []float64 // [present]
}

// Options of a fit.
type Options struct {
	L2         float64 // λ of λ/2·‖Weight‖² beside the mean cross-entropy; the bias is free
	Iterations int     // at most; 0 means 300
}

// Penalty is a λ that suits most questions, times a factor that the user may set: min(1, 0.3·width/rows)/classes. More
// features want more of it and more rows less; and a class of share s pulls its weights with a force of the order of s,
// so many classes want less. Chosen on galaxies: five morphologies from 500 pixels or random features and 50 to 1800
// labels, redshift in 20 to 180 bins from 20 or 64 features and 50 to 5000 labels; everywhere near the best λ.
func Penalty(factor float64, rows, width, classes int) float64 {
	return factor * min(1, 0.3*float64(width)/float64(max(rows, 1))) / float64(classes)
}

// Fit fits class ~ x. x is [rows, width], class holds integers in [0, classes), weights are positive or nil for all
// one. Products are float32, sums over rows float64: the minimum is found to about 1e-6 of the loss.
func Fit(x []float32, width int, class []int, classes int, weights []float64, o Options) (*Softmax, error) {
	rows := len(class)
	weights, total, err := weigh(x, rows, width, weights)
	if err != nil {
		return nil, err
	}
	share := make([]float64, classes)
	for i, c := range class {
		if c < 0 || c >= classes {
			return nil, fmt.Errorf("regress: class %d of row %d is outside 0…%d", c, i, classes-1)
		}
		share[c] += weights[i]
	}
	s := &Softmax{Classes: classes}
	place := make([]int, classes)
	for c, w := range share {
		if w > 0 {
			place[c] = len(s.Present)
			s.Present = append(s.Present, c)
			s.Bias = append(s.Bias, math.Log(w/total))
		}
	}
	if s.Mean, s.Scale, err = standardise(x, width, weights, total); err != nil {
		return nil, err
	}
	p := &problem{rows: rows, width: width, classes: len(s.Present), l2: o.L2, class: make([]int, rows), weight: make([]float64, rows)}
	for i, c := range class {
		p.weight[i] = weights[i] / total
		if weights[i] > 0 {
			p.class[i] = place[c]
		}
	}
	p.prepare(s.apply(x))
	s.Weight = make([]float64, p.classes*width)
	if p.classes == 1 || p.still() {
		return s, nil // nothing to learn from: the frequencies are the minimum
	}
	if o.Iterations == 0 {
		o.Iterations = 300
	}
	start := slices.Concat(s.Weight, s.Bias)
	result, err := optimize.Minimize(optimize.Problem{Func: p.loss, Grad: p.gradient}, start, &optimize.Settings{
		MajorIterations:   o.Iterations,
		GradientThreshold: 1e-6,
		Converger:         &optimize.FunctionConverge{Relative: 1e-6, Iterations: 10},
	}, &optimize.LBFGS{Store: 10})
	if result == nil {
		return nil, fmt.Errorf("regress: %w", err)
	}
	// A line search that finds nothing better within rounding has arrived: the best place it saw is the answer.
	copy(s.Weight, result.X)
	copy(s.Bias, result.X[len(s.Weight):])
	return s, nil
}

// apply gives the standardised features.
func (s *Softmax) apply(x []float32) []float32 {
	width := len(s.Mean)
	z := make([]float32, len(x))
	for i := 0; i < len(x); i += width {
		for j, v := range x[i : i+width] {
			z[i+j] = float32((float64(v) - s.Mean[j]) / s.Scale[j])
		}
	}
	return z
}

// Probabilities gives [rows, Classes] for x [rows, width]. Rows sum to one.
func (s *Softmax) Probabilities(x []float32) []float64 {
	width, present := len(s.Mean), len(s.Present)
	rows := len(x) / max(width, 1)
	logits := make([]float32, rows*present)
	sdk.MatMulNT(rows, present, width, s.apply(x), narrow(nil, s.Weight), logits)
	p := make([]float64, rows*s.Classes)
	q := make([]float64, present)
	for i := range rows {
		softmax(q, logits[i*present:(i+1)*present], s.Bias)
		for k, c := range s.Present {
			p[i*s.Classes+c] = q[k]
		}
	}
	return p
}

// softmax fills q with the probabilities of logits+bias and gives the logarithm of the sum of exponentials.
func softmax(q []float64, logits []float32, bias []float64) float64 {
	top := math.Inf(-1)
	for k := range q {
		q[k] = float64(logits[k]) + bias[k]
		top = max(top, q[k])
	}
	sum := 0.0
	for k := range q {
		q[k] = math.Exp(q[k] - top)
		sum += q[k]
	}
	for k := range q {
		q[k] /= sum
	}
	return top + math.Log(sum)
}

func narrow(dst []float32, src []float64) []float32 {
	dst = slices.Grow(dst[:0], len(src))[:len(src)]
	for i, v := range src {
		dst[i] = float32(v)
	}
	return dst
}

// State gives the regression as tensors, for a task's state.
func (s *Softmax) State() []sdk.Tensor {
	width := len(s.Mean)
	present := make([]int64, len(s.Present))
	for i, c := range s.Present {
		present[i] = int64(c)
	}
	return []sdk.Tensor{
		{Name: "classes", Shape: []int{1}, I64: []int64{int64(s.Classes)}},
		{Name: "present", Shape: []int{len(present)}, I64: present},
		{Name: "mean", Shape: []int{width}, F64: s.Mean},
		{Name: "scale", Shape: []int{width}, F64: s.Scale},
		{Name: "weight", Shape: []int{len(present), width}, F64: s.Weight},
		{Name: "bias", Shape: []int{len(present)}, F64: s.Bias},
	}
}

// StateBytes is what State takes at most, for TaskNeeds.
func StateBytes(width, classes int) uint64 {
	const room = 64 // each tensor starts at a multiple of 64 bytes
	return uint64(8*(1+classes+2*width+classes*width+classes) + 6*room)
}

// FromState puts a regression together from State's tensors; others among them are passed over.
func FromState(state []sdk.Tensor) (*Softmax, error) {
	s := &Softmax{}
	for _, t := range state {
		switch t.Name {
		case "classes":
			if len(t.I64) == 1 {
				s.Classes = int(t.I64[0])
			}
		case "present":
			for _, c := range t.I64 {
				s.Present = append(s.Present, int(c))
			}
		case "mean":
			s.Mean = t.F64
		case "scale":
			s.Scale = t.F64
		case "weight":
			s.Weight = t.F64
		case "bias":
			s.Bias = t.F64
		}
	}
	width, present := len(s.Mean), len(s.Present)
	if s.Classes < 1 || present < 1 || present > s.Classes || len(s.Scale) != width || len(s.Bias) != present ||
		len(s.Weight) != width*present || s.Present[0] < 0 || s.Present[present-1] >= s.Classes || !slices.IsSorted(s.Present) {
		return nil, sdk.DataError{What: "the stored regression is damaged", Advice: "run the task again with --fresh"}
	}
	return s, nil
}
