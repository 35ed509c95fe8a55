package python_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

const interpreter = "/usr/bin/python3"

// need skips a test where Python or what the SDK needs is not installed, and fails where all is required.
func need(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(interpreter, "-c", "import grpc, numpy, google.protobuf").CombinedOutput(); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set, and Python has not all of grpc, numpy, protobuf: %s", out)
		}
		t.Skip("Python with grpc, numpy and protobuf is not installed")
	}
}

// The draws of Python are those of Go: bit for bit, and normals to rounding.
func TestDrawsAreThoseOfGo(t *testing.T) {
	need(t)
	type name struct {
		seed          uint64
		purpose       string
		path          []string
		epoch, sample uint64
	}
	var names []name
	s := key.New(5, "test").At(0, 0)
	for i := range 200 {
		n := name{seed: s.Uint64(), purpose: []string{"view", "fit", "größe"}[i%3], epoch: uint64(s.Uint32()), sample: s.Uint64(), path: []string{}}
		for range i % 4 {
			n.path = append(n.path, fmt.Sprint("part ", s.Intn(1000)))
		}
		names = append(names, n)
	}
	var in bytes.Buffer
	for _, n := range names {
		line, err := json.Marshal([]any{n.seed, n.purpose, n.path, n.epoch, n.sample})
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	c := exec.Command(interpreter, "testdata/draws.py")
	c.Stdin, c.Stderr = &in, os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(names) {
		t.Fatalf("%d lines for %d keys", len(lines), len(names))
	}
	for i, n := range names {
		var got struct {
			Uniforms []string
			Normals  []float64
			Integers []int
			Shuffle  []int
			Sample   uint64
		}
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		k := key.New(n.seed, n.purpose, n.path...)
		s := k.At(n.epoch, n.sample)
		for _, text := range got.Uniforms {
			v, err := strconv.ParseFloat(hexFloat(text), 64)
			if want := s.Uniform(); err != nil || v != want {
				t.Fatalf("%v: %v in Python, %v in Go (%v)", n, text, want, err)
			}
		}
		s = k.At(n.epoch, n.sample)
		for _, v := range got.Normals {
			if want := s.Normal(); math.Abs(v-want) > 1e-14*max(1, math.Abs(want)) {
				t.Fatalf("%v: normal %v in Python, %v in Go", n, v, want)
			}
		}
		s = k.At(n.epoch, n.sample)
		for j, bound := range []int{1, 2, 7, 1<<31 + 1, 1<<32 - 1} {
			if want := s.Intn(bound); got.Integers[j] != want {
				t.Fatalf("%v: %d below %d in Python, %d in Go", n, got.Integers[j], bound, want)
			}
		}
		if want := s.Shuffle(9); !slices.Equal(got.Shuffle, want) || got.Sample != key.Sample(n.purpose) {
			t.Fatalf("%v: %v and sample %d in Python, %v and %d in Go", n, got.Shuffle, got.Sample, want, key.Sample(n.purpose))
		}
	}
}

// hexFloat turns Python's hexadecimal zero, the only one without an exponent that Go takes otherwise, into Go's form.
func hexFloat(s string) string {
	if !strings.Contains(s, "p") {
		return s + "p0"
	}
	return s
}

type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func host(t *testing.T) (*plugin.Host, *logs) { return hostOf(t, "kinds") }

// hostOf makes a host of a plugin of the tests.
func hostOf(t *testing.T, name string, arguments ...string) (*plugin.Host, *logs) {
	need(t)
	l := &logs{}
	script, err := filepath.Abs("testdata/" + name + "/plugin.py")
	if err != nil {
		t.Fatal(err)
	}
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: name, Version: "1.0.0", Command: append([]string{interpreter, script}, arguments...)}, nil
	}, plugin.Options{Log: l, StartTimeout: time.Minute, Backoff: time.Millisecond})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, l
}

var background = context.Background()

func ref(name, config string) plugin.Ref {
	return plugin.Ref{Name: name, Config: []byte(config), Path: "views.train.0", Where: "file.cue:12:4"}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func isFault(t *testing.T, err error, kind fault.Kind, parts ...string) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Fatalf("got %v, want a fault of kind %v", err, kind)
	}
	var b strings.Builder
	fault.Print(&b, err)
	for _, p := range parts {
		if !strings.Contains(b.String(), p) {
			t.Errorf("%q is not said in:\n%s", p, &b)
		}
	}
}

func TestAugmentations(t *testing.T) {
	h, l := host(t)
	facts := &protocol.SampleFacts{Shape: []int64{5, 2}, Bands: []string{"a", "b"}}
	p := must(h.Pipeline(background, []plugin.Ref{ref("kinds.noise", "{}"), ref("kinds.twice", "{}")}, "query", facts))
	s := must(p.Slot(3))
	for i := range s.In {
		s.In[i] = float32(i)
	}
	for i := range s.Samples {
		s.Samples[i] = 1<<63 + uint64(i)
	}
	if err := p.Apply(background, s, 3, 9, 4); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r := key.New(9, "view", "query", "kinds.noise/0").At(4, s.Samples[i])
		for j := range 10 {
			drawn := r.Uniform()
			if want := 2 * float32(float64(s.In[10*i+j])+drawn); s.Out[10*i+j] != want {
				t.Fatalf("sample %d, value %d: %v, not %v", i, j, s.Out[10*i+j], want)
			}
			if j == 0 && s.Added["drawn"][i] != drawn {
				t.Errorf("drawn %v, not %v", s.Added["drawn"][i], drawn)
			}
		}
	}
	if !strings.Contains(l.String(), "kinds: printed by a library") {
		t.Errorf("what was printed is not in the log: %s", l)
	}
}

