package plugin_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// restarted makes a host of misfit that tells of restarts, and is as patient as told.
func restarted(t *testing.T, patience plugin.Patience) (*plugin.Host, func() []string) {
	var mu sync.Mutex
	var told []string
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Version: "1.2.3", Command: []string{misfit}}, nil
	}, plugin.Options{StartTimeout: 30 * time.Second, Backoff: time.Millisecond, Patience: patience, Restarted: func(name, why string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, name+": "+why)
	}})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
}

func TestKilledPluginIsStartedAnew(t *testing.T) {
	h, told := restarted(t, plugin.Patience{})
	p := must(h.Pipeline(background, append(double, ref("misfit.noise", "{}")), "train", facts(1, 1)))
	s := must(p.Slot(4))
	copy(s.In, []float32{1, 2, 3, 4})
	epoch := func() []float32 {
		if err := p.Apply(background, s, 4, 7, 3); err != nil {
			t.Fatal(err)
		}
		return append(slices.Clone(s.Out), float32(s.Added["drawn"][2]))
	}
	want := epoch()
	kill := func() {
		pid := fmt.Sprint(h.Processes()["misfit"])
		if err := exec.Command("kill", "-9", pid).Run(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the plugin lives on", func() bool { return gone(pid) })
	}
	for range 3 {
		kill()
		clear(s.Out)
		if got := epoch(); !slices.Equal(got, want) {
			t.Fatalf("after a restart %v, before %v", got, want)
		}
	}
	if got := told(); len(got) != 3 || !strings.Contains(got[2], "misfit: its process ended (signal: killed); it is started anew (3 of 3)") {
		t.Errorf("told %q", got)
	}
	kill()
	isFault(t, p.Apply(background, s, 4, 7, 3), fault.Plugin, "(signal: killed)", "lack of memory", "3 times")
}

// Slots in flight on several goroutines all get their answers from the next process.
func TestRestartUnderSeveralCalls(t *testing.T) {
	h, told := restarted(t, plugin.Patience{})
	file := filepath.Join(t.TempDir(), "done")
	p := must(h.Pipeline(background, []plugin.Ref{ref("misfit.scale", fmt.Sprintf(`{"value": 2, "how": "end %s"}`, file))}, "train", facts(1, 1)))
	var group sync.WaitGroup
	for range 6 {
		s := must(p.Slot(8))
		for i := range s.In {
			s.In[i] = float32(i)
		}
		group.Go(func() {
			for range 50 {
				if err := p.Apply(background, s, 8, 1, 0); err != nil {
					t.Error(err)
					return
				}
				if s.Out[7] != 14 {
					t.Errorf("%v", s.Out)
				}
			}
		})
	}
	group.Wait()
	if got := told(); len(got) != 1 {
		t.Errorf("told %q", got)
	}
}

// The steps of an objective since its state was last kept are made again: the state is what it would have been.
func TestObjectiveIsReplayed(t *testing.T) {
	run := func(config string, restore bool) (losses []float64, state []float32, restarts int) {
		h, told := restarted(t, plugin.Patience{})
		o := must(h.Objective(background, ref("misfit.pull", config)))
		must(o.Plan(background, &protocol.ProgramRequest{Batch: 2}))
		if err := o.Bind(2, map[string][]int64{"q": {3}, "k": {3}}, []string{"z"}); err != nil {
			t.Fatal(err)
		}
		if restore {
			if err := o.SetState(background, []plugin.Tensor{{Name: "seen", Shape: []int64{3}, F32: []float32{100, 0, 0}}}); err != nil {
				t.Fatal(err)
			}
		}
		for step := range uint64(9) {
			for i := range o.Tap("q") {
				o.Tap("q")[i], o.Tap("k")[i] = float32(step)+float32(i)/8, float32(i)
			}
			o.Label("z")[0] = float64(step) / 3
			answer := must(o.Loss(background, step))
			losses = append(losses, answer.Loss, float64(o.Gradient("q")[5]))
			if step == 3 {
				must(o.State(background))
			}
		}
		return losses, must(o.State(background))[0].F32, len(told())
	}
	for _, restore := range []bool{false, true} {
		losses, state, none := run("{}", restore)
		if none != 0 {
			t.Fatalf("%d restarts", none)
		}
		for _, at := range []int{0, 2, 4, 7} {
			file := filepath.Join(t.TempDir(), "done")
			l, s, count := run(fmt.Sprintf(`{"value": %d, "how": "end %s"}`, at, file), restore)
			if count != 1 || !slices.Equal(l, losses) || !slices.Equal(s, state) {
				t.Errorf("crash at step %d: %d restarts, losses %v not %v, state %v not %v", at, count, l, losses, s, state)
			}
		}
	}
}

func TestHungPluginIsEndedAndStartedAnew(t *testing.T) {
	h, told := restarted(t, plugin.Patience{First: 3 * time.Second, Least: time.Second})
	file := filepath.Join(t.TempDir(), "done")
	out, err := apply(t, h, []plugin.Ref{ref("misfit.scale", fmt.Sprintf(`{"value": 2, "how": "hang %s"}`, file))}, 4)
	if err != nil || out[0] != 8 {
		t.Fatalf("%v, %v", out, err)
	}
	if got := told(); len(got) != 1 || !strings.Contains(got[0], "gave no answer to Apply within 3s; it is started anew (1 of 3)") {
		t.Errorf("told %q", got)
	}
	h, told = restarted(t, plugin.Patience{Least: time.Second})
	p := must(h.Pipeline(background, double, "train", facts(1, 1)))
	exec.Command("kill", "-STOP", fmt.Sprint(h.Processes()["misfit"])).Run()
	s := must(p.Slot(1)) // whose memory it does not take
	s.In[0] = 4
	if err := p.Apply(background, s, 1, 1, 0); err != nil || s.Out[0] != 8 || len(told()) != 1 || !strings.Contains(told()[0], "gave no answer to a transfer of memory within 1s") {
		t.Errorf("%v, %v, told %q", err, s.Out, told())
	}
	h, _ = restarted(t, plugin.Patience{First: time.Second})
	_, err = apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "slow"}`)}, 4)
	isFault(t, err, fault.Plugin, "file.cue:12:4", "misfit.scale", "gave no answer to Apply within 1s and was ended", "3 times")
}

// A process that hangs while it is brought to where the last one was is ended as well.
func TestHangDuringReplay(t *testing.T) {
	h, told := restarted(t, plugin.Patience{First: 2 * time.Second, Least: time.Second})
	file := filepath.Join(t.TempDir(), "done")
	o := must(h.Objective(background, ref("misfit.pull", fmt.Sprintf(`{"value": 3, "how": "relapse %s"}`, file))))
	must(o.Plan(background, &protocol.ProgramRequest{Batch: 2}))
	if err := o.Bind(2, map[string][]int64{"q": {3}, "k": {3}}, []string{"z"}); err != nil {
		t.Fatal(err)
	}
	for step := range uint64(5) {
		must(o.Loss(background, step))
	}
	if state, got := must(o.State(background))[0].F32, told(); len(got) != 2 || state[0] != 5 {
		t.Errorf("told %q, the state is %v", got, state)
	}
}

// A plan begins anew: what an earlier training left is not given to the next process.
func TestPlanForgetsTheStateBefore(t *testing.T) {
	h, told := restarted(t, plugin.Patience{})
	o := must(h.Objective(background, ref("misfit.pull", "{}")))
	train := func(kill bool) []float32 {
		must(o.Plan(background, &protocol.ProgramRequest{Batch: 2}))
		if err := o.Bind(2, map[string][]int64{"q": {3}, "k": {3}}, []string{"z"}); err != nil {
			t.Fatal(err)
		}
		if kill {
			exec.Command("kill", "-9", fmt.Sprint(h.Processes()["misfit"])).Run()
		}
		for step := range uint64(3) {
			must(o.Loss(background, step))
		}
		return must(o.State(background))[0].F32
	}
	want := slices.Clone(train(false))
	if got := train(true); !slices.Equal(got, want) || len(told()) != 1 {
		t.Errorf("%v, not %v; told %q", got, want, told())
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}

// No process is started to let go of what went with the last one, nor when all are to end.
func TestNoRestartAtTheEnd(t *testing.T) {
	h, told := restarted(t, plugin.Patience{})
	d := must(h.Dataset(background, ref("misfit.squares", "{}")))
	pid := fmt.Sprint(h.Processes()["misfit"])
	exec.Command("kill", "-STOP", pid).Run()
	closed := make(chan error)
	go func() { closed <- d.Close() }()
	time.Sleep(100 * time.Millisecond) // it asks
	exec.Command("kill", "-9", pid).Run()
	if err := <-closed; err != nil || len(told()) != 0 {
		t.Errorf("%v, told %q", err, told())
	}

	p := must(h.Pipeline(background, []plugin.Ref{ref("misfit.scale", `{"how": "slow"}`)}, "train", facts(1, 1)))
	s, before := must(p.Slot(1)), len(told())
	failed := make(chan error)
	go func() { failed <- p.Apply(background, s, 1, 1, 0) }()
	time.Sleep(100 * time.Millisecond)
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil || len(told()) != before {
		t.Errorf("%v, told %q", err, told())
	}
}

// hostThatIsSuspended is the main function of a host in a process of its own.
func hostThatIsSuspended() {
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{misfit}}, nil
	}, plugin.Options{Log: os.Stdout, Patience: plugin.Patience{First: 1500 * time.Millisecond}, Restarted: func(string, string) { fmt.Println("started anew") }})
	defer h.Close()
	p := must(h.Pipeline(background, []plugin.Ref{ref("misfit.scale", `{"how": "pause"}`)}, "train", facts(1, 1)))
	fmt.Println("result", p.Apply(background, must(p.Slot(1)), 1, 0, 0))
}

// The time in which the host itself did not run is not the plugin's.
func TestSuspendedHostDoesNotTakePluginsForHung(t *testing.T) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "TEST_ROLE=suspended", "TEST_MISFIT="+misfit)
	out := &logs{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	out.find(t, "misfit: pausing")
	c.Process.Signal(syscall.SIGSTOP)
	time.Sleep(1700 * time.Millisecond)
	c.Process.Signal(syscall.SIGCONT)
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "result <nil>") || strings.Contains(got, "started anew") {
		t.Error(got)
	}
}

func TestDatasetGoesOnAfterARestart(t *testing.T) {
	h, told := restarted(t, plugin.Patience{})
	d := must(h.Dataset(background, ref("misfit.squares", `{"value": 10}`)))
	must(d.Open(background))
	must(d.Read(background, 0, 5))
	if err := exec.Command("kill", "-9", fmt.Sprint(h.Processes()["misfit"])).Run(); err != nil {
		t.Fatal(err)
	}
	if rs := must(d.Read(background, 5, 5)); rs[4].F32[0] != 9 || len(told()) != 1 {
		t.Errorf("%v, %q", rs, told())
	}
}

// What is not finite may be passed on, but not made.
func TestValuesThatAreNotFinite(t *testing.T) {
	h, _ := host(t)
	chain := []plugin.Ref{ref("misfit.scale", `{"value": 2}`), {Name: "misfit.scale", Config: []byte(`{"how": "spoil"}`), Path: "views.train.1", Where: "file.cue:13:4"}, ref("misfit.noise", "{}")}
	_, err := apply(t, h, chain, 1, 1.5, 2)
	isFault(t, err, fault.Plugin, "file.cue:13:4: views.train.1: misfit.scale: makes values that are not finite of finite ones", `in the view "train"`)
	_, err = apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "spoil others", "value": 2}`)}, 2, 3)
	isFault(t, err, fault.Plugin, "misfit.scale: what leaves is not finite", "alone in its batch")
	out, err := apply(t, h, double, 1, float32(math.NaN()), 2)
	if err != nil || out[0] != 2 || out[1] == out[1] || out[2] != 4 {
		t.Errorf("%v, %v", out, err)
	}
}

// Before it is started anew, what may have changed is looked at again.
func TestReplacedPluginIsNotStartedAnew(t *testing.T) {
	var replaced atomic.Bool
	log := &logs{}
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		if replaced.Load() {
			return plugin.Spec{}, &fault.Error{Kind: fault.Plugin, What: "its files were changed"}
		}
		return plugin.Spec{Name: "misfit", Version: "1.2.3", Command: []string{misfit}}, nil
	}, plugin.Options{StartTimeout: 30 * time.Second, Backoff: time.Millisecond, Log: log})
	defer h.Close()
	p := must(h.Pipeline(background, double, "train", facts(1, 1)))
	s := must(p.Slot(4))
	if err := p.Apply(background, s, 4, 7, 3); err != nil {
		t.Fatal(err)
	}
	replaced.Store(true)
	if err := exec.Command("kill", "-9", fmt.Sprint(h.Processes()["misfit"])).Run(); err != nil {
		t.Fatal(err)
	}
	err := p.Apply(background, s, 4, 7, 3)
	if fault.KindOf(err) != fault.Plugin {
		t.Fatalf("%v", err)
	}
	if said := log.String(); !strings.Contains(said, "misfit: it is not started anew: its files were changed") {
		t.Errorf("said: %s", said)
	}
}
