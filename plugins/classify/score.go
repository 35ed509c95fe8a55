package classify

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// floor is the least probability in the log loss: a class that the fit never saw is a bad miss, not an infinite one.
const floor = 1e-6

// Score compares classes and probabilities with the labels. Averages "over classes" are over those that occur among the
// labels.
func (q *question) Score(s *sdk.ScoreData) (*sdk.ScoreAnswer, error) {
	truth, err := q.of(s.Labels)
	if err != nil {
		return nil, err
	}
	predicted := sdk.ByName(s.Predictions)
	class, p := predicted[q.label].I64, predicted["probability"].F64
	n := len(q.classes.Names)
	if len(class) != len(truth) || len(p) != len(truth)*n {
		return nil, fmt.Errorf("classify: %d predictions and %d probabilities for %d rows of %d classes", len(class), len(p), len(truth), n)
	}
	if len(truth) == 0 {
		return nil, sdk.DataError{What: fmt.Sprintf("no row to score has a value in the column %q", q.label), Advice: "give the split a larger test part"}
	}
	confusion, loss, right := make([]float64, n*n), 0.0, 0.0
	confidence, hit := make([]float64, len(truth)), make([]bool, len(truth))
	for i, t := range truth {
		c := int(class[i])
		if c < 0 || c >= n {
			return nil, fmt.Errorf("classify: row %d is predicted as class %d of %d", i, c, n)
		}
		confusion[t*n+c]++
		confidence[i], hit[i] = p[i*n+c], c == t
		loss -= math.Log(max(p[i*n+t], floor))
		if c == t {
			right++
		}
	}
	recall, f1, occurring := 0.0, 0.0, 0.0
	for k := range n {
		true_, predicted := 0.0, 0.0
		for j := range n {
			true_ += confusion[k*n+j]
			predicted += confusion[j*n+k]
		}
		if true_ > 0 {
			occurring++
			recall += confusion[k*n+k] / true_
			f1 += 2 * confusion[k*n+k] / (true_ + predicted)
		}
	}
	rows := float64(len(truth))
	return &sdk.ScoreAnswer{
		Metrics: []*sdk.Metric{
			{Name: "accuracy", Value: right / rows, Better: sdk.Higher, Doc: "share of rows whose most probable class is the label"},
			{Name: "balanced accuracy", Value: recall / occurring, Better: sdk.Higher, Doc: "mean over classes of the share of the class's rows that are found"},
			{Name: "macro F1", Value: f1 / occurring, Better: sdk.Higher, Doc: "mean over classes of the harmonic mean of precision and recall"},
			{Name: "log loss", Value: loss / rows, Better: sdk.Lower, Doc: "mean of −ln of the label's probability, probabilities below 1e-6 taken as 1e-6"},
		},
		Figures: []*sdk.Figure{
			sdk.MatrixFigure("Confusion", &sdk.Matrix{Rows: q.classes.Names, Columns: q.classes.Names, RowLabel: q.label, ColumnLabel: "predicted", Values: confusion}),
			calibration(confidence, hit),
		},
	}, nil
}
