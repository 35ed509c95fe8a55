package sky

import "github.com/asterism-ssl/asterism/plugins/sdk"

type flipConfig struct {
	Probability float64 `json:"probability"`
	Axes        []int   `json:"axes"`
}

type flip struct{ flipConfig }

func newFlip(c flipConfig) (sdk.Augmenter, error) { return flip{c}, nil }

// Plan wants axes that exist.
func (f flip) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank("flip", facts, 1, 2, 3); err != nil {
		return nil, err
	}
	rank := len(facts.Shape) - 1
	for _, axis := range f.Axes {
		if axis < -rank || axis >= rank {
			return nil, sdk.FieldError{Field: "axes", What: "there is no such axis in a frame of " + times(facts.Shape[:rank]), Advice: "the first spatial axis is 0"}
		}
	}
	return &sdk.AugmentationPlan{Leaves: leaves(facts), Ranks: []uint32{1, 2, 3}}, nil
}

// Apply draws one number for every spatial axis, in their order, whether the axis may flip or not.
func (f flip) Apply(s *sdk.Sample) error {
	rank := len(s.Facts.Shape) - 1
	var mirrored [3]bool
	for i := range rank {
		if s.Random.Uniform() < f.Probability && f.may(i, rank) {
			mirrored[3-rank+i] = true
		}
	}
	n, bands := extent(s.Facts.Shape)
	mirror(s.Out, s.In, n, bands, mirrored)
	return nil
}

func (f flip) may(axis, rank int) bool {
	for _, a := range f.Axes {
		if a == axis || a+rank == axis {
			return true
		}
	}
	return len(f.Axes) == 0
}

// mirror copies a sample with the chosen axes reversed.
func mirror(out, in []float32, n [3]int, bands int, mirrored [3]bool) {
	row := n[2] * bands
	for i := range n[0] {
		for j := range n[1] {
			fi, fj := i, j
			if mirrored[0] {
				fi = n[0] - 1 - i
			}
			if mirrored[1] {
				fj = n[1] - 1 - j
			}
			from, to := in[(fi*n[1]+fj)*row:][:row], out[(i*n[1]+j)*row:][:row]
			if !mirrored[2] {
				copy(to, from)
				continue
			}
			for at := 0; at < row; at += bands {
				copy(to[at:at+bands], from[row-bands-at:row-at])
			}
		}
	}
}
