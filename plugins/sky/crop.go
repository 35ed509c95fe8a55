package sky

import (
	"fmt"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type centerCropConfig struct {
	Size lengths `json:"size"`
}

type jitterCropConfig struct {
	Shift lengths `json:"shift"`
	Size  lengths `json:"size"`
}

// crop takes a box about the centre, moved by up to shift.
type crop struct {
	component   string
	size, shift lengths
}

func newCenterCrop(c centerCropConfig) (sdk.Augmenter, error) {
	return crop{"center_crop", c.Size, lengths{0}}, nil
}

func newJitterCrop(c jitterCropConfig) (sdk.Augmenter, error) {
	return crop{"jitter_crop", c.Size, c.Shift}, nil
}

// Plan refuses a box that can leave the frame.
func (c crop) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank(c.component, facts, 1, 2, 3); err != nil {
		return nil, err
	}
	rank := len(facts.Shape) - 1
	size, err := c.size.of("size", rank)
	if err != nil {
		return nil, err
	}
	shift, err := c.shift.of("shift", rank)
	if err != nil {
		return nil, err
	}
	frame := facts.Shape[:rank]
	for i, n := range frame {
		rest := n - size[i]
		if size[i] < 1 || shift[i] < 0 {
			return nil, sdk.FieldError{Field: "size", What: "a crop needs a size of at least 1 and a shift of at least 0"}
		}
		if rest < 0 {
			return nil, sdk.FieldError{Field: "size", What: fmt.Sprintf("a crop of %d is larger than the frame %s", size[i], times(frame)),
				Advice: fmt.Sprintf("give a size of at most %d, or load larger frames", n)}
		}
		if rest/2 < shift[i] {
			return nil, sdk.FieldError{Field: "shift", What: fmt.Sprintf("a crop of %d moved by up to %d leaves the frame %s", size[i], shift[i], times(frame)),
				Advice: fmt.Sprintf("give a shift of at most %d, or a size of at most %d", rest/2, max(1, n-2*shift[i]))}
		}
	}
	out := leaves(facts)
	out.Shape = append(append([]int64(nil), size...), facts.Shape[rank])
	plan := &sdk.AugmentationPlan{Leaves: out, Ranks: []uint32{1, 2, 3}}
	if slices.Max(shift) == 0 {
		for i, n := range frame {
			plan.Origin = append(plan.Origin, uint32(n-size[i])/2)
		}
	}
	return plan, nil
}

// Apply draws one whole number in −shift…+shift for each spatial axis, in their order. The centred box starts at
// ⌊(frame−size)/2⌋.
func (c crop) Apply(s *sdk.Sample) error {
	rank := len(s.Facts.Shape) - 1
	n, bands := extent(s.Facts.Shape)
	size, _ := extent(s.OutShape)
	var start [3]int
	for i := range rank {
		shift := int(c.shift[min(i, len(c.shift)-1)])
		at := 3 - rank + i
		start[at] = (n[at] - size[at]) / 2
		if shift > 0 {
			start[at] += s.Random.Intn(2*shift+1) - shift
		}
	}
	row := size[2] * bands
	for i := range size[0] {
		for j := range size[1] {
			from := (((start[0]+i)*n[1]+start[1]+j)*n[2] + start[2]) * bands
			copy(s.Out[(i*size[1]+j)*row:][:row], s.In[from:from+row])
		}
	}
	return nil
}
