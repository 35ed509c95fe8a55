package kernel

import (
	"math"
	"unsafe"
)

// BFloat16 is the upper half of a float32: its sign, its exponent and seven bits of its fraction.
type BFloat16 uint16

// Round gives the bfloat16 nearest to v, the even one of two; NaN stays NaN.
func Round(v float32) BFloat16 {
	bits := math.Float32bits(v)
	if v != v {
		return BFloat16(bits>>16 | 0x40)
	}
	return BFloat16((bits + 0x7fff + bits>>16&1) >> 16)
}

// Float32 gives the value, exactly.
func (b BFloat16) Float32() float32 { return math.Float32frombits(uint32(b) << 16) }

// Array is a run of float32 or of bfloat16 values. The zero Array is none, as a nil slice is.
type Array struct {
	p    unsafe.Pointer
	n    int
	half bool
}

// Float32s sees a slice as an Array.
func Float32s(s []float32) Array { return Array{p: unsafe.Pointer(unsafe.SliceData(s)), n: len(s)} }

// BFloat16s sees a slice as an Array.
func BFloat16s(s []BFloat16) Array {
	return Array{p: unsafe.Pointer(unsafe.SliceData(s)), n: len(s), half: true}
}

// Halves sees the memory of float32 values as twice as many bfloat16 values.
func Halves(s []float32) Array {
	return Array{p: unsafe.Pointer(unsafe.SliceData(s)), n: 2 * len(s), half: true}
}

// Len is the number of values.
func (a Array) Len() int { return a.n }

// Half tells whether the values are bfloat16.
func (a Array) Half() bool { return a.half }

// None tells whether there is no array at all.
func (a Array) None() bool { return a.p == nil }

// First gives the first n values.
func (a Array) First(n int) Array {
	if n > a.n {
		panic("kernel: an array is shorter than the part asked for")
	}
	a.n = n
	return a
}

// Float32 gives the values, which must be float32, as a slice.
func (a Array) Float32() []float32 {
	if a.half {
		panic("kernel: values are bfloat16 where float32 is needed")
	}
	return unsafe.Slice((*float32)(a.p), a.n)
}

// BFloat16 gives the values, which must be bfloat16, as a slice.
func (a Array) BFloat16() []BFloat16 {
	if !a.half && a.p != nil {
		panic("kernel: values are float32 where bfloat16 is needed")
	}
	return unsafe.Slice((*BFloat16)(a.p), a.n)
}

// bytes is the size of one value.
func (a Array) bytes() int {
	if a.half {
		return 2
	}
	return 4
}

// at is the address of value i, which may be one past the end only of an empty rest.
func (a Array) at(i int) unsafe.Pointer { return unsafe.Add(a.p, i*a.bytes()) }

// value and set read and write one value.
func (a Array) value(i int) float32 {
	if a.half {
		return (*(*BFloat16)(a.at(i))).Float32()
	}
	return *(*float32)(a.at(i))
}

func (a Array) set(i int, v float32) {
	if a.half {
		*(*BFloat16)(a.at(i)) = Round(v)
		return
	}
	*(*float32)(a.at(i)) = v
}
