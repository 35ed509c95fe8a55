package main

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// matrix maps vectors along the three axes of space.
type matrix [3][3]float64

// times is first b, then a.
func (a matrix) times(b matrix) (c matrix) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				c[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return c
}

var unit = matrix{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}

// about is the rotation about an axis, from the first towards the second of the other two in their cyclic order.
func about(axis int, cos, sin float64) matrix {
	m := unit
	i, j := (axis+1)%3, (axis+2)%3
	m[i][i], m[i][j], m[j][i], m[j][j] = cos, -sin, sin, cos
	return m
}

// uniform is a rotation drawn uniformly: that of a uniform unit quaternion (Shoemake 1992, Graphics Gems III).
func uniform(r *sdk.Source) matrix {
	u := r.Uniform()
	s1, c1 := math.Sincos(2 * math.Pi * r.Uniform())
	s2, c2 := math.Sincos(2 * math.Pi * r.Uniform())
	a, b := math.Sqrt(1-u), math.Sqrt(u)
	return fromQuaternion(a*s1, a*c1, b*s2, b*c2)
}

// fromQuaternion is the rotation of the unit quaternion xi + yj + zk + w.
func fromQuaternion(x, y, z, w float64) matrix {
	return matrix{
		{1 - 2*(y*y+z*z), 2 * (x*y - z*w), 2 * (x*z + y*w)},
		{2 * (x*y + z*w), 1 - 2*(x*x+z*z), 2 * (y*z - x*w)},
		{2 * (x*z - y*w), 2 * (y*z + x*w), 1 - 2*(x*x+y*y)},
	}
}

// spaced is m for vectors counted in voxels of this size.
func (m matrix) spaced(size [3]float64) matrix {
	for i := range 3 {
		for j := range 3 {
			m[i][j] *= size[j] / size[i]
		}
	}
	return m
}

type rotate struct {
	Axes      []int      `json:"axes"`
	Degrees   float64    `json:"degrees"`
	Isotropic bool       `json:"isotropic"`
	Spacing   [3]float64 `json:"spacing"`
	Fill      float32    `json:"fill"`
}

func newRotate(c rotate) (sdk.Augmenter, error) { return c, nil }

// inSpace refuses samples that are no volumes.
func inSpace(component string, facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if len(facts.Shape) != 4 {
		return nil, sdk.ConfigError{What: fmt.Sprintf("cannot work on %dD samples", len(facts.Shape)-1),
			Advice: fmt.Sprintf("it works on volumes; leave volumes.%s out of this view", component)}
	}
	return &sdk.AugmentationPlan{Leaves: facts, Ranks: []uint32{3}}, nil
}

// Plan wants volumes.
func (r rotate) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	return inSpace("rotate", facts)
}

// Apply draws the rotation and reads the volume where each voxel comes from.
func (r rotate) Apply(s *sdk.Sample) error {
	m := unit
	if r.Isotropic {
		m = uniform(s.Random)
	} else {
		for _, axis := range r.Axes {
			sin, cos := math.Sincos(s.Random.Between(-r.Degrees, r.Degrees) * math.Pi / 180)
			m = about((axis+3)%3, cos, sin).times(m)
		}
	}
	resample(s.Out, s.In, s.Facts.Shape, m.spaced(r.Spacing), r.Fill)
	return nil
}

// resample gives the voxel at p, from the centre, the value at m·p, between voxels by trilinear interpolation; beyond the
// outermost voxels stand voxels of the value fill. This is scipy.ndimage's affine_transform with order 1 and mode
// "grid-constant".
func resample(out, in []float32, shape []int64, m matrix, fill float32) {
	n := [3]int{int(shape[0]), int(shape[1]), int(shape[2])}
	bands := int(shape[3])
	strides := [3]int{n[1] * n[2] * bands, n[2] * bands, bands}
	var centre [3]float64
	for i := range 3 {
		centre[i] = float64(n[i]-1) / 2
	}
	to := 0
	for z := range n[0] {
		for y := range n[1] {
			for x := range n[2] {
				p := [3]float64{float64(z) - centre[0], float64(y) - centre[1], float64(x) - centre[2]}
				var low [3]int
				var w [3]float32
				inside, outside := true, false
				for i := range 3 {
					q := centre[i] + m[i][0]*p[0] + m[i][1]*p[1] + m[i][2]*p[2]
					floor := math.Floor(q)
					low[i], w[i] = int(floor), float32(q-floor)
					inside = inside && low[i] >= 0 && low[i] < n[i]-1
					outside = outside || q <= -1 || q >= float64(n[i])
				}
				target := out[to : to+bands]
				to += bands
				if outside {
					for b := range target {
						target[b] = fill
					}
					continue
				}
				clear(target)
				for corner := range 8 {
					weight, at, there := float32(1), 0, true
					for i := range 3 {
						k := low[i]
						if corner>>i&1 == 1 {
							k++
							weight *= w[i]
						} else {
							weight *= 1 - w[i]
						}
						there = there && (inside || k >= 0 && k < n[i])
						at += k * strides[i]
					}
					switch {
					case weight == 0:
					case there:
						for b, v := range in[at : at+bands] {
							target[b] += weight * v
						}
					default:
						for b := range target {
							target[b] += weight * fill
						}
					}
				}
			}
		}
	}
}
