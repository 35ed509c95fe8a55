package main

import (
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type warp struct {
	Knots int     `json:"knots"`
	Sigma float64 `json:"sigma"`
}

func newWarp(c warp) (sdk.Augmenter, error) { return c, nil }

// Plan wants series.
func (c warp) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	_, _, err := series("warp", facts)
	return same(facts), err
}

// Apply draws the speed of time at both ends and at the knots between, exp(N(0, sigma²)), and lets time run so.
func (c warp) Apply(s *sdk.Sample) error {
	speeds := make([]float64, c.Knots+2)
	for i := range speeds {
		speeds[i] = math.Exp(c.Sigma * s.Random.Normal())
	}
	length := int(s.Facts.Shape[0])
	resample(s.Out, s.In, length, warped(speeds, length))
	return nil
}

// warped gives the place in the series at each point in time when time runs at these speeds, which stand at equal
// distances and between which they change linearly. Both ends stay where they are.
func warped(speeds []float64, length int) func(t int) float64 {
	segments := len(speeds) - 1
	passed := make([]float64, segments+1) // at the beginning of each segment, and at the end
	for i := range segments {
		passed[i+1] = passed[i] + (speeds[i]+speeds[i+1])/2
	}
	last := float64(length - 1)
	return func(t int) float64 {
		u := float64(segments) * float64(t) / math.Max(last, 1)
		i := min(int(u), segments-1)
		w := u - float64(i)
		return last * (passed[i] + w*speeds[i] + w*w/2*(speeds[i+1]-speeds[i])) / passed[segments]
	}
}
