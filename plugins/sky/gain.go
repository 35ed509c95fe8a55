package sky

import (
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type gainConfig struct {
	Together float64 `json:"together"`
	Each     float64 `json:"each"`
}

type gain struct{ gainConfig }

func newGain(c gainConfig) (sdk.Augmenter, error) { return gain{c}, nil }

// Plan takes pixels of which zero is the dark: a factor on centred ones would change their contrast instead.
func (g gain) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank("gain", facts, 1, 2, 3); err != nil {
		return nil, err
	}
	if facts.Unit == normalised {
		return nil, sdk.ConfigError{What: "a gain is a factor on light, and these pixels are normalised", Advice: "put sky.gain before sky.normalise"}
	}
	return &sdk.AugmentationPlan{Leaves: leaves(facts), Ranks: []uint32{1, 2, 3}}, nil
}

// Apply draws Δm for the object and δm for each band, and multiplies band b by 10^(−0.4·(Δm + δm_b)).
func (g gain) Apply(s *sdk.Sample) error {
	bands := int(s.Facts.Shape[len(s.Facts.Shape)-1])
	together := s.Random.Between(-g.Together, g.Together)
	for b := range bands {
		factor := float32(math.Pow(10, -0.4*(together+s.Random.Between(-g.Each, g.Each))))
		for i := b; i < len(s.In); i += bands {
			s.Out[i] = s.In[i] * factor
		}
	}
	return nil
}
