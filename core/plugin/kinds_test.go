package plugin_test

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

var background = context.Background()

func TestDatasetArrivesInOrder(t *testing.T) {
	h, _ := host(t)
	d := must(h.Dataset(background, ref("misfit.squares", `{"value": 100}`)))
	c := must(d.Open(background))
	if c.Count != 100 || c.Scale != 1 || len(c.Fields) != 2 {
		t.Fatalf("catalogue %v", c)
	}
	next := 0
	for next < 100 {
		rs := must(d.Read(background, next, 37))
		for _, r := range rs {
			if r.Index != next {
				t.Fatalf("record %d in place %d", r.Index, next)
			}
			if bad := next%7 == 6; bad != (r.Bad != "") {
				t.Fatalf("record %d is bad: %q", next, r.Bad)
			} else if !bad {
				if r.ID != fmt.Sprint("object ", next) || !slices.Equal(r.Shape, []int{4, 4, 1}) || len(r.F32) != 16 || r.F32[15] != float32(next) {
					t.Fatalf("record %d: %+v", next, r)
				}
				if even := next%2 == 0; even != r.Values[0].GetMissing() || even != (r.Values[1].GetText() == "even") || !even && r.Values[0].GetNumber() != float64(next)/2 {
					t.Fatalf("record %d: values %v", next, r.Values)
				}
			}
			next++
		}
	}
	if r := must(d.ReadFile(background, "a/file")); r.ID != "a/file" || r.F32[0] != 42 {
		t.Errorf("%+v", r)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestDatasetTakesTheRoomThatItGets(t *testing.T) {
	h, _ := host(t)
	// Records of 1.4 MB where the catalogue says 64 bytes: the first slot holds none, later ones some.
	d := must(h.Dataset(background, ref("misfit.squares", `{"how": "large", "value": 5}`)))
	must(d.Open(background))
	for next := 0; next < 5; {
		rs := must(d.Read(background, next, 5-next))
		if len(rs) == 0 || rs[0].F32[600*600-1] != float32(next) {
			t.Fatalf("%d records from %d", len(rs), next)
		}
		next += len(rs)
	}
	// 30 MB of text: in messages that each stay below the limit.
	d = must(h.Dataset(background, ref("misfit.squares", `{"how": "huge text", "value": 20}`)))
	must(d.Open(background))
	calls := 0
	for next := 0; next < 20; calls++ {
		rs, err := d.Read(background, next, 20-next)
		if err != nil {
			t.Fatal(err)
		}
		next += len(rs)
	}
	if calls < 3 {
		t.Errorf("%d calls", calls)
	}
}

// An opened dataset is closed with its instance.
func TestDatasetIsClosed(t *testing.T) {
	h, l := host(t)
	d := must(h.Dataset(background, ref("misfit.squares", `{"value": 3}`)))
	must(d.Open(background))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	l.find(t, "misfit: the squares are closed")
}

func TestDatasetFaults(t *testing.T) {
	h, _ := host(t)
	d := must(h.Dataset(background, ref("misfit.squares", `{"how": "missing"}`)))
	_, err := d.Open(background)
	isFault(t, err, fault.Config, "file.cue:12:4", "views.train.0.root", "misfit.squares", "no such folder")
	d = must(h.Dataset(background, ref("misfit.squares", `{"how": "panic", "value": 9}`)))
	must(d.Open(background))
	_, err = d.Read(background, 0, 9)
	isFault(t, err, fault.Plugin, "panic: record 5 is cursed", "main.go") // with the stack
	// The process lives on.
	if rs, err := d.Read(background, 0, 5); err != nil || len(rs) != 5 {
		t.Errorf("%d records, %v", len(rs), err)
	}
}

func TestEncoder(t *testing.T) {
	h, _ := host(t)
	m := must(h.Encoder(background, ref("misfit.tiny", "{}"), []int64{8, 8, 5}))
	if len(m.Layers) != 2 || m.Outputs["representation"] != "fc" || !slices.Equal(m.Parameters[0].Shape, []int64{8, 5}) {
		t.Errorf("%v", m)
	}
}

func TestObjective(t *testing.T) {
	h, _ := host(t)
	o := must(h.Objective(background, ref("misfit.pull", "{}")))
	p := must(o.Plan(background, &protocol.ProgramRequest{Batch: 4}))
	if err := o.Bind(4, map[string][]int64{"q": {3}, "k": {3}}, p.Labels); err != nil {
		t.Fatal(err)
	}
	if o.Gradient("k") != nil || len(o.Tap("k")) != 12 || len(o.Label("z")) != 4 {
		t.Fatalf("taps %d, labels %d, gradient %v", len(o.Tap("k")), len(o.Label("z")), o.Gradient("k"))
	}
	for step := range uint64(3) {
		for i := range o.Tap("q") {
			o.Tap("q")[i] = float32(i) * float32(step)
		}
		o.Tap("k")[0] = 0.5
		o.Label("z")[0] = math.Pi
		a := must(o.Loss(background, step))
		if want := 506*float64(step*step) + 0.5; a.Loss != want || o.Gradient("q")[11] != 22*float32(step) {
			t.Fatalf("step %d: loss %v, want %v; gradient %v", step, a.Loss, want, o.Gradient("q"))
		}
	}
	state := must(o.State(background))
	if want := []float32{3, 2, math.Pi}; state[0].Name != "seen" || !slices.Equal(state[0].F32, want) {
		t.Fatalf("%+v, want %v", state, want)
	}
	// Another instance goes on from there, and has memory of its own.
	other := must(h.Objective(background, ref("misfit.pull", "{}")))
	must(other.Plan(background, &protocol.ProgramRequest{Batch: 4}))
	if err := other.SetState(background, state); err != nil {
		t.Fatal(err)
	}
	if got := must(other.State(background)); !reflect.DeepEqual(got, state) {
		t.Errorf("%v, want %v", got, state)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}

	o = must(h.Objective(background, ref("misfit.pull", `{"how": "batch"}`)))
	_, err := o.Plan(background, &protocol.ProgramRequest{Batch: 100})
	isFault(t, err, fault.Config, "views.train.0.queue", "no multiple of the batch 100")
	o = must(h.Objective(background, ref("misfit.pull", `{"how": "program"}`)))
	_, err = o.Plan(background, &protocol.ProgramRequest{Batch: 100})
	isFault(t, err, fault.Plugin, `the tap "q" is of the pass "y", which is not there`)
	o = must(h.Objective(background, ref("misfit.pull", `{"how": "state"}`)))
	must(o.Plan(background, &protocol.ProgramRequest{Batch: 100}))
	_, err = o.State(background)
	isFault(t, err, fault.Plugin, `"seen" does not fit`, "Program.StateBytes")
}

func TestTask(t *testing.T) {
	h, _ := host(t)
	k := must(h.Task(background, ref("misfit.mean", "{}")))
	n := must(k.Needs(background, &protocol.TaskNeedsRequest{Width: 2, FitRows: 3, PredictRows: 2}))
	x := plugin.Tensor{Name: "x", Shape: []int64{3, 2}, F32: make([]float32, 6)}
	z := []plugin.Tensor{{Name: "z", Shape: []int64{3}, F64: []float64{1, 2, 6}}}
	state := must(k.Fit(background, plugin.FitInput{X: x, Labels: z, Samples: []uint64{1, 2, 3}, StateBytes: n.StateBytes}))
	if state[0].F64[0] != 3 || state[0].Categories[0] != "a" {
		t.Fatalf("%+v", state)
	}
	weighted := must(k.Fit(background, plugin.FitInput{X: x, Labels: z, Weights: []float64{0, 1, 1}, StateBytes: n.StateBytes}))
	if weighted[0].F64[0] != 4 {
		t.Fatalf("%+v", weighted)
	}
	x = plugin.Tensor{Name: "x", Shape: []int64{2, 2}, F32: make([]float32, 4)}
	p := must(k.Predict(background, state, x, n.PredictionBytes))
	if !slices.Equal(p[0].F64, []float64{3, 3}) {
		t.Fatalf("%+v", p)
	}
	a := must(k.Score(background, plugin.ScoreInput{Predictions: p, Labels: []plugin.Tensor{{Name: "z", Shape: []int64{2}, F64: []float64{2, 6}}}}))
	if a.Metrics[0].Value != 2 {
		t.Errorf("%v", a)
	}
	k = must(h.Task(background, ref("misfit.mean", `{"how": "more"}`)))
	_, err := k.Predict(background, state, x, n.PredictionBytes)
	isFault(t, err, fault.Plugin, `"z" does not fit`, "TaskNeeds.PredictionBytes")
	_, err = k.Fit(background, plugin.FitInput{X: plugin.Tensor{Name: "x", Shape: []int64{3, 3}, F32: make([]float32, 6)}})
	isFault(t, err, fault.Internal, `"x"`, "6 values for the shape [3 3]")
}

func TestMessagesLargerThanGRPCsDefault(t *testing.T) {
	h, _ := host(t)
	// To the plugin: 4.8 MB of sample ids.
	k := must(h.Task(background, ref("misfit.mean", `{"how": "figure"}`)))
	_, err := k.Fit(background, plugin.FitInput{X: plugin.Tensor{Name: "x", Shape: []int64{0, 2}}, Samples: make([]uint64, 600_000), StateBytes: 8,
		Labels: []plugin.Tensor{{Name: "z", Shape: []int64{1}, F64: []float64{1}}}})
	if err != nil {
		t.Error(err)
	}
	// From it: a figure of 6.4 MB.
	z := []plugin.Tensor{{Name: "z", Shape: []int64{1}, F64: []float64{1}}}
	a, err := k.Score(background, plugin.ScoreInput{Predictions: z, Labels: z})
	if err != nil || len(a.Figures[0].GetScatter().X) != 400_000 {
		t.Error(err)
	}
	// Past our own limit: an error that says so.
	_, err = k.Fit(background, plugin.FitInput{X: plugin.Tensor{Name: "x", Shape: []int64{0, 2}}, Samples: make([]uint64, 3_000_000)})
	isFault(t, err, fault.Plugin, "a message of Fit is larger than 16 MB")
	// And an error text that is too long for gRPC's headers still arrives as an error.
	_, err = apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "long"}`)}, 1)
	isFault(t, err, fault.Plugin, "misfit.scale: xxxxxxx", "xxx…")
}

func TestPipelineFactsAndColumns(t *testing.T) {
	h, _ := host(t)
	refs := []plugin.Ref{ref("misfit.crop", `{"value": 3}`), ref("misfit.noise", "{}"), ref("twin.scale", `{"how": "column"}`), ref("misfit.scale", `{"how": "added"}`)}
	p := must(h.Pipeline(background, refs, "train", facts(5, 2)))
	if f := p.Facts(); len(f) != 4 || f[0].Shape[0] != 3 || p.Out().Shape[0] != 3 || p.Out().Bands[1] != "b1" {
		t.Fatalf("%v", f)
	}
	if !slices.Equal(p.Columns(), []string{"ebv"}) || len(p.Adds()) != 1 || p.Adds()[0].Name != "drawn" {
		t.Fatalf("columns %v, adds %v", p.Columns(), p.Adds())
	}
	if n := p.SampleBytes(); n != 4*(5+3+3+3)*2+8*2 { // what enters, what leaves each of three processes' turns, two columns
		t.Errorf("a sample takes %d bytes", n)
	}
	s := must(p.Slot(3))
	for i := range s.In {
		s.In[i] = float32(i % 10)
	}
	copy(s.Samples, []uint64{7, 8, 9})
	copy(s.Columns["ebv"], []float64{1, 10, 100})
	if err := p.Apply(background, s, 2, 1, 0); err != nil {
		t.Fatal(err)
	}
	only := must(h.Pipeline(background, refs[:2], "train", facts(5, 2)))
	o := must(only.Slot(3))
	copy(o.In, s.In)
	copy(o.Samples, s.Samples)
	if err := only.Apply(background, o, 3, 1, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		drawn := s.Added["drawn"][i]
		if drawn <= 0 || drawn >= 1 || drawn != o.Added["drawn"][i] {
			t.Errorf("drawn %v and %v", drawn, o.Added["drawn"][i])
		}
		for k := range 6 {
			want := o.Out[i*6+k] * float32(s.Columns["ebv"][i]) * float32(drawn)
			if got := s.Out[i*6+k]; math.Abs(float64(got-want)) > 1e-4*math.Abs(float64(want)) {
				t.Errorf("sample %d, value %d: %v, want %v", i, k, got, want)
			}
		}
	}
	if s.Out[2*6] != 0 {
		t.Error("the third sample was computed, two were asked for")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	isFault(t, p.Apply(background, s, 2, 1, 0), fault.Internal, "closed")
}

func TestEmptyPipelineIsTheIdentity(t *testing.T) {
	h := plugin.NewHost(nil, plugin.Options{}) // no plugin is started
	defer h.Close()
	p := must(h.Pipeline(background, nil, "train", facts(2, 2)))
	s := must(p.Slot(3))
	s.In[11] = 5
	if err := p.Apply(background, s, 3, 1, 1); err != nil || len(s.Out) != 12 || s.Out[11] != 5 || p.Out().Shape[0] != 2 {
		t.Errorf("%v, %v", s.Out, err)
	}
}

// TestDrawsDoNotDependOnBatches takes the same samples through in one batch, one by one backwards, and from several
// goroutines in several slots; another chain before them and another number of threads change nothing either.
func TestDrawsDoNotDependOnBatches(t *testing.T) {
	const n = 50
	refs := []plugin.Ref{ref("misfit.noise", "{}"), ref("misfit.scale", `{"value": 2}`)}
	compute := func(h *plugin.Host, view string, epoch uint64, refs []plugin.Ref, batch, slots int) []float32 {
		p := must(h.Pipeline(background, refs, view, facts(3, 1)))
		defer p.Close()
		out := make([]float32, 3*n)
		firsts := make(chan int, n)
		for first := (n - 1) / batch * batch; first >= 0; first -= batch {
			firsts <- first
		}
		close(firsts)
		var group sync.WaitGroup
		for range slots {
			group.Go(func() {
				s := must(p.Slot(batch))
				for first := range firsts {
					m := min(batch, n-first)
					for i := range m {
						s.Samples[i] = uint64(first+i) << 33
						for k := range 3 {
							s.In[3*i+k] = float32(first + i)
						}
					}
					if err := p.Apply(background, s, m, 42, epoch); err != nil {
						t.Error(err)
					}
					copy(out[3*first:], s.Out[:3*m])
				}
			})
		}
		group.Wait()
		return out
	}
	h, _ := host(t)
	want := compute(h, "q", 3, refs, n, 1)
	for _, c := range []struct{ batch, slots int }{{1, 1}, {7, 3}, {16, 2}} {
		if got := compute(h, "q", 3, refs, c.batch, c.slots); !slices.Equal(got, want) {
			t.Errorf("batches of %d in %d slots draw differently", c.batch, c.slots)
		}
	}
	before := append([]plugin.Ref{ref("misfit.scale", `{"value": 1}`)}, refs...)
	if got := compute(h, "q", 3, before, n, 1); !slices.Equal(got, want) {
		t.Error("another component before it changes a component's draws")
	}
	t.Setenv("GOMAXPROCS", "1") // is passed on
	single, _ := host(t)
	if got := compute(single, "q", 3, refs, 16, 1); !slices.Equal(got, want) {
		t.Error("one thread draws differently")
	}
	if slices.Equal(compute(h, "k", 3, refs, n, 1), want) || slices.Equal(compute(h, "q", 4, refs, n, 1), want) {
		t.Error("another view or epoch draws the same")
	}
}

func TestPipelineFaults(t *testing.T) {
	h, _ := host(t)
	chain := func(configs ...string) []plugin.Ref {
		var refs []plugin.Ref
		for i, c := range configs {
			name, config, _ := strings.Cut(c, " ")
			refs = append(refs, plugin.Ref{Name: name, Config: []byte(config), Path: fmt.Sprint("views.train.", i), Where: fmt.Sprintf("file.cue:%d:4", 10+i)})
		}
		return refs
	}
	for name, c := range map[string]struct {
		chain []string
		kind  fault.Kind
		says  []string
	}{
		"field":     {[]string{`misfit.scale {}`, `misfit.scale {"how": "field"}`}, fault.Config, []string{"file.cue:11:4", "views.train.1.value", "misfit.scale", "must not be that", "choose another"}},
		"shape":     {[]string{`misfit.crop {"value": 9}`}, fault.Config, []string{"views.train.0.value", "9 pixels of samples that have 1"}},
		"data":      {[]string{`misfit.scale {"how": "data"}`}, fault.Data, []string{"views.train.0: ", "the dust map is missing", "download it"}},
		"rank":      {[]string{`misfit.scale {"how": "rank"}`}, fault.Config, []string{"[3] spatial dimensions, these have 1"}},
		"nothing":   {[]string{`misfit.scale {"how": "nothing"}`}, fault.Plugin, []string{"Plan gave neither"}},
		"component": {[]string{`misfit.scael {}`}, fault.Config, []string{`no component "scael"`, "misfit.scale, "}},
		"kind":      {[]string{`misfit.mean {}`}, fault.Config, []string{"is a task, where an augmentation is wanted"}},
		"twice":     {[]string{`misfit.noise {}`, `misfit.noise {}`}, fault.Config, []string{"file.cue:11:4", `the column "drawn", which comes from misfit.noise already`}},
		"error":     {[]string{`misfit.scale {"value": 1}`, `misfit.scale {"how": "error"}`}, fault.Plugin, []string{"file.cue:11:4", "views.train.1", "cannot do sample 3"}},
		"panic":     {[]string{`misfit.scale {"value": 1}`, `misfit.scale {"how": "panic"}`}, fault.Plugin, []string{"file.cue:11:4", "panic: runtime error: index out of range [7]", "main.go", "report it"}},
		"scribble":  {[]string{`misfit.scale {"how": "scribble"}`}, fault.Plugin, []string{"panic: memory fault", "may only be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(t, h, chain(c.chain...), 1, 2, 3, 4, 5, 6, 7, 8)
			isFault(t, err, c.kind, c.says...)
		})
	}
	// None of it has ended the process.
	if out, err := apply(t, h, chain(`misfit.scale {"value": 2}`), 1, 2); err != nil || !slices.Equal(out, []float32{2, 4}) {
		t.Errorf("%v, %v", out, err)
	}
}

func TestStatistics(t *testing.T) {
	h, _ := host(t)
	p := must(h.Pipeline(background, []plugin.Ref{ref("misfit.scale", `{"how": "statistics"}`)}, "train", facts(1, 1)))
	s := must(p.Slot(1))
	s.In[0] = 2
	if !p.NeedsStatistics() {
		t.Error("no statistics needed")
	}
	isFault(t, p.Apply(background, s, 1, 0, 0), fault.Internal, "statistics")
	p.SetStatistics([]*protocol.BandStatistics{{Band: "other", Mad: 5}, {Band: "b0", Mad: 7}})
	if err := p.Apply(background, s, 1, 0, 0); err != nil || s.Out[0] != 14 {
		t.Errorf("%v, %v", s.Out, err)
	}
}
