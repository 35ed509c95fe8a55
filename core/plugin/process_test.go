package plugin_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

var double = []plugin.Ref{ref("misfit.scale", `{"value": 2}`)}

func TestMalformedLogLinesDoNoHarm(t *testing.T) {
	h, l := host(t, "malformed")
	if out, err := apply(t, h, double, 4); err != nil || out[0] != 8 {
		t.Fatalf("%v, %v", out, err)
	}
	l.find(t, `misfit: {"@message": 1}`)
	l.find(t, `misfit: {"@level": []`)
	l.find(t, "misfit: xxx")
}

func TestPrintsBeforeTheHandshake(t *testing.T) {
	h, l := host(t, "noise")
	if out, err := apply(t, h, double, 4); err != nil || out[0] != 8 {
		t.Fatalf("%v, %v", out, err)
	}
	l.find(t, "misfit: printed before the handshake") // by the author's package, moved by the SDK
	l.find(t, "misfit: Welcome! 1|2|3|4")             // on the descriptor that the host reads
}

func TestPluginsThatDoNotStart(t *testing.T) {
	for how, c := range map[string]struct {
		says []string
	}{
		"garbage": {[]string{"ended before it was ready (exit status 3)", "Welcome! Loading weights", "[31m1|2|3"}},
		"netrpc":  {[]string{"did not start as a plugin of this version", "99"}},
		"renamed": {[]string{`the name is "other" in the running plugin and "misfit" in its manifest`}},
		"newer":   {[]string{"the version is 9.9.9 in the running plugin and 1.2.3 in its manifest", "describe > plugin.json"}},
	} {
		t.Run(how, func(t *testing.T) {
			h, _ := host(t, how)
			_, err := apply(t, h, double, 4)
			isFault(t, err, fault.Plugin, append(c.says, "file.cue:12:4", "views.train.0", "misfit.scale")...)
		})
	}
}

func TestManifestMustBeTheRunningPlugins(t *testing.T) {
	h, _ := host(t)
	must(h.Encoder(background, ref("misfit.tiny", "{}"), []int64{4, 4, 1}))
	installed := &protocol.Description{Name: "misfit", Version: "1.2.3", Api: 1, Components: []*protocol.ComponentInfo{
		{Name: "scale", Kind: protocol.Kind_AUGMENTATION, Revision: 1, Schema: "#Config: {}"}}}
	h = plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{misfit}, Manifest: installed}, nil
	}, plugin.Options{})
	defer h.Close()
	_, err := apply(t, h, double, 1)
	isFault(t, err, fault.Plugin, "the schema of misfit.scale", "install it again")
}

func TestHangAtStart(t *testing.T) {
	l := &logs{}
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{misfit, "hang"}}, nil
	}, plugin.Options{Log: l, StartTimeout: 500 * time.Millisecond})
	defer h.Close()
	start := time.Now()
	_, err := apply(t, h, double, 1)
	isFault(t, err, fault.Plugin, "did not start within 500ms", "waiting for a licence server", "run it by hand: "+misfit+" hang")
	if time.Since(start) > time.Minute {
		t.Errorf("it took %v", time.Since(start))
	}
	// And who does not want to wait so long does not have to.
	h, _ = host(t, "hang")
	ctx, cancel := context.WithCancel(background)
	time.AfterFunc(200*time.Millisecond, cancel)
	_, err = h.Encoder(ctx, ref("misfit.tiny", "{}"), []int64{1})
	isFault(t, err, fault.Cancelled, "interrupted while the plugin was starting")
}

func TestCommandThatIsNotThere(t *testing.T) {
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{"/nowhere/plugin"}}, nil
	}, plugin.Options{})
	defer h.Close()
	_, err := apply(t, h, double, 1)
	isFault(t, err, fault.Plugin, "cannot be started", "/nowhere/plugin", "no such file")
	h = plugin.NewHost(func(name string) (plugin.Spec, error) {
		return plugin.Spec{}, &fault.Error{Kind: fault.Config, What: "there is no plugin " + name}
	}, plugin.Options{})
	_, err = apply(t, h, double, 1)
	isFault(t, err, fault.Config, "file.cue:12:4: views.train.0: misfit.scale: there is no plugin misfit")
}

func TestCrashInACall(t *testing.T) {
	h, _ := host(t)
	_, err := apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "crash"}`)}, 1)
	isFault(t, err, fault.Plugin, "file.cue:12:4", "misfit.scale", "the plugin's process ended during Apply (exit status 2): panic: the moon fell down",
		"| printed just before the end", "main.go")
	// The next call says the same and does not hang.
	_, err = apply(t, h, double, 1)
	isFault(t, err, fault.Plugin, "ended during Apply", "the moon fell down")

	h, _ = host(t)
	_, err = apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "exit"}`)}, 1)
	isFault(t, err, fault.Plugin, "(exit status 7)", "| no more licences")
}

