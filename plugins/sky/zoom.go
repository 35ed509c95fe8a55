package sky

import (
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type zoomConfig struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	Fill float32 `json:"fill"`
}

type zoom struct{ zoomConfig }

func newZoom(c zoomConfig) (sdk.Augmenter, error) { return zoom{c}, nil }

// Plan wants images.
func (z zoom) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank("zoom", facts, 2); err != nil {
		return nil, err
	}
	return &sdk.AugmentationPlan{Leaves: leaves(facts), Ranks: []uint32{2}}, nil
}

// Apply draws one factor, log-uniform in low…high, for every band.
func (z zoom) Apply(s *sdk.Sample) error {
	factor := math.Exp(s.Random.Between(math.Log(z.Low), math.Log(z.High)))
	rotate{}.plane(s.Facts.Shape).resample(s.Out, s.In, 1/factor, 0, z.Fill)
	return nil
}