func TestErrors(t *testing.T) {
	h, _ := host(t)
	facts := &protocol.SampleFacts{Shape: []int64{1, 1}, Bands: []string{"a"}}
	apply := func(refs ...plugin.Ref) error {
		p, err := h.Pipeline(background, refs, "train", facts)
		if err != nil {
			return err
		}
		s := must(p.Slot(4))
		for i := range s.In {
			s.In[i] = float32(i)
		}
		return p.Apply(background, s, 4, 0, 0)
	}
	isFault(t, apply(ref("kinds.noise", `{"how": "field"}`)), fault.Config, "views.train.0.how", "kinds.noise", "must not be that", "choose another")
	second := ref("kinds.noise", `{"how": "raise"}`)
	second.Where = "file.cue:13:4"
	isFault(t, apply(ref("kinds.scribble", "{}")), fault.Config, "has no component")
	isFault(t, apply(second), fault.Plugin, "file.cue:13:4", "ValueError: three is unlucky", "Traceback", "plugin.py")
	isFault(t, apply(ref("kinds.noise", `{"how": "scribble"}`)), fault.Plugin, "read-only")
	isFault(t, apply(ref("kinds.noise", `{"how": "exit"}`)), fault.Plugin, "exit status 7", "no more licences", "3 times")
}

func TestOtherKinds(t *testing.T) {
	h, _ := host(t)
	d := must(h.Dataset(background, ref("kinds.squares", "{}")))
	if c := must(d.Open(background)); c.Count != 10 || c.Scale != 1 {
		t.Errorf("catalogue %v", c)
	}
	rs := must(d.Read(background, 0, 10))
	if rs[6].Bad == "" || rs[9].F32[15] != 9 || rs[9].Values[0].GetNumber() != 4.5 || !rs[9].Values[1].GetMissing() || rs[8].Values[1].GetText() != "even" {
		t.Errorf("%+v", rs)
	}
	if r := must(d.ReadFile(background, "object 42")); r.ID != "object 42" || r.F32[0] != 42 {
		t.Errorf("%+v", r)
	}
	m := must(h.Encoder(background, ref("kinds.pool", "{}"), []int64{8, 8, 3}))
	if m.Outputs["representation"] != "pool" || m.Layers[1].GetGlobalAveragePool() == nil {
		t.Errorf("%v", m)
	}
	o := must(h.Objective(background, ref("kinds.pull", "{}")))
	must(o.Plan(background, &protocol.ProgramRequest{Batch: 2}))
	if err := o.Bind(2, map[string][]int64{"h": {3}}, nil); err != nil {
		t.Fatal(err)
	}
	losses := func(n int) (all []float64) {
		for step := range n {
			for i := range o.Tap("h") {
				o.Tap("h")[i] = float32(i)
			}
			all = append(all, must(o.Loss(background, uint64(step))).Loss)
		}
		return all
	}
	if got := losses(2); !slices.Equal(got, []float64{56, 57}) || o.Gradient("h")[5] != 10 {
		t.Errorf("losses %v, gradient %v", got, o.Gradient("h"))
	}
	state := must(o.State(background))
	// A process that is killed is brought to where it was.
	if err := exec.Command("kill", "-9", fmt.Sprint(h.Processes()["kinds"])).Run(); err != nil {
		t.Fatal(err)
	}
	if got := losses(1); got[0] != 58 {
		t.Errorf("loss %v", got)
	}
	if err := o.SetState(background, state); err != nil {
		t.Fatal(err)
	}
	if got := losses(1); got[0] != 58 {
		t.Errorf("loss %v", got)
	}
	k := must(h.Task(background, ref("kinds.mean", "{}")))
	needs := must(k.Needs(background, &protocol.TaskNeedsRequest{PredictRows: 2}))
	fitted := must(k.Fit(background, plugin.FitInput{X: plugin.Tensor{Name: "x", Shape: []int64{3, 1}, F32: []float32{1, 2, 3}}, StateBytes: needs.StateBytes,
		Labels: []plugin.Tensor{{Name: "z", Shape: []int64{3}, F64: []float64{1, 2, 6}}}, Samples: []uint64{1, 2, 1 << 63}}))
	predicted := must(k.Predict(background, fitted, plugin.Tensor{Name: "x", Shape: []int64{2, 1}, F32: []float32{1, 2}}, needs.PredictionBytes))
	if predicted[0].F64[1] != 3 {
		t.Errorf("%+v", predicted)
	}
	score := must(k.Score(background, plugin.ScoreInput{Predictions: predicted, Labels: []plugin.Tensor{{Name: "z", Shape: []int64{2}, F64: []float64{1, 2}}}}))
	if score.Metrics[0].Value != 1.5 {
		t.Errorf("%v", score)
	}
}

func TestDescribe(t *testing.T) {
	need(t)
	out, err := exec.Command(interpreter, "testdata/kinds/plugin.py", "describe").Output()
	var d struct {
		Command    []string
		Name       string
		Components []struct{ Name, Kind string }
	}
	if err != nil || json.Unmarshal(out, &d) != nil || d.Name != "kinds" || len(d.Components) != 6 || d.Components[0].Kind != "AUGMENTATION" || !slices.Equal(d.Command, []string{"python3", "./plugin.py"}) {
		t.Errorf("%s, %v", out, err)
	}
	if err := exec.Command(interpreter, "testdata/kinds/plugin.py").Run(); err == nil {
		t.Error("run by hand it does not say what it is")
	}
}
