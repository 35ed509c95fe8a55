package experiment_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// installed stands for the registry.
type installed []experiment.Schema

func (s installed) List() []experiment.Schema { return s }

func (s installed) Schema(name string) (experiment.Schema, bool) {
	for _, x := range s {
		if x.Name == name {
			return x, true
		}
	}
	return experiment.Schema{}, false
}

func Example() {
	schemas := installed{
		{Name: "skysim.galaxies", Kind: protocol.Kind_DATASET, Text: `#Config: {
			// How many galaxies.
			count: int & >0 | *1000
		}`},
		{Name: "resnet.r18", Kind: protocol.Kind_ENCODER, Text: `#Config: {}`},
		{Name: "contrast.moco", Kind: protocol.Kind_OBJECTIVE, Text: `#Config: {}`},
	}
	dir, _ := os.MkdirTemp("", "experiment")
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "small.cue")
	os.WriteFile(file, []byte(`
name: "small"
data: sources: [{"skysim.galaxies": {}}]
views: {train: [], eval: []}
encoder: "resnet.r18": {}
train: {objective: "contrast.moco": {}, epochs: 5, optimizer: sgd: lr: 0.03}
`), 0o666)

	e, err := experiment.Load(file, experiment.Options{Schemas: schemas, Sets: []string{"train.batch=64"}})
	if err != nil {
		fault.Print(os.Stdout, err)
		return
	}
	fmt.Println(e.Name, e.Train.Batch, string(e.Data.Sources[0].Config))

	_, err = experiment.Load(file, experiment.Options{Schemas: schemas, Sets: []string{"train.epochs=-1", "data.sources.0.cuont=5"}})
	fault.Print(os.Stdout, err)
	// Output:
	// small 64 {"count":1000}
	// error: --set data.sources.0.cuont=5: data.sources.0.cuont: skysim.galaxies: there is no such field
	//   → did you mean count?
	// error: --set train.epochs=-1: train.epochs: -1 is not allowed: must be an integer from 0 to 1000000
}
