package engine

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"

	"github.com/asterism-ssl/asterism/core/fault"
)

// maxHeader is the largest header that the safetensors format allows.
const maxHeader = 100_000_000

type entry struct {
	Dtype   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// WriteArrays writes arrays as a safetensors file: an 8-byte length, a JSON header, float32 values, little-endian. The
// file is written aside, synced and renamed, so path holds the old content or the new one, whole. Arrays are sorted by
// name and equal arrays give equal bytes.
func WriteArrays(path string, arrays []Array, metadata map[string]string) (err error) {
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
	var chunk [4096]byte
	for _, a := range sorted {
		for data := a.Data; len(data) > 0; {
			n := min(len(data), len(chunk)/4)
			for i, v := range data[:n] {
				binary.LittleEndian.PutUint32(chunk[4*i:], math.Float32bits(v))
			}
			w.Write(chunk[:4*n])
			data = data[n:]
		}
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
	return &fault.Error{Op: "write weights", Kind: fault.Resource, What: "cannot write " + path, Err: err, Do: "check the disk's free space and permissions"}
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
		if err != nil || n != int64(len(a.Data)) {
			return nil, nil, fmt.Errorf("array %q has %d values for the shape %v", a.Name, len(a.Data), a.Shape)
		}
		if _, twice := entries[a.Name]; twice || a.Name == "__metadata__" {
			return nil, nil, fmt.Errorf("two arrays are named %q", a.Name)
		}
		shape := a.Shape
		if shape == nil {
			shape = []int64{}
		}
		entries[a.Name] = entry{"F32", shape, [2]int64{at, at + 4*n}}
		at += 4 * n
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

// ReadArrays reads a safetensors file of float32 arrays, sorted by name, with its metadata. A damaged or foreign file
// is an error; no header, however odd, makes it read outside the file or take more memory than the file's size.
func ReadArrays(path string) ([]Array, map[string]string, error) {
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
	e := &fault.Error{Op: "read weights", Kind: fault.Data, What: "cannot read " + path, Err: err, Do: "give a safetensors file of float32 arrays that is whole"}
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
		if e.Dtype != "F32" {
			return nil, nil, fmt.Errorf("array %q is of type %q, only F32 is read", name, e.Dtype)
		}
		count, err := values(e.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("array %q: %w", name, err)
		}
		body := size - 8 - int64(n)
		if e.Offsets[0] < 0 || e.Offsets[0] > e.Offsets[1] || e.Offsets[1] > body || e.Offsets[1]-e.Offsets[0] != 4*count {
			return nil, nil, fmt.Errorf("array %q of shape %v claims the bytes %v of %d", name, e.Shape, e.Offsets, body)
		}
		found = append(found, located{Array{Name: name, Shape: e.Shape}, e})
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
	chunk := make([]byte, 1<<16)
	for i, l := range found {
		data := make([]float32, (l.Offsets[1]-l.Offsets[0])/4)
		for from := 0; from < len(data); from += len(chunk) / 4 {
			part := data[from:min(from+len(chunk)/4, len(data))]
			if _, err := r.ReadAt(chunk[:4*len(part)], 8+int64(n)+l.Offsets[0]+4*int64(from)); err != nil {
				return nil, nil, err
			}
			for j := range part {
				part[j] = math.Float32frombits(binary.LittleEndian.Uint32(chunk[4*j:]))
			}
		}
		arrays[i] = l.Array
		arrays[i].Data = data
	}
	sort.Slice(arrays, func(i, j int) bool { return arrays[i].Name < arrays[j].Name })
	return arrays, metadata, nil
}
