package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Store is the objects of an experiment, mapped into memory. It is safe for concurrent use.
type Store struct {
	dir     string
	index   *index
	length  int // values in a sample
	u8      bool
	table   [256]float32 // value of a byte
	ids     []string
	samples []uint64
	source  []int32
	columns []Column

	mu     sync.RWMutex // held for reading while pixels are read, for writing by Close
	maps   [][]byte
	pixels [][]byte // of each record batch; nil when closed
}

// Column is a column of the objects. The slices are the store's own.
type Column struct {
	Name       string
	Unit       string
	Doc        string
	Values     []float64 // one for each row; NaN where it is missing; for text the index into Categories
	Categories []string  // for text: the distinct values, sorted
}

// Open maps a store. Its files must have the sizes and, but for the pixels themselves, the content that was written.
func Open(dir string) (s *Store, err error) {
	spoilt := func(file string, err error) error {
		f := &fault.Error{Op: "data", Kind: fault.Data, What: fmt.Sprintf("the data in %s cannot be used: %s", dir, file), Err: err,
			Do: "remove that folder and run the experiment again: it is built from the original data"}
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENOMEM) {
			f.Kind, f.Do = fault.Resource, "check who may read the folder, and the limits on open files and memory"
		}
		return f
	}
	text, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		return nil, spoilt(indexFile, err)
	}
	x, err := decode(text)
	if err != nil {
		return nil, spoilt(indexFile, err)
	}
	s = &Store{dir: dir, index: x, length: 1, u8: x.DType == "U8"}
	if err := s.sane(); err != nil {
		return nil, spoilt(indexFile, err)
	}
	for i := range s.table {
		s.table[i] = float32(x.Value * float64(i))
	}
	if err := s.readObjects(); err != nil {
		return nil, spoilt(objectsFile, err)
	}
	for _, p := range x.Pixels {
		if err := s.mapPixels(p); err != nil {
			s.Close()
			return nil, spoilt(p.File, err)
		}
	}
	if want := (x.Rows + x.BatchRows - 1) / x.BatchRows; len(s.pixels) != want {
		s.Close()
		return nil, spoilt(indexFile, fmt.Errorf("there are %d record batches of pixels, not %d", len(s.pixels), want))
	}
	return s, nil
}

// sane checks what store.json says before anything is allocated or mapped by it.
func (s *Store) sane() error {
	x := s.index
	if len(x.Shape) == 0 || len(x.Bands) != int(x.Shape[len(x.Shape)-1]) || x.Rows < 1 || x.BatchRows < 1 || x.DType != "U8" && x.DType != "F32" {
		return fmt.Errorf("%d rows of %s %v with %d bands, in batches of %d", x.Rows, x.DType, x.Shape, len(x.Bands), x.BatchRows)
	}
	for _, n := range x.Shape {
		if n < 1 || n > most || s.length*int(n) > most {
			return fmt.Errorf("samples are %v", x.Shape)
		}
		s.length *= int(n)
	}
	for _, p := range append(slices.Clone(x.Pixels), x.Objects) {
		if p.File != filepath.Base(p.File) || p.File == "." || p.File == ".." || p.File == "" {
			return fmt.Errorf("it names the file %q", p.File)
		}
	}
	return nil
}

