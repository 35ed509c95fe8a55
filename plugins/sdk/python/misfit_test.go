package python_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

func TestMain(m *testing.M) {
	if how := os.Getenv("TEST_HOST"); how != "" {
		hostThatIsKilled(how)
		return
	}
	os.Exit(m.Run())
}

// misfit makes a host of the plugin that does wrong.
func misfit(t *testing.T, arguments ...string) (*plugin.Host, *logs) {
	return hostOf(t, "misfit", arguments...)
}

// scale takes one sample of two values through misfit.scale.
func scale(h *plugin.Host, how string) ([]float32, error) {
	p, err := h.Pipeline(background, []plugin.Ref{ref("misfit.scale", fmt.Sprintf(`{"how": %q}`, how))}, "train", &protocol.SampleFacts{Shape: []int64{2, 1}, Bands: []string{"a"}})
	if err != nil {
		return nil, err
	}
	s, err := p.Slot(1)
	if err != nil {
		return nil, err
	}
	s.In[0], s.In[1] = 1, 2
	return s.Out, p.Apply(background, s, 1, 0, 0)
}

func (l *logs) find(t *testing.T, prefix string) string {
	t.Helper()
	for range 2000 {
		for line := range strings.Lines(l.String()) {
			if rest, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(rest, "\n") {
				return strings.TrimSpace(rest)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no line begins with %q in:\n%s", prefix, l)
	return ""
}

// gone says whether a process has ended; one that has and is nobody's to wait for counts.
func gone(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return exec.Command("kill", "-0", pid).Run() != nil
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z")
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 2000 {
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error(what)
}

// Errors of an author's code name the component, its place in the experiment, the error and the author's lines, and the
// process lives on.
func TestErrorsOfAuthors(t *testing.T) {
	h, _ := misfit(t)
	for how, says := range map[string][]string{
		"init":     {"ValueError: cannot be made", `line`, "in __init__"},
		"plan":     {"LookupError: cannot be planned", "in plan"},
		"nothing":  {"TypeError: plan must return the facts of what it leaves"},
		"raise":    {"KeyError: 'größe'", `helper["größe"]`, "plugin.py", "in do_raise"},
		"long":     {"ValueError: ? long: xxx", "…"},
		"strange":  {"Strange: an exception that cannot be printed", "in do_strange"},
		"sysexit":  {"SystemExit: the component called sys.exit(3); raise an error instead", "in do_sysexit"},
		"shape":    {"ValueError: could not broadcast", "in do_shape"},
		"memory":   {"memory is short: 100 EB"},
		"data":     {"the map has a hole", "fill it"},
		"resource": {"the GPU is taken", "wait"},
	} {
		_, err := scale(h, how)
		kind := fault.Plugin
		switch how {
		case "memory", "resource":
			kind = fault.Resource
		case "data":
			kind = fault.Data
		}
		isFault(t, err, kind, append(says, "file.cue:12:4", "views.train.0", "misfit.scale")...)
		if strings.Contains(err.Error(), "_serve.py") {
			t.Errorf("%s: the SDK's own lines are told: %v", how, err)
		}
	}
	pid := h.Processes()["misfit"]
	if out, err := scale(h, ""); err != nil || out[1] != 4 || h.Processes()["misfit"] != pid {
		t.Errorf("%v, %v", out, err)
	}
}

// What is printed reaches the log, by whomever, and whatever it is.
func TestPrints(t *testing.T) {
	h, l := misfit(t)
	if _, err := scale(h, "print"); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`misfit: größe \udce9 → ∞`, "misfit: " + strings.Repeat("y", 8000), "misfit: without an end and with it", "misfit: printed by C", "misfit: written to the descriptor", "misfit: echoed by a child"} {
		l.find(t, line)
	}
	if _, err := scale(h, "threads"); err != nil {
		t.Fatal(err)
	}
	l.find(t, "misfit: ValueError: in a thread of its own")
}

// A process that ends in a call says why.
func TestCrashes(t *testing.T) {
	h, _ := misfit(t)
	_, err := scale(h, "segfault")
	isFault(t, err, fault.Plugin, "misfit.scale", "signal: segmentation fault", "about to follow a null pointer", "Fatal Python error: Segmentation fault", "in do_segfault")
	h, _ = misfit(t)
	_, err = scale(h, "cexit")
	isFault(t, err, fault.Plugin, "exit status 9", "last words in C")
}

// A script that cannot even be read says what Python says of it.
func TestScriptsThatDoNotStart(t *testing.T) {
	for how, says := range map[string][]string{
		"import": {"ended before it was ready (exit status 1)", "ModuleNotFoundError: No module named 'a_module_that_nobody_has'", "plugin.py"},
		"exit":   {"exit status 1", "the licence has expired"},
	} {
		h, _ := misfit(t, how)
		_, err := scale(h, "")
		isFault(t, err, fault.Plugin, append(says, "misfit.scale", "file.cue:12:4")...)
	}
	need(t)
	// Without its site an interpreter knows no libraries.
	if out, err := exec.Command(interpreter, "-S", "testdata/kinds/plugin.py", "describe").CombinedOutput(); err == nil || !strings.Contains(string(out), "plugins in Python need grpcio, protobuf and numpy") {
		t.Errorf("%v: %s", err, out)
	}
	script := filepath.Join(t.TempDir(), "plugin.py")
	if err := os.WriteFile(script, []byte("import os\ndef f(:\n    pass\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{interpreter, script}}, nil
	}, plugin.Options{StartTimeout: time.Minute})
	defer h.Close()
	_, err := scale(h, "")
	isFault(t, err, fault.Plugin, "SyntaxError: invalid syntax", script, "def f(:")
}

// Children compute, and end with the plugin: forked ones, and those that read the script again.
func TestChildren(t *testing.T) {
	for _, how := range []string{"fork", "spawn"} {
		h, l := misfit(t)
		if out, err := scale(h, how); err != nil || out[1] != 4 {
			t.Fatalf("%s: %v, %v\n%s", how, out, err, l)
		}
		l.find(t, "misfit: in a child: 7")
		child, pid := l.find(t, "misfit: child "), fmt.Sprint(h.Processes()["misfit"])
		if gone(child) {
			t.Fatal("the child is not up")
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, how+": the child lives on", func() bool { return gone(child) && gone(pid) })
	}
}

// A busy plugin does not keep the host, not even when it holds the interpreter's lock.
func TestCloseWhileBusy(t *testing.T) {
	for _, how := range []string{"busy", "sleep", "threads"} {
		h, l := misfit(t)
		pid := ""
		if how == "threads" {
			if _, err := scale(h, how); err != nil {
				t.Fatal(err)
			}
			pid = fmt.Sprint(h.Processes()["misfit"])
		} else {
			go scale(h, how)
			pid = l.find(t, "misfit: busy ")
		}
		closed := make(chan error)
		go func() { closed <- h.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal(how + ": Close waits for ever")
		}
		eventually(t, how+": the plugin lives on", func() bool { return gone(pid) })
	}
}

// hostThatIsKilled is the main function of a host in a process of its own.
func hostThatIsKilled(how string) {
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{interpreter, must(filepath.Abs("testdata/misfit/plugin.py"))}}, nil
	}, plugin.Options{Log: os.Stdout, StartTimeout: time.Minute})
	scale(h, how)
	time.Sleep(time.Hour)
}

