package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The names of the files of a store.
const (
	indexFile   = "store.json"
	objectsFile = "objects.arrow"
	pixelsFile  = "pixels-%05d.arrow"
)

// index is store.json.
type index struct {
	Format    int      `json:"format"` // 1
	Shape     []int64  `json:"shape"`
	Bands     []string `json:"bands"`
	Flux      string   `json:"flux"`
	Unit      string   `json:"unit"`
	Scale     float64  `json:"pixel_scale"` // arcsec
	DType     string   `json:"dtype"`       // "U8" or "F32"
	Value     float64  `json:"scale"`       // value = scale × pixel
	Columns   []column `json:"columns"`
	Rows      int      `json:"rows"`
	BatchRows int      `json:"batch_rows"` // of every record batch but the last
	Objects   part     `json:"objects"`
	Pixels    []part   `json:"pixels"`
	Digest    string   `json:"digest"`
	Report    Report   `json:"report"`
	Check     string   `json:"check"` // SHA-256 of this document with an empty check
}

type column struct {
	Name string `json:"name"`
	Text bool   `json:"text,omitempty"`
	Unit string `json:"unit,omitempty"`
	Doc  string `json:"doc,omitempty"`
}

// part is one file.
type part struct {
	File    string  `json:"file"`
	Size    int64   `json:"size"`
	SHA256  string  `json:"sha256"`            // of the whole file; for pixels of what stands before and after them
	Batches []int64 `json:"batches,omitempty"` // where the pixels of each record batch begin
}

// encode writes the document with its check.
func (x *index) encode() ([]byte, error) {
	x.Check = ""
	text, err := json.Marshal(x) // there and back: text that is no UTF-8 changes on the first way only
	if err != nil {
		return nil, err
	}
	*x = index{}
	if err := json.Unmarshal(text, x); err != nil {
		return nil, err
	}
	if text, err = json.MarshalIndent(x, "", "\t"); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	x.Check = hex.EncodeToString(sum[:])
	text, err = json.MarshalIndent(x, "", "\t")
	return append(text, '\n'), err
}

// batch is some objects on their way to the disk.
type batch struct {
	rows    int
	u8      []byte    // one of the two
	f32     []float32 //
	ids     []string
	source  []int
	numbers [][]float64 // by column; nil for columns of text
	texts   [][]string  // by column; empty is missing
}

func newBatch(l *layout, rows int) *batch {
	b := &batch{ids: make([]string, rows), source: make([]int, rows), numbers: make([][]float64, len(l.fields)), texts: make([][]string, len(l.fields))}
	if l.dtype == protocol.DType_U8 {
		b.u8 = make([]byte, rows*l.length())
	} else {
		b.f32 = make([]float32, rows*l.length())
	}
	for i, f := range l.fields {
		if f.Type == protocol.Field_STRING {
			b.texts[i] = make([]string, rows)
		} else {
			b.numbers[i] = make([]float64, rows)
		}
	}
	return b
}

// pixels gives the memory of the first n rows.
func (b *batch) pixels(length, n int) []byte {
	if b.u8 != nil {
		return b.u8[:n*length]
	}
	return asBytes(b.f32[:n*length])
}

// writer writes batches into the files of a store.
type writer struct {
	dir    string
	l      *layout
	index  index
	digest *digester
	limit  int64 // bytes of pixels in a file

	objects, pixels       *os.File
	objectsOut, pixelsOut *ipc.FileWriter
	objectsKind, pixKind  *arrow.Schema
	inShard               int64
}