func TestCancelledCall(t *testing.T) {
	h, _ := host(t)
	p := must(h.Pipeline(background, []plugin.Ref{ref("misfit.scale", `{"how": "slow"}`)}, "train", facts(1, 1)))
	s := must(p.Slot(1))
	ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
	defer cancel()
	isFault(t, p.Apply(ctx, s, 1, 0, 0), fault.Plugin, "Apply took too long")
	isFault(t, p.Apply(background, s, 1, 0, 0), fault.Internal, "lost when a call was cancelled")
	ctx, cancel = context.WithCancel(background)
	time.AfterFunc(50*time.Millisecond, cancel)
	err := p.Apply(ctx, must(p.Slot(1)), 1, 0, 0)
	isFault(t, err, fault.Cancelled, "interrupted during Apply")
	// Closing does not wait for the component, which sleeps for an hour.
	start := time.Now()
	if err := h.Close(); err != nil || time.Since(start) > time.Minute {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	_, err = h.Encoder(background, ref("misfit.tiny", "{}"), []int64{1})
	isFault(t, err, fault.Internal, "closed")
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET_TOKEN", "hush")
	t.Setenv("OMP_NUM_THREADS", "8") // the plugin's own 3 counts
	t.Setenv("SLURM_JOB_ID", "77")
	t.Setenv("ASTERISM_KERNEL", "portable")
	h, l := host(t)
	must(apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "environment"}`)}, 1))
	for _, want := range []string{"OMP_NUM_THREADS=3", "SLURM_JOB_ID=77", "ASTERISM_KERNEL=portable", "OWN=mine", "PATH="} {
		l.find(t, "misfit: env "+want)
	}
	for _, not := range []string{"SECRET_TOKEN", "OMP_NUM_THREADS=8", protocol.CookieName + "=", protocol.ChannelEnv} {
		if strings.Contains(l.String(), not) {
			t.Errorf("the plugin sees %s", not)
		}
	}
}

func TestCloseEndsChildrenAndRemovesSockets(t *testing.T) {
	tmp, err := os.MkdirTemp("/tmp", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	t.Setenv("XDG_RUNTIME_DIR", tmp)
	h, l := host(t)
	must(apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "child"}`)}, 1))
	must(apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "pid"}`)}, 1))
	dirs, _ := filepath.Glob(tmp + "/asterism-*")
	if len(dirs) != 1 {
		t.Fatalf("folders for sockets: %v", dirs)
	}
	if info, err := os.Stat(dirs[0]); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	child, pid := l.find(t, "misfit: child "), l.find(t, "misfit: pid ")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the plugin's child lives on", func() bool { return gone(child) && gone(pid) })
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left in the folder for sockets: %v", left)
	}
}

// hostThatIsKilled is the main function of a host in a process of its own.
func hostThatIsKilled() {
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{misfit}}, nil
	}, plugin.Options{Log: os.Stdout})
	for _, how := range []string{"child", "pid"} {
		p := must(h.Pipeline(background, []plugin.Ref{ref("misfit.scale", fmt.Sprintf(`{"how": %q}`, how))}, "train", facts(1, 1)))
		if err := p.Apply(background, must(p.Slot(1)), 1, 0, 0); err != nil {
			panic(err)
		}
	}
	time.Sleep(time.Hour)
}

func TestKilledHostLeavesNothingBehind(t *testing.T) {
	tmp, err := os.MkdirTemp("/tmp", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	t.Setenv("XDG_RUNTIME_DIR", tmp)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "TEST_ROLE=host", "TEST_MISFIT="+misfit)
	c.Stderr = os.Stderr
	out := must(c.StdoutPipe())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pids := map[string]string{}
	for lines := bufio.NewScanner(out); len(pids) < 2 && lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) == 3 && words[0] == "misfit:" && (words[1] == "pid" || words[1] == "child") {
			pids[words[1]] = words[2]
		}
	}
	if len(pids) != 2 || gone(pids["pid"]) || gone(pids["child"]) {
		t.Fatalf("the plugin is not up: %v", pids)
	}
	c.Process.Signal(syscall.SIGKILL)
	c.Wait()
	eventually(t, "orphans live on", func() bool { return gone(pids["pid"]) && gone(pids["child"]) })

	// The sockets were left; the next host removes them, but not those of a living one, nor what only looks alike.
	if left, _ := filepath.Glob(tmp + "/asterism-*"); len(left) != 1 {
		t.Fatalf("expected the folder of the killed host: %v", left)
	}
	lookalike := filepath.Join(tmp, "asterism-mine")
	if err := os.Mkdir(lookalike, 0o755); err != nil {
		t.Fatal(err)
	}
	first, _ := host(t)
	must(apply(t, first, double, 1))
	second, _ := host(t)
	must(apply(t, second, double, 1))
	if left, _ := filepath.Glob(tmp + "/asterism-[0-9]*"); len(left) != 2 {
		t.Errorf("folders of two living hosts: %v", left)
	}
	if out, err := apply(t, first, double, 3); err != nil || out[0] != 6 {
		t.Errorf("the first host no longer works: %v, %v", out, err)
	}
	if _, err := os.Stat(lookalike); err != nil {
		t.Error("a stranger's folder was removed")
	}
}

func TestLongTMPDIR(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	t.Setenv("XDG_RUNTIME_DIR", "")
	h, _ := host(t)
	if out, err := apply(t, h, double, 4); err != nil || out[0] != 8 {
		t.Fatalf("%v, %v", out, err)
	}
}

func TestFileArenas(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("XDG_RUNTIME_DIR", "/tmp")
	t.Setenv(protocol.ArenaEnv, "file")
	h, _ := host(t)
	p := must(h.Pipeline(background, double, "train", facts(1, 1)))
	s := must(p.Slot(2))
	s.In[1] = 4
	if err := p.Apply(background, s, 2, 0, 0); err != nil || s.Out[1] != 8 {
		t.Fatalf("%v, %v", s.Out, err)
	}
	if runtime.GOOS == "linux" {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil || !strings.Contains(string(maps), tmp+"/asterism-arena-") {
			t.Error("the arenas are not files")
		}
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("files have names: %v", left)
	}
	// The input is for reading only here too.
	_, err := apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "scribble"}`)}, 1)
	isFault(t, err, fault.Plugin, "may only be read")
	d := must(h.Dataset(background, ref("misfit.squares", `{"value": 10}`)))
	must(d.Open(background))
	if rs, err := d.Read(background, 0, 10); err != nil || rs[9].F32[0] != 9 {
		t.Errorf("%v", err)
	}
}

