package export

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/stage"
	"github.com/asterism-ssl/asterism/plugins/contrast"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sky"
	"github.com/asterism-ssl/asterism/plugins/skysim"
)

var plugins = map[string]sdk.Plugin{"contrast": contrast.Plugin(), "resnet": resnet.Plugin(), "sky": sky.Plugin(), "skysim": skysim.Plugin()}

// TestMain lets this test binary serve its plugins.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		sdk.Serve(plugins[os.Args[2]])
		return
	}
	os.Exit(m.Run())
}

// installed knows the components of the plugins above.
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

const small = `
import "asterism.dev/schemas:asterism"

asterism.#Experiment & {
	name: "small"
	data: sources: [{"skysim.galaxies": {count: 40, size: 32}}]
	views: {train: [{"sky.rotate": {}}], eval: []}
	encoder: {"resnet.r18": {}}
	train: {objective: {"contrast.simclr": {dim: 8}}, epochs: 2, batch: 8, optimizer: sgd: lr: 0.05}
	tasks: {}
}
`

// What a run has left is exported, and torchvision and an evaluator of ONNX give its own representations of its own
// objects.
func TestARunGivesItsRepresentationsElsewhere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "small.cue")
	if err := os.WriteFile(file, []byte(small), 0o666); err != nil {
		t.Fatal(err)
	}
	x, err := experiment.Load(file, experiment.Options{Schemas: installed{}})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := plugin.NewHost(func(name string) (plugin.Spec, error) {
		return plugin.Spec{Name: name, Command: []string{self, "serve", name}, Manifest: plugins[name].Manifest()}, nil
	}, plugin.Options{})
	defer host.Close()
	cache, err := stage.Open(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	f := flow.New(x, flow.Options{
		Host: host, Engine: native.New(), Cache: cache, Runs: filepath.Join(dir, "runs"),
		Revision: func(string) string { return "1" }, Plugins: func([]string) map[string]string { return nil },
	})
	path, err := f.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "exported")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	writeStored(t, f, filepath.Join(folder, "resnet18.in"))
	e, err := Open(t.Context(), host, path)
	if err != nil {
		t.Fatal(err)
	}
	for ending, write := range map[string]func(string) error{"safetensors": e.Safetensors, "onnx": e.ONNX} {
		if err := write(filepath.Join(folder, "resnet18."+ending)); err != nil {
			t.Fatal(err)
		}
	}
	ours := representations(t, filepath.Join(path, "representations.arrow"))
	for script, modules := range map[string]string{"torchvision_load.py": "torch, torchvision", "onnx_eval.py": "onnx"} {
		python(t, script, folder, modules)
		d := distance(ours, numbers(t, filepath.Join(folder, "resnet18.out")))
		t.Logf("%s: representations differ by %.1e", script, d)
		if !(d <= near) {
			t.Errorf("%s: representations differ by %.1e, at most %.0e is allowed", script, d, near)
		}
	}
}

// writeStored writes every object of the run as PyTorch takes it, bands first.
func writeStored(t *testing.T, f *flow.Flow, path string) {
	t.Helper()
	s, err := f.Samples(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Store.Close()
	bands := int(s.Facts.Shape[2])
	area := int(s.Facts.Shape[0] * s.Facts.Shape[1])
	pixels := make([]float32, area*bands)
	var all []byte
	for row := range s.Store.Len() {
		if err := s.Store.Gather(pixels, []int{row}); err != nil {
			t.Fatal(err)
		}
		for b := range bands {
			for p := range area {
				all = binary.LittleEndian.AppendUint32(all, math.Float32bits(pixels[p*bands+b]))
			}
		}
	}
	if err := os.WriteFile(path, all, 0o666); err != nil {
		t.Fatal(err)
	}
}

// representations reads those that a run has left.
func representations(t *testing.T, path string) (all []float32) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := ipc.NewFileReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range r.NumRecords() {
		batch, err := r.RecordBatchAt(i)
		if err != nil {
			t.Fatal(err)
		}
		list := batch.Column(1).(*array.FixedSizeList)
		all = append(all, list.ListValues().(*array.Float32).Float32Values()...)
	}
	return all
}
