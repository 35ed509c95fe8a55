package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// net is a mean and a linear layer.
type net struct{}

func (net) Describe(input []int64) (*sdk.Model, error) {
	if len(input) != 3 {
		return nil, sdk.ConfigError{What: fmt.Sprintf("takes samples of two dimensions, not %v", input)}
	}
	name := "fc"
	switch {
	case lie == "unstable":
		name = fmt.Sprint("fc", calls.Add(1))
	case lie == "nodes" && input[0] < 4:
		panic("a kernel larger than the image")
	case lie == "picky" && input[0] != 7:
		return nil, sdk.ConfigError{What: "7 pixels, please"}
	case lie == "neterror" && input[0] != 64:
		return nil, errors.New("cannot")
	}
	m := sdk.NewModel(input)
	x := m.Relu("relu", m.Input())
	m.Output("features", x)
	m.Output("representation", m.Linear(name, m.GlobalAveragePool("pool", x), sdk.LinearOptions{Out: 8}))
	model, err := m.Model()
	if err != nil {
		return nil, err
	}
	switch lie {
	case "unused":
		model.Parameters = append(model.Parameters, &sdk.Parameter{Name: "more", Shape: []int64{1}})
	case "outputs":
		delete(model.Outputs, "features")
	case "matrix":
		model.Outputs["representation"] = "relu"
	case "resized":
		model.Input = []int64{5, 5, input[2]}
	}
	return model, nil
}

// loss pulls two views of an object together and remembers what it has seen.
type loss struct {
	label string
	seen  []float64
}

func (l *loss) Plan(r *sdk.ProgramRequest) (*sdk.Program, error) {
	l.seen = make([]float64, 2)
	p := &sdk.Program{Views: []*sdk.ViewNeed{{Name: "a", Pipeline: "train"}, {Name: "b", Pipeline: "train"}}, Labels: []string{"amount"}, StateBytes: 16,
		Passes: []*sdk.Pass{{Name: "a", View: "a", Gradient: true}, {Name: "b", View: "b"}},
		Taps:   []*sdk.Tap{{Name: "a", Pass: "a", Output: "representation"}, {Name: "b", Pass: "b", Output: "representation"}}}
	switch lie {
	case "nogradient":
		p.Passes[0].Gradient = false
	case "head":
		p.Passes[0].Heads = []string{"projector"}
		m := sdk.NewModel([]int64{3})
		m.Output("out", m.Linear("fc", m.Input(), sdk.LinearOptions{Out: 2}))
		model, err := m.Model()
		if err != nil {
			return nil, err
		}
		p.Heads = []*sdk.Head{{Name: "projector", Model: model, Input: "representation"}}
	case "noview":
		p.Views[0].Pipeline = ""
	case "nolabel":
		p.Labels = []string{"colour"}
	case "otherprogram":
		p.Facts = []*sdk.Fact{{Name: "process", Value: fmt.Sprint(os.Getpid())}}
	case "forgets", "largestate":
		p.StateBytes = 0
		if lie == "largestate" {
			p.StateBytes = 8
		}
	case "only":
		p.LabelledOnly = true
	}
	return p, nil
}

func (l *loss) Loss(s *sdk.Step) (*sdk.LossAnswer, error) {
	a, b, label := s.Taps["a"], s.Taps["b"], s.Labels["amount"].F64
	rows := a.Shape[0]
	width := len(a.F32) / rows
	gradient := s.Gradients["a"].F32
	total, factor := 0.0, 1+l.seen[0]/10
	for i, v := range a.F32 {
		weight := label[i/width]
		if weight != weight && lie != "nanlabel" {
			weight = 1
		}
		d := float64(v) - float64(b.F32[i])
		total += weight * factor * (d*d + 0.1*d*d*d*d) / float64(rows)
		g := float32(weight * factor * (2*d + 0.4*d*d*d) / float64(rows))
		switch lie {
		case "double":
			g *= 2
		case "tenth":
			g *= 1.1
		case "term":
			g = float32(weight * factor * 2 * d / float64(rows))
		case "onerow":
			if i/width == 3 {
				g = 0
			}
		case "adds":
			g += gradient[i]
		case "skips":
			if i == 5 {
				continue
			}
		}
		gradient[i] = g
	}
	total += l.seen[1] / 1000
	l.seen[0]++
	l.seen[1] += float64(b.F32[0])
	switch lie {
	case "infinite":
		total = math.Inf(1)
	case "nangradient":
		gradient[2] = float32(math.NaN())
	case "losspid":
		total += float64(os.Getpid())
	case "lossthreads":
		gradient[2] += 1e-4 * float32(runtime.GOMAXPROCS(0))
	case "tap":
		a.F32[0] = 7
	case "nolabels":
		for _, v := range label {
			if v != v {
				return nil, errors.New("a label is missing")
			}
		}
	}
	return &sdk.LossAnswer{Loss: total}, nil
}

