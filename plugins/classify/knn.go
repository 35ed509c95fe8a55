package classify

import (
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
)

type knn struct {
	question
	k           int
	temperature float64
}

func newKNN(c struct {
	Label       string
	Edges       []float64
	K           int
	Temperature float64
}) (sdk.Predictor, error) {
	return &knn{question{label: c.Label, edges: c.Edges}, c.K, c.Temperature}, nil
}

// Needs finds the classes of the label.
func (n *knn) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	if err := n.ask(r); err != nil {
		return nil, err
	}
	return &sdk.TaskNeeds{Labels: []string{n.label}, StateBytes: r.FitRows*(4*uint64(r.Width)+16) + 256 + n.namesBytes(), PredictionBytes: n.predictionBytes(r)}, nil
}

// Fit keeps the labelled rows at length one.
func (n *knn) Fit(f *sdk.FitData) ([]sdk.Tensor, error) {
	class, err := n.of(f.Labels)
	if err != nil {
		return nil, err
	}
	if len(class) == 0 {
		return nil, sdk.DataError{What: "there are no rows to fit", Advice: "ask for more labels, or a label that more objects have"}
	}
	codes, weights := make([]int64, len(class)), make([]float64, len(class))
	for i, c := range class {
		codes[i], weights[i] = int64(c), 1
		if f.Weights != nil {
			weights[i] = f.Weights[i]
		}
	}
	return []sdk.Tensor{
		{Name: "rows", Shape: f.X.Shape, F32: sdk.UnitRows(f.X.F32, f.X.Shape[1])},
		{Name: "class", Shape: []int{len(codes)}, I64: codes},
		{Name: "weight", Shape: []int{len(weights)}, F64: weights},
		n.classes.Tensor(),
	}, nil
}

// Predict gives the columns LABEL [rows] and probability [rows, classes], the shares of the votes.
func (n *knn) Predict(state []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	named := sdk.ByName(state)
	rows, class, weight := named["rows"].F32, named["class"].I64, named["weight"].F64
	names := labels.Names(state)
	width := x.Shape[1]
	if len(class) == 0 || len(names) == 0 || len(rows) != len(class)*width || len(weight) != len(class) || slices.Max(class) >= int64(len(names)) || slices.Min(class) < 0 {
		return nil, sdk.DataError{What: "the stored neighbours are damaged", Advice: "run the task again with --fresh"}
	}
	const block = 64
	queries := sdk.UnitRows(x.F32, width)
	p := make([]float64, x.Shape[0]*len(names))
	similar := make([]float32, block*len(class))
	sorted := make([]float32, block*len(class))
	for first := 0; first < x.Shape[0]; first += block {
		count := min(block, x.Shape[0]-first)
		sdk.MatMulNT(count, len(class), width, queries[first*width:], rows, similar)
		sdk.Parallel(count, func(i int) {
			from, to := i*len(class), (i+1)*len(class)
			n.vote(p[(first+i)*len(names):(first+i+1)*len(names)], similar[from:to], sorted[from:to], class, weight)
		})
	}
	return n.answer(p, names), nil
}

// vote fills p with the shares of the classes among the k nearest and all that are as near as the k-th: where nothing
// tells the objects apart, all of them vote, and the majority wins.
func (n *knn) vote(p []float64, similar, sorted []float32, class []int64, weight []float64) {
	copy(sorted, similar)
	slices.SortFunc(sorted, func(a, b float32) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	last, total := sorted[min(n.k, len(sorted))-1], 0.0
	for j, s := range similar {
		if s >= last {
			v := weight[j] * math.Exp(float64(s-sorted[0])/n.temperature)
			p[class[j]] += v
			total += v
		}
	}
	for k := range p {
		if total > 0 {
			p[k] /= total
		} else {
			p[k] = 1 / float64(len(p))
		}
	}
}
