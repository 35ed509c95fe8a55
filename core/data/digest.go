package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"unsafe"
)

// digester hashes the content of a store as it streams by: what the pixels mean, then object by object the id, the
// source, the pixels and the columns. Nothing of how the files are cut goes in.
type digester struct {
	h   hash.Hash
	buf []byte
}

func newDigester(l *layout) *digester {
	d := &digester{h: sha256.New()}
	f := l.facts
	fmt.Fprintf(d.h, "asterism store 1\n%v %q %d %q %g %v %g\n", f.Shape, f.Bands, f.Flux, f.Unit, f.PixelScale, l.dtype, l.scale)
	for _, c := range l.fields {
		fmt.Fprintf(d.h, "%q %d %q\n", c.Name, c.Type, c.Unit)
	}
	return d
}

func (d *digester) text(s string) {
	d.buf = binary.AppendUvarint(d.buf, uint64(len(s)))
	d.buf = append(d.buf, s...)
}

// object begins an object.
func (d *digester) object(id string, source int, pixels []byte) {
	d.text(id)
	d.buf = binary.AppendUvarint(d.buf, uint64(source))
	d.flush()
	d.h.Write(pixels)
}

// number adds the value of a column of numbers; NaN is missing.
func (d *digester) number(v float64) {
	if math.IsNaN(v) {
		v = math.NaN()
	}
	d.buf = binary.LittleEndian.AppendUint64(d.buf, math.Float64bits(v))
}

func (d *digester) flush() {
	d.h.Write(d.buf)
	d.buf = d.buf[:0]
}

func (d *digester) sum() string {
	d.flush()
	return hex.EncodeToString(d.h.Sum(nil))
}

// asBytes gives the memory of numbers. Stores are little-endian, as are the machines that Asterism supports.
func asBytes(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// asFloats gives the numbers in memory that is aligned to them.
func asFloats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
