// Package safetensors reads and writes arrays in the safetensors format: an 8-byte length, a JSON header, then the values,
// little-endian, in the order of their offsets. Writing is atomic, and no header, however odd, makes reading go outside
// the file or take more memory than the file's size.
package safetensors

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"unsafe"

	"github.com/asterism-ssl/asterism/core/fault"
)

// maxHeader is the largest header that the safetensors format allows.
const maxHeader = 100_000_000

// Array is a named array. Its values are bytes, little-endian, as the machines that we support have them in memory.
type Array struct {
	Name  string
	DType string // "F32", "F64", "I64" or "U8"
	Shape []int64
	Data  []byte
}

// width is the number of bytes of a value of each type.
var width = map[string]int64{"F32": 4, "F64": 8, "I64": 8, "U8": 1}

// number is a type of values.
type number interface {
	float32 | float64 | int64 | byte
}

// Of makes an array of values, which it views: the values must not change before the array is written.
func Of[T number](name string, shape []int64, values []T) Array {
	a := Array{Name: name, Shape: shape}
	switch any(values).(type) {
	case []float32:
		a.DType = "F32"
	case []float64:
		a.DType = "F64"
	case []int64:
		a.DType = "I64"
	case []byte:
		a.DType = "U8"
	}
	if len(values) > 0 {
		a.Data = unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), len(values)*int(unsafe.Sizeof(values[0])))
	}
	return a
}

// Values views the values of an array of the type that its DType names; nil for another.
func Values[T number](a Array) []T {
	if Of[T]("", nil, nil).DType != a.DType || len(a.Data) == 0 {
		return nil
	}
	var v T
	return unsafe.Slice((*T)(unsafe.Pointer(&a.Data[0])), len(a.Data)/int(unsafe.Sizeof(v)))
}

type entry struct {
	Dtype   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// Write writes arrays to path. The file is written aside, synced and renamed, so path holds the old content or the new
// one, whole. Arrays are sorted by name and equal arrays give equal bytes.
func Write(path string, arrays []Array, metadata map[string]string) (err error) {
	header, sorted, err := header(arrays, metadata)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return unwritten(path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = unwritten(path, err)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(header)))
	w.Write(length[:]) // bufio keeps the first error until Flush
	w.Write(header)
	for _, a := range sorted {
		w.Write(a.Data)
	}
	if err = w.Flush(); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if dir, e := os.Open(filepath.Dir(path)); e == nil { // so that the new name survives a power cut
		dir.Sync()
		dir.Close()
	}
	return nil
}

func unwritten(path string, err error) error {
	return &fault.Error{Op: "write", Kind: fault.Resource, What: "cannot write " + path, Err: err, Do: "check the disk's free space and permissions"}
}

func header(arrays []Array, metadata map[string]string) ([]byte, []Array, error) {
	sorted := append([]Array(nil), arrays...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	entries := map[string]any{}
	if len(metadata) > 0 {
		entries["__metadata__"] = metadata
	}
	var at int64
	for _, a := range sorted {
		n, err := values(a.Shape)
		size := width[a.DType]
		if err != nil || size == 0 || size*n != int64(len(a.Data)) {
			return nil, nil, fmt.Errorf("array %q of type %q has %d bytes for the shape %v", a.Name, a.DType, len(a.Data), a.Shape)
		}
		if _, twice := entries[a.Name]; twice || a.Name == "__metadata__" {
			return nil, nil, fmt.Errorf("two arrays are named %q", a.Name)
		}
		shape := a.Shape
		if shape == nil {
			shape = []int64{}
		}
		entries[a.Name] = entry{a.DType, shape, [2]int64{at, at + size*n}}
		at += size * n
	}
	h, err := json.Marshal(entries) // map keys come out sorted
	if err != nil {
		return nil, nil, err
	}
	for len(h)%8 != 0 { // the values start at a multiple of eight
		h = append(h, ' ')
	}
	if len(h) > maxHeader {
		return nil, nil, fmt.Errorf("the header would take %d bytes, at most %d are allowed", len(h), maxHeader)
	}
	return h, sorted, nil
}

// values multiplies a shape, refusing negative dimensions and what no memory could hold.
func values(shape []int64) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > 1<<40 || (d > 0 && n > 1<<40/d) {
			return 0, fmt.Errorf("the shape %v is impossible", shape)
		}
		n *= d
	}
	return n, nil
}

