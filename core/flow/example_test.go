package flow_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/stage"
	"github.com/asterism-ssl/asterism/plugins/classify"
	"github.com/asterism-ssl/asterism/plugins/contrast"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sky"
	"github.com/asterism-ssl/asterism/plugins/skysim"
)

var plugins = map[string]sdk.Plugin{
	"classify": classify.Plugin(), "contrast": contrast.Plugin(), "resnet": resnet.Plugin(), "sky": sky.Plugin(), "skysim": skysim.Plugin(),
}

// TestMain lets this test binary serve its plugins.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		sdk.Serve(plugins[os.Args[2]])
		return
	}
	os.Exit(m.Run())
}

// installed knows the components of the plugins above; a program asks the registry.
type installed struct{}

func (installed) List() (all []experiment.Schema) {
	for name, p := range plugins {
		for _, c := range p.Manifest().Components {
			all = append(all, experiment.Schema{Name: name + "." + c.Name, Kind: c.Kind, Text: c.Schema, Revision: c.Revision, Plugin: name})
		}
	}
	return all
}

func (i installed) Schema(name string) (experiment.Schema, bool) {
	for _, s := range i.List() {
		if s.Name == name {
			return s, true
		}
	}
	return experiment.Schema{}, false
}

const tiny = `
import "asterism.dev/schemas:asterism"

asterism.#Experiment & {
	name: "tiny"
	seed: 3
	data: {sources: [{"skysim.galaxies": {count: 120, size: 16}}], split: {valid: 0.1, test: 0.3}}
	views: {train: [{"sky.rotate": {}}], eval: []}
	encoder: {"resnet.r18": {width: 8, stem: "small"}}
	train: {objective: {"contrast.simclr": {dim: 8}}, epochs: 1, batch: 16, optimizer: sgd: lr: 0.03}
	tasks: morphology: {"classify.linear": {label: "morphology"}}
}
`

// options say with what the experiments of this package are run.
func options(dir string) flow.Options {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cache, err := stage.Open(filepath.Join(dir, "cache"))
	if err != nil {
		panic(err)
	}
	return flow.Options{
		Host: plugin.NewHost(func(name string) (plugin.Spec, error) {
			return plugin.Spec{Name: name, Command: []string{self, "serve", name}, Manifest: plugins[name].Manifest()}, nil
		}, plugin.Options{}),
		Engine: native.New(), Cache: cache, Runs: filepath.Join(dir, "runs"),
		Revision: func(string) string { return "1" },
		Plugins:  func([]string) map[string]string { return nil },
	}
}

// An experiment is run, and run again: the second time every stage is there.
func Example() {
	dir, err := os.MkdirTemp("", "flow")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "tiny.cue")
	if err := os.WriteFile(file, []byte(tiny), 0o666); err != nil {
		panic(err)
	}
	x, err := experiment.Load(file, experiment.Options{Schemas: installed{}})
	if err != nil {
		panic(err)
	}
	o := options(dir)
	defer o.Host.Close()
	defer o.Cache.Close()
	for range 2 {
		path, err := flow.New(x, o).Run(context.Background())
		if err != nil {
			panic(err)
		}
		m, err := run.ReadManifest(path)
		if err != nil {
			panic(err)
		}
		fmt.Println(m.Name, m.Status)
		for _, s := range m.Stages {
			fmt.Println(" ", s.Name, s.Reused)
		}
	}
	// Output:
	// tiny done
	//   data false
	//   views false
	//   train false
	//   embed false
	//   untrained false
	//   map false
	//   task morphology false
	// tiny done
	//   data true
	//   views true
	//   train true
	//   embed true
	//   untrained true
	//   map true
	//   task morphology true
}
