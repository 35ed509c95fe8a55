package flow

import (
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asterism-ssl/asterism/core/fault"
)

// Representations are the outputs of an encoder for every object of a store, in its order, or for some.
type Representations struct {
	Width  int
	Values []float32 // [rows, width]

	at map[int]int // where those of an object lie; nil: in its row
}

// Row gives the representation of one object.
func (r *Representations) Row(i int) []float32 {
	if r.at != nil {
		i = r.at[i]
	}
	return r.Values[i*r.Width : (i+1)*r.Width]
}

// of says that the representations are those of these rows.
func (r *Representations) of(rows []int) *Representations {
	r.at = make(map[int]int, len(rows))
	for k, i := range rows {
		r.at[i] = k
	}
	return r
}

// Pick gathers rows, [len(rows), width].
func (r *Representations) Pick(rows []int) []float32 {
	x := make([]float32, len(rows)*r.Width)
	for k, i := range rows {
		copy(x[k*r.Width:], r.Row(i))
	}
	return x
}

// representationBatch is the number of rows of a record batch.
const representationBatch = 4096

// write makes an Arrow IPC file with the columns id and representation, one row an object.
func (r *Representations) write(path string, id func(int) string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	list := arrow.FixedSizeListOfNonNullable(int32(r.Width), arrow.PrimitiveTypes.Float32)
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}, {Name: "representation", Type: list}}, nil)
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(schema))
	if err != nil {
		return err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	rows := len(r.Values) / r.Width
	for first := 0; first < rows; first += representationBatch {
		last := min(first+representationBatch, rows)
		for i := first; i < last; i++ {
			b.Field(0).(*array.StringBuilder).Append(id(i))
			l := b.Field(1).(*array.FixedSizeListBuilder)
			l.Append(true)
			l.ValueBuilder().(*array.Float32Builder).AppendValues(r.Values[i*r.Width:(i+1)*r.Width], nil)
		}
		batch := b.NewRecordBatch()
		err := w.Write(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// readRepresentations reads what write made of so many objects.
func readRepresentations(path string, rows int) (*Representations, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	damaged := func(err error) error {
		return &fault.Error{Op: "embed", Kind: fault.Data, What: path + " is damaged", Err: err, Do: "run again with --fresh"}
	}
	reader, err := ipc.NewFileReader(f)
	if err != nil {
		return nil, damaged(err)
	}
	defer reader.Close()
	column := reader.Schema().FieldIndices("representation")
	if len(column) != 1 {
		return nil, damaged(errors.New("no column representation"))
	}
	r := new(Representations)
	for i := range reader.NumRecords() {
		batch, err := reader.RecordBatchAt(i)
		if err != nil {
			return nil, damaged(err)
		}
		list, ok := batch.Column(column[0]).(*array.FixedSizeList)
		if !ok {
			return nil, damaged(fmt.Errorf("representation is %s", batch.Column(column[0]).DataType()))
		}
		r.Width = int(list.DataType().(*arrow.FixedSizeListType).Len())
		values, ok := list.ListValues().(*array.Float32)
		if !ok {
			return nil, damaged(errors.New("representation is not float32"))
		}
		if r.Values == nil {
			r.Values = make([]float32, 0, rows*r.Width)
		}
		r.Values = append(r.Values, values.Float32Values()[:list.Len()*r.Width]...)
		batch.Release()
	}
	if len(r.Values) != rows*r.Width {
		return nil, damaged(fmt.Errorf("it has %d values for %d objects", len(r.Values), rows))
	}
	return r, nil
}
