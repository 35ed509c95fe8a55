package flow

import (
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asterism-ssl/asterism/core/plugin"
)

// writePredictions makes an Arrow IPC file with the column id and the columns that a task predicted, one row an object. A
// column of [rows, k] becomes a list; the names of categories are in the field's metadata.
func writePredictions(path string, columns []plugin.Tensor, rows []int, id func(int) string) (err error) {
	ids := array.NewStringBuilder(memory.DefaultAllocator)
	for _, r := range rows {
		ids.Append(id(r))
	}
	fields := []arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}
	values := []arrow.Array{ids.NewArray()}
	for _, t := range columns {
		if len(t.Shape) == 0 || t.Shape[0] != int64(len(rows)) || len(t.Shape) > 2 {
			return fmt.Errorf("the column %s has the shape %v for %d rows", t.Name, t.Shape, len(rows))
		}
		leaf := leafType(t)
		kind := leaf
		width := 1
		if len(t.Shape) == 2 {
			width = int(t.Shape[1])
			kind = arrow.FixedSizeListOfNonNullable(int32(width), leaf)
		}
		list := array.NewBuilder(memory.DefaultAllocator, kind)
		inner := list
		if l, ok := list.(*array.FixedSizeListBuilder); ok {
			for range rows {
				l.Append(true)
			}
			inner = l.ValueBuilder()
		}
		switch b := inner.(type) {
		case *array.Float32Builder:
			b.AppendValues(t.F32, nil)
		case *array.Float64Builder:
			b.AppendValues(t.F64, nil)
		case *array.Int64Builder:
			b.AppendValues(t.I64, nil)
		}
		field := arrow.Field{Name: t.Name, Type: kind}
		if len(t.Categories) > 0 {
			names := make([]string, len(t.Categories))
			for i := range names {
				names[i] = fmt.Sprint(i)
			}
			field.Metadata = arrow.NewMetadata(names, t.Categories)
		}
		fields, values = append(fields, field), append(values, list.NewArray())
	}
	schema := arrow.NewSchema(fields, nil)
	batch := array.NewRecordBatch(schema, values, int64(len(rows)))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(schema))
	if err != nil {
		return err
	}
	if err := w.Write(batch); err != nil {
		return err
	}
	return w.Close()
}

func leafType(t plugin.Tensor) arrow.DataType {
	switch {
	case t.F64 != nil:
		return arrow.PrimitiveTypes.Float64
	case t.I64 != nil:
		return arrow.PrimitiveTypes.Int64
	}
	return arrow.PrimitiveTypes.Float32
}
