package predict

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asterism-ssl/asterism/core/plugin"
)

// Writer writes batches, one row an object. Close ends the file; a file without it is not whole.
type Writer interface {
	Write(*Batch) error
	Close() error
}

// NewCSV writes predictions as comma-separated values: id, a column task.column for what a task predicts, or one for each
// of its values as in morphology.probability.spiral, and nearest.1, distance.1 and so on. Representations have no place
// there: NewArrow writes them.
func NewCSV(w io.Writer) Writer { return &csvWriter{out: csv.NewWriter(w)} }

type csvWriter struct {
	out    *csv.Writer
	header []string
}

func (c *csvWriter) Write(b *Batch) error {
	header := []string{"id"}
	for _, t := range b.Columns {
		if len(t.Shape) == 1 {
			header = append(header, t.Name)
			continue
		}
		for k := range int(t.Shape[1]) {
			part := strconv.Itoa(k + 1)
			if k < len(t.Categories) && t.I64 == nil { // a value for each category
				part = t.Categories[k]
			}
			header = append(header, t.Name+"."+part)
		}
	}
	for _, t := range b.Texts {
		header = append(header, numbered(t.Name, t.K)...)
	}
	k := b.K()
	for i := range k {
		header = append(header, fmt.Sprintf("nearest.%d", i+1), fmt.Sprintf("distance.%d", i+1))
	}
	if c.header == nil {
		c.header = header
		if err := c.out.Write(header); err != nil {
			return err
		}
	} else if !slices.Equal(header, c.header) {
		return fmt.Errorf("the columns changed from %v to %v", c.header, header)
	}
	line := make([]string, 0, len(header))
	for i, id := range b.IDs {
		line = append(line[:0], id)
		for _, t := range b.Columns {
			n := 1
			if len(t.Shape) == 2 {
				n = int(t.Shape[1])
			}
			for j := i * n; j < (i+1)*n; j++ {
				line = append(line, cell(t, j))
			}
		}
		for _, t := range b.Texts {
			line = append(line, t.Text[i*t.K:(i+1)*t.K]...)
		}
		for j := i * k; j < (i+1)*k; j++ {
			line = append(line, b.Nearest[j], number(float64(b.Distance[j]), 32))
		}
		if err := c.out.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func (c *csvWriter) Close() error {
	c.out.Flush()
	return c.out.Error()
}

func numbered(name string, k int) []string {
	names := make([]string, k)
	for i := range names {
		names[i] = fmt.Sprintf("%s.%d", name, i+1)
	}
	return names
}

// cell is one value of a column, empty where it is not a number.
func cell(t plugin.Tensor, i int) string {
	switch {
	case t.I64 != nil:
		if v := t.I64[i]; len(t.Categories) > 0 && v >= 0 && v < int64(len(t.Categories)) {
			return t.Categories[v]
		}
		return strconv.FormatInt(t.I64[i], 10)
	case t.F64 != nil:
		return number(t.F64[i], 64)
	case t.U8 != nil:
		return strconv.Itoa(int(t.U8[i]))
	}
	return number(float64(t.F32[i]), 32)
}

func number(v float64, bits int) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, bits)
}

// NewArrow writes an Arrow IPC file: id, representation, a column task.column for what a task predicts, a list where it is
// several values, with the names of categories in the field's metadata, and the lists nearest and distance.
func NewArrow(w io.Writer) Writer { return &arrowWriter{to: w} }

type arrowWriter struct {
	to     io.Writer
	out    *ipc.FileWriter
	schema *arrow.Schema
}

// appender appends the values of one row.
type appender func(b array.Builder, i int)

func (a *arrowWriter) Write(b *Batch) error {
	fields := []arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}
	columns := []appender{func(f array.Builder, i int) { f.(*array.StringBuilder).Append(b.IDs[i]) }}
	add := func(name string, k int, of arrow.DataType, metadata arrow.Metadata, one appender) {
		if k < 0 {
			fields, columns = append(fields, arrow.Field{Name: name, Type: of, Metadata: metadata}), append(columns, one)
			return
		}
		fields = append(fields, arrow.Field{Name: name, Type: arrow.FixedSizeListOfNonNullable(int32(k), of), Metadata: metadata})
		columns = append(columns, func(f array.Builder, i int) {
			l := f.(*array.FixedSizeListBuilder)
			l.Append(true)
			for j := i * k; j < (i+1)*k; j++ {
				one(l.ValueBuilder(), j)
			}
		})
	}
	float := func(values []float32) appender {
		return func(f array.Builder, i int) { f.(*array.Float32Builder).Append(values[i]) }
	}
	text := func(values []string) appender {
		return func(f array.Builder, i int) { f.(*array.StringBuilder).Append(values[i]) }
	}
	none := arrow.Metadata{}
	add("representation", b.Width, arrow.PrimitiveTypes.Float32, none, float(b.Representations))
	for _, t := range b.Columns {
		k, metadata := -1, none
		if len(t.Shape) == 2 {
			k = int(t.Shape[1])
		}
		if len(t.Categories) > 0 {
			metadata = arrow.NewMetadata(indices(len(t.Categories)), t.Categories)
		}
		switch {
		case t.F64 != nil:
			add(t.Name, k, arrow.PrimitiveTypes.Float64, metadata, func(f array.Builder, i int) { f.(*array.Float64Builder).Append(t.F64[i]) })
		case t.I64 != nil:
			add(t.Name, k, arrow.PrimitiveTypes.Int64, metadata, func(f array.Builder, i int) { f.(*array.Int64Builder).Append(t.I64[i]) })
		case t.U8 != nil:
			add(t.Name, k, arrow.PrimitiveTypes.Uint8, metadata, func(f array.Builder, i int) { f.(*array.Uint8Builder).Append(t.U8[i]) })
		default:
			add(t.Name, k, arrow.PrimitiveTypes.Float32, metadata, float(t.F32))
		}
	}
	for _, t := range b.Texts {
		add(t.Name, t.K, arrow.BinaryTypes.String, none, text(t.Text))
	}
	if k := b.K(); k > 0 {
		add("nearest", k, arrow.BinaryTypes.String, none, text(b.Nearest))
		add("distance", k, arrow.PrimitiveTypes.Float32, none, float(b.Distance))
	}
	schema := arrow.NewSchema(fields, nil)
	if a.out == nil {
		var err error
		if a.out, err = ipc.NewFileWriter(a.to, ipc.WithSchema(schema)); err != nil {
			return err
		}
		a.schema = schema
	} else if !schema.Equal(a.schema) {
		return fmt.Errorf("the columns changed from %v to %v", a.schema, schema)
	}
	r := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer r.Release()
	for k, one := range columns {
		f := r.Field(k)
		f.Reserve(len(b.IDs))
		for i := range b.IDs {
			one(f, i)
		}
	}
	batch := r.NewRecordBatch()
	defer batch.Release()
	return a.out.Write(batch)
}

func (a *arrowWriter) Close() error {
	if a.out == nil {
		return nil
	}
	return a.out.Close()
}

func indices(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}
