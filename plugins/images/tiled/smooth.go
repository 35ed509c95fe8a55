package tiled

// smooth guesses the differences of a step from the sums around them, by no more than dividing by the scale can have cost:
// a slope goes on as it does to both sides, and what is a peak or a trough stays one. Sums at the border stay as they are.
func (l *level) smooth(most int64) {
	for j := 1; 2*j < l.height-2; j++ {
		for i := range l.sw {
			at := j*l.sw + i
			l.slope(&l.down[j*l.stride+i], l.sums[at-l.sw], l.sums[at], l.sums[at+l.sw], most)
		}
	}
	for j := range l.sh {
		for i := 1; 2*i < l.width-2; i++ {
			at := j*l.sw + i
			l.slope(&l.right[j*l.stride+i], l.sums[at-1], l.sums[at], l.sums[at+1], most)
		}
	}
	for j := 1; 2*j < l.height-2; j++ {
		for i := 1; 2*i < l.width-2; i++ {
			l.twist(i, j, most)
		}
	}
}

// slope moves a difference towards an eighth of that between the sums on both sides.
func (l *level) slope(difference *int64, before, here, after, most int64) {
	low := 4 * min(max(after-here, here-before), 0)
	high := 4 * max(min(after-here, here-before), 0)
	if low < high {
		want := max(low, min(high, after-before))
		*difference += max(-most, min(most, (want-8**difference)/8))
	}
}

// twist moves a difference across towards a 64th of that between the sums at the four corners.
func (l *level) twist(i, j int, most int64) {
	at := j*l.sw + i
	here := l.sums[at]
	down, right, cross := 2*l.down[j*l.stride+i], 2*l.right[j*l.stride+i], &l.cross[j*l.stride+i]
	// How far the sum rises to the lower right and from the lower left, the upper right and the upper left.
	lowerRight, lowerLeft := l.sums[at+l.sw+1]-here, here-l.sums[at+l.sw-1]
	upperRight, upperLeft := here-l.sums[at-l.sw+1], l.sums[at-l.sw-1]-here
	high := 16 * min(max(lowerRight, 0)-down-right, max(lowerLeft, 0)+down-right, max(upperRight, 0)-down+right, max(upperLeft, 0)+down+right)
	low := 16 * max(min(lowerRight, 0)-down-right, min(lowerLeft, 0)+down-right, min(upperRight, 0)-down+right, min(upperLeft, 0)+down+right)
	if low < high {
		want := max(low, min(high, lowerRight+upperLeft+lowerLeft+upperRight))
		*cross += max(-most, min(most, (want-64**cross)/64))
	}
}
