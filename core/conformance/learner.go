package conformance

import (
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// defaultLabels are the columns that there are where the case names none.
var defaultLabels = []Label{{Column: "kind", Categories: []string{"spiral", "elliptical", "irregular"}}, {Column: "amount", Minimum: 0.1, Maximum: 2}}

// labels are the columns of labels in the case.
func (t *trial) labels() []Label {
	if len(t.given.Labels) > 0 {
		return t.given.Labels
	}
	return defaultLabels
}

// labelFacts describes the columns.
func (t *trial) labelFacts(count uint64) []*protocol.LabelFacts {
	var all []*protocol.LabelFacts
	for _, l := range t.labels() {
		f := &protocol.LabelFacts{Column: l.Column, Categories: l.Categories, Count: count, Minimum: l.Minimum, Maximum: l.Maximum, Type: protocol.Field_NUMBER}
		if len(l.Categories) > 0 {
			f.Type, f.Minimum, f.Maximum = protocol.Field_STRING, 0, float64(len(l.Categories)-1)
		}
		all = append(all, f)
	}
	return all
}

// draw makes a label of an object up, which has something to do with u, from 0 to 1.
func (l Label) draw(u float64) float64 {
	if n := len(l.Categories); n > 0 {
		return float64(min(int(u*float64(n)), n-1))
	}
	return l.Minimum + u*(l.Maximum-l.Minimum)
}

// learner is a planned objective with memory for its steps.
type learner struct {
	*trial
	*plugin.Objective
	program *protocol.Program
	checked *engine.Checked
	batch   int
	widths  map[string][]int64
	unit    map[string]bool // taps of heads whose last layer makes vectors of length one
	columns []string
}

// stand is an encoder that is there for the shapes of its outputs alone.
func stand(features, representation []int64) *protocol.Model {
	in, out := model.Size(features), model.Size(representation)
	layer := func(name, input string) *protocol.Layer { return &protocol.Layer{Name: name, Inputs: []string{input}} }
	whole, flat, map_, shaped := layer("whole", "input"), layer("flat", "whole"), layer("map", "flat"), layer("shaped", "map")
	whole.Op = &protocol.Layer_Relu{Relu: &protocol.Relu{}}
	flat.Op = &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: []int64{in}}}
	map_.Op = &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: "weight"}}
	shaped.Op = &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: representation}}
	return &protocol.Model{Opset: 2, Input: features, Layers: []*protocol.Layer{whole, flat, map_, shaped},
		Parameters: []*protocol.Parameter{{Name: "weight", Shape: []int64{out, in}, Init: &protocol.Init{Is: &protocol.Init_Normal{Normal: 1}}}},
		Outputs:    map[string]string{"features": "whole", "representation": "shaped"}}
}

// learner configures and plans the component and lays its memory out.
func (t *trial) learner(h *home) (*learner, error) {
	o, err := h.Objective(t.ctx, t.ref())
	if err != nil {
		return nil, err
	}
	l := &learner{trial: t, Objective: o, batch: int(t.given.Batch), widths: map[string][]int64{}, unit: map[string]bool{}}
	request := &protocol.ProgramRequest{Representation: t.given.Representation, Features: t.given.Features, Batch: t.given.Batch, Samples: t.given.Samples,
		Labels: t.labelFacts(t.given.Samples), Seed: 5}
	if l.program, err = o.Plan(t.ctx, request); err != nil {
		return nil, err
	}
	l.checked, err = engine.Check(engine.Program{Encoder: stand(t.given.Features, t.given.Representation), Heads: l.program.Heads, Passes: l.program.Passes, Taps: l.program.Taps,
		Momentum: l.program.Momentum > 0}, engine.Options{Mode: engine.Train, Batch: l.batch})
	if err != nil {
		return nil, &broken{paragraph: "5.1", expected: "a program that an engine can compile", seen: list(err)}
	}
	for _, tap := range l.program.Taps {
		l.widths[tap.Name] = l.checked.TapShape(tap)
		if g := l.checked.HeadGraphs[tap.Output]; g != nil {
			l.unit[tap.Name] = g.Outputs["out"].Kind == model.L2Normalise
		}
	}
	l.columns = l.program.Labels
	return l, l.Bind(l.batch, l.widths, l.columns)
}

// fill makes up the taps and labels of a step.
func (l *learner) fill(step uint64) {
	stream := key.New(3, "conformance", "taps")
	for k, tap := range l.program.Taps {
		values := l.Tap(tap.Name)
		width := len(values) / l.batch
		for i := range l.batch {
			// What two taps have of one object resembles each other, as two views do.
			own, shared := stream.At(step, uint64(1000*(k+1)+i)), stream.At(step, uint64(i))
			row, square := values[i*width:(i+1)*width], 0.0
			for d := range row {
				row[d] = float32(0.6*own.Normal() + 0.8*shared.Normal())
				square += float64(row[d]) * float64(row[d])
			}
			if l.unit[tap.Name] {
				for d := range row {
					row[d] /= float32(math.Sqrt(square))
				}
			}
		}
	}
	for k, name := range l.columns {
		i := slices.IndexFunc(l.labels(), func(one Label) bool { return one.Column == name })
		for s, into := 0, l.Label(name); s < len(into) && i >= 0; s++ {
			into[s] = l.labels()[i].draw(stream.At(step, uint64(1_000_000*(k+1)+s)).Uniform())
		}
	}
}

// outcome of a step: all bits of it.
type outcome struct {
	loss      float64
	gradients map[string][]float32
}

func (l *learner) step(step uint64) (outcome, error) {
	l.fill(step)
	return l.again(step)
}

// again computes the loss of what the taps hold.
func (l *learner) again(step uint64) (outcome, error) {
	answer, err := l.Loss(l.ctx, step)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{answer.Loss, map[string][]float32{}}
	for _, tap := range l.program.Taps {
		if g := l.Gradient(tap.Name); g != nil {
			o.gradients[tap.Name] = slices.Clone(g)
		}
	}
	return o, nil
}

// differ says in what two outcomes differ; "" for nothing.
func (o outcome) differ(p outcome) string {
	if math.Float64bits(o.loss) != math.Float64bits(p.loss) {
		return fmt.Sprintf("the loss is %v instead of %v", o.loss, p.loss)
	}
	for name, g := range o.gradients {
		for i, v := range g {
			if math.Float32bits(v) != math.Float32bits(p.gradients[name][i]) {
				return fmt.Sprintf("the gradient of %s is %v instead of %v in place %d", name, v, p.gradients[name][i], i)
			}
		}
	}
	return ""
}
