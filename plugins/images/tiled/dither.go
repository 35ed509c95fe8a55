package tiled

import "sync"

// dither says how floats were made integers: how much of a quantum was added before rounding, and is taken off again.
type dither int

const (
	noDither dither = iota
	dither1         // a random part of a quantum
	dither2         // the same, except that zeros stay zeros
)

// exactZero is the integer that stands for 0 in dither2.
const exactZero = -2147483646

const ditherLength = 10000

// ditherTable gives the 10,000 random numbers that every reader and writer of such files has: those of Park & Miller's
// minimal standard generator (1988) from seed 1, in single precision.
var ditherTable = sync.OnceValue(func() *[ditherLength]float32 {
	var t [ditherLength]float32
	seed := uint64(1)
	for i := range t {
		seed = 16807 * seed % (1<<31 - 1)
		t[i] = float32(float64(seed) / (1<<31 - 1))
	}
	return &t
})

// restore computes the values of a tile. The row of the image's dither, ZDITHER0 − 1 + tile counted from 0, chooses where in the
// table the tile begins.
func (d dither) restore(out []float64, stored []int64, scale, zero float64, row int) {
	if d == noDither {
		for i, v := range stored {
			out[i] = float64(float64(v)*scale) + zero // the conversion forbids one rounding instead of two, as some processors could
		}
		return
	}
	table := ditherTable()
	row %= ditherLength
	next := int(table[row] * 500)
	for i, v := range stored {
		if d == dither2 && v == exactZero {
			out[i] = 0
		} else {
			out[i] = float64((float64(v)-float64(table[next])+0.5)*scale) + zero
		}
		if next++; next == ditherLength {
			row = (row + 1) % ditherLength
			next = int(table[row] * 500)
		}
	}
}
