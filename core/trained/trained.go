// Package trained opens the encoder that a run has learned, for those who use it: what was learned, and on what.
//
//	e, err := trained.Open(ctx, host, "runs/efigi-1a2b3c4d")
//	err = network.SetParams(e.Weights)
//
// It needs the run's directory alone, neither its data nor the machine on which it learned.
package trained

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/weights"
)

// Encoder is the encoder of a run with its weights.
type Encoder struct {
	Run       *run.Manifest
	Component string          // "resnet.r18"
	Config    json.RawMessage // of the component, as the experiment has it
	Sample    run.Shape       // that enters it: as views.eval leaves it
	Graph     *model.Graph    // for such samples
	Weights   []engine.Array  // as weights.Load names them
}

// Open reads the encoder of a run, and has its plugin describe it.
func Open(ctx context.Context, host *plugin.Host, dir string) (*Encoder, error) {
	manifest, err := run.ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, weights.File)); errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Error{Op: "run", Kind: fault.Config, What: fmt.Sprintf("the run %s has no weights: it is %s", manifest.ID, manifest.Status), Do: "run its experiment to the end: asterism run " + manifest.Experiment}
	}
	var plan run.Plan
	if err := run.ReadJSON(filepath.Join(dir, "plan.json"), &plan); err != nil {
		return nil, Damaged(dir, err)
	}
	e := &Encoder{Run: manifest, Sample: plan.Frame}
	for _, v := range plan.Views {
		if v.Name == "eval" && len(v.Links) > 0 {
			e.Sample = v.Links[len(v.Links)-1].Leaves
		}
	}
	if e.Component, e.Config, err = weights.EncoderOf(filepath.Join(dir, weights.File)); err != nil {
		return nil, Damaged(dir, err)
	}
	if len(e.Sample.Shape) == 0 {
		return nil, Damaged(dir, errors.New("the shape of its samples is not recorded"))
	}
	m, err := host.Encoder(ctx, plugin.Ref{Name: e.Component, Config: e.Config, Path: "encoder"}, e.Sample.Shape)
	if err != nil {
		return nil, err
	}
	if e.Graph, err = model.Check(m); err != nil {
		return nil, err
	}
	if !slices.EqualFunc(e.Graph.Layers, plan.Encoder.Layers, func(l *model.Layer, p run.PlanLayer) bool {
		return l.Name == p.Name && string(l.Kind) == p.Op
	}) {
		return nil, &fault.Error{Op: "run", Kind: fault.Plugin, Plugin: e.Component,
			What: "the installed plugin describes another network than the one that learned in " + dir,
			Do:   fmt.Sprintf("use the plugin's version of that run, %s", manifest.Plugins[strings.Split(e.Component, ".")[0]])}
	}
	w, err := weights.Load(dir, m)
	if err != nil {
		return nil, err
	}
	e.Weights = w.Arrays
	return e, nil
}

// Damaged says that a run directory lacks what every run has.
func Damaged(dir string, err error) error {
	return &fault.Error{Op: "run", Kind: fault.Data, What: "the run directory " + dir + " is not whole", Err: err, Do: "copy it again, or run its experiment again"}
}
