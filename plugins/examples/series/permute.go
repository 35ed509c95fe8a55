package main

import (
	"fmt"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type permute struct {
	Segments int `json:"segments"`
}

func newPermute(c permute) (sdk.Augmenter, error) { return c, nil }

// Plan wants series with at least one point a segment.
func (c permute) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	length, _, err := series("permute", facts)
	if err == nil && length < c.Segments {
		err = sdk.FieldError{Field: "segments", What: fmt.Sprintf("%d segments of a series of %d points", c.Segments, length), Advice: fmt.Sprintf("give at most %d", length)}
	}
	return same(facts), err
}

// Apply draws the cuts, all sets of them alike, and the order of the segments.
func (c permute) Apply(s *sdk.Sample) error {
	length := int(s.Facts.Shape[0])
	dimensions := len(s.In) / length
	cuts := []int{0, length}
	for _, cut := range s.Random.Shuffle(length - 1)[:c.Segments-1] {
		cuts = append(cuts, cut+1)
	}
	slices.Sort(cuts)
	to := 0
	for _, i := range s.Random.Shuffle(c.Segments) {
		to += copy(s.Out[to:], s.In[cuts[i]*dimensions:cuts[i+1]*dimensions])
	}
	return nil
}
