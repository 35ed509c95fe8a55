// Package contrast learns representations by telling two views of one object from views of others.
//
// contrast.moco is MoCo v2 (He et al. 2020, CVPR; Chen et al. 2020, arXiv:2003.04297): negatives are the keys of earlier
// batches, kept in a queue, and keys come from a slowly moving copy of the network. contrast.simclr is SimCLR (Chen et
// al. 2020, ICML): negatives are the other objects of the batch.
package contrast

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed moco.cue
var mocoSchema string

//go:embed simclr.cue
var simclrSchema string

// Plugin gives the components of the plugin "contrast".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "contrast", Version: "0.1.0", Components: []sdk.Component{
		sdk.Objective("moco", 1, "MoCo v2: contrast with a queue of earlier keys and a momentum network", mocoSchema, newMoCo),
		sdk.Objective("simclr", 1, "SimCLR: contrast with the other objects of the batch", simclrSchema, newSimCLR),
	}}
}

// projector is the head that embeds representations on the unit sphere of dim dimensions: linear, relu, linear. With
// norm each linear layer is followed by batch norm.
func projector(representation []int64, hidden, dim int, norm bool) (*sdk.Head, error) {
	if len(representation) != 1 {
		return nil, sdk.ConfigError{What: fmt.Sprintf("contrast wants a representation that is a vector, the encoder's has the shape %v", representation), Advice: "choose another encoder"}
	}
	if hidden == 0 {
		hidden = int(representation[0])
	}
	m := sdk.NewModel(representation)
	x := m.Linear("0", m.Input(), sdk.LinearOptions{Out: int64(hidden), NoBias: norm})
	if norm {
		x = m.Relu("2", m.BatchNorm("1", x, sdk.BatchNormOptions{}))
		x = m.BatchNorm("4", m.Linear("3", x, sdk.LinearOptions{Out: int64(dim), NoBias: true}), sdk.BatchNormOptions{})
	} else {
		x = m.Linear("2", m.Relu("1", x), sdk.LinearOptions{Out: int64(dim)})
	}
	m.Output("out", m.L2Normalise("unit", x))
	model, err := m.Model()
	if err != nil {
		return nil, err
	}
	return &sdk.Head{Name: "projector", Model: model, Input: "representation"}, nil
}

// checkGroups refuses batch norm groups that are unequal or of single samples.
func checkGroups(groups, batch int) error {
	if batch%groups == 0 && (batch/groups > 1 || groups == 1) {
		return nil
	}
	good := 1
	for g := groups; g > 1; g-- {
		if batch%g == 0 && batch/g > 1 {
			good = g
			break
		}
	}
	return sdk.FieldError{Field: "norm_groups", What: fmt.Sprintf("a batch of %d has no %d equal groups of at least two", batch, groups), Advice: fmt.Sprintf("use norm_groups: %d, or a batch that is a multiple of %d", good, 2*groups)}
}

// spread is √dim × the mean over dimensions of the standard deviation over the batch: about 1 when the embeddings lie
// all around the sphere, 0 when they are all the same.
func spread(z []float32, dim int) float64 {
	rows := len(z) / dim
	total := 0.0
	for j := range dim {
		sum, square := 0.0, 0.0
		for i := range rows {
			v := float64(z[i*dim+j])
			sum += v
			square += v * v
		}
		mean := sum / float64(rows)
		total += math.Sqrt(max(0, square/float64(rows)-mean*mean))
	}
	return total / math.Sqrt(float64(dim))
}

// tap finds an embedding of the step and checks its size.
func tap(s *sdk.Step, name string, batch, dim int) ([]float32, error) {
	t, ok := s.Taps[name]
	if !ok || len(t.F32) != batch*dim {
		return nil, fmt.Errorf("contrast: the tap %q has %d values, not %d×%d", name, len(t.F32), batch, dim)
	}
	return t.F32, nil
}

// gradient finds where the gradient of a tap goes.
func gradient(s *sdk.Step, name string, batch, dim int) ([]float32, error) {
	t, ok := s.Gradients[name]
	if !ok || len(t.F32) != batch*dim {
		return nil, fmt.Errorf("contrast: the gradient of %q has %d values, not %d×%d", name, len(t.F32), batch, dim)
	}
	return t.F32, nil
}

// nearer says whether the positive beats the hardest negative by more than rounding: of embeddings that have collapsed
// to one point none is nearer, though the sums that give their similarities may differ in the last bits.
func nearer(positive, hardest float64) bool { return positive > hardest+1e-6 }

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func metrics(accuracy, positive, spread float64) []*sdk.Metric {
	return []*sdk.Metric{
		{Name: "contrast accuracy", Value: accuracy, Better: sdk.Higher, Doc: "share of objects whose own other view is nearer than every negative"},
		{Name: "positive similarity", Value: positive, Better: sdk.Neither, Doc: "mean cosine between the two views of an object"},
		{Name: "embedding spread", Value: spread, Better: sdk.Neither, Doc: "√dim × mean standard deviation of the embedding's dimensions over the batch: near 1 when spread over the sphere, 0 when collapsed"},
	}
}