func TestMoreMemoryThanThereIs(t *testing.T) {
	h, _ := host(t)
	p := must(h.Pipeline(background, double, "train", facts(1<<20, 1)))
	_, err := p.Slot(1 << 20) // 8 TB
	isFault(t, err, fault.Resource, "views.train.0", "memory", "smaller batch")
	if _, err := p.Slot(1); err != nil {
		t.Error(err)
	}
}

func TestTensorsOutsideTheirMemory(t *testing.T) {
	for lie, says := range map[string]string{
		"beyond":    "outside the memory",
		"far":       "outside the memory",
		"unaligned": "no multiple of 64",
		"huge":      "impossible shape",
		"negative":  "impossible shape",
		"arena":     "which it was given",
		"type":      "of type U8 where F32 is wanted",
		"missing":   "no tensor",
		"order":     "record 3 in place 0",
		"many":      "in place 10",
		"catalogue": "shape [1099511627776 1099511627776]",
	} {
		t.Run(lie, func(t *testing.T) {
			h, _ := host(t, lie)
			d := must(h.Dataset(background, ref("liar.data", "{}")))
			_, err := d.Open(background)
			if err == nil {
				_, err = d.Read(background, 0, 10)
			}
			isFault(t, err, fault.Plugin, "file.cue:12:4", "liar.data", says, "defect of the component")
		})
	}
	h, _ := host(t, "nothing")
	k := must(h.Task(background, ref("liar.task", "{}")))
	_, err := k.Needs(background, &protocol.TaskNeedsRequest{})
	isFault(t, err, fault.Plugin, "does not know the call Needs")
}

func TestLogFiles(t *testing.T) {
	dir := t.TempDir()
	h := plugin.NewHost(func(name string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{misfit}}, nil
	}, plugin.Options{})
	must(apply(t, h, double, 1))
	h.KeepLogs(dir) // what was written before is kept, too
	h.Close()
	text, err := os.ReadFile(filepath.Join(dir, "misfit.log"))
	if err != nil || !strings.Contains(string(text), "printed before the handshake\n") {
		t.Errorf("%q, %v", text, err)
	}
}

func TestOneProcessForAll(t *testing.T) {
	h, l := host(t)
	results := make(chan error)
	for range 8 {
		go func() {
			_, err := apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "pid"}`)}, 1)
			results <- err
		}()
	}
	for range 8 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	var pids []string
	for line := range strings.Lines(l.String()) {
		if pid, ok := strings.CutPrefix(line, "misfit: pid "); ok && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	if len(pids) != 1 {
		t.Errorf("%d processes", len(pids))
	}
}

// A plugin that has stopped for good does not keep the host: Close kills it within its two seconds and a little.
func TestCloseEndsAPluginThatDoesNotAnswer(t *testing.T) {
	h, l := host(t)
	must(apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "pid"}`)}, 1))
	pid := l.find(t, "misfit: pid ")
	if err := exec.Command("kill", "-STOP", pid).Run(); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- h.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Close waits for a plugin that does not answer")
	}
	eventually(t, "the plugin lives on", func() bool { return gone(pid) })
}