// Read reads a file's arrays, sorted by name, with its metadata. A damaged or foreign file is an error.
func Read(path string) ([]Array, map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, unread(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, unread(path, err)
	}
	arrays, metadata, err := readArrays(f, info.Size())
	if err != nil {
		return nil, nil, unread(path, err)
	}
	return arrays, metadata, nil
}

func unread(path string, err error) error {
	e := &fault.Error{Op: "read", Kind: fault.Data, What: "cannot read " + path, Err: err, Do: "give a safetensors file that is whole"}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		e.Do = "check the path"
	}
	return e
}

func readArrays(r io.ReaderAt, size int64) ([]Array, map[string]string, error) {
	var length [8]byte
	if size < 8 {
		return nil, nil, fmt.Errorf("the file has %d bytes, too few for a header", size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, nil, fmt.Errorf("its header claims %d bytes in a file of %d", n, size)
	}
	h := make([]byte, n)
	if _, err := r.ReadAt(h, 8); err != nil {
		return nil, nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(h, &raw); err != nil {
		return nil, nil, fmt.Errorf("its header is not JSON: %w", err)
	}
	var metadata map[string]string
	type located struct {
		Array
		entry
	}
	var found []located
	for name, text := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(text, &metadata); err != nil {
				return nil, nil, fmt.Errorf("its metadata are not strings: %w", err)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, nil, fmt.Errorf("array %q: %w", name, err)
		}
		each := width[e.Dtype]
		if each == 0 {
			return nil, nil, fmt.Errorf("array %q is of type %q; F32, F64, I64 and U8 are read", name, e.Dtype)
		}
		count, err := values(e.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("array %q: %w", name, err)
		}
		body := size - 8 - int64(n)
		if e.Offsets[0] < 0 || e.Offsets[0] > e.Offsets[1] || e.Offsets[1] > body || e.Offsets[1]-e.Offsets[0] != each*count {
			return nil, nil, fmt.Errorf("array %q of shape %v claims the bytes %v of %d", name, e.Shape, e.Offsets, body)
		}
		found = append(found, located{Array{Name: name, DType: e.Dtype, Shape: e.Shape}, e})
	}
	// Overlapping arrays could claim the file many times over: the format forbids them, and gaps too.
	sort.Slice(found, func(i, j int) bool {
		a, b := found[i].Offsets, found[j].Offsets
		return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
	})
	var at int64
	for i := range found {
		if found[i].Offsets[0] != at {
			return nil, nil, fmt.Errorf("array %q starts at byte %d of the values, not at %d", found[i].Name, found[i].Offsets[0], at)
		}
		at = found[i].Offsets[1]
	}
	if at != size-8-int64(n) {
		return nil, nil, fmt.Errorf("%d bytes follow the last array", size-8-int64(n)-at)
	}
	arrays := make([]Array, len(found))
	for i, l := range found {
		arrays[i] = l.Array
		size := l.Offsets[1] - l.Offsets[0]
		words := make([]uint64, (size+7)/8) // aligned for every type
		if size > 0 {
			arrays[i].Data = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
		}
		if _, err := r.ReadAt(arrays[i].Data, 8+int64(n)+l.Offsets[0]); err != nil {
			return nil, nil, err
		}
	}
	sort.Slice(arrays, func(i, j int) bool { return arrays[i].Name < arrays[j].Name })
	return arrays, metadata, nil
}
