package tiled

import (
	"errors"
	"math/bits"
)

// rice undoes RICE_1 (Rice, Yeh & Miller 1993; section 10.4.1 of the standard): the first value as it is, then blocks of
// differences, each block with a number of its own of low bits that are written out.
func rice(data []byte, n, block, width int) ([]int64, error) {
	size := uint(8 * width)
	// Bits of the number that begins a block, and the number that says that differences are written in full.
	field, full := uint(bits.Len(size)-1), uint32(map[int]int{1: 6, 2: 14, 4: 25}[width])
	r := &bitReader{data: data}
	last := r.bits(size)
	out := make([]int64, n)
	for begin := 0; begin < n && !r.ended; begin += block {
		values := out[begin:min(begin+block, n)]
		low := r.bits(field)
		for i := range values {
			var mapped uint32
			switch {
			case low == 0: // no differences
			case low > full:
				mapped = r.bits(size)
			default:
				high := r.zeros()
				mapped = high<<(low-1) | r.bits(uint(low-1))
			}
			last += mapped>>1 ^ -(mapped & 1) // 0, 1, 2, 3, 4 stand for 0, −1, 1, −2, 2
			values[i] = signed(last, width)
		}
	}
	if r.ended {
		return nil, errors.New("it ends early")
	}
	return out, nil
}

// zeros counts the zeros before the next one, which it passes.
func (r *bitReader) zeros() uint32 {
	count := uint32(0)
	for !r.ended && r.bits(1) == 0 {
		count++
	}
	return count
}

// signed takes a value for an integer of so many bytes. One byte has no sign.
func signed(v uint32, width int) int64 {
	switch width {
	case 1:
		return int64(uint8(v))
	case 2:
		return int64(int16(v))
	}
	return int64(int32(v))
}
