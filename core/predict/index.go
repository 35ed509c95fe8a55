package predict

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/trained"
)

// Index is the objects of a run with their representations, to be searched. It may be used by several at once.
type Index struct {
	Dir     string
	Objects *run.Objects

	table *table
	pool  *kernel.Pool
	rows  map[string]int // by id
}

// OpenIndex opens the objects of a run, or those of its training part alone.
func OpenIndex(dir string, threads int, training bool) (*Index, error) {
	x := &Index{Dir: dir}
	var err error
	if x.Objects, err = run.ReadObjects(filepath.Join(dir, run.ObjectsFile)); err != nil {
		return nil, trained.Damaged(dir, err)
	}
	var keep func(row int) bool
	if training {
		keep = func(row int) bool { return x.Objects.Parts[row] == run.Train }
	}
	if x.table, err = openTable(filepath.Join(dir, representationsFile), len(x.Objects.IDs), keep); err != nil {
		return nil, trained.Damaged(dir, err)
	}
	x.pool = kernel.NewPool(threads)
	x.rows = make(map[string]int, len(x.Objects.IDs))
	for row, id := range x.Objects.IDs {
		x.rows[id] = row
	}
	return x, nil
}

// Close unmaps the representations and ends the threads.
func (x *Index) Close() error {
	x.pool.Close()
	return x.table.close()
}

// Width is that of a representation.
func (x *Index) Width() int { return x.table.Width }

// Row finds an object by its id.
func (x *Index) Row(id string) (int, error) {
	row, ok := x.rows[id]
	if !ok {
		f := &fault.Error{Op: "search", Kind: fault.Config, What: fmt.Sprintf("the run has no object %q", id), Do: "name an object as predictions and reports do, or an image file"}
		if len(x.rows) <= 1<<17 { // looking at each takes its time
			if near := fault.Nearest(id, x.Objects.IDs); near != "" {
				f.Do = fmt.Sprintf("did you mean %q?", near)
			}
		}
		return 0, f
	}
	return row, nil
}

// Representation is that of the object in a row; it must not be changed.
func (x *Index) Representation(row int) []float32 { return x.table.Row(row) }

// Found is an object that was found.
type Found struct {
	Row    int // in Objects
	ID     string
	Cosine float32
}

// Like finds the objects whose representations have the greatest cosine with x [Width], greatest first.
func (x *Index) Like(query []float32, top int) ([]Found, error) {
	if len(query) != x.Width() {
		return nil, fmt.Errorf("predict: a query of %d values among representations of %d", len(query), x.Width())
	}
	if top < 1 {
		return nil, errors.New("predict: nothing is asked for")
	}
	return x.like(query, top)[0], nil
}

// LikeObject finds the objects most like the one in a row, without it.
func (x *Index) LikeObject(row, top int) ([]Found, error) {
	found, err := x.Like(x.Representation(row), top+1)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(f Found) bool { return f.Row == row })
	return found[:min(len(found), top)], nil
}

// like finds the nearest of several queries.
func (x *Index) like(queries []float32, top int) [][]Found {
	rows, cosines := x.table.Search(x.pool, queries, top)
	m := len(queries) / x.Width()
	top = len(rows) / m
	found := make([][]Found, m)
	for i, row := range rows {
		if row >= 0 {
			found[i/top] = append(found[i/top], Found{int(row), x.Objects.IDs[row], cosines[i]})
		}
	}
	return found
}
