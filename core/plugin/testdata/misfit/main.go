// Misfit is the plugin of the tests: its components do simple things well, and on request things that no plugin should
// do. The first argument makes the whole process behave badly.
package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// early is printed before main, as libraries like to do.
var _ = func() bool { fmt.Println("printed before the handshake"); return true }()

func main() {
	how := ""
	if len(os.Args) > 1 {
		how = os.Args[1]
	}
	p := plugin("misfit")
	switch how {
	case "hang":
		fmt.Fprintln(os.Stderr, "waiting for a licence server")
		time.Sleep(time.Hour)
	case "garbage":
		// Past the SDK, straight to what the host reads: what a C library or another language would do.
		real := os.NewFile(handshake(), "stdout")
		fmt.Fprintln(real, "Welcome! Loading weights, 10 % done | 3 of 4 | ok")
		fmt.Fprintln(real, "\x1b[31m1|2|3")
		real.Close()
		os.Exit(3)
	case "noise":
		fmt.Fprintln(os.NewFile(handshake(), "stdout"), "Welcome! 1|2|3|4")
	case "malformed":
		fmt.Fprintln(os.Stderr, `{"@message": 1}`)
		fmt.Fprintln(os.Stderr, `{"@level": [], "@timestamp": {}}`)
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 200_000))
	case "netrpc":
		fmt.Fprintln(os.NewFile(handshake(), "stdout"), "1|99|unix|/nowhere|grpc|")
		time.Sleep(time.Hour)
	case "renamed":
		p.Name = "other"
	case "newer":
		p.Version = "9.9.9"
	case "schema":
		p.Components[0].Schema = "#Config: {surprise: int}"
	}
	sdk.Serve(p)
}

// handshake finds the real standard output, which the SDK has moved away to one of the first descriptors.
func handshake() uintptr {
	var errors syscall.Stat_t
	syscall.Fstat(2, &errors)
	for fd := 3; fd < 20; fd++ {
		var s syscall.Stat_t
		if syscall.Fstat(fd, &s) == nil && s.Mode&syscall.S_IFMT == syscall.S_IFIFO && s.Ino != errors.Ino {
			if flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0); flags&syscall.O_ACCMODE == syscall.O_WRONLY {
				return uintptr(fd)
			}
		}
	}
	return 2
}

func plugin(name string) sdk.Plugin {
	const anything = "// Free for tests.\n#Config: {how: string | *\"\", value: number | *0}"
	return sdk.Plugin{Name: name, Version: "1.2.3", Components: []sdk.Component{
		sdk.Augmentation("scale", 1, "Multiplies by value.", anything, func(c config) (sdk.Augmenter, error) {
			if c.How == "field" {
				return nil, sdk.FieldError{Field: "value", What: "must not be that", Advice: "choose another"}
			}
			return &scale{config: c}, nil
		}),
		sdk.Augmentation("noise", 1, "Adds keyed noise; adds the column drawn.", anything, func(c config) (sdk.Augmenter, error) { return &noise{}, nil }),
		sdk.Augmentation("crop", 1, "Takes the first value pixels of the first axis; adds the column z.", anything, func(c config) (sdk.Augmenter, error) { return &crop{c}, nil }),
		sdk.Dataset("squares", 1, "Records whose pixels are their number.", anything, func(c config) (sdk.Reader, error) { return &squares{c}, nil }),
		sdk.Encoder("tiny", 1, "A linear layer.", anything, func(c config) (sdk.Architecture, error) { return tiny{}, nil }),
		sdk.Objective("pull", 1, "Mean square of the tap.", anything, func(c config) (sdk.Learner, error) { return &pull{config: c}, nil }),
		sdk.Task("mean", 1, "Predicts the mean.", anything, func(c config) (sdk.Predictor, error) { return &mean{c}, nil }),
	}}
}

type config struct {
	How   string
	Value float64
}

// scale also misbehaves in the ways that How names.
type scale struct {
	config
	seen atomic.Int32
}

func (a *scale) Plan(f *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	switch a.How {
	case "data":
		return nil, sdk.DataError{What: "the dust map is missing", Advice: "download it"}
	case "column":
		return &sdk.AugmentationPlan{Leaves: f, Columns: []string{"ebv"}}, nil
	case "added":
		return &sdk.AugmentationPlan{Leaves: f, Columns: []string{"drawn"}}, nil
	case "statistics":
		return &sdk.AugmentationPlan{Leaves: f, Statistics: true}, nil
	case "nothing":
		return nil, nil
	case "rank":
		return &sdk.AugmentationPlan{Leaves: f, Ranks: []uint32{3}}, nil
	case "long":
		return nil, fmt.Errorf("%s", strings.Repeat("x", 6<<20))
	}
	return &sdk.AugmentationPlan{Leaves: f}, nil
}

