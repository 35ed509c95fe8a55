package main

import (
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type jitter struct {
	Sigma float64 `json:"sigma"`
}

func newJitter(c jitter) (sdk.Augmenter, error) { return c, nil }

// Plan wants series.
func (j jitter) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	_, _, err := series("jitter", facts)
	return same(facts), err
}

// Apply adds N(0, (sigma·s)²) to every value, s being the standard deviation of its dimension in this series.
func (j jitter) Apply(s *sdk.Sample) error {
	dimensions := len(s.In) / int(s.Facts.Shape[0])
	for d := range dimensions {
		sigma := j.Sigma * deviation(s.In[d:], dimensions)
		for i := d; i < len(s.In); i += dimensions {
			s.Out[i] = s.In[i] + float32(sigma*s.Random.Normal())
		}
	}
	return nil
}

// deviation is the standard deviation of every step-th value.
func deviation(x []float32, step int) float64 {
	n, sum, squares := 0.0, 0.0, 0.0
	for i := 0; i < len(x); i += step {
		n, sum = n+1, sum+float64(x[i])
	}
	for i := 0; i < len(x); i += step {
		d := float64(x[i]) - sum/n
		squares += d * d
	}
	return math.Sqrt(squares / n)
}
