package predict

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/asterism-ssl/asterism/core/kernel/nearest"
)

// table is the representations of a run, mapped into memory where they lie.
type table struct {
	nearest.Table
	mapped []byte
}

// representationsFile is that of a run directory.
const representationsFile = "representations.arrow"

// openTable maps the representations of so many objects. Rows for which keep is false are never found; nil: all are.
func openTable(path string, rows int, keep func(row int) bool) (t *table, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() == 0 {
		return nil, errors.New(path + " is empty")
	}
	t = &table{}
	if t.mapped, err = syscall.Mmap(int(f.Fd()), 0, int(st.Size()), syscall.PROT_READ, syscall.MAP_SHARED); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil { // Arrow panics at some malformed files
			err = fmt.Errorf("%v", p)
		}
		if err != nil {
			t.close()
			t, err = nil, fmt.Errorf("%s: %w", path, err)
		}
	}()
	if !bytes.HasPrefix(t.mapped, []byte("ARROW1")) {
		return t, errors.New("it is no Arrow file")
	}
	r, err := ipc.NewMappedFileReader(t.mapped)
	if err != nil {
		return t, err
	}
	defer r.Close()
	column := r.Schema().FieldIndices("representation")
	if len(column) != 1 {
		return t, errors.New("it has no column representation")
	}
	for i := range r.NumRecords() {
		batch, err := r.RecordBatchAt(i)
		if err != nil {
			return t, err
		}
		list, ok := batch.Column(column[0]).(*array.FixedSizeList)
		if !ok {
			return t, fmt.Errorf("its representations are %s", batch.Column(column[0]).DataType())
		}
		width := int(list.DataType().(*arrow.FixedSizeListType).Len())
		t.Width = width
		values, ok := list.ListValues().(*array.Float32)
		if !ok {
			return t, errors.New("its representations are not float32")
		}
		first := t.Len()
		var kept func(int) bool
		if keep != nil {
			kept = func(i int) bool { return first+i < rows && keep(first+i) }
		}
		t.Add(values.Float32Values()[:list.Len()*width], kept)
		batch.Release()
	}
	if t.Len() != rows {
		return t, fmt.Errorf("it has %d representations for %d objects", t.Len(), rows)
	}
	return t, nil
}

// close unmaps the table.
func (t *table) close() error {
	if t.mapped == nil {
		return nil
	}
	m := t.mapped
	t.mapped = nil
	return syscall.Munmap(m)
}
