package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The plugins of the tests, built as a third party would build them.
var misfit, liar, twinEngine string

func TestMain(m *testing.M) {
	misfit, liar = os.Getenv("TEST_MISFIT"), os.Getenv("TEST_LIAR")
	switch os.Getenv("TEST_ROLE") {
	case "host":
		hostThatIsKilled()
		return
	case "suspended":
		hostThatIsSuspended()
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "plugins")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		build := exec.Command("go", "build", "-o", dir+"/", "./testdata/misfit", "./testdata/liar", "./testdata/engine")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "the plugins of the tests cannot be built:", err)
			return 1
		}
		misfit, liar, twinEngine = filepath.Join(dir, "misfit"), filepath.Join(dir, "liar"), filepath.Join(dir, "engine")
		return m.Run()
	}())
}

// logs collects what plugins print.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
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

// find waits for a line that begins so and gives the rest of it.
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

// host makes a host of misfit (with these arguments), its twin and liar.
func host(t testing.TB, arguments ...string) (*plugin.Host, *logs) {
	l := &logs{}
	h := plugin.NewHost(func(name string) (plugin.Spec, error) {
		if name == "liar" {
			return plugin.Spec{Name: name, Command: append([]string{liar}, arguments...)}, nil
		}
		return plugin.Spec{Name: "misfit", Version: "1.2.3", Command: append([]string{misfit}, arguments...), Env: []string{"OMP_NUM_THREADS=3", "OWN=mine"}}, nil
	}, plugin.Options{Log: l, StartTimeout: 30 * time.Second, Backoff: time.Millisecond})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, l
}

func ref(name, config string) plugin.Ref {
	return plugin.Ref{Name: name, Config: []byte(config), Path: "views.train.0", Where: "file.cue:12:4"}
}

func facts(shape ...int64) *protocol.SampleFacts {
	f := &protocol.SampleFacts{Shape: shape}
	for i := range shape[len(shape)-1] {
		f.Bands = append(f.Bands, fmt.Sprint("b", i))
	}
	return f
}

// isFault checks an error as the user sees it.
func isFault(t *testing.T, err error, kind fault.Kind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if k := fault.KindOf(err); k != kind {
		t.Errorf("kind %v, want %v", k, kind)
	}
	var b strings.Builder
	fault.Print(&b, err)
	for _, p := range parts {
		if !strings.Contains(b.String(), p) {
			t.Errorf("%q is not said in:\n%s", p, &b)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// apply takes samples, one number each, through a chain.
func apply(t testing.TB, h *plugin.Host, refs []plugin.Ref, samples ...float32) ([]float32, error) {
	t.Helper()
	p, err := h.Pipeline(context.Background(), refs, "train", facts(1, 1))
	if err != nil {
		return nil, err
	}
	defer p.Close()
	s, err := p.Slot(len(samples))
	if err != nil {
		return nil, err
	}
	copy(s.In, samples)
	err = p.Apply(context.Background(), s, len(samples), 1, 0)
	return append([]float32(nil), s.Out...), err
}

// gone says whether a process has ended; one that nobody has waited for counts.
func gone(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return exec.Command("kill", "-0", pid).Run() != nil
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] == 'Z'
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 2000 {
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}