func (a *scale) Apply(s *sdk.Sample) error {
	factor := float32(a.Value)
	once(a.How)
	switch a.How {
	case "spoil":
		if s.In[0] == 3 {
			factor = float32(math.NaN())
		}
	case "spoil others":
		if s.In[0] == 3 && a.seen.Add(1) == 1 {
			factor = float32(math.NaN())
		}
	case "crash":
		fmt.Println("printed just before the end") // to standard output
		go panic("the moon fell down")
		time.Sleep(time.Hour)
	case "exit":
		fmt.Fprintln(os.Stderr, "no more licences")
		os.Exit(7)
	case "panic":
		var none []float32
		s.Out[0] = none[7]
	case "scribble":
		s.In[0] = 1
	case "slow":
		time.Sleep(time.Hour)
	case "pause":
		fmt.Fprintln(os.Stderr, "pausing")
		time.Sleep(2100 * time.Millisecond)
	case "error":
		if s.In[0] >= 3 {
			return fmt.Errorf("cannot do sample %v", s.In[0])
		}
	case "column":
		factor = float32(s.Column["ebv"])
	case "added":
		factor = float32(s.Column["drawn"])
	case "statistics":
		factor = float32(s.Statistics[0].Mad)
	case "environment":
		// Tells what it sees.
		for _, v := range os.Environ() {
			fmt.Fprintln(os.Stderr, "env", v)
		}
	case "child":
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "child", c.Process.Pid)
	case "pid":
		fmt.Fprintln(os.Stderr, "pid", os.Getpid())
	}
	for i, v := range s.In {
		s.Out[i] = factor * v
	}
	return nil
}

// once ends the process, or hangs, where how is "end FILE" or "hang FILE" and there is no such file yet, which it makes.
func once(how string) {
	what, file, ok := strings.Cut(how, " ")
	if !ok || what != "end" && what != "hang" {
		return
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return
	}
	f.Close()
	if what == "hang" {
		time.Sleep(time.Hour)
	}
	os.Exit(7)
}

type noise struct{}

func (noise) Plan(f *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	return &sdk.AugmentationPlan{Leaves: f, Adds: []*sdk.Field{{Name: "drawn", Type: sdk.Number}}}, nil
}

func (noise) Apply(s *sdk.Sample) error {
	s.Add["drawn"] = s.Random.Uniform()
	for i, v := range s.In {
		s.Out[i] = v + float32(s.Random.Normal())
	}
	return nil
}

type crop struct{ config }

func (a crop) Plan(f *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if int64(a.Value) > f.Shape[0] {
		return nil, sdk.FieldError{Field: "value", What: fmt.Sprintf("%v pixels of samples that have %d", a.Value, f.Shape[0])}
	}
	f.Shape[0] = int64(a.Value)
	return &sdk.AugmentationPlan{Leaves: f}, nil
}

func (crop) Apply(s *sdk.Sample) error {
	copy(s.Out, s.In)
	return nil
}

// squares has value records of 4×4 pixels; every seventh is bad.
type squares struct{ config }

func (d *squares) Open() (*sdk.Catalogue, error) {
	if d.How == "missing" {
		return nil, sdk.FieldError{Field: "root", What: "no such folder"}
	}
	return &sdk.Catalogue{Count: uint64(d.Value), Dtype: sdk.F32, Facts: &sdk.SampleFacts{Shape: []int64{4, 4, 1}, Bands: []string{"r"}},
		Fields: []*sdk.Field{{Name: "z", Type: sdk.Number}, {Name: "class", Type: sdk.String}}}, nil
}

func (d *squares) Read(i int, r *sdk.Record) error {
	time.Sleep(time.Duration(i%3) * 100 * time.Microsecond) // out of order
	side := 4
	switch {
	case d.How == "panic" && i == 5:
		panic("record 5 is cursed")
	case d.How == "large":
		side = 600
	case d.How == "huge text" && i%2 == 0:
		r.Bad = strings.Repeat("y", 3<<20)
		return nil
	case i%7 == 6:
		r.Bad = fmt.Sprintf("file %d is broken", i)
		return nil
	}
	r.ID = fmt.Sprint("object ", i)
	r.Shape = []int{side, side, 1}
	r.F32 = make([]float32, side*side)
	for k := range r.F32 {
		r.F32[k] = float32(i)
	}
	r.Values = []any{float64(i) / 2, nil}
	if i%2 == 0 {
		r.Values = []any{math.NaN(), "even"}
	}
	return nil
}

func (d *squares) ReadFile(path string, r *sdk.Record) error {
	*r = sdk.Record{ID: path, Shape: []int{1, 1, 1}, F32: []float32{42}, Values: []any{nil, nil}}
	return nil
}

func (d *squares) Close() error {
	fmt.Println("the squares are closed")
	return nil
}

type tiny struct{}

