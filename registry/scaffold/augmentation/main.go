// Acme is a plugin for Asterism with one augmentation.
package main

import (
	_ "embed"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed schema.cue
var schema string

func main() {
	sdk.Serve(sdk.Plugin{Name: "acme", Version: "0.1.0", Components: []sdk.Component{
		// 1 is the revision: raise it whenever results change for the same configuration.
		sdk.Augmentation("gain", 1, "Makes each band brighter or darker by itself.", schema, newGain),
	}})
}

// gain holds the configuration: fields have the names of the schema's, which has checked them.
type gain struct {
	Sigma float64 `json:"sigma"`
}

func newGain(g gain) (sdk.Augmenter, error) { return g, nil }

// Plan says what leaves when facts enter, here the same, and on how many spatial axes it works.
func (g gain) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	return &sdk.AugmentationPlan{Leaves: facts, Ranks: []uint32{1, 2, 3}}, nil
}

// Apply fills s.Out from s.In, which may only be read. Both are [space…, bands], the bands side by side. It is called
// from several goroutines, so it changes nothing but its sample. It draws from s.Random alone: then a sample comes out
// the same in any batch, on any number of processors. A NaN stays a NaN, in its place.
func (g gain) Apply(s *sdk.Sample) error {
	bands := int(s.Facts.Shape[len(s.Facts.Shape)-1])
	for b := range bands {
		factor := float32(math.Exp(g.Sigma * s.Random.Normal()))
		for i := b; i < len(s.In); i += bands {
			s.Out[i] = factor * s.In[i]
		}
	}
	return nil
}
