package protocol

import (
	"fmt"
	"math"
	"unsafe"
)

// Align is the boundary in bytes on which every tensor in an arena starts: a cache line, and the widest vector load.
const Align = 64

// AlignUp rounds a size or an offset up to the next boundary.
func AlignUp(n uint64) uint64 { return (n + Align - 1) &^ (Align - 1) }

// Size is the number of bytes of one value; 0 for an unknown type.
func (d DType) Size() uint64 {
	switch d {
	case DType_F32:
		return 4
	case DType_F64, DType_I64:
		return 8
	case DType_U8:
		return 1
	}
	return 0
}

// Count is the number of values of a shape; false when an axis is negative or the product is no number of values that
// a memory can hold.
func Count(shape []int64) (uint64, bool) {
	n := uint64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			n = 0
		}
		if n != 0 && uint64(d) > math.MaxInt64/8/n {
			return 0, false
		}
		n *= uint64(d)
	}
	return n, true
}

// Bytes is the memory that the tensor takes.
func (t *Tensor) Bytes() (uint64, error) {
	size := t.GetDtype().Size()
	if size == 0 {
		return 0, fmt.Errorf("a tensor of unknown type %d", t.GetDtype())
	}
	n, ok := Count(t.GetShape())
	if !ok {
		return 0, fmt.Errorf("a tensor of the impossible shape %v", t.GetShape())
	}
	return n * size, nil
}

// Inside says whether the tensor is well formed and lies inside [from, to) of its arena.
func (t *Tensor) Inside(from, to uint64) error {
	n, err := t.Bytes()
	if err != nil {
		return err
	}
	if t.Offset%Align != 0 {
		return fmt.Errorf("a tensor at byte %d, which is no multiple of %d", t.Offset, Align)
	}
	if t.Offset < from || t.Offset > to || n > to-t.Offset {
		return fmt.Errorf("a tensor of %d bytes at byte %d, outside the memory from %d to %d", n, t.Offset, from, to)
	}
	return nil
}

// Number is a type of tensor values.
type Number interface {
	float32 | float64 | int64 | uint8
}

// TypeOf is the DType of a Go type.
func TypeOf[T Number]() DType {
	var v T
	switch any(v).(type) {
	case float32:
		return DType_F32
	case float64:
		return DType_F64
	case int64:
		return DType_I64
	}
	return DType_U8
}

// View gives the values of a tensor that lies in mem, an arena's memory. It fails when the tensor is of another type
// or does not lie inside.
func View[T Number](mem []byte, t *Tensor) ([]T, error) {
	if want := TypeOf[T](); t.GetDtype() != want {
		return nil, fmt.Errorf("a tensor of type %v where %v is wanted", t.GetDtype(), want)
	}
	if err := t.Inside(0, uint64(len(mem))); err != nil {
		return nil, err
	}
	n, _ := Count(t.Shape)
	if n == 0 {
		return []T{}, nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[t.Offset])), n), nil
}

// Finite says whether all values are. It looks at eight at a time, as integers: one more in the exponent's last place
// carries into the sign exactly where the exponent has all its bits.
func Finite(x []float32) bool {
	const magnitude, carry = 0x7fffffff7fffffff, 0x0080000000800000
	var a, b, c, d uint64
	whole := len(x) / 8
	if whole > 0 && uintptr(unsafe.Pointer(&x[0]))%8 == 0 {
		for _, y := range unsafe.Slice((*[4]uint64)(unsafe.Pointer(&x[0])), whole) {
			a |= y[0]&magnitude + carry
			b |= y[1]&magnitude + carry
			c |= y[2]&magnitude + carry
			d |= y[3]&magnitude + carry
		}
		x = x[8*whole:]
	}
	for _, v := range x {
		a |= uint64(math.Float32bits(v)&0x7fffffff+0x00800000) & 0x80000000
	}
	return (a|b|c|d)&0x8000000080000000 == 0
}

// Layout hands out aligned room in an arena before it is made: add up, then make an arena of Size bytes.
type Layout struct{ size uint64 }

// Place makes room for a tensor and gives its descriptor, without the arena.
func (l *Layout) Place(d DType, shape ...int64) (*Tensor, error) {
	t := &Tensor{Offset: l.size, Dtype: d, Shape: shape}
	n, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	if n > math.MaxInt64/2-l.size {
		return nil, fmt.Errorf("more memory than there can be")
	}
	l.size = AlignUp(l.size + n)
	return t, nil
}

// Size is the room in bytes that was handed out.
func (l *Layout) Size() uint64 { return l.size }