func (tiny) Describe(input []int64) (*sdk.Model, error) {
	m := sdk.NewModel(input)
	x := m.GlobalAveragePool("pool", m.Input())
	m.Output("features", m.Input())
	m.Output("representation", m.Linear("fc", x, sdk.LinearOptions{Out: 8}))
	return m.Model()
}

// pull's seen is what each step adds to; at the step Value it may end the process.
type pull struct {
	config
	seen []float32
}

func (o *pull) Plan(r *sdk.ProgramRequest) (*sdk.Program, error) {
	if o.How == "batch" {
		return nil, sdk.FieldError{Field: "queue", What: fmt.Sprintf("4096 is no multiple of the batch %d", r.Batch)}
	}
	p := &sdk.Program{Views: []*sdk.ViewNeed{{Name: "x", Pipeline: "train"}}, Labels: []string{"z"}, StateBytes: 4 * 3,
		Passes: []*sdk.Pass{{Name: "x", View: "x", Gradient: true}, {Name: "k", View: "x", Network: sdk.Momentum}},
		Taps:   []*sdk.Tap{{Name: "q", Pass: "x", Output: "representation"}, {Name: "k", Pass: "k", Output: "representation"}}, Momentum: 0.9}
	if o.How == "program" {
		p.Taps[0].Pass = "y"
	}
	o.seen = make([]float32, 3)
	return p, nil
}

func (o *pull) Loss(s *sdk.Step) (*sdk.LossAnswer, error) {
	var loss float64
	for i, v := range s.Taps["q"].F32 {
		loss += float64(v) * float64(v)
		s.Gradients["q"].F32[i] = 2 * v
	}
	if _, ok := s.Gradients["k"]; ok {
		return nil, fmt.Errorf("the momentum network has a gradient")
	}
	if s.Step == uint64(o.Value) {
		once(o.How)
	}
	if file, ok := strings.CutPrefix(o.How, "relapse "); ok { // ends, and hangs when the steps before are computed again
		if s.Step == uint64(o.Value) {
			once("end " + file)
		} else if _, err := os.Stat(file); err == nil && s.Step < uint64(o.Value) {
			once("hang " + file + ".again")
		}
	}
	o.seen[0]++
	o.seen[1] = float32(s.Step)
	o.seen[2] = float32(s.Labels["z"].F64[0])
	return &sdk.LossAnswer{Loss: loss + float64(s.Taps["k"].F32[0])}, nil
}

func (o *pull) State() []sdk.Tensor {
	if o.How == "state" {
		return []sdk.Tensor{{Name: "seen", Shape: []int{1 << 20}, F32: make([]float32, 1<<20)}}
	}
	return []sdk.Tensor{{Name: "seen", Shape: []int{3}, F32: o.seen}}
}

func (o *pull) SetState(s []sdk.Tensor) error {
	o.seen = s[0].F32
	return nil
}

type mean struct{ config }

func (t *mean) Needs(r *sdk.TaskNeedsRequest) (*sdk.TaskNeeds, error) {
	return &sdk.TaskNeeds{Labels: []string{"z"}, StateBytes: 8, PredictionBytes: 8 * r.PredictRows}, nil
}

func (t *mean) Fit(f *sdk.FitData) ([]sdk.Tensor, error) {
	sum, weight := 0.0, 0.0
	for i, z := range f.Labels["z"].F64 {
		w := 1.0
		if f.Weights != nil {
			w = f.Weights[i]
		}
		sum, weight = sum+w*z, weight+w
	}
	return []sdk.Tensor{{Name: "mean", Shape: []int{1}, F64: []float64{sum / weight}, Categories: []string{"a"}}}, nil
}

func (t *mean) Predict(state []sdk.Tensor, x sdk.Tensor) ([]sdk.Tensor, error) {
	rows := x.Shape[0]
	if t.How == "more" {
		rows = 1 << 20
	}
	p := make([]float64, rows)
	for i := range p {
		p[i] = state[0].F64[0]
	}
	return []sdk.Tensor{{Name: "z", Shape: []int{rows}, F64: p}}, nil
}

func (t *mean) Score(s *sdk.ScoreData) (*sdk.ScoreAnswer, error) {
	var sum float64
	for i, z := range s.Labels["z"].F64 {
		sum += math.Abs(z - s.Predictions[0].F64[i])
	}
	n := len(s.Labels["z"].F64)
	if t.How == "figure" { // a message of 6 MB
		return &sdk.ScoreAnswer{Figures: []*sdk.Figure{sdk.ScatterFigure("many", &sdk.Scatter{X: make([]float64, 400_000), Y: make([]float64, 400_000)})}}, nil
	}
	return &sdk.ScoreAnswer{Metrics: []*sdk.Metric{{Name: "mean absolute error", Value: sum / float64(n), Better: sdk.Lower}}}, nil
}
