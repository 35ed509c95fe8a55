// Package supervised trains a network on labels, as a baseline for learning without them and to fine-tune.
//
// supervised.classify is the cross-entropy of a linear layer on the representation, trained together with the encoder;
// supervised.regress the squared error of one for a label of numbers.
package supervised

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
)

//go:embed classify.cue
var schema string

// Plugin gives the components of the plugin "supervised".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "supervised", Version: "0.1.0", Components: []sdk.Component{
		sdk.Objective("classify", 1, "cross-entropy of a label's classes", schema, newClassify),
		sdk.Objective("regress", 1, "squared error of a label of numbers", regressSchema, newRegress),
	}}
}

type config struct {
	Label string
	Edges []float64
	View  string
}

type classify struct {
	config
	classes *labels.Classes
}

func newClassify(c config) (sdk.Learner, error) { return &classify{config: c}, nil }

// Plan gives one pass with gradient over labelled rows and a linear head, one output a class.
func (c *classify) Plan(r *sdk.ProgramRequest) (*sdk.Program, error) {
	classes, err := labels.Of(c.Label, c.Edges, r.Labels)
	if err != nil {
		return nil, err
	}
	if len(classes.Names) < 2 {
		return nil, sdk.DataError{What: fmt.Sprintf("the column %q has one class only, %q: there is nothing to tell apart", c.Label, classes.Names[0]), Advice: "choose another label"}
	}
	if len(r.Representation) != 1 {
		return nil, sdk.ConfigError{What: fmt.Sprintf("classification wants a representation that is a vector, the encoder's has the shape %v", r.Representation), Advice: "choose another encoder"}
	}
	c.classes = classes
	m := sdk.NewModel(r.Representation)
	m.Output("out", m.Linear("fc", m.Input(), sdk.LinearOptions{Out: int64(len(classes.Names))}))
	model, err := m.Model()
	if err != nil {
		return nil, err
	}
	return &sdk.Program{
		Views:        []*sdk.ViewNeed{{Name: "view", Pipeline: c.View}},
		Heads:        []*sdk.Head{{Name: "classifier", Model: model, Input: "representation"}},
		Passes:       []*sdk.Pass{{Name: "view", View: "view", Network: sdk.Online, Heads: []string{"classifier"}, Gradient: true}},
		Taps:         []*sdk.Tap{{Name: "logits", Pass: "view", Output: "classifier"}},
		Labels:       []string{c.Label},
		LabelledOnly: true,
		Facts: []*sdk.Fact{{Name: "classes", Value: fmt.Sprint(len(classes.Names))},
			{Name: "chance loss", Value: fmt.Sprintf("%.3f: ln(classes), of outputs without information", math.Log(float64(len(classes.Names))))}},
	}, nil
}

// Loss is the mean cross-entropy over the rows that have a label.
func (c *classify) Loss(s *sdk.Step) (*sdk.LossAnswer, error) {
	if c.classes == nil {
		return nil, fmt.Errorf("supervised: Plan must come first")
	}
	n := len(c.classes.Names)
	logits, gradient, label := s.Taps["logits"].F32, s.Gradients["logits"].F32, s.Labels[c.Label].F64
	if len(logits) != len(label)*n || len(gradient) != len(logits) {
		return nil, fmt.Errorf("supervised: %d logits and %d gradients for %d labels of %d classes", len(logits), len(gradient), len(label), n)
	}
	clear(gradient)
	labelled := 0
	for _, v := range label {
		if c.classes.Class(v) >= 0 {
			labelled++
		}
	}
	if labelled == 0 {
		return &sdk.LossAnswer{}, nil
	}
	loss, right := 0.0, 0.0
	for i, v := range label {
		class := c.classes.Class(v)
		if class < 0 {
			continue
		}
		row, d := logits[i*n:(i+1)*n], gradient[i*n:(i+1)*n]
		best := 0
		for k, l := range row {
			if l > row[best] {
				best = k
			}
		}
		top, sum := float64(row[best]), 0.0
		for _, l := range row {
			sum += math.Exp(float64(l) - top)
		}
		loss += top + math.Log(sum) - float64(row[class])
		for k, l := range row {
			p := math.Exp(float64(l)-top) / sum
			if k == class {
				p--
			}
			d[k] = float32(p / float64(labelled))
		}
		if best == class {
			right++
		}
	}
	return &sdk.LossAnswer{Loss: loss / float64(labelled), Metrics: []*sdk.Metric{
		{Name: "training accuracy", Value: right / float64(labelled), Better: sdk.Higher, Doc: "share of the batch whose largest output is the label"},
	}}, nil
}
