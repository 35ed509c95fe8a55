package plugin_test

import (
	"context"
	"fmt"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// A chain of one augmentation over a batch of two spectra.
func ExampleHost_Pipeline() {
	h := plugin.NewHost(func(name string) (plugin.Spec, error) {
		return plugin.Spec{Name: name, Command: []string{misfit}}, nil // the tests' plugin; otherwise the registry knows
	}, plugin.Options{})
	defer h.Close()
	ctx := context.Background()
	chain := []plugin.Ref{{Name: "misfit.scale", Config: []byte(`{"value": 10}`), Path: "views.train.0", Where: "file.cue:7:3"}}
	p, err := h.Pipeline(ctx, chain, "train", &protocol.SampleFacts{Shape: []int64{3, 1}, Bands: []string{"flux"}})
	if err != nil {
		panic(err)
	}
	s, err := p.Slot(2)
	if err != nil {
		panic(err)
	}
	copy(s.In, []float32{1, 2, 3, 4, 5, 6})
	copy(s.Samples, []uint64{100, 101})
	err = p.Apply(ctx, s, 2, 7, 0)
	fmt.Println(s.Out, err)
	// Output: [10 20 30 40 50 60] <nil>
}
