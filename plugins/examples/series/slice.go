package main

import "github.com/asterism-ssl/asterism/plugins/sdk"

type slice struct {
	Keep float64 `json:"keep"`
}

func newSlice(c slice) (sdk.Augmenter, error) { return c, nil }

// Plan wants series.
func (c slice) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	_, _, err := series("slice", facts)
	return same(facts), err
}

// Apply draws where a window of the share keep begins, uniformly, and reads it with as many points as there were.
func (c slice) Apply(s *sdk.Sample) error {
	length := int(s.Facts.Shape[0])
	span := float64(length-1) * c.Keep
	start := s.Random.Between(0, float64(length-1)-span)
	resample(s.Out, s.In, length, window(start, span, length))
	return nil
}

// window gives the place of each point of a window that begins at start and ends after span.
func window(start, span float64, length int) func(t int) float64 {
	return func(t int) float64 { return start + span*float64(t)/float64(max(length-1, 1)) }
}

// resample reads every dimension at the places, in points, that from gives, with straight lines between points.
func resample(out, in []float32, length int, from func(t int) float64) {
	dimensions := len(in) / length
	for t := range length {
		x := min(max(from(t), 0), float64(length-1))
		i := min(int(x), max(length-2, 0))
		w := float32(x - float64(i))
		for d := range dimensions {
			a, b := in[i*dimensions+d], in[min(i+1, length-1)*dimensions+d]
			out[t*dimensions+d] = a + w*(b-a)
		}
	}
}