// A plugin ends with its host, however that ends, with its children, and also while C holds the interpreter's lock.
func TestKilledHostLeavesNothingBehind(t *testing.T) {
	need(t)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "TEST_HOST=busy")
	c.Stderr = os.Stderr
	out := must(c.StdoutPipe())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pids := map[string]string{}
	for lines := bufio.NewScanner(out); len(pids) < 2 && lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) == 3 && words[0] == "misfit:" && (words[1] == "busy" || words[1] == "child") {
			pids[words[1]] = words[2]
		}
	}
	if len(pids) != 2 || gone(pids["busy"]) || gone(pids["child"]) {
		c.Process.Kill()
		t.Fatalf("the plugin is not up: %v", pids)
	}
	group := must(strconv.Atoi(pids["busy"]))
	c.Process.Signal(syscall.SIGKILL)
	c.Wait()
	eventually(t, "orphans live on", func() bool {
		return gone(pids["busy"]) && gone(pids["child"]) && syscall.Kill(-group, 0) != nil
	})
}

// A batch is not copied on its way: authors see the shared memory itself, and between two links the same room each time.
func TestBatchesAreSharedMemory(t *testing.T) {
	h, l := misfit(t)
	if _, err := os.Stat("/proc/self/maps"); err != nil {
		t.Skip("there is no /proc to look in")
	}
	p := must(h.Pipeline(background, []plugin.Ref{ref("misfit.probe", "{}"), ref("misfit.scale", `{"how": ""}`), ref("misfit.scale", `{"how": ""}`)}, "train", &protocol.SampleFacts{Shape: []int64{3, 1}, Bands: []string{"a"}}))
	s := must(p.Slot(2))
	for i := range 3 {
		copy(s.In, []float32{1, 2, 3, 4, 5, float32(i)})
		if err := p.Apply(background, s, 2, 0, 0); err != nil {
			t.Fatal(err)
		}
		if s.Out[5] != 8*float32(i) || s.Added["at"][1] != 5 {
			t.Fatalf("%v, %v", s.Out, s.Added)
		}
	}
	l.find(t, "misfit: input shared")
	l.find(t, "misfit: out private") // of the first link of three
	places := map[string]int{}
	for line := range strings.Lines(l.String()) {
		if place, ok := strings.CutPrefix(line, "misfit: out at "); ok {
			places[place]++
		}
	}
	if len(places) != 1 {
		t.Errorf("room between links is taken anew: %v", places)
	}
	h, l = misfit(t)
	p = must(h.Pipeline(background, []plugin.Ref{ref("misfit.probe", "{}")}, "train", &protocol.SampleFacts{Shape: []int64{3, 1}, Bands: []string{"a"}}))
	if err := p.Apply(background, must(p.Slot(2)), 2, 0, 0); err != nil {
		t.Fatal(err)
	}
	l.find(t, "misfit: input shared")
	l.find(t, "misfit: out shared")
}