func newWriter(dir string, l *layout, batchRows int, limit int64) (*writer, error) {
	f := l.facts
	w := &writer{dir: dir, l: l, limit: limit, digest: newDigester(l), index: index{
		Format: 1, Shape: f.Shape, Bands: f.Bands, Flux: f.Flux.String(), Unit: f.Unit, Scale: f.PixelScale,
		DType: l.dtype.String(), Value: l.scale, Columns: []column{}, BatchRows: batchRows, Pixels: []part{}}}
	fields := []arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}, {Name: "sample", Type: arrow.PrimitiveTypes.Uint64}, {Name: "source", Type: arrow.PrimitiveTypes.Int32}}
	for _, c := range l.fields {
		field := arrow.Field{Name: c.Name, Type: arrow.PrimitiveTypes.Float64, Nullable: true, Metadata: arrow.MetadataFrom(map[string]string{"unit": c.Unit, "doc": c.Doc})}
		if c.Type == protocol.Field_STRING {
			field.Type = arrow.BinaryTypes.String
		}
		fields = append(fields, field)
		w.index.Columns = append(w.index.Columns, column{Name: c.Name, Text: c.Type == protocol.Field_STRING, Unit: c.Unit, Doc: c.Doc})
	}
	w.objectsKind = arrow.NewSchema(fields, nil)

	var value arrow.DataType = arrow.PrimitiveTypes.Float32
	if l.dtype == protocol.DType_U8 {
		value = arrow.PrimitiveTypes.Uint8
	}
	// The extension type arrow.fixed_shape_tensor lets other software see the shape.
	shape, err := json.Marshal(map[string]any{"shape": f.Shape})
	if err != nil {
		return nil, err
	}
	w.pixKind = arrow.NewSchema([]arrow.Field{{Name: "pixels", Type: arrow.FixedSizeListOfNonNullable(int32(l.length()), value),
		Metadata: arrow.MetadataFrom(map[string]string{"ARROW:extension:name": "arrow.fixed_shape_tensor", "ARROW:extension:metadata": string(shape)})}}, nil)

	if w.objects, err = os.Create(filepath.Join(dir, objectsFile)); err != nil {
		return nil, err
	}
	w.objectsOut, err = ipc.NewFileWriter(w.objects, ipc.WithSchema(w.objectsKind))
	return w, err
}

