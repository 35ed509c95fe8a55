// Package torch_test holds the native engine and PyTorch against each other: two engines that know nothing of one another
// compute the same programs from the same state.
package torch_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/registry"
)

var (
	room   string // of the built plugin
	shared *plugin.Host
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		os.Setenv("PATH", "/usr/bin"+string(filepath.ListSeparator)+os.Getenv("PATH")) // Debian's Python, which has its packages
		var err error
		if room, err = os.MkdirTemp("", "torch"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(room)
		defer func() {
			if shared != nil {
				shared.Close()
			}
		}()
		return m.Run()
	}())
}

// need skips a test where Python or what the plugin needs is not installed, and fails where all is required.
func need(t testing.TB) {
	t.Helper()
	if out, err := exec.Command("python3", "-c", "import importlib.util as u, sys; sys.exit(*[m for m in ('grpc', 'numpy', 'google.protobuf', 'torch') if not u.find_spec(m)] or [0])").CombinedOutput(); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set, and Python has not all of grpc, numpy, protobuf, torch: %s", out)
		}
		t.Skip("Python with grpc, numpy, protobuf and torch is not installed")
	}
}

var build = sync.OnceValues(func() (*registry.Plugin, error) {
	return registry.Build(context.Background(), "..", filepath.Join(room, "torch"), asterism.PythonSDK())
})

// newHost makes a host of the plugin as it is installed, built from its folder.
func newHost(t testing.TB) *plugin.Host {
	t.Helper()
	p, err := build()
	must(t, err)
	return plugin.NewHost(func(string) (plugin.Spec, error) {
		env := []string{"PYTHONDONTWRITEBYTECODE=1", "OMP_WAIT_POLICY=PASSIVE"} // tests share the machine with others
		return plugin.Spec{Name: p.Name, Version: p.Version, Command: p.Command, Dir: p.Dir, Manifest: p.Manifest, Env: env}, nil
	}, plugin.Options{Log: os.Stderr, StartTimeout: time.Minute})
}

// running gives the host whose process all tests share, as importing PyTorch takes seconds.
func running(t testing.TB) *plugin.Host {
	t.Helper()
	need(t)
	if shared == nil {
		shared = newHost(t)
	}
	return shared
}

func configured(h *plugin.Host, config string) (*plugin.Engine, error) {
	return h.Engine(context.Background(), plugin.Ref{Name: "torch.engine", Config: []byte(config), Path: "engine", Where: "file.cue:3:2"})
}

// pytorch gives the engine on the processor.
func pytorch(t testing.TB) *plugin.Engine {
	t.Helper()
	e, err := configured(running(t), `{"device": "cpu", "deterministic": true}`)
	must(t, err)
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
