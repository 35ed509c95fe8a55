//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/asterism-ssl/asterism"
	"github.com/asterism-ssl/asterism/core/conformance"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/registry"
)

// conform runs the conformance kit over every component of a plugin.
func conform(t *testing.T, spec plugin.Spec, folder string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder, err = filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	o := conformance.Options{Spec: spec, Work: folder, Cases: filepath.Join(folder, "conformance.cue"), Batches: 60, Holder: []string{self, "plugin", "hold"}}
	if os.Getenv("ASTERISM_LONG") != "" {
		o.Batches = 1000
	}
	o.Report = func(r conformance.Result) {
		if r.Outcome == conformance.Failed {
			t.Errorf("%+v", r)
		}
	}
	summary, err := conformance.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if summary.OK < 10 {
		t.Errorf("%+v", summary)
	}
}

// TestFirstPartyConforms holds the plugins in this binary to what is asked of a third party's.
func TestFirstPartyConforms(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range firstParty() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			conform(t, plugin.Spec{Name: p.Name, Version: p.Version, Command: []string{self, "plugin", "serve", p.Name}, Manifest: p.Manifest()}, filepath.Join("..", "..", "plugins", p.Name))
		})
	}
}

// TestPythonConforms does the same with a component of each kind in Python, and with PyTorch as an engine.
func TestPythonConforms(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:"+os.Getenv("PATH"))
	for folder, modules := range map[string]string{"sdk/python/testdata/kinds": "", "torch": ", torch"} {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			if modules != "" && os.Getenv("ASTERISM_LONG") == "" {
				t.Skip("PyTorch is started ten times: set ASTERISM_LONG")
			}
			if !havePython(t, modules) {
				t.Skip("Python has not all that this needs")
			}
			folder := filepath.Join("..", "..", "plugins", filepath.FromSlash(folder))
			p, err := registry.Build(t.Context(), folder, filepath.Join(t.TempDir(), "built"), asterism.PythonSDK())
			if err != nil {
				t.Fatal(err)
			}
			conform(t, plugin.Spec{Name: p.Name, Version: p.Version, Command: p.Command, Dir: p.Dir, Manifest: p.Manifest}, folder)
		})
	}
}
