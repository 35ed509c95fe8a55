package main

import (
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type turn struct {
	Axes      []int `json:"axes"`
	Isotropic bool  `json:"isotropic"`
}

func newTurn(c turn) (sdk.Augmenter, error) { return c, nil }

// Plan wants volumes that are as long along every axis that a turn exchanges.
func (t turn) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	plan, err := inSpace("turn", facts)
	if err != nil {
		return nil, err
	}
	n := facts.Shape
	for axis := range 3 {
		if t.may(axis) && n[(axis+1)%3] != n[(axis+2)%3] {
			return nil, sdk.FieldError{Field: "axes", What: fmt.Sprintf("a quarter turn about axis %d does not fit into a frame of %d×%d×%d", axis, n[0], n[1], n[2]),
				Advice: "crop to a cube first, or turn about other axes"}
		}
	}
	return plan, nil
}

// may says whether the turn can be about an axis.
func (t turn) may(axis int) bool {
	for _, a := range t.Axes {
		if (a+3)%3 == axis {
			return true
		}
	}
	return t.Isotropic
}

// cube are the 24 rotations of a cube: each brings one of its six sides forward and then has one of four turns.
var cube = func() (all []signed) {
	forward := []signed{straight}
	for _, side := range [][2]int{{1, 1}, {1, 2}, {1, 3}, {2, 1}, {2, 3}} { // the axis and the quarters
		forward = append(forward, straight.quarter(side[0], side[1]))
	}
	for _, f := range forward {
		for q := range 4 {
			all = append(all, f.quarter(0, q))
		}
	}
	return all
}()

// signed says, for each axis, along which axis it is read, and whether backwards.
type signed [3]struct {
	axis int
	back bool
}

var straight = signed{{0, false}, {1, false}, {2, false}}

// quarter is s and then so many quarter turns about an axis.
func (s signed) quarter(axis, quarters int) signed {
	i, j := (axis+1)%3, (axis+2)%3
	for range quarters {
		s[i], s[j] = s[j], s[i]
		s[i].back = !s[i].back
	}
	return s
}

// Apply draws the turns and moves every voxel.
func (t turn) Apply(s *sdk.Sample) error {
	to := straight
	if t.Isotropic {
		to = cube[s.Random.Intn(len(cube))]
	} else {
		for _, axis := range t.Axes {
			to = to.quarter((axis+3)%3, s.Random.Intn(4))
		}
	}
	to.move(s.Out, s.In, s.Facts.Shape)
	return nil
}

// move copies a volume so that its axis i is read along the axis s[i].
func (s signed) move(out, in []float32, shape []int64) {
	bands := int(shape[3])
	n := [3]int{int(shape[0]), int(shape[1]), int(shape[2])}
	strides := [3]int{n[1] * n[2] * bands, n[2] * bands, bands}
	start := 0
	var step [3]int
	for i, a := range s {
		step[i] = strides[a.axis]
		if a.back {
			start += (n[a.axis] - 1) * strides[a.axis]
			step[i] = -step[i]
		}
	}
	to := 0
	for z := range n[0] {
		for y := range n[1] {
			for x := range n[2] {
				from := start + z*step[0] + y*step[1] + x*step[2]
				to += copy(out[to:to+bands], in[from:from+bands])
			}
		}
	}
}
