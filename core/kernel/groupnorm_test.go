package kernel

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// naiveGroups calls f with the places of the values of each sample and group of channels.
func naiveGroups(n Norm, groups int, f func(places []int)) {
	size := n.Channels / groups
	for s := range n.Groups {
		for g := range groups {
			var places []int
			for r := range n.Rows {
				for c := range size {
					places = append(places, (s*n.Rows+r)*n.Channels+g*size+c)
				}
			}
			f(places)
		}
	}
}

func TestGroupNorm(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		groups := rapid.IntRange(1, 5).Draw(r, "groups")
		n := Norm{rapid.IntRange(1, 4).Draw(r, "samples"), rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(10, 300)).Draw(r, "rows"), groups * rapid.IntRange(1, 20).Draw(r, "channels of a group")}
		const eps = 1e-3
		x, dy, gamma, beta := c.array(n.length()), c.array(n.length()), c.array(n.Channels), c.array(n.Channels)
		offset := rapid.SampledFrom([]float32{0, 10}).Draw(r, "offset")
		for i := range x {
			x[i] += offset * float32(1+i%n.Channels%3)
		}
		if rapid.Bool().Draw(r, "plain") {
			gamma, beta = nil, nil
		}
		at := fmt.Sprintf(" of %+v in %d groups", n, groups)
		wantY, wantDx, size := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
		naiveGroups(n, groups, func(places []int) {
			part := make([]float32, len(places))
			for i, place := range places {
				part[i] = x[place]
			}
			unit, inverse := naiveUnit(part, eps)
			var sum, along float64
			for i, place := range places {
				ch := place % n.Channels
				wantY[place] = float32(unit[i]*at1(gamma, ch, 1) + at1(beta, ch, 0))
				sum += float64(dy[place]) * at1(gamma, ch, 1)
				along += float64(dy[place]) * at1(gamma, ch, 1) * unit[i]
			}
			for i, place := range places {
				wantDx[place] = float32(inverse * (float64(dy[place])*at1(gamma, place%n.Channels, 1) - (sum+unit[i]*along)/float64(len(places))))
				size[place] = float32((1 + float64(offset)) * (2 + inverse))
			}
		})
		k := n.Groups * n.Channels
		s := c.same(c.array(2*k), func(p *Pool, s []float32) { p.GroupNormStatistics(n, groups, Float32s(x), s[:k], s[k:]) })
		mean, variance := s[:k], s[k:]
		y := c.same(c.array(len(x)), func(p *Pool, y []float32) {
			p.BatchNormApply(n, Float32s(x), mean, variance, gamma, beta, eps, Array{}, false, Float32s(y))
		})
		c.near("y"+at, y, wantY, size, 2e-6)
		sums := c.same(c.array(2*k), func(p *Pool, s []float32) {
			p.BatchNormReduce(n, Float32s(dy), Float32s(x), Array{}, mean, variance, eps, s[:k], s[k:])
		})
		for i := range size {
			size[i] *= size[i]
		}
		dx := c.same(dy, func(p *Pool, dx []float32) {
			p.GroupNormInputGradient(n, groups, Float32s(dx), Float32s(x), mean, variance, gamma, eps, sums[:k], sums[k:], Float32s(dx))
		})
		c.near("dx"+at, dx, wantDx, size, 2e-6)
	})
}