// write appends a batch.
func (w *writer) write(b *batch) error {
	length := w.l.length()
	wide := length
	if b.u8 == nil {
		wide *= 4
	}
	pixels := b.pixels(length, b.rows)
	for r := range b.rows {
		w.digest.object(b.ids[r], b.source[r], pixels[r*wide:(r+1)*wide])
		for c := range w.l.fields {
			if b.texts[c] != nil {
				w.digest.text(b.texts[c][r])
			} else {
				w.digest.number(b.numbers[c][r])
			}
		}
	}
	w.digest.flush()
	if err := w.writeObjects(b); err != nil {
		return err
	}
	if w.pixels != nil && w.inShard+int64(len(pixels)) > w.limit {
		if err := w.endShard(); err != nil {
			return err
		}
	}
	if w.pixels == nil {
		f, err := os.OpenFile(filepath.Join(w.dir, fmt.Sprintf(pixelsFile, len(w.index.Pixels))), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		w.pixels, w.inShard = f, 0
		if w.pixelsOut, err = ipc.NewFileWriter(f, ipc.WithSchema(w.pixKind)); err != nil {
			return err
		}
	}
	list := w.pixKind.Field(0).Type.(*arrow.FixedSizeListType)
	values := array.NewData(list.Elem(), b.rows*length, []*memory.Buffer{nil, memory.NewBufferBytes(pixels)}, nil, 0, 0)
	rows := array.NewFixedSizeListData(array.NewData(list, b.rows, []*memory.Buffer{nil}, []arrow.ArrayData{values}, 0, 0))
	if err := w.pixelsOut.Write(array.NewRecordBatch(w.pixKind, []arrow.Array{rows}, int64(b.rows))); err != nil {
		return err
	}
	w.inShard += int64(len(pixels))
	w.index.Rows += b.rows
	return nil
}

func (w *writer) writeObjects(b *batch) error {
	build := array.NewRecordBuilder(memory.DefaultAllocator, w.objectsKind)
	defer build.Release()
	for r := range b.rows {
		build.Field(0).(*array.StringBuilder).Append(b.ids[r])
		build.Field(1).(*array.Uint64Builder).Append(key.Sample(b.ids[r]))
		build.Field(2).(*array.Int32Builder).Append(int32(b.source[r]))
	}
	for c := range w.l.fields {
		switch f := build.Field(3 + c).(type) {
		case *array.StringBuilder:
			for _, s := range b.texts[c][:b.rows] {
				if s == "" {
					f.AppendNull()
				} else {
					f.Append(s)
				}
			}
		case *array.Float64Builder:
			for _, v := range b.numbers[c][:b.rows] {
				if math.IsNaN(v) {
					f.AppendNull()
				} else {
					f.Append(v)
				}
			}
		}
	}
	record := build.NewRecordBatch()
	defer record.Release()
	return w.objectsOut.Write(record)
}

// endShard completes the file of pixels at hand and finds where in it the pixels lie.
func (w *writer) endShard() error {
	if err := w.pixelsOut.Close(); err != nil {
		return err
	}
	f := w.pixels
	w.pixels = nil
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	m, err := mmap(f, st.Size())
	if err != nil {
		return err
	}
	defer syscall.Munmap(m)
	r, err := ipc.NewMappedFileReader(m)
	if err != nil {
		return err
	}
	p := part{File: filepath.Base(f.Name()), Size: st.Size()}
	wide := w.l.length()
	if w.l.dtype == protocol.DType_F32 {
		wide *= 4
	}
	var end int64
	for i := range r.NumRecords() {
		record, err := r.RecordBatchAt(i)
		if err != nil {
			return err
		}
		values := record.Column(0).Data().Children()[0].Buffers()[1].Bytes()
		at := int64(uintptr(unsafe.Pointer(unsafe.SliceData(values))) - uintptr(unsafe.Pointer(unsafe.SliceData(m))))
		end = at + record.NumRows()*int64(wide)
		record.Release()
		if at < 0 || end > st.Size() || at%4 != 0 {
			return fmt.Errorf("the pixels of record batch %d of %s lie at %d of %d bytes", i, p.File, at, st.Size())
		}
		p.Batches = append(p.Batches, at)
	}
	p.SHA256 = edges(m, p.Batches[0], end)
	w.index.Pixels = append(w.index.Pixels, p)
	if err := r.Close(); err != nil {
		return err
	}
	return f.Close()
}

// edges hashes what stands before the first and after the last pixel of a file.
func edges(m []byte, first, end int64) string {
	h := sha256.New()
	h.Write(m[:first])
	h.Write(m[end:])
	return hex.EncodeToString(h.Sum(nil))
}

// end completes the store.
func (w *writer) end(report *Report) error {
	if w.pixels != nil {
		if err := w.endShard(); err != nil {
			return err
		}
	}
	if err := w.objectsOut.Close(); err != nil {
		return err
	}
	size, err := w.objects.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := w.objects.Close(); err != nil {
		return err
	}
	text, err := os.ReadFile(w.objects.Name())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	w.index.Objects = part{File: objectsFile, Size: size, SHA256: hex.EncodeToString(sum[:])}
	w.index.Digest = w.digest.sum()
	w.index.Report = *report
	doc, err := w.index.encode()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, indexFile), doc, 0o644)
}

// abandon closes the files of a store that will not be completed.
func (w *writer) abandon() {
	if w.pixels != nil {
		w.pixels.Close()
	}
	w.objects.Close()
}

// mmap maps a whole file for reading.
func mmap(f *os.File, size int64) ([]byte, error) {
	if size <= 0 || size != int64(int(size)) {
		return nil, fmt.Errorf("%s is %d bytes long", f.Name(), size)
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return m, nil
}

// unwritten says that the machine would not let us write a store, and what may help.
func unwritten(dir string, err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	e := &fault.Error{Op: "ingest", Kind: fault.Internal, What: "cannot write the data to " + dir, Err: err, Do: "report this, with the experiment"}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		e.Kind = fault.Resource
		e.Do = "free space on that disk (asterism store gc removes unused results), or set ASTERISM_CACHE to a folder on a larger one"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE):
		e.Kind, e.Do = fault.Resource, "check the folder and the disk, or set ASTERISM_CACHE to another folder"
	}
	return e
}

// decode reads store.json and checks it against itself.
func decode(text []byte) (*index, error) {
	x := new(index)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(x); err != nil {
		return nil, err
	}
	if x.Format != 1 {
		return nil, fmt.Errorf("format %d is not known to this version", x.Format)
	}
	if again, err := x.encode(); err != nil {
		return nil, err
	} else if !bytes.Equal(again, text) {
		return nil, errors.New("the document is not what was written")
	}
	return x, nil
}
