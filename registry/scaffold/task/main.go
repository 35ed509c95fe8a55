// Acme is a plugin for Asterism with one task.
package main

import (
	_ "embed"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
)

//go:embed schema.cue
var schema string

func main() {
	sdk.Serve(sdk.Plugin{Name: "acme", Version: "0.1.0", Components: []sdk.Component{
		// 1 is the revision: raise it whenever results change for the same configuration.
		sdk.Task("centroid", 1, "Which class's mean is nearest?", schema, newCentroid),
	}})
}

// centroid holds the configuration, with the names of the schema's fields, and the classes, which Needs finds.
type centroid struct {
	Label   string `json:"label"`
	classes []string
}

func newCentroid(c centroid) (sdk.Predictor, error) { return &c, nil }

// Needs comes first: it names the labels that Fit and Score are given, and says how much memory answers take at most, in
// bytes.
func (c *centroid) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	column, err := labels.Column("label", c.Label, r.Labels)
	if err != nil {
		return nil, err
	}
	if column.Type != sdk.String {
		return nil, sdk.FieldError{Field: "label", What: fmt.Sprintf("%q is a column of numbers, which has no classes", c.Label), Advice: "name a column of text"}
	}
	c.classes = column.Categories
	if column.Unread { // before the data are read their categories are not known
		c.classes = []string{"not yet read"}
	}
	n := uint64(len(c.classes))
	return &sdk.TaskNeeds{Labels: []string{c.Label}, StateBytes: n*uint64(r.Width)*4 + n*8 + 256, PredictionBytes: r.PredictRows*8 + 64}, nil
}

// Fit learns from the labelled rows, f.X [rows, width]. What it gives is the state: all that Predict may know.
func (c *centroid) Fit(f *sdk.FitData) ([]sdk.Tensor, error) {
	width := f.X.Shape[1]
	sum, weight := make([]float64, len(c.classes)*width), make([]float64, len(c.classes))
	for i, value := range f.Labels[c.Label].F64 { // a label of text is given as an index into its categories
		class, w := int(value), 1.0
		if f.Weights != nil {
			w = f.Weights[i]
		}
		weight[class] += w
		for k, v := range f.X.F32[i*width : (i+1)*width] {
			sum[class*width+k] += w * float64(v)
		}
	}
	means := sdk.Tensor{Name: "means", Shape: []int{0, width}}
	present := sdk.Tensor{Name: "present", Shape: []int{0}} // classes without a labelled row are never predicted
	for class, w := range weight {
		if w > 0 {
			for _, v := range sum[class*width : (class+1)*width] {
				means.F32 = append(means.F32, float32(v/w))
			}
			present.I64 = append(present.I64, int64(class))
		}
	}
	if len(present.I64) == 0 {
		return nil, sdk.DataError{What: "there are no rows to fit", Advice: "ask for more labels"}
	}
	means.Shape[0], present.Shape[0] = len(present.I64), len(present.I64)
	present.Categories = c.classes
	return []sdk.Tensor{means, present}, nil
}

// Predict gives a column with an answer for each row of x. It sees the state and no label.
func (c *centroid) Predict(state []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	named := sdk.ByName(state)
	means, present := named["means"], named["present"]
	rows, width := x.Shape[0], x.Shape[1]
	class := make([]int64, rows)
	for i := range rows {
		best := -1.0
		for j, name := range present.I64 {
			square := 0.0
			for k := range width {
				d := float64(x.F32[i*width+k]) - float64(means.F32[j*width+k])
				square += d * d
			}
			if best < 0 || square < best {
				best, class[i] = square, name
			}
		}
	}
	return []sdk.Tensor{{Name: c.Label, Shape: []int{rows}, I64: class, Categories: present.Categories}}, nil
}

// Score compares predictions with labels. The first metric is the task's headline.
func (c *centroid) Score(s *sdk.ScoreData) (*sdk.ScoreAnswer, error) {
	right, truth := 0.0, s.Labels[c.Label].F64
	for i, class := range sdk.ByName(s.Predictions)[c.Label].I64 {
		if float64(class) == truth[i] {
			right++
		}
	}
	return &sdk.ScoreAnswer{Metrics: []*sdk.Metric{
		{Name: "accuracy", Value: right / float64(max(1, len(truth))), Better: sdk.Higher, Doc: "share of objects whose class is right"},
	}}, nil
}
