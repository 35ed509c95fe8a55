// Package npz reads the arrays that NumPy saves, .npy files and .npz archives of them, for datasets that come so.
//
//	file, err := npz.Open("volumes.npz")
//	defer file.Close()
//	array, err := file.Array("train_images") // array.Shape, array.Type; its values are not read yet
//	err = array.Read(buffer)                 // the next values, as bytes
//
// It reads whole and floating numbers, truth values, texts, and tables of such columns (structured types), in C order.
// Objects, which NumPy stores as Python pickles and which execute code, are refused. Nothing is believed of a header
// that the file does not hold: memory is taken as values come.
package npz

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// File is an open .npz archive.
type File struct {
	zip   *zip.Reader
	close func() error
}

// Open opens an archive.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a file")
	}
	var z *zip.Reader
	if err == nil {
		z, err = zip.NewReader(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{z, f.Close}, nil
}

// New reads an archive of this size.
func New(r io.ReaderAt, size int64) (*File, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	return &File{z, func() error { return nil }}, nil
}

// Close closes the file.
func (f *File) Close() error { return f.close() }

// Names are those of the arrays, in the order of the archive.
func (f *File) Names() []string {
	var names []string
	for _, e := range f.zip.File {
		if name, ok := strings.CutSuffix(e.Name, ".npy"); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Array opens an array of the archive. Close it.
func (f *File) Array(name string) (*Array, error) {
	for _, e := range f.zip.File {
		if e.Name != name+".npy" {
			continue
		}
		r, err := e.Open()
		if err != nil {
			return nil, fmt.Errorf("the array %s: %w", name, err)
		}
		a, err := NewArray(r)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("the array %s: %w", name, err)
		}
		a.close = r.Close
		return a, nil
	}
	return nil, fmt.Errorf("there is no array %q, only %s", name, strings.Join(f.Names(), ", "))
}

// Array is one array whose values are read from the front.
type Array struct {
	Shape []int
	Type  Type
	r     *bufio.Reader
	close func() error
}

// Limits on headers.
const (
	maxHeader = 1 << 16
	maxAxes   = 32
	maxBytes  = 1 << 40
)

// NewArray reads the header of a .npy file.
func NewArray(r io.Reader) (*Array, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	var magic [8]byte
	if _, err := io.ReadFull(b, magic[:]); err != nil || string(magic[:6]) != "\x93NUMPY" {
		return nil, errors.New("it is no .npy file: it does not begin as one")
	}
	size := 2
	if magic[6] >= 2 {
		size = 4
	}
	if magic[6] < 1 || magic[6] > 3 {
		return nil, fmt.Errorf("it has version %d of the format; 1 to 3 are known", magic[6])
	}
	length := make([]byte, 4)
	if _, err := io.ReadFull(b, length[:size]); err != nil {
		return nil, errors.New("its header is cut short")
	}
	n := binary.LittleEndian.Uint32(length)
	if n > maxHeader {
		return nil, fmt.Errorf("its header is said to have %d bytes", n)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(b, header); err != nil {
		return nil, errors.New("its header is cut short")
	}
	if !utf8.Valid(header) {
		return nil, errors.New("its header is no text")
	}
	a := &Array{r: b, close: func() error { return nil }}
	if err := a.parse(string(header)); err != nil {
		return nil, err
	}
	return a, nil
}

// parse takes the header, a Python dictionary of descr, fortran_order and shape.
func (a *Array) parse(text string) error {
	v, err := literal(text)
	if err != nil {
		return fmt.Errorf("its header cannot be read: %w", err)
	}
	d, ok := v.(map[string]any)
	if !ok {
		return errors.New("its header is no dictionary")
	}
	if a.Type, err = typeOf(d["descr"], 0); err != nil {
		return err
	}
	fortran, ok := d["fortran_order"].(bool)
	if !ok {
		return errors.New("its header does not say the order")
	}
	shape, ok := d["shape"].([]any)
	if !ok || len(shape) > maxAxes {
		return errors.New("its header does not say the shape")
	}
	bytes := a.Type.Size
	for _, s := range shape {
		n, ok := s.(int)
		if !ok || n < 0 {
			return errors.New("its header has a shape that is none")
		}
		if n > 0 && bytes > maxBytes/n {
			return fmt.Errorf("its header says more than %d GB", maxBytes>>30)
		}
		bytes *= n
		a.Shape = append(a.Shape, n)
	}
	if fortran && len(a.Shape) > 1 {
		return errors.New("it is stored in Fortran's order, which is not read: save numpy.ascontiguousarray of it")
	}
	return nil
}

// Len is the number of values.
func (a *Array) Len() int {
	n := 1
	for _, s := range a.Shape {
		n *= s
	}
	return n
}

// Close lets go of the array.
func (a *Array) Close() error { return a.close() }

// Read fills the buffer with the next bytes of the values.
func (a *Array) Read(into []byte) error {
	if _, err := io.ReadFull(a.r, into); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it is cut short")
		}
		return err
	}
	return nil
}

// all reads every value, at most so many bytes, as bytes.
func (a *Array) all(most int) ([]byte, error) {
	want := a.Len() * a.Type.Size
	if want > most {
		return nil, fmt.Errorf("it has %d bytes, more than the %d that are read at once", want, most)
	}
	data, err := io.ReadAll(io.LimitReader(a.r, int64(want))) // takes memory as data come, whatever the header says
	if err == nil && len(data) < want {
		err = errors.New("it is cut short")
	}
	return data, err
}

// Floats reads all numbers, at most so many bytes of them.
func (a *Array) Floats(most int) ([]float64, error) {
	if a.Type.Columns != nil {
		return nil, errors.New("it is a table and not numbers: name a column")
	}
	data, err := a.all(most)
	if err != nil {
		return nil, err
	}
	return a.Type.floats(data, a.Type.Size)
}

// Texts reads all texts, at most so many bytes of them.
func (a *Array) Texts(most int) ([]string, error) {
	if a.Type.Columns != nil {
		return nil, errors.New("it is a table and not texts: name a column")
	}
	data, err := a.all(most)
	if err != nil {
		return nil, err
	}
	return a.Type.texts(data, a.Type.Size)
}

// Table reads columns of numbers of an array of a structured type, at most so many bytes of it.
func (a *Array) Table(most int, columns ...string) ([][]float64, error) {
	var picked []Column
	for _, name := range columns {
		i := slices.IndexFunc(a.Type.Columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			var there []string
			for _, c := range a.Type.Columns {
				there = append(there, c.Name)
			}
			return nil, fmt.Errorf("there is no column %q; its columns are %s", name, strings.Join(there, ", "))
		}
		picked = append(picked, a.Type.Columns[i])
	}
	data, err := a.all(most)
	if err != nil {
		return nil, err
	}
	var out [][]float64
	for _, c := range picked {
		if c.Type.Columns != nil || c.Count != 1 {
			return nil, fmt.Errorf("the column %q holds arrays", c.Name)
		}
		if len(data) == 0 {
			out = append(out, nil)
			continue
		}
		values, err := c.Type.floats(data[c.Offset:], a.Type.Size)
		if err != nil {
			return nil, fmt.Errorf("the column %q: %w", c.Name, err)
		}
		out = append(out, values)
	}
	return out, nil
}

// floats takes a number at every stride.
func (t Type) floats(data []byte, stride int) ([]float64, error) {
	var at func(b []byte) float64
	o := t.order()
	switch fmt.Sprintf("%c%d", t.Kind, t.Size) {
	case "u1":
		at = func(b []byte) float64 { return float64(b[0]) }
	case "i1":
		at = func(b []byte) float64 { return float64(int8(b[0])) }
	case "b1":
		at = func(b []byte) float64 { return float64(min(b[0], 1)) }
	case "u2":
		at = func(b []byte) float64 { return float64(o.Uint16(b)) }
	case "i2":
		at = func(b []byte) float64 { return float64(int16(o.Uint16(b))) }
	case "u4":
		at = func(b []byte) float64 { return float64(o.Uint32(b)) }
	case "i4":
		at = func(b []byte) float64 { return float64(int32(o.Uint32(b))) }
	case "u8":
		at = func(b []byte) float64 { return float64(o.Uint64(b)) }
	case "i8":
		at = func(b []byte) float64 { return float64(int64(o.Uint64(b))) }
	case "f4":
		at = func(b []byte) float64 { return float64(math.Float32frombits(o.Uint32(b))) }
	case "f8":
		at = func(b []byte) float64 { return math.Float64frombits(o.Uint64(b)) }
	default:
		return nil, fmt.Errorf("it holds values of the type %s, not numbers", t)
	}
	var out []float64
	for i := 0; i+t.Size <= len(data); i += stride {
		out = append(out, at(data[i:]))
	}
	return out, nil
}

// texts takes a text at every stride.
func (t Type) texts(data []byte, stride int) ([]string, error) {
	if t.Kind != 'U' && t.Kind != 'S' || t.Size == 0 {
		return nil, fmt.Errorf("it holds values of the type %s, not texts", t)
	}
	var out []string
	for i := 0; i+t.Size <= len(data); i += stride {
		var s strings.Builder
		for b := data[i : i+t.Size]; len(b) > 0; {
			r, width := rune(b[0]), 1
			if t.Kind == 'U' {
				r, width = rune(t.order().Uint32(b)), 4
			}
			if r == 0 {
				break
			}
			s.WriteRune(r)
			b = b[width:]
		}
		out = append(out, s.String())
	}
	return out, nil
}
