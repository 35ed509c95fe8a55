package main

import (
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type shallower struct {
	Least float64 `json:"least"`
	Each  bool    `json:"each"`
}

func newShallower(c shallower) (sdk.Augmenter, error) { return c, nil }

// column is the name of the column that holds the noise of a band.
func column(band string) string { return "noise_" + band }

// Plan asks for the noise of every band, which is in the unit of linear pixels.
func (c shallower) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if facts.Flux == sdk.Stretched {
		return nil, sdk.ConfigError{What: "adds noise to fluxes, and these pixels are stretched", Advice: "put hsc.shallower before what stretches"}
	}
	if bands := int(facts.Shape[len(facts.Shape)-1]); len(facts.Bands) != bands {
		return nil, sdk.ConfigError{What: "the bands of these samples have no names, by which their noise is found", Advice: "use it on what hsc.scenes reads"}
	}
	plan := &sdk.AugmentationPlan{Leaves: facts, Ranks: []uint32{1, 2, 3}}
	for _, band := range facts.Bands {
		plan.Columns = append(plan.Columns, column(band))
	}
	return plan, nil
}

// Apply draws the shares and adds the noise.
func (c shallower) Apply(s *sdk.Sample) error {
	bands := len(s.Facts.Bands)
	share := 1.0
	for b, band := range s.Facts.Bands {
		if b == 0 || c.Each {
			share = s.Random.Between(c.Least, 1)
		}
		sigma := s.Column[column(band)] * math.Sqrt(1/share-1)
		if math.IsNaN(sigma) {
			sigma = 0
		}
		for i := b; i < len(s.In); i += bands {
			s.Out[i] = s.In[i] + float32(sigma*s.Random.Normal())
		}
	}
	return nil
}
