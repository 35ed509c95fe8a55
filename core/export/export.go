// Package export writes what a run learned for other programs: its encoder as PyTorch's state dictionary in a safetensors
// file, or as an ONNX graph.
//
//	e, err := export.Open(ctx, host, "runs/efigi-1a2b3c4d")
//	err = e.Safetensors("efigi.safetensors")
//	err = e.ONNX("efigi.onnx")
//
// Both take samples as PyTorch and ONNX do, [batch, bands, height, width], and say in their metadata what a reader must
// know to feed them.
package export

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/safetensors"
	"github.com/asterism-ssl/asterism/core/trained"
)

// Encoder is an encoder with its weights.
type Encoder struct {
	Component string            // "resnet.r18"
	Graph     *model.Graph      // for samples as views.eval leaves them
	Arrays    []engine.Array    // as weights.Load names them
	Metadata  map[string]string // what a reader must know: see Open
}

// String says what is written: "resnet.r18 for samples [batch, 5, 64, 64], 122 arrays".
func (e *Encoder) String() string {
	dimensions := []string{"batch"}
	for _, d := range bandsFirst(e.Graph.Input) {
		dimensions = append(dimensions, fmt.Sprint(d))
	}
	return fmt.Sprintf("%s for samples [%s], %d arrays", e.Component, strings.Join(dimensions, ", "), len(e.Arrays))
}

// prefix is that of an encoder's arrays in a network.
const prefix = "encoder."

// Open reads the encoder of a run, and has its plugin describe it. The metadata are
//
//	experiment, run   their names
//	encoder           the component and its configuration, as the experiment has them, in JSON
//	input             the shape of a sample, bands first, in JSON
//	bands, flux       the bands in their order, in JSON; what pixels mean: linear or stretched
//	views.eval        what was done to stored samples before they entered the encoder, in JSON
//	precision         in which products were computed when it learned
func Open(ctx context.Context, host *plugin.Host, dir string) (*Encoder, error) {
	e, err := trained.Open(ctx, host, dir)
	if err != nil {
		return nil, err
	}
	var resolved struct {
		Views map[string]json.RawMessage
		Train struct{ Precision string }
	}
	if err := run.ReadJSON(filepath.Join(dir, "resolved.json"), &resolved); err != nil {
		return nil, trained.Damaged(dir, err)
	}
	text := func(v any) string {
		b, _ := json.Marshal(v) // shapes and names
		return string(b)
	}
	return &Encoder{Component: e.Component, Graph: e.Graph, Arrays: e.Weights, Metadata: map[string]string{
		"experiment": e.Run.Name, "run": e.Run.ID, "asterism": e.Run.Version,
		"encoder": text(map[string]json.RawMessage{e.Component: e.Config}),
		"input":   text(bandsFirst(e.Sample.Shape)), "bands": text(e.Sample.Bands), "flux": e.Sample.Flux,
		"views.eval": string(resolved.Views["eval"]), "precision": resolved.Train.Precision,
	}}, nil
}

// bandsFirst is a shape of ours in PyTorch's order.
func bandsFirst(shape []int64) []int64 {
	last := len(shape) - 1
	return slices.Concat(shape[last:], shape[:last])
}

// Safetensors writes the weights as a state dictionary of PyTorch's: its names, which for networks of torchvision are
// torchvision's, and its layouts.
func (e *Encoder) Safetensors(path string) error {
	arrays := make([]safetensors.Array, 0, len(e.Arrays))
	for _, a := range e.Arrays {
		arrays = append(arrays, safetensors.Of(strings.TrimPrefix(a.Name, prefix), a.Shape, a.Data))
	}
	for _, l := range e.Graph.Layers {
		if norm := l.GetBatchNorm(); norm != nil {
			// PyTorch keeps a count of batches, on which nothing depends; we do not, and where it is missing PyTorch sets zero.
			name := strings.TrimSuffix(norm.RunningMean, "running_mean") + "num_batches_tracked"
			arrays = append(arrays, safetensors.Of(name, nil, []int64{0}))
		}
	}
	metadata := map[string]string{"format": "pt"} // by which other programs know PyTorch's layout
	for k, v := range e.Metadata {
		metadata[k] = v
	}
	return safetensors.Write(path, arrays, metadata)
}