// What tasks answer is brought to the contract's types where nothing is lost, and refused where something would be.
func TestAnswersOfTasks(t *testing.T) {
	h, _ := misfit(t)
	fit := func(how string) (*plugin.Task, []plugin.Tensor, error) {
		k := must(h.Task(background, ref("misfit.answers", fmt.Sprintf(`{"how": %q}`, how))))
		needs, err := k.Needs(background, &protocol.TaskNeedsRequest{PredictRows: 2})
		if err != nil {
			return nil, nil, err
		}
		state, err := k.Fit(background, plugin.FitInput{X: plugin.Tensor{Name: "x", Shape: []int64{3, 1}, F32: []float32{1, 2, 3}}, StateBytes: needs.StateBytes,
			Labels: []plugin.Tensor{{Name: "z", Shape: []int64{3}, F64: []float64{1, 2, 6}}}, Samples: []uint64{1, 2, 3}})
		return k, state, err
	}
	for how, says := range map[string]string{
		"needs":   "TypeError: the component answered with dict, not TaskNeeds",
		"large":   "the array 'a' does not fit: the answer is larger than TaskNeeds.state_bytes said",
		"complex": "values of type complex128; they can be float32, float64, int64 or uint8",
		"object":  "values of type object",
		"list":    "is no Array",
	} {
		_, _, err := fit(how)
		t.Run(how, func(t *testing.T) { isFault(t, err, fault.Plugin, says, "misfit.answers") })
	}
	x := plugin.Tensor{Name: "x", Shape: []int64{2, 1}, F32: []float32{1, 2}}
	k, state, err := fit("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Predict(background, state, x, 640); err != nil {
		t.Error(err)
	}
	k, state, err = fit("scribble")
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.Predict(background, state, x, 640)
	isFault(t, err, fault.Plugin, "ValueError: assignment destination is read-only", "in predict")
}

// Values of tables are taken as astronomers have them, and what is none is named.
func TestValuesOfTables(t *testing.T) {
	h, _ := misfit(t)
	read := func(how string) ([]plugin.Record, error) {
		d := must(h.Dataset(background, ref("misfit.table", fmt.Sprintf(`{"how": %q}`, how))))
		must(d.Open(background))
		return d.Read(background, 0, 3)
	}
	rs, err := read("")
	if err != nil {
		t.Fatal(err)
	}
	if rs[0].Values[0].GetNumber() != 1.5 || rs[0].Values[1].GetText() != "spiral" || !rs[1].Values[0].GetMissing() || !rs[1].Values[1].GetMissing() || !rs[2].Values[0].GetMissing() || rs[2].F32[3] != 2 {
		t.Errorf("%+v", rs)
	}
	_, err = read("double")
	isFault(t, err, fault.Plugin, "object 0 has pixels of type float64", "the catalogue says float32")
	_, err = read("none")
	isFault(t, err, fault.Plugin, "read gave NoneType, not a Record")
	_, err = read("text")
	isFault(t, err, fault.Plugin, "object 0 has 'three' for z, which is a number")
}

// A plugin's folder stays as it is when the plugin runs: its digest is of every file.
func TestNothingIsWrittenIntoThePluginsFolder(t *testing.T) {
	need(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/misfit")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "asterism_plugin"), os.DirFS("asterism_plugin")); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(dir, "asterism_plugin", "__pycache__"))
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{interpreter, filepath.Join(dir, "plugin.py")}}, nil
	}, plugin.Options{StartTimeout: time.Minute})
	defer h.Close()
	if out, err := scale(h, ""); err != nil || out[1] != 4 {
		t.Fatalf("%v, %v", out, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "__pycache__")); len(left) > 0 {
		t.Errorf("written: %v", left)
	}
}
