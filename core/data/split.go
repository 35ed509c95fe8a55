package data

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
)

// Parts are the rows of a store, parted; ascending in each.
type Parts struct {
	Train, Valid, Test []int
}

// Split parts the rows by what they are, not by where they stand: the part of an object follows from the seed and its
// id, so more objects move none of the others. With by the name of a column instead of "id", objects with the same
// value come to the same part; one whose value is missing goes by its id.
func Split(s *Store, by string, valid, test float64, seed uint64) (*Parts, error) {
	for _, share := range []struct {
		name  string
		value float64
	}{{"valid", valid}, {"test", test}} {
		if !(share.value >= 0 && share.value < 1) { // also NaN
			return nil, &fault.Error{Op: "split", Kind: fault.Config, Path: "data.split." + share.name, What: fmt.Sprintf("%g is no share of the objects", share.value), Do: "give a number from 0 up to, not including, 1"}
		}
	}
	if valid+test >= 1 {
		return nil, &fault.Error{Op: "split", Kind: fault.Config, Path: "data.split", What: fmt.Sprintf("valid and test together are %g of the objects: none are left for training", valid+test), Do: "make them smaller"}
	}
	var column Column
	if by != "id" && by != "" {
		var ok bool
		if column, ok = s.Column(by); !ok {
			have := append([]string{"id"}, s.Columns()...)
			return nil, &fault.Error{Op: "split", Kind: fault.Config, Path: "data.split.by", What: fmt.Sprintf("there is no column %q", by), Do: "split by one of: " + strings.Join(have, ", ")}
		}
	}
	k := key.New(seed, "split")
	p := new(Parts)
	for row := range s.Len() {
		sample := s.Sample(row)
		if column.Values != nil {
			if v := column.Values[row]; !math.IsNaN(v) {
				sample = key.Sample(column.text(v))
			}
		}
		switch u := k.At(0, sample).Uniform(); {
		case u < valid:
			p.Valid = append(p.Valid, row)
		case u < valid+test:
			p.Test = append(p.Test, row)
		default:
			p.Train = append(p.Train, row)
		}
	}
	if len(p.Train) == 0 {
		return nil, &fault.Error{Op: "split", Kind: fault.Data, Path: "data.split", What: fmt.Sprintf("none of %d objects fall to training (%d to validation, %d to test)", s.Len(), len(p.Valid), len(p.Test)),
			Do: "make valid and test smaller, or split by a column with more values"}
	}
	return p, nil
}

// text writes a value of the column as it is shown: the category, or the number in its shortest form.
func (c Column) text(v float64) string {
	if c.Categories != nil {
		return c.Categories[int(v)]
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Part says which part a row belongs to: 0 train, 1 valid, 2 test; −1 for a row of no part.
func (p *Parts) Part(row int) int {
	for i, rows := range [][]int{p.Train, p.Valid, p.Test} {
		if _, ok := slices.BinarySearch(rows, row); ok {
			return i
		}
	}
	return -1
}
