package train

import (
	"context"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// inputs is a network that has nothing but inputs of some length.
type inputs struct {
	engine.Network
	length int
}

func (n inputs) Input(string) []float32 { return make([]float32, n.length) }

// A view that leaves another shape than the encoder takes is refused before the first step, in words.
func TestViewsMustFitTheNetwork(t *testing.T) {
	host := plugin.NewHost(nil, plugin.Options{})
	defer host.Close()
	view, err := host.Pipeline(context.Background(), nil, "query", &protocol.SampleFacts{Shape: []int64{12, 12, 5}})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	loader := &Loader{Batch: 2, Rows: []int{0, 1, 2}, Views: map[string]*plugin.Pipeline{"query": view}}
	j := &Job{Batch: 2, Epochs: 1, Source: loader, Network: inputs{length: 2 * 16 * 16 * 5},
		Program: &protocol.Program{Passes: []*protocol.Pass{{Name: "query", View: "query"}}}}
	err = Run(context.Background(), j)
	if fault.KindOf(err) != fault.Config || !strings.Contains(err.Error(), "[12 12 5]") {
		t.Fatalf("%v", err)
	}
	j.Network = inputs{length: 2 * 12 * 12 * 5}
	if err := j.fits(); err != nil {
		t.Fatal(err)
	}
	j.Batch = 4
	if err := Run(context.Background(), j); fault.KindOf(err) != fault.Data {
		t.Fatalf("a batch larger than the training split gave %v", err)
	}
}
