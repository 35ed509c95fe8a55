package sky

import (
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type normaliseConfig struct {
	Centre    bool    `json:"centre"`
	Stretch   string  `json:"stretch"`
	Softening float64 `json:"softening"`
}

type normalise struct{ normaliseConfig }

func newNormalise(c normaliseConfig) (sdk.Augmenter, error) { return normalise{c}, nil }

// Plan asks for the statistics of the training split; asinh leaves stretched pixels.
func (c normalise) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank("normalise", facts, 1, 2, 3); err != nil {
		return nil, err
	}
	if facts.Unit == normalised {
		return nil, sdk.ConfigError{What: "these pixels are normalised already", Advice: "keep one sky.normalise in the view"}
	}
	out := leaves(facts)
	out.Unit = normalised
	if c.Stretch == "asinh" {
		out.Flux = sdk.Stretched
	}
	return &sdk.AugmentationPlan{Leaves: out, Statistics: true, Ranks: []uint32{1, 2, 3}}, nil
}

// Apply maps band b by u = (x − median_b)/(1.4826 MAD_b), or x/(1.4826 MAD_b) without centring, and then by
// asinh(u/softening) where asked. It draws nothing.
func (c normalise) Apply(s *sdk.Sample) error {
	bands, err := statistics(s)
	if err != nil {
		return err
	}
	var roomScale, roomShift [16]float32
	factors, shifts := roomScale[:0], roomShift[:0]
	for _, b := range bands {
		median := b.Median
		if !c.Centre {
			median = 0
		}
		factor := 1 / spread(b)
		if c.Stretch == "asinh" {
			factor /= c.Softening
		}
		factors, shifts = append(factors, float32(factor)), append(shifts, float32(median))
	}
	for at := 0; at+len(factors) <= len(s.In); at += len(factors) {
		from, to := s.In[at:at+len(factors)], s.Out[at:at+len(factors)]
		for b, f := range factors {
			to[b] = (from[b] - shifts[b]) * f
		}
	}
	if c.Stretch == "asinh" {
		for i, u := range s.Out {
			s.Out[i] = float32(math.Asinh(float64(u)))
		}
	}
	return nil
}

// spread is the scale of a band: 1.4826 MAD, the standard deviation where more than half of the pixels are equal, and 1
// for a band that is constant.
func spread(b *sdk.BandStatistics) float64 {
	if b.Mad > 0 {
		return 1.4826 * b.Mad
	}
	if b.Deviation > 0 {
		return b.Deviation
	}
	return 1
}
