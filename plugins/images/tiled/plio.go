package tiled

import (
	"encoding/binary"
	"errors"
)

// plio undoes PLIO_1, IRAF's lists of instructions that draw runs of a mask (section 10.4.3 of the standard).
func plio(data []byte, n int) ([]int64, error) {
	words := make([]int64, len(data)/2)
	for i := range words {
		words[i] = int64(int16(binary.BigEndian.Uint16(data[2*i:])))
	}
	// There are two headers: an old one of three words, the last being the length of all, and one that says how long it is
	// itself and has the length in two words.
	var first, length int64
	switch {
	case len(words) >= 3 && words[2] > 0:
		first, length = 3, words[2]
	case len(words) >= 5:
		first, length = words[1], words[4]<<15+words[3]
	default:
		return nil, errors.New("it ends early")
	}
	if first < 0 || length < first || length > int64(len(words)) {
		return nil, errors.New("its header is damaged")
	}
	out := make([]int64, 0, n)
	run := func(count, value int64) {
		for ; count > 0 && len(out) < n; count-- {
			out = append(out, value)
		}
	}
	high := int64(1)
	for i := first; i < length; i++ {
		operand := words[i] & 0xfff
		switch words[i] >> 12 & 0xf {
		case 0: // zeros
			run(operand, 0)
		case 1: // a new value, of 27 bits
			if i++; i == length {
				return nil, errors.New("it ends early")
			}
			high = words[i]<<12 | operand
		case 2: // a greater value
			high += operand
		case 3: // a smaller value
			high -= operand
		case 4: // the value, many times
			run(operand, high)
		case 5: // zeros and, last, the value
			run(operand-1, 0)
			run(1, high)
		case 6: // a greater value, and it
			high += operand
			run(1, high)
		case 7: // a smaller value, and it
			high -= operand
			run(1, high)
		default:
			return nil, errors.New("it has an instruction that is not known")
		}
	}
	run(int64(n), 0) // what the list leaves out is zero
	return out, nil
}
