package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// badplugin is a third party's plugin that does wrong what its first argument names.
func badplugin() {
	wrong := os.Args[1]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	switch wrong {
	case "hang":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Println("Welcome to my plugin! Loading weights, 10 % done")
		fmt.Fprintln(os.Stderr, `{"@message": 1}`)
		os.Exit(0)
	}
	sdk.Serve(sdk.Plugin{Name: "bad", Version: "1.0.0", Components: []sdk.Component{
		sdk.Augmentation("view", 1, "A view that does wrong.", "// Nothing to set.\n#Config: {}\n", func(struct{}) (sdk.Augmenter, error) { return badView(wrong), nil }),
		sdk.Objective("loss", 1, "A loss that does wrong.", "// Nothing to set.\n#Config: {}\n", func(struct{}) (sdk.Learner, error) { return badLoss(wrong), nil }),
		sdk.Task("task", 1, "A task that does wrong.", "// Nothing to set.\n#Config: {}\n", func(struct{}) (sdk.Predictor, error) { return badTask(wrong), nil }),
	}})
}

// badLoss pulls representations towards zero; as "nanloss" and "nangradient" it answers in the second step with what no
// loss may be.
type badLoss string

func (l badLoss) Plan(*sdk.ProgramRequest) (*sdk.Program, error) {
	return &sdk.Program{Views: []*sdk.ViewNeed{{Name: "x", Pipeline: "train"}}, Passes: []*sdk.Pass{{Name: "x", View: "x", Gradient: true}},
		Taps: []*sdk.Tap{{Name: "h", Pass: "x", Output: "representation"}}}, nil
}

func (l badLoss) Loss(s *sdk.Step) (*sdk.LossAnswer, error) {
	answer := &sdk.LossAnswer{}
	for i, v := range s.Taps["h"].F32 {
		answer.Loss += float64(v * v)
		s.Gradients["h"].F32[i] = 1e-3 * v
	}
	if s.Step == 1 && l == "nanloss" {
		answer.Loss = math.NaN()
	}
	if s.Step == 1 && l == "nangradient" {
		s.Gradients["h"].F32[3] = float32(math.Inf(1))
	}
	return answer, nil
}

func (badLoss) State() []sdk.Tensor         { return nil }
func (badLoss) SetState([]sdk.Tensor) error { return nil }

// badTask predicts noughts, and answers with what no task may answer with.
type badTask string

func (badTask) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	return &sdk.TaskNeeds{PredictionBytes: 8 * r.PredictRows}, nil
}

func (badTask) Fit(*sdk.FitData) ([]sdk.Tensor, error) { return nil, nil }

func (t badTask) Predict(_ []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	rows := x.Shape[0]
	if t == "fewrows" {
		rows--
	}
	column := sdk.Tensor{Name: "nought", Shape: []int{rows}, I64: make([]int64, rows)}
	if t == "norow" {
		column.Fitted, column.I64[1] = true, 1e6
	}
	return []sdk.Tensor{column}, nil
}

func (t badTask) Score(*sdk.ScoreData) (*sdk.ScoreAnswer, error) {
	m := &sdk.Metric{Name: "none", Doc: "nothing"}
	switch t {
	case "nanmetric":
		m.Value = math.NaN()
	case "twometrics":
		return &sdk.ScoreAnswer{Metrics: []*sdk.Metric{m, m}}, nil
	case "nometric":
		return &sdk.ScoreAnswer{}, nil
	}
	return &sdk.ScoreAnswer{Metrics: []*sdk.Metric{m}}, nil
}

type badView string

var seen atomic.Int64 // samples of this process

func (v badView) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	return &sdk.AugmentationPlan{Leaves: facts, Ranks: []uint32{1, 2, 3}}, nil
}

func (v badView) Apply(s *sdk.Sample) error {
	what, file, once := strings.Cut(string(v), ":")
	if once { // only where there is no such file yet, and after some samples
		if seen.Add(1) < 150 {
			copy(s.Out, s.In)
			return nil
		}
		if f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
		} else {
			what = ""
		}
	}
	switch what {
	case "late":
		if seen.Add(1) < 60 {
			break
		}
		fmt.Fprintln(os.Stderr, "about to dereference the moon")
		os.Exit(3)
	case "sleep":
		time.Sleep(time.Hour)
	case "nan":
		copy(s.Out, s.In)
		s.Out[5] = float32(math.NaN())
		return nil
	case "crash":
		fmt.Fprintln(os.Stderr, "about to dereference the moon")
		os.Exit(3)
	case "panic":
		var none []float32
		s.Out[0] = none[7]
	}
	copy(s.Out, s.In)
	return nil
}
