package flow_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/run"
)

// A training that portable kernels began and others ended is on record as the work of both, also in a later run that
// takes it over.
func TestTheManifestNamesWhatComputed(t *testing.T) {
	defer kernel.Select(os.Getenv("ASTERISM_KERNEL"))
	dir := t.TempDir()
	file := filepath.Join(dir, "tiny.cue")
	if err := os.WriteFile(file, []byte(tiny), 0o666); err != nil {
		t.Fatal(err)
	}
	x, err := experiment.Load(file, experiment.Options{Schemas: installed{}})
	if err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	defer o.Host.Close()
	defer o.Cache.Close()
	const stop = 2
	step := func(kernels string, after int) *run.Manifest {
		t.Helper()
		if err := kernel.Select(kernels); err != nil {
			t.Fatal(err)
		}
		o.StopAfter = after
		path, err := flow.New(x, o).Run(context.Background())
		if err != nil && (after == 0 || fault.KindOf(err) != fault.Interrupted) {
			t.Fatal(err)
		}
		m, err := run.ReadManifest(path)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	step("portable", stop)
	first := step("", 0)
	best := kernel.Describe()
	want := "native: portable Go, after step 2 native: " + best
	if best == "portable Go" { // a machine without others
		want = "native: portable Go"
	}
	again := step("portable", 0)
	for name, m := range map[string]*run.Manifest{"the run": first, "a run that reuses it": again} {
		if s := m.Stages[2]; s.Name != "train" || s.By() != want {
			t.Errorf("in the manifest of %s the stage %s is by %q, want %q", name, s.Name, s.By(), want)
		}
		if s := m.Stages[3]; s.Name != "embed" || s.By() != "native: "+best {
			t.Errorf("in the manifest of %s the stage %s is by %q", name, s.Name, s.By())
		}
	}
	if !again.Stages[2].Reused || again.Machine.Engine != "native: portable Go" {
		t.Errorf("the second run: %+v", again)
	}
}
