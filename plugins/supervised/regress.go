package supervised

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
)

//go:embed regress.cue
var regressSchema string

type regressConfig struct {
	Label string
	View  string
}

type regress struct {
	regressConfig
	middle, half float64 // of the label's range; half is 0 before Plan
}

func newRegress(c regressConfig) (sdk.Learner, error) { return &regress{regressConfig: c}, nil }

// Plan gives one pass with gradient over labelled rows and a linear head of one output, the label in units of its range.
func (l *regress) Plan(r *sdk.ProgramRequest) (*sdk.Program, error) {
	facts, err := labels.Numbers("label", l.Label, "numbers", r.Labels)
	if err != nil {
		return nil, err
	}
	if len(r.Representation) != 1 {
		return nil, sdk.ConfigError{What: fmt.Sprintf("regression wants a representation that is a vector, the encoder's has the shape %v", r.Representation), Advice: "choose another encoder"}
	}
	l.middle, l.half = (facts.Minimum+facts.Maximum)/2, (facts.Maximum-facts.Minimum)/2
	switch {
	case facts.Unread:
		l.middle, l.half = 0, 1 // the values are not known yet: there will be another Plan
	case !(l.half > 0):
		return nil, sdk.DataError{What: fmt.Sprintf("every training row has the same value, %g, in the column %q: there is nothing to tell apart", facts.Minimum, l.Label), Advice: "choose another label"}
	}
	m := sdk.NewModel(r.Representation)
	m.Output("out", m.Linear("fc", m.Input(), sdk.LinearOptions{Out: 1}))
	model, err := m.Model()
	if err != nil {
		return nil, err
	}
	return &sdk.Program{
		Views:        []*sdk.ViewNeed{{Name: "view", Pipeline: l.View}},
		Heads:        []*sdk.Head{{Name: "regressor", Model: model, Input: "representation"}},
		Passes:       []*sdk.Pass{{Name: "view", View: "view", Network: sdk.Online, Heads: []string{"regressor"}, Gradient: true}},
		Taps:         []*sdk.Tap{{Name: "answer", Pass: "view", Output: "regressor"}},
		Labels:       []string{l.Label},
		LabelledOnly: true,
	}, nil
}

// Loss is the mean squared error over the rows that have a label, in units of half the label's range. Its metric is the mean
// absolute error in the label's own unit.
func (l *regress) Loss(s *sdk.Step) (*sdk.LossAnswer, error) {
	if l.half == 0 {
		return nil, fmt.Errorf("supervised: Plan must come first")
	}
	answer, gradient, label := s.Taps["answer"].F32, s.Gradients["answer"].F32, s.Labels[l.Label].F64
	if len(answer) != len(label) || len(gradient) != len(answer) {
		return nil, fmt.Errorf("supervised: %d answers and %d gradients for %d labels", len(answer), len(gradient), len(label))
	}
	clear(gradient)
	labelled := 0.0
	for _, v := range label {
		if !math.IsNaN(v) {
			labelled++
		}
	}
	if labelled == 0 {
		return &sdk.LossAnswer{}, nil
	}
	loss, away := 0.0, 0.0
	for i, v := range label {
		if math.IsNaN(v) {
			continue
		}
		d := float64(answer[i]) - (v-l.middle)/l.half
		loss += d * d / labelled
		away += math.Abs(d) * l.half / labelled
		gradient[i] = float32(2 * d / labelled)
	}
	return &sdk.LossAnswer{Loss: loss, Metrics: []*sdk.Metric{
		{Name: "training error", Value: away, Better: sdk.Lower, Doc: "mean of |answer − label| over the batch, in the label's unit"},
	}}, nil
}
