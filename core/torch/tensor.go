package torch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Tensor is a tensor of a file.
type Tensor struct {
	Name   string // the keys that lead to it, joined by dots
	DType  string // as PyTorch names it: "float32"
	Shape  []int64
	from   *storage
	offset int64   // of its first value
	stride []int64 // in values
}

// storage is a row of values that tensors look at.
type storage struct {
	file  *File
	kind  string // of values: "float32"
	key   string
	count int64
	read  func() ([]byte, error)
}

func (s *storage) bytes() int64 { return s.count * width[s.kind] }

// kinds are PyTorch's classes of storages by what they hold.
var kinds = map[string]string{
	"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
	"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}

var width = map[string]int64{
	"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}

// storageOf reads the id of a storage in a pickle: ('storage', class, key, device, count) and, of n = 6, a view.
func storageOf(f *File, id tuple, n int) (*storage, error) {
	if len(id) != n || id[0] != "storage" {
		return nil, errors.New("a tensor's values are named in an unknown way")
	}
	class, _ := id[1].(global)
	key, named := id[2].(string)
	count, counted := id[4].(int64)
	kind := kinds[class.name]
	if kind == "" || !named || !counted || count < 0 || count > 1<<48 {
		return nil, errors.New("a tensor's values are named in an unknown way")
	}
	return &storage{file: f, kind: kind, key: key, count: count}, nil
}

// rebuild makes a tensor of the arguments of _rebuild_tensor_v2: storage, offset, shape, strides, and what no weight needs.
func rebuild(args tuple) (*Tensor, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor without a shape")
	}
	s, _ := args[0].(*storage)
	offset, ok := args[1].(int64)
	shape, ok2 := whole(args[2])
	stride, ok3 := whole(args[3])
	if s == nil || !ok || !ok2 || !ok3 || len(shape) != len(stride) || offset < 0 || offset > s.count {
		return nil, errors.New("a tensor of an impossible shape")
	}
	t := &Tensor{DType: s.kind, Shape: shape, from: s, offset: offset, stride: stride}
	if t.size() == 0 {
		return t, nil
	}
	last := offset
	for i, n := range shape {
		if stride[i] > 0 && n-1 > (s.count-last)/stride[i] {
			return nil, fmt.Errorf("a tensor of the shape %v that reaches beyond its %d values", shape, s.count)
		}
		last += (n - 1) * stride[i]
	}
	if last >= s.count {
		return nil, fmt.Errorf("a tensor of the shape %v that reaches beyond its %d values", shape, s.count)
	}
	return t, nil
}

// whole reads a tuple of numbers that are not negative.
func whole(v any) ([]int64, bool) {
	items, ok := v.(tuple)
	numbers := make([]int64, len(items))
	for i, item := range items {
		n, number := item.(int64)
		if !number || n < 0 {
			return nil, false
		}
		numbers[i] = n
	}
	return numbers, ok
}

// size is the number of values, or 1<<62 where there are more.
func (t *Tensor) size() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		if d == 0 {
			return 0
		}
		if n > 1<<62/d {
			n = 1 << 62
		} else {
			n *= d
		}
	}
	return n
}

// Float32 reads the values, row-major. Those of higher precision are rounded; whole numbers are refused.
func (t *Tensor) Float32() ([]float32, error) {
	at := map[string]func(b []byte, i int64) float32{
		"float32": func(b []byte, i int64) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) },
		"float64": func(b []byte, i int64) float32 {
			return float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		},
		"bfloat16": func(b []byte, i int64) float32 {
			return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		},
		"float16": func(b []byte, i int64) float32 { return half(binary.LittleEndian.Uint16(b[2*i:])) },
	}[t.DType]
	if at == nil {
		return nil, fmt.Errorf("%s has values of the type %s, not numbers with a fraction", t.Name, t.DType)
	}
	n := t.size()
	if n > t.from.count {
		return nil, fmt.Errorf("%s of the shape %v has values that lie over one another: there are %d", t.Name, t.Shape, t.from.count)
	}
	values := make([]float32, n)
	if n == 0 {
		return values, nil
	}
	b, err := t.from.file.load(t.from)
	if err != nil {
		return nil, err
	}
	index := make([]int64, len(t.Shape))
	from := t.offset
	for i := range values {
		values[i] = at(b, from)
		for d := len(index) - 1; d >= 0; d-- {
			if index[d]++; index[d] < t.Shape[d] {
				from += t.stride[d]
				break
			}
			from -= t.stride[d] * (t.Shape[d] - 1)
			index[d] = 0
		}
	}
	return values, nil
}

// load reads the values of a storage, or gives those that were just read.
func (f *File) load(s *storage) ([]byte, error) {
	if f.last != s {
		b, err := s.read()
		if err != nil {
			return nil, err
		}
		f.last, f.values = s, b
	}
	return f.values, nil
}

// half is a number of half precision.
func half(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // zero, or too small for a leading one
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31: // infinite, or not a number
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}
