// Package classify answers "which kind is it?" from frozen representations and labels.
//
// classify.linear is multinomial logistic regression, classify.knn a vote of the nearest labelled objects. Classes are
// the categories of a column of names, or bins of a column of numbers.
package classify

import (
	_ "embed"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
	"github.com/asterism-ssl/asterism/plugins/sdk/regress"
)

//go:embed linear.cue
var linearSchema string

//go:embed knn.cue
var knnSchema string

// Plugin gives the components of the plugin "classify".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "classify", Version: "0.1.0", Components: []sdk.Component{
		sdk.Task("linear", 2, "classification by logistic regression on representations", linearSchema, newLinear),
		sdk.Task("knn", 2, "classification by a vote of the nearest labelled objects", knnSchema, newKNN),
	}}
}

// question is what both tasks share: which column holds the label, and its classes, known after Needs.
type question struct {
	label   string
	edges   []float64
	classes *labels.Classes
}

func (q *question) ask(r *sdk.TaskNeedsRequest) error {
	if q.label == "probability" {
		return sdk.FieldError{Field: "label", What: "predictions have a column of this name of their own", Advice: "rename the column in the table"}
	}
	classes, err := labels.Of(q.label, q.edges, r.Labels)
	if err != nil {
		return err
	}
	if len(classes.Names) < 2 {
		return sdk.DataError{What: fmt.Sprintf("the column %q has one class only, %q: there is nothing to tell apart", q.label, classes.Names[0]), Advice: "choose another label"}
	}
	q.classes = classes
	return nil
}

// of gives the class of every row.
func (q *question) of(columns map[string]sdk.Tensor) ([]int, error) {
	if q.classes == nil {
		return nil, fmt.Errorf("classify: Needs must come first")
	}
	column, ok := columns[q.label]
	if !ok {
		return nil, fmt.Errorf("classify: the label %q was not given", q.label)
	}
	class := make([]int, len(column.F64))
	for i, v := range column.F64 {
		if class[i] = q.classes.Class(v); class[i] < 0 {
			return nil, sdk.DataError{What: fmt.Sprintf("row %d has no class: the value of %q is %v", i, q.label, v), Advice: "correct the table, or leave the object out"}
		}
	}
	return class, nil
}

// answer gives the columns of a prediction: the most probable class, the first of equals, and all probabilities.
func (q *question) answer(p []float64, names []string) []sdk.Tensor {
	rows := len(p) / len(names)
	class := make([]int64, rows)
	for i := range class {
		row := p[i*len(names) : (i+1)*len(names)]
		for k, v := range row {
			if v > row[class[i]] {
				class[i] = int64(k)
			}
		}
	}
	return []sdk.Tensor{
		{Name: q.label, Shape: []int{rows}, I64: class, Categories: names},
		{Name: "probability", Shape: []int{rows, len(names)}, F64: p, Categories: names},
	}
}

func (q *question) predictionBytes(r *sdk.TaskNeedsRequest) uint64 {
	return 8*r.PredictRows*uint64(1+len(q.classes.Names)) + 128
}

// namesBytes is what the class names' tensor takes in a state at most.
func (q *question) namesBytes() uint64 { return uint64(8*len(q.classes.Names) + 64) }

type linear struct {
	question
	l2 float64
}

func newLinear(c struct {
	Label string
	Edges []float64
	L2    float64
}) (sdk.Predictor, error) {
	return &linear{question{label: c.Label, edges: c.Edges}, c.L2}, nil
}

// Needs finds the classes of the label.
func (l *linear) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	if err := l.ask(r); err != nil {
		return nil, err
	}
	return &sdk.TaskNeeds{Labels: []string{l.label}, StateBytes: regress.StateBytes(int(r.Width), len(l.classes.Names)) + l.namesBytes(),
		PredictionBytes: l.predictionBytes(r)}, nil
}

// Fit keeps a regression and the names of the classes.
func (l *linear) Fit(f *sdk.FitData) ([]sdk.Tensor, error) {
	class, err := l.of(f.Labels)
	if err != nil {
		return nil, err
	}
	model, err := regress.Fit(f.X.F32, f.X.Shape[1], class, len(l.classes.Names), f.Weights,
		regress.Options{L2: regress.Penalty(l.l2, len(class), f.X.Shape[1], len(l.classes.Names))})
	if err != nil {
		return nil, err
	}
	return append(model.State(), l.classes.Tensor()), nil
}

// Predict gives the columns LABEL [rows] and probability [rows, classes].
func (l *linear) Predict(state []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	model, err := regress.FromState(state)
	if err != nil {
		return nil, err
	}
	names := labels.Names(state)
	if len(names) != model.Classes || len(model.Mean) != x.Shape[1] {
		return nil, sdk.DataError{What: "the stored regression is damaged or of another width", Advice: "run the task again with --fresh"}
	}
	return l.answer(model.Probabilities(x.F32), names), nil
}