// readObjects reads the table of objects.
func (s *Store) readObjects() (err error) {
	defer func() {
		if p := recover(); p != nil { // Arrow panics at some malformed files; the hash leaves few of them
			err = fmt.Errorf("it cannot be read: %v", p)
		}
	}()
	x := s.index
	text, err := os.ReadFile(filepath.Join(s.dir, x.Objects.File))
	if err != nil {
		return err
	}
	if int64(len(text)) != x.Objects.Size {
		return fmt.Errorf("it is %d bytes long, not %d", len(text), x.Objects.Size)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != x.Objects.SHA256 {
		return errors.New("it is not what was written: its SHA-256 differs")
	}
	r, err := ipc.NewMappedFileReader(text)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Schema().NumFields() != 3+len(x.Columns) {
		return fmt.Errorf("it has %d columns, not %d", r.Schema().NumFields(), 3+len(x.Columns))
	}
	texts := make([][]string, len(x.Columns))
	for _, c := range x.Columns {
		s.columns = append(s.columns, Column{Name: c.Name, Unit: c.Unit, Doc: c.Doc})
	}
	for i := range r.NumRecords() {
		record, err := r.RecordBatchAt(i)
		if err != nil {
			return err
		}
		id, sample, source := record.Column(0).(*array.String), record.Column(1).(*array.Uint64), record.Column(2).(*array.Int32)
		for k := range int(record.NumRows()) {
			s.ids = append(s.ids, id.Value(k)) // the strings share the memory of the file's text, which stays
		}
		s.samples = append(s.samples, sample.Uint64Values()...)
		s.source = append(s.source, source.Int32Values()...)
		for c := range x.Columns {
			switch a := record.Column(3 + c).(type) {
			case *array.Float64:
				for k := range a.Len() {
					v := math.NaN()
					if a.IsValid(k) {
						v = a.Value(k)
					}
					s.columns[c].Values = append(s.columns[c].Values, v)
				}
			case *array.String:
				for k := range a.Len() {
					v := ""
					if a.IsValid(k) {
						v = a.Value(k)
					}
					texts[c] = append(texts[c], v)
				}
			default:
				return fmt.Errorf("column %q is of type %s", x.Columns[c].Name, a.DataType())
			}
		}
		record.Release()
	}
	for c := range s.columns {
		if texts[c] != nil {
			s.columns[c].Values, s.columns[c].Categories = codes(texts[c])
		}
		if len(s.columns[c].Values) != x.Rows {
			return fmt.Errorf("column %q has %d rows, not %d", x.Columns[c].Name, len(s.columns[c].Values), x.Rows)
		}
	}
	if len(s.ids) != x.Rows || len(s.samples) != x.Rows || len(s.source) != x.Rows {
		return fmt.Errorf("it has %d rows, not %d", len(s.ids), x.Rows)
	}
	return nil
}

// codes gives the distinct texts, sorted, and for each text its place among them; an empty text is missing.
func codes(texts []string) (values []float64, categories []string) {
	place := map[string]int{}
	for _, t := range texts {
		if t != "" {
			place[t] = 0
		}
	}
	categories = make([]string, 0, len(place))
	for t := range place {
		categories = append(categories, t)
	}
	slices.Sort(categories)
	for i, t := range categories {
		place[t] = i
	}
	values = make([]float64, len(texts))
	for i, t := range texts {
		values[i] = math.NaN()
		if t != "" {
			values[i] = float64(place[t])
		}
	}
	return values, categories
}

// mapPixels maps one file of pixels.
func (s *Store) mapPixels(p part) (err error) {
	f, err := os.Open(filepath.Join(s.dir, p.File))
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != p.Size {
		return fmt.Errorf("it is %d bytes long, not %d", st.Size(), p.Size)
	}
	x := s.index
	wide := int64(s.length)
	if !s.u8 {
		wide *= 4
	}
	var end int64
	first := len(s.pixels)
	for i, at := range p.Batches {
		rows := min(x.BatchRows, x.Rows-(first+i)*x.BatchRows)
		if at < end || at%4 != 0 || rows < 1 || int64(rows) > (p.Size-at)/wide {
			return fmt.Errorf("record batch %d of %d rows cannot lie at byte %d of %d", i, rows, at, p.Size)
		}
		end = at + int64(rows)*wide
	}
	if len(p.Batches) == 0 {
		return errors.New("it holds no pixels")
	}
	m, err := mmap(f, p.Size)
	if err != nil {
		return err
	}
	s.maps = append(s.maps, m)
	var sum string
	if err := guard(func() { sum = edges(m, p.Batches[0], end) }); err != nil {
		return err
	}
	if sum != p.SHA256 {
		return errors.New("it is not what was written: its SHA-256 differs")
	}
	for i, at := range p.Batches {
		rows := min(x.BatchRows, x.Rows-(first+i)*x.BatchRows)
		s.pixels = append(s.pixels, m[at:at+int64(rows)*wide])
	}
	return nil
}

// errFault says that mapped memory could not be read.
var errFault = &fault.Error{Op: "data", Kind: fault.Resource, What: "the pixels of the data store cannot be read any more",
	Do: "check the disk; if the files were removed or cut while they were in use, remove the store's folder and run again"}

// guard runs f, which reads mapped memory, and turns the failure of a disk, or of a file that shrank, into an error.
func guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer caught(&err)
	f()
	return nil
}

// caught, deferred, turns a panic of a memory fault into errFault.
func caught(err *error) {
	if p := recover(); p != nil {
		if _, ok := p.(interface{ Addr() uintptr }); !ok {
			panic(p)
		}
		*err = errFault
	}
}

// Close unmaps the store. What was gathered stays; ids and columns may still be used.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, m := range s.maps {
		if e := syscall.Munmap(m); err == nil {
			err = e
		}
	}
	s.maps, s.pixels = nil, nil
	return err
}

// Len is the number of objects.
func (s *Store) Len() int { return s.index.Rows }

// Facts describes the samples, after the frame.
func (s *Store) Facts() *protocol.SampleFacts {
	x := s.index
	return &protocol.SampleFacts{Shape: slices.Clone(x.Shape), Bands: slices.Clone(x.Bands), Flux: protocol.Flux(protocol.Flux_value[x.Flux]), Unit: x.Unit, PixelScale: x.Scale}
}

