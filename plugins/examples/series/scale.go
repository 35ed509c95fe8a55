package main

import "github.com/asterism-ssl/asterism/plugins/sdk"

type scale struct {
	Sigma    float64 `json:"sigma"`
	Together bool    `json:"together"`
}

func newScale(c scale) (sdk.Augmenter, error) { return c, nil }

// Plan wants series.
func (c scale) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	_, _, err := series("scale", facts)
	return same(facts), err
}

// Apply draws a factor from N(1, sigma²) for each dimension, or one for all.
func (c scale) Apply(s *sdk.Sample) error {
	dimensions := len(s.In) / int(s.Facts.Shape[0])
	factor := float32(1)
	for d := range dimensions {
		if d == 0 || !c.Together {
			factor = float32(1 + c.Sigma*s.Random.Normal())
		}
		for i := d; i < len(s.In); i += dimensions {
			s.Out[i] = factor * s.In[i]
		}
	}
	return nil
}
