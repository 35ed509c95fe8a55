package tiled

import "math/bits"

// coefficients of the H-transform (Fritze et al. 1977). A step of the transform takes fours of values, a b over c d, to
// their sum and three differences:
//
//	sum  = d + c + b + a    down  = d + c − b − a
//	right = d − c + b − a    cross = d − c − b + a
//
// and goes on with the sums. The upper left quarter of the array holds the sums, transformed, the upper right one the
// differences to the right, the lower left those down and the lower right those across. Parities tell some of the bits, so
// the transform leaves these out; halves are rounded away from zero.
type coefficients struct {
	values        []int64
	width, height int
}

// invert gives the pixels. With smooth it also guesses what dividing by scale has cost.
func (c *coefficients) invert(smooth bool, scale int64) []int64 {
	steps := bits.Len(uint(max(c.width, c.height) - 1))
	if steps == 0 {
		return c.values
	}
	sums := []int64{nearest(c.values[0], 4<<(steps-1))}
	for step := steps - 1; step >= 0; step-- {
		l := c.level(step, sums)
		if smooth && scale > 1 {
			l.smooth(scale / 2)
		}
		sums = l.expand()
	}
	return sums
}

// level is one step of the transform: sums of width sw and height sh become values of width × height.
type level struct {
	sums, values, right, down, cross []int64
	width, height                    int // of values
	sw, sh                           int // of sums
	stride                           int // of the differences
	bit                              int64
	shift                            int
}

func (c *coefficients) level(step int, sums []int64) *level {
	l := &level{sums: sums, stride: c.width, bit: 1 << step, shift: 1}
	if step == 0 {
		l.shift = 2
	}
	l.width, l.height = (c.width+1<<step-1)>>step, (c.height+1<<step-1)>>step
	l.sw, l.sh = (l.width+1)/2, (l.height+1)/2
	l.values = make([]int64, l.width*l.height)
	l.right = c.values[min(l.sw, len(c.values)):]
	l.down = c.values[min(l.sh*c.width, len(c.values)):]
	l.cross = c.values[min(l.sh*c.width+l.sw, len(c.values)):]
	return l
}

// expand undoes the step.
func (l *level) expand() []int64 {
	bit := l.bit
	for j := range l.sh {
		sums, upper := l.sums[j*l.sw:(j+1)*l.sw], l.values[2*j*l.width:]
		at := j * l.stride
		if 2*j+1 == l.height { // half a row of fours
			for i := range l.width / 2 {
				upper[2*i], upper[2*i+1] = l.pair(sums[i], l.right[at+i])
			}
			if l.width%2 == 1 {
				upper[l.width-1] = sums[l.sw-1] >> l.shift
			}
			continue
		}
		lower := upper[l.width:]
		for i := range l.width / 2 {
			sum, right, down, cross := sums[i], nearest(l.right[at+i], 2*bit), nearest(l.down[at+i], 2*bit), nearest(l.cross[at+i], bit)
			// The lowest bit of all four is the same. Where it was set, the differences were rounded away from zero ...
			odd := cross & bit
			right, down = towardsZero(right, odd), towardsZero(down, odd)
			// ... and the sum to a multiple of four bits.
			second := (cross ^ right ^ down) & (2 * bit)
			if odd != 0 {
				sum += odd - second
			} else {
				sum = towardsZero(sum, second)
			}
			upper[2*i] = (sum - right - down + cross) >> l.shift
			upper[2*i+1] = (sum + right - down - cross) >> l.shift
			lower[2*i] = (sum - right + down - cross) >> l.shift
			lower[2*i+1] = (sum + right + down + cross) >> l.shift
		}
		if l.width%2 == 1 {
			upper[l.width-1], lower[l.width-1] = l.pair(sums[l.sw-1], l.down[at+l.sw-1])
		}
	}
	return l.values
}

// pair undoes the step where only two values are.
func (l *level) pair(sum, difference int64) (first, second int64) {
	difference = nearest(difference, 2*l.bit)
	sum = towardsZero(sum, difference&(2*l.bit))
	return (sum - difference) >> l.shift, (sum + difference) >> l.shift
}

// nearest rounds to a multiple of a power of two, halves away from zero.
func nearest(v, unit int64) int64 {
	if v >= 0 {
		return (v + unit/2) &^ (unit - 1)
	}
	return -((-v + unit/2) &^ (unit - 1))
}

func towardsZero(v, by int64) int64 {
	if v >= 0 {
		return v - by
	}
	return v + by
}
