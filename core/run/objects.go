package run

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The files with which a run takes in new data.
const (
	InputsFile  = "inputs.json"
	ObjectsFile = "objects.arrow"
)

// Inputs is inputs.json: what a run's data are, for new data to be brought to.
type Inputs struct {
	Facts      *protocol.SampleFacts      `json:"facts"`                // of a sample as views take it
	Columns    []*protocol.LabelFacts     `json:"columns"`              // over the training part
	Statistics []*protocol.BandStatistics `json:"statistics,omitempty"` // of the training part, where views need them
}

// Part is the part of the data that an object belongs to.
type Part uint8

// The parts.
const (
	Train Part = iota
	Valid
	Test
)

var parts = []string{"train", "valid", "test"}

// String gives "train", "valid" or "test".
func (p Part) String() string { return parts[p] }

// Objects is objects.arrow: the objects of a run, in the order of its representations.
type Objects struct {
	IDs     []string
	Parts   []Part
	Columns []ObjectColumn
}

// ObjectColumn is a column of the data.
type ObjectColumn struct {
	Name       string
	Values     []float64 // NaN where it is missing; for text the index into Categories
	Categories []string  // of text; nil for numbers
}

// Text is a value as it is shown, numbers with six digits; empty where it is missing.
func (c ObjectColumn) Text(row int) string {
	switch v := c.Values[row]; {
	case math.IsNaN(v):
		return ""
	case c.Categories != nil:
		return c.Categories[int(v)]
	default:
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
}

// Column finds a column.
func (o *Objects) Column(name string) (ObjectColumn, bool) {
	for _, c := range o.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return ObjectColumn{}, false
}

// Write makes an Arrow IPC file with the columns id, part, and those of the data, their names with "data." before them.
func (o *Objects) Write(path string) error {
	fields := []arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}, {Name: "part", Type: arrow.BinaryTypes.String}}
	for _, c := range o.Columns {
		field := arrow.Field{Name: "data." + c.Name, Type: arrow.PrimitiveTypes.Float64, Nullable: true}
		if c.Categories != nil {
			field.Type = arrow.BinaryTypes.String
		}
		fields = append(fields, field)
	}
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, id := range o.IDs {
		b.Field(0).(*array.StringBuilder).Append(id)
		b.Field(1).(*array.StringBuilder).Append(o.Parts[i].String())
		for k, c := range o.Columns {
			switch f := b.Field(2 + k).(type) {
			case *array.StringBuilder:
				if math.IsNaN(c.Values[i]) {
					f.AppendNull()
				} else {
					f.Append(c.Text(i))
				}
			case *array.Float64Builder:
				if math.IsNaN(c.Values[i]) {
					f.AppendNull()
				} else {
					f.Append(c.Values[i])
				}
			}
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	return WriteTo(path, func(to io.Writer) error {
		w, err := ipc.NewFileWriter(to, ipc.WithSchema(schema))
		if err != nil {
			return err
		}
		return errors.Join(w.Write(batch), w.Close())
	})
}

// ReadObjects reads what Write wrote.
func ReadObjects(path string) (o *Objects, err error) {
	damaged := func(err error) error {
		return &fault.Error{Op: "run", Kind: fault.Data, What: path + " is damaged", Err: err, Do: "copy the run directory again, or run its experiment again"}
	}
	defer func() {
		if p := recover(); p != nil { // Arrow panics at some malformed files
			o, err = nil, damaged(fmt.Errorf("%v", p))
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := ipc.NewFileReader(f)
	if err != nil {
		return nil, damaged(err)
	}
	defer r.Close()
	o = &Objects{}
	texts := map[int]map[string]int{}
	for k, field := range r.Schema().Fields() {
		if k < 2 {
			continue
		}
		c := ObjectColumn{Name: field.Name[len("data."):]}
		if field.Type.ID() == arrow.STRING {
			c.Categories, texts[k-2] = []string{}, map[string]int{}
		}
		o.Columns = append(o.Columns, c)
	}
	for i := range r.NumRecords() {
		batch, err := r.RecordBatchAt(i)
		if err != nil {
			return nil, damaged(err)
		}
		ids, named := batch.Column(0).(*array.String), batch.Column(1).(*array.String)
		for row := range int(batch.NumRows()) {
			part := -1
			for p, name := range parts {
				if named.Value(row) == name {
					part = p
				}
			}
			if part < 0 {
				return nil, damaged(fmt.Errorf("an object of the part %q", named.Value(row)))
			}
			o.IDs, o.Parts = append(o.IDs, ids.Value(row)), append(o.Parts, Part(part))
			for k := range o.Columns {
				c, v := &o.Columns[k], math.NaN()
				switch a := batch.Column(2 + k).(type) {
				case *array.String:
					if a.IsValid(row) {
						at, known := texts[k][a.Value(row)]
						if !known {
							at = len(c.Categories)
							texts[k][a.Value(row)], c.Categories = at, append(c.Categories, a.Value(row))
						}
						v = float64(at)
					}
				case *array.Float64:
					if a.IsValid(row) {
						v = a.Value(row)
					}
				}
				c.Values = append(c.Values, v)
			}
		}
		batch.Release()
	}
	return o, nil
}
