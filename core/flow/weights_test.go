package flow_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/torch"
)

// twice is an experiment with a second, slower network, that starts with PyTorch's weights.
const twice = `
import "asterism.dev/schemas:asterism"

asterism.#Experiment & {
	name: "twice"
	data: {sources: [{"skysim.galaxies": {count: 60, size: 16}}], split: {valid: 0.1, test: 0.3}}
	views: {train: [{"sky.rotate": {}}], eval: []}
	encoder: {"resnet.r18": {width: 1, stem: "small"}, from: "moco.pth.tar"}
	train: {objective: {"contrast.moco": {queue: 16, dim: 8, momentum: 0.999}}, epochs: 2, batch: 8, optimizer: sgd: lr: 0.01}
	tasks: {}
}
`

// starts loads the experiment in a folder of its own with PyTorch's file.
func starts(t *testing.T, sets ...string) (*experiment.Experiment, flow.Options) {
	t.Helper()
	golden, err := os.ReadFile(filepath.Join("testdata", "moco.pth.tar"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string][]byte{"twice.cue": []byte(twice), "moco.pth.tar": golden} {
		if err := os.WriteFile(name, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	x, err := experiment.Load("twice.cue", experiment.Options{Schemas: installed{}, Sets: sets})
	if err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	t.Cleanup(func() { o.Host.Close(); o.Cache.Close() })
	return x, o
}

// given are the weights in PyTorch's file, by the encoder's names.
func given(t *testing.T) map[string][]float32 {
	t.Helper()
	f, err := torch.Open("moco.pth.tar")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	values := map[string][]float32{}
	for _, a := range f.Tensors {
		if name, ok := strings.CutPrefix(a.Name, "state_dict.module.encoder_q."); ok && !strings.HasPrefix(name, "fc.") && !strings.HasSuffix(name, "num_batches_tracked") {
			if values[name], err = a.Float32(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return values
}

// Without learning, a run keeps the weights that it was given, to the bit.
func TestGivenWeightsAreKeptWithoutLearning(t *testing.T) {
	x, o := starts(t, "train.epochs=0", "train.batch=64", `train.objective."contrast.moco".queue=64`) // more than there are
	path, err := flow.New(x, o).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	arrays, _, err := engine.ReadArrays(filepath.Join(path, "weights.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	want, same := given(t), 0
	for _, a := range arrays {
		if name, ok := strings.CutPrefix(a.Name, "encoder."); ok {
			if !slices.Equal(a.Data, want[name]) {
				t.Errorf("%s is not what was given", name)
			}
			same++
		}
	}
	if same != len(want) || same != 100 {
		t.Errorf("%d arrays of %d", same, len(want))
	}
}

// Both networks of an objective start with the given weights, and a training that is continued goes on from its own.
func TestBothNetworksStartWithGivenWeights(t *testing.T) {
	x, o := starts(t)
	o.StopAfter = 1
	for _, step := range []string{"step-00000001", "step-00000002"} {
		path, err := flow.New(x, o).Run(context.Background())
		if fault.KindOf(err) != fault.Interrupted {
			t.Fatal(err)
		}
		arrays, _, err := engine.ReadArrays(filepath.Join(path, "checkpoints", step, "network.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		seen, moved := 0, 0
		for name, want := range given(t) {
			if strings.Contains(name, "running") {
				continue // which change fast
			}
			for _, network := range []string{"encoder.", "momentum.encoder."} {
				i := slices.IndexFunc(arrays, func(a engine.Array) bool { return a.Name == network+name })
				if i < 0 {
					t.Fatalf("no array %s%s", network, name)
				}
				far := distance(arrays[i].Data, want)
				if far > 0.1 { // after a step or two; drawn filters are further away
					t.Errorf("%s: %s%s is %.2g away from what was given", step, network, name, far)
				}
				if far > 0 {
					moved++
				}
				seen++
			}
		}
		if seen != 2*60 || moved == 0 {
			t.Errorf("%s: %d arrays, of which %d have moved", step, seen, moved)
		}
		o.StopAfter++
	}
}

// distance is that of two arrays, in the largest value.
func distance(a, b []float32) (far float64) {
	for i, v := range a {
		far = max(far, math.Abs(float64(v-b[i])))
	}
	return far
}

// Weights that change while a run is on its way are not those of its plan.
func TestGivenWeightsMayNotChangeOnTheWay(t *testing.T) {
	x, o := starts(t)
	f := flow.New(x, o)
	if _, err := f.Plan(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := engine.WriteArrays("moco.pth.tar", []engine.Array{{Name: "conv1.weight", Shape: []int64{1}, Data: []float32{1}}}, nil); err != nil {
		t.Fatal(err)
	}
	_, err := f.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "encoder.from") || !strings.Contains(err.Error(), "moco.pth.tar has changed since this run began") {
		t.Errorf("%v", err)
	}
}
