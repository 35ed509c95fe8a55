// Package neighbours answers "what else looks like this?".
//
// neighbours.search is exact: cosine similarity of every query with every kept object, no index. Objects of equal
// similarity come in the order of their rows.
package neighbours

import (
	_ "embed"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
)

//go:embed search.cue
var schema string

// Plugin gives the components of the plugin "neighbours".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "neighbours", Version: "0.1.0", Components: []sdk.Component{
		sdk.Task("search", 1, "the most similar objects by cosine", schema, newSearch),
	}}
}

type config struct {
	Queries, Top int
	Label        string
	Edges        []float64
}

type search struct {
	config
	classes *labels.Classes
}

func newSearch(c config) (sdk.Predictor, error) {
	if c.Label == "" && len(c.Edges) > 0 {
		return nil, sdk.FieldError{Field: "edges", What: "edges divide a label, and there is none", Advice: "name the label or leave edges out"}
	}
	return &search{config: c}, nil
}

// Needs finds the classes of the label where there is one.
func (s *search) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	needs := &sdk.TaskNeeds{StateBytes: 4*r.FitRows*uint64(r.Width) + 64, PredictionBytes: 12*r.PredictRows*uint64(s.Top) + 128}
	if s.Label != "" {
		classes, err := labels.Of(s.Label, s.Edges, r.Labels)
		if err != nil {
			return nil, err
		}
		s.classes, needs.Labels = classes, []string{s.Label}
	}
	return needs, nil
}

// Fit keeps the rows at length one.
func (s *search) Fit(f *sdk.FitData) ([]sdk.Tensor, error) {
	if f.X.Shape[0] == 0 {
		return nil, sdk.DataError{What: "there are no objects to search among", Advice: "give the split a larger training part"}
	}
	return []sdk.Tensor{{Name: "rows", Shape: f.X.Shape, F32: sdk.UnitRows(f.X.F32, f.X.Shape[1])}}, nil
}

// Predict gives the columns neighbour [rows, top], rows among the fitted, and similarity [rows, top], descending. When
// fewer objects than top were kept, there are as many columns as objects.
func (s *search) Predict(state []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	width := x.Shape[1]
	if len(state) != 1 || len(state[0].Shape) != 2 || state[0].Shape[1] != width || len(state[0].F32) == 0 {
		return nil, sdk.DataError{What: "the stored neighbours are damaged or of another width", Advice: "run the task again with --fresh"}
	}
	rows, top := x.Shape[0], min(s.Top, state[0].Shape[0])
	row, similarity := sdk.Nearest(width, state[0].F32, sdk.UnitRows(x.F32, width), top)
	return []sdk.Tensor{
		{Name: "neighbour", Shape: []int{rows, top}, I64: row, Fitted: true},
		{Name: "similarity", Shape: []int{rows, top}, F32: similarity},
	}, nil
}

// Score with a label gives the mean share of neighbours of the query's own class; without one, the mean similarity.
// Where representations carry no information every query finds the first rows kept, so the share is about the chance
// that two objects agree.
func (s *search) Score(d *sdk.ScoreData) (*sdk.ScoreAnswer, error) {
	predicted := sdk.ByName(d.Predictions)
	row, similarity := predicted["neighbour"], predicted["similarity"].F32
	if len(row.Shape) != 2 || len(similarity) != len(row.I64) {
		return nil, fmt.Errorf("neighbours: no predictions to score")
	}
	rows, top := row.Shape[0], row.Shape[1]
	if rows == 0 {
		return nil, sdk.DataError{What: "there is no row to score", Advice: "give the split a larger test part"}
	}
	answer := &sdk.ScoreAnswer{Figures: []*sdk.Figure{s.panels(row, similarity)}}
	if s.Label != "" {
		share, err := s.agreement(row, d)
		if err != nil {
			return nil, err
		}
		answer.Metrics = append(answer.Metrics, &sdk.Metric{Name: "neighbours of the same class", Value: share, Better: sdk.Higher,
			Doc: fmt.Sprintf("mean over queries of the share of the %d nearest whose %s is the query's", top, s.Label)})
	}
	mean := 0.0
	for _, v := range similarity {
		mean += float64(v)
	}
	answer.Metrics = append(answer.Metrics, &sdk.Metric{Name: "mean similarity", Value: mean / float64(len(similarity)), Better: sdk.Neither,
		Doc: fmt.Sprintf("mean cosine between queries and their %d nearest; close to 1 for everything means a collapsed encoder", top)})
	return answer, nil
}

func (s *search) agreement(row sdk.Tensor, d *sdk.ScoreData) (float64, error) {
	truth, kept := d.Labels[s.Label].F64, d.FitLabels[s.Label].F64
	if s.classes == nil || len(truth) != row.Shape[0] {
		return 0, fmt.Errorf("neighbours: %d labels for %d queries", len(truth), row.Shape[0])
	}
	agree := 0
	for i, v := range truth {
		for _, r := range row.I64[i*row.Shape[1] : (i+1)*row.Shape[1]] {
			if r < 0 || r >= int64(len(kept)) {
				return 0, fmt.Errorf("neighbours: row %d of %d labelled ones", r, len(kept))
			}
			if c := s.classes.Class(v); c >= 0 && c == s.classes.Class(kept[r]) {
				agree++
			}
		}
	}
	return float64(agree) / float64(len(row.I64)), nil
}

// panels shows as many queries as asked, spread evenly over the predicted rows.
func (s *search) panels(row sdk.Tensor, similarity []float32) *sdk.Figure {
	rows, top := row.Shape[0], row.Shape[1]
	lines := min(s.Queries, rows)
	p := &sdk.Panels{ValueLabel: "cosine similarity"}
	for l := range lines {
		i := l * rows / lines
		line := &sdk.PanelsLine{Query: uint64(i)}
		for k := i * top; k < (i+1)*top; k++ {
			line.Rows = append(line.Rows, uint64(row.I64[k]))
			line.Values = append(line.Values, float64(similarity[k]))
		}
		p.Lines = append(p.Lines, line)
	}
	return sdk.PanelsFigure("Nearest neighbours", p)
}
