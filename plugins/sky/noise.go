package sky

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// normalised is the unit that sky.normalise leaves; the statistics of the stored pixels do not describe such pixels.
const normalised = "normalised"

type noiseConfig struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

type noise struct{ noiseConfig }

func newNoise(c noiseConfig) (sdk.Augmenter, error) { return noise{c}, nil }

// Plan asks for the statistics of the training split, and so wants pixels in the unit in which they are stored.
func (n noise) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank("noise", facts, 1, 2, 3); err != nil {
		return nil, err
	}
	if facts.Unit == normalised {
		return nil, sdk.ConfigError{What: "noise is in units of the stored pixels' scatter, and these pixels are normalised",
			Advice: "put sky.noise before sky.normalise"}
	}
	return &sdk.AugmentationPlan{Leaves: leaves(facts), Statistics: true, Ranks: []uint32{1, 2, 3}}, nil
}

// Apply draws one factor for the sample, uniform in low…high, and adds N(0, (factor·MAD_b)²) to every pixel of band b.
func (n noise) Apply(s *sdk.Sample) error {
	bands, err := statistics(s)
	if err != nil {
		return err
	}
	factor := s.Random.Between(n.Low, n.High)
	g := normals.Get().(*normalSource)
	defer normals.Put(g)
	g.pcg.Seed(s.Random.Uint64(), s.Random.Uint64())
	var room [16]float32
	sigma := room[:0]
	for _, b := range bands {
		sigma = append(sigma, float32(factor*b.Mad))
	}
	for at := 0; at+len(sigma) <= len(s.In); at += len(sigma) {
		from, to := s.In[at:at+len(sigma)], s.Out[at:at+len(sigma)]
		for b, w := range sigma {
			to[b] = from[b] + w*float32(g.rand.NormFloat64())
		}
	}
	return nil
}

// statistics gives the statistics of the training split, one for each band.
func statistics(s *sdk.Sample) ([]*sdk.BandStatistics, error) {
	bands := int(s.Facts.Shape[len(s.Facts.Shape)-1])
	if len(s.Statistics) != bands {
		return nil, fmt.Errorf("the host gave statistics of %d bands for samples of %d", len(s.Statistics), bands)
	}
	return s.Statistics, nil
}

// normalSource draws normals for whole images: PCG-DXSM and the ziggurat of math/rand/v2, several times faster than the
// keyed source, seeded from 128 bits of it. For a fixed seed Go's own tests hold this sequence fixed.
type normalSource struct {
	pcg  rand.PCG
	rand *rand.Rand
}

var normals = sync.Pool{New: func() any {
	g := &normalSource{}
	g.rand = rand.New(&g.pcg)
	return g
}}

var smoothers = sync.Pool{New: func() any { return &smoother{} }}
