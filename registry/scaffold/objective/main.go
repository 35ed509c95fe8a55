// Acme is a plugin for Asterism with one objective.
package main

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed schema.cue
var schema string

func main() {
	sdk.Serve(sdk.Plugin{Name: "acme", Version: "0.1.0", Components: []sdk.Component{
		// 1 is the revision: raise it whenever results change for the same configuration.
		sdk.Objective("spread", 1, "Two views of an object together, different objects apart.", schema, newSpread),
	}})
}

// spread holds the configuration: fields have the names of the schema's, which has checked them.
type spread struct {
	Dim    int64   `json:"dim"`
	Weight float64 `json:"weight"`
	T      float64 `json:"t"`
	View   string  `json:"view"`
}

func newSpread(s spread) (sdk.Learner, error) { return s, nil }

// Plan tells the training loop what to compute at each step: which views, through which heads, and what Loss reads.
func (s spread) Plan(r *sdk.ProgramRequest) (*sdk.Program, error) {
	if r.Batch < 2 {
		return nil, sdk.ConfigError{What: fmt.Sprintf("a batch of %d has no different objects", r.Batch), Advice: "use a batch of at least 2"}
	}
	// The head puts embeddings on the unit sphere. What a head computes needs no gradient of ours.
	m := sdk.NewModel(r.Representation)
	m.Output("out", m.L2Normalise("unit", m.Linear("linear", m.Input(), sdk.LinearOptions{Out: s.Dim})))
	head, err := m.Model()
	if err != nil {
		return nil, err
	}
	p := &sdk.Program{Heads: []*sdk.Head{{Name: "embedding", Model: head, Input: "representation"}}}
	for _, name := range []string{"one", "other"} {
		p.Views = append(p.Views, &sdk.ViewNeed{Name: name, Pipeline: s.View})
		p.Passes = append(p.Passes, &sdk.Pass{Name: name, View: name, Heads: []string{"embedding"}, Gradient: true})
		p.Taps = append(p.Taps, &sdk.Tap{Name: name, Pass: name, Output: "embedding"})
	}
	return p, nil
}

// Loss gives the loss of one step and fills its gradients, which are arrays of the taps' shapes [batch, dim]. The tests
// compare them with finite differences.
func (s spread) Loss(step *sdk.Step) (*sdk.LossAnswer, error) {
	one, other := step.Taps["one"].F32, step.Taps["other"].F32
	dOne, dOther := step.Gradients["one"].F32, step.Gradients["other"].F32
	batch := step.Taps["one"].Shape[0]
	// Alignment: the mean square of the distance between the two views of an object.
	alignment := 0.0
	for i := range one {
		d := float64(one[i]) - float64(other[i])
		alignment += d * d / float64(batch)
		dOne[i], dOther[i] = float32(2*d/float64(batch)), float32(-2*d/float64(batch))
	}
	uniformity := s.uniformity(one, dOne, batch)/2 + s.uniformity(other, dOther, batch)/2
	return &sdk.LossAnswer{Loss: alignment + s.Weight*uniformity, Metrics: []*sdk.Metric{
		{Name: "alignment", Value: alignment, Better: sdk.Lower},
		{Name: "uniformity", Value: uniformity, Better: sdk.Lower},
	}}, nil
}

// uniformity is ln of the mean over pairs of exp(-t·distance²): low where embeddings are spread over the sphere. Its
// gradient, times half the weight, is added to dz.
func (s spread) uniformity(z, dz []float32, batch int) float64 {
	dim := len(z) / batch
	near := make([]float64, batch*batch)
	sum := 0.0
	for i := range batch {
		for j := range i {
			square := 0.0
			for k := range dim {
				d := float64(z[i*dim+k]) - float64(z[j*dim+k])
				square += d * d
			}
			near[i*batch+j] = math.Exp(-s.T * square)
			sum += near[i*batch+j]
		}
	}
	for i := range batch {
		for j := range i {
			pull := s.Weight / 2 * -2 * s.T * near[i*batch+j] / sum
			for k := range dim {
				d := pull * (float64(z[i*dim+k]) - float64(z[j*dim+k]))
				dz[i*dim+k] += float32(d)
				dz[j*dim+k] -= float32(d)
			}
		}
	}
	return math.Log(sum / float64(batch*(batch-1)/2))
}