// ID gives the id of the object in a row.
func (s *Store) ID(row int) string { return s.ids[row] }

// Sample gives the sample id, key.Sample(ID(row)).
func (s *Store) Sample(row int) uint64 { return s.samples[row] }

// Source gives the number of the source that the object came from.
func (s *Store) Source(row int) int { return int(s.source[row]) }

// Columns names the columns, in their order.
func (s *Store) Columns() []string {
	var names []string
	for _, c := range s.columns {
		names = append(names, c.Name)
	}
	return names
}

// Column finds a column.
func (s *Store) Column(name string) (Column, bool) {
	for _, c := range s.columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Digest is the SHA-256 of the content: ids, sources, pixels and columns, in their order.
func (s *Store) Digest() string { return s.index.Digest }

// Report is what Ingest reported.
func (s *Store) Report() *Report { r := s.index.Report; return &r }

// raw gives the pixels of a row as they are stored. The caller holds mu.
func (s *Store) raw(row int) []byte {
	wide := s.length
	if !s.u8 {
		wide *= 4
	}
	b, r := row/s.index.BatchRows, row%s.index.BatchRows
	return s.pixels[b][r*wide:][:wide]
}

// Gather copies the samples of the rows to dst, one after the other, channels last, as values: len(rows) times the
// number of values in a sample. It does not allocate.
func (s *Store) Gather(dst []float32, rows []int) (err error) {
	if len(dst) != len(rows)*s.length {
		return &fault.Error{Op: "data", Kind: fault.Internal, What: fmt.Sprintf("%d samples of %d values do not fit %d", len(rows), s.length, len(dst))}
	}
	if err := s.inside(rows); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.pixels == nil {
		return errClosed
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer caught(&err)
	for i, row := range rows {
		if d := dst[i*s.length:][:s.length]; s.u8 {
			look(d, s.raw(row), &s.table)
		} else {
			copy(d, asFloats(s.raw(row)))
		}
	}
	return nil
}

// look writes the values of bytes.
func look(dst []float32, src []byte, table *[256]float32) {
	for len(src) >= 8 && len(dst) >= 8 {
		d, s := dst[:8], src[:8]
		d[0], d[1], d[2], d[3] = table[s[0]], table[s[1]], table[s[2]], table[s[3]]
		d[4], d[5], d[6], d[7] = table[s[4]], table[s[5]], table[s[6]], table[s[7]]
		dst, src = dst[8:], src[8:]
	}
	for i, v := range src {
		dst[i] = table[v]
	}
}

var errClosed = &fault.Error{Op: "data", Kind: fault.Internal, What: "the data store is closed"}

// inside checks row numbers.
func (s *Store) inside(rows []int) error {
	for _, r := range rows {
		if r < 0 || r >= s.index.Rows {
			return &fault.Error{Op: "data", Kind: fault.Internal, What: fmt.Sprintf("row %d of a data store with %d rows was asked for", r, s.index.Rows)}
		}
	}
	return nil
}

// Verify reads everything and compares it with the digest.
func (s *Store) Verify(ctx context.Context) error {
	x := s.index
	l := &layout{facts: s.Facts(), dtype: protocol.DType(protocol.DType_value[x.DType]), scale: x.Value}
	for _, c := range x.Columns {
		f := &protocol.Field{Name: c.Name, Type: protocol.Field_NUMBER, Unit: c.Unit}
		if c.Text {
			f.Type = protocol.Field_STRING
		}
		l.fields = append(l.fields, f)
	}
	d := newDigester(l)
	for row := range x.Rows {
		if err := ctx.Err(); err != nil {
			return &fault.Error{Op: "data", Kind: fault.Cancelled, What: "checking the data was stopped", Err: err}
		}
		if err := s.digestRow(d, row); err != nil {
			return err
		}
	}
	if sum := d.sum(); sum != x.Digest {
		return &fault.Error{Op: "data", Kind: fault.Data, What: fmt.Sprintf("the data in %s are not what was written: their digest is %s, not %s", s.dir, sum, x.Digest),
			Do: "remove that folder and run the experiment again: it is built from the original data"}
	}
	return nil
}

func (s *Store) digestRow(d *digester, row int) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.pixels == nil {
		return errClosed
	}
	if err := guard(func() { d.object(s.ids[row], int(s.source[row]), s.raw(row)) }); err != nil {
		return err
	}
	for i, c := range s.columns {
		switch v := c.Values[row]; {
		case !s.index.Columns[i].Text:
			d.number(v)
		case math.IsNaN(v):
			d.text("")
		default:
			d.text(c.Categories[int(v)])
		}
	}
	d.flush()
	return nil
}