func (l *loss) State() []sdk.Tensor {
	seen := l.seen
	if lie == "half" {
		seen = []float64{0, l.seen[1]}
	}
	if lie == "rounded" {
		seen = []float64{l.seen[0], math.Round(l.seen[1])}
	}
	if lie == "asked" {
		seen = slices.Clone(l.seen)
		l.seen[0]++
	}
	return []sdk.Tensor{{Name: "seen", Shape: []int{2}, F64: seen}}
}

func (l *loss) SetState(s []sdk.Tensor) error {
	if len(s) != 1 || len(s[0].F64) != 2 {
		return sdk.DataError{What: "the state is damaged"}
	}
	if lie != "ignores" {
		l.seen = s[0].F64
	}
	return nil
}

// task predicts by the nearest kept row.
type task struct{ memory []float64 }

func (t *task) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	n := &sdk.TaskNeeds{Labels: []string{"amount"}, StateBytes: r.FitRows * (4*uint64(r.Width) + 8), PredictionBytes: 16 * r.PredictRows}
	switch lie {
	case "toolarge":
		n.StateBytes = 8
	case "unknownlabel":
		n.Labels = []string{"colour"}
	}
	return n, nil
}

func (t *task) Fit(f *sdk.FitData) ([]sdk.Tensor, error) {
	y := append([]float64(nil), f.Labels["amount"].F64...)
	switch lie {
	case "fitpid":
		y[0] += float64(os.Getpid())
	case "fitthreads":
		for i := range y {
			y[i] += float64(runtime.GOMAXPROCS(0))
		}
	case "noweights":
		if f.Weights != nil {
			return nil, errors.New("weights are not supported")
		}
	case "heavy":
		for i := range f.Weights {
			y[i] += 5
		}
	case "onerow":
		_ = y[2]
	}
	t.memory = y
	return []sdk.Tensor{{Name: "y", Shape: []int{len(y)}, F64: y}, {Name: "x", Shape: f.X.Shape, F32: f.X.F32}}, nil
}

func (t *task) Predict(state []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	var kept []float32
	var y []float64
	for _, s := range state {
		switch s.Name {
		case "x":
			kept = s.F32
		case "y":
			y = s.F64
		}
	}
	if lie == "order" {
		y, kept = state[0].F64, state[1].F32
	}
	if lie == "remembers" && t.memory != nil {
		y = t.memory
	}
	rows, width := x.Shape[0], x.Shape[1]
	answer, nearest := make([]float64, rows), make([]int64, rows)
	mean := 0.0
	for _, v := range x.F32 {
		mean += float64(v) / float64(len(x.F32))
	}
	for i := range rows {
		best := math.Inf(1)
		for k := range y {
			far := 0.0
			for d := range width {
				far += math.Pow(float64(x.F32[i*width+d]-kept[k*width+d]), 2)
			}
			if far < best {
				best, nearest[i] = far, int64(k)
			}
		}
		answer[i] = y[nearest[i]]
		if lie == "together" {
			answer[i] -= mean
		}
	}
	if lie == "row" {
		nearest[0] = int64(len(y))
	}
	columns := []sdk.Tensor{{Name: "amount", Shape: []int{rows}, F64: answer}, {Name: "nearest", Shape: []int{rows}, I64: nearest, Fitted: true}}
	switch lie {
	case "short":
		columns[0].Shape, columns[0].F64 = []int{1}, answer[:1]
	case "nocolumns":
		columns = nil
	}
	return columns, nil
}

func (t *task) Score(s *sdk.ScoreData) (*sdk.ScoreAnswer, error) {
	error_ := 0.0
	truth := s.Labels["amount"].F64
	for i, v := range s.Predictions[0].F64 {
		error_ += math.Abs(v-truth[i]) / float64(len(truth))
	}
	a := &sdk.ScoreAnswer{Metrics: []*sdk.Metric{{Name: "error", Value: error_, Better: sdk.Lower, Doc: "mean of |predicted − amount|"}},
		Figures: []*sdk.Figure{sdk.ScatterFigure("Truth and prediction", &sdk.Scatter{X: truth, Y: s.Predictions[0].F64})}}
	switch lie {
	case "nometric":
		a.Metrics = nil
	case "undocumentedmetric":
		a.Metrics[0].Doc = ""
	case "nanmetric":
		a.Metrics[0].Value = math.NaN()
	case "moody":
		a.Metrics[0].Value += float64(calls.Add(1))
	case "figure":
		a.Figures[0].GetScatter().X = truth[:1]
	}
	return a, nil
}
