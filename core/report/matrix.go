package report

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// matrix is a confusion matrix as a table: what is true in rows, what was answered in columns.
type matrix struct {
	Title       string
	RowLabel    string
	ColumnLabel string
	Columns     []string
	Rows        []matrixRow
	Note        string
}

type matrixRow struct {
	Name  string
	Cells []matrixCell
	Total string
}

type matrixCell struct {
	Count  string
	Share  string  // of the row, in per cent
	Tint   float64 // 0…1, for the page's colour
	Right  bool    // the answer is the truth
	Reader string  // for the pointer
}

func newMatrix(title string, m *protocol.Matrix) (*matrix, error) {
	if len(m.Rows)*len(m.Columns) != len(m.Values) || len(m.Values) == 0 {
		return nil, fmt.Errorf("%d values for %d rows and %d columns", len(m.Values), len(m.Rows), len(m.Columns))
	}
	t := &matrix{Title: title, RowLabel: m.RowLabel, ColumnLabel: m.ColumnLabel, Columns: m.Columns}
	if t.RowLabel == "" {
		t.RowLabel = "true"
	}
	if t.ColumnLabel == "" {
		t.ColumnLabel = "answered"
	}
	var right, all float64
	square := len(m.Rows) == len(m.Columns)
	for i, name := range m.Rows {
		values := m.Values[i*len(m.Columns) : (i+1)*len(m.Columns)]
		var sum float64
		for _, v := range values {
			sum += v
		}
		r := matrixRow{Name: name, Total: number(sum)}
		for j, v := range values {
			c := matrixCell{Count: number(v), Share: "–", Right: square && name == m.Columns[j]}
			if share := v / sum; finite(share) && share >= 0 && share <= 1 {
				c.Share, c.Tint = percent(share), share
			}
			if c.Right {
				right += v
			}
			c.Reader = fmt.Sprintf("%s of %s %s objects answered %s", c.Count, r.Total, name, m.Columns[j])
			r.Cells = append(r.Cells, c)
		}
		all += sum
		t.Rows = append(t.Rows, r)
	}
	t.Note = "Each row holds the objects that are truly of one class; its cells say how many were answered as each class, and their share of the row."
	if square && all > 0 && finite(right/all) {
		t.Note += fmt.Sprintf(" %s of %s are on the diagonal, which is right: %s.", number(right), number(all), percent(right/all))
	}
	return t, nil
}

// number writes a count, or a weight with three digits.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return count(int64(v))
	}
	return short(v)
}

func percent(share float64) string {
	switch p := 100 * share; {
	case p == 0:
		return "0 %"
	case p < 1:
		return "<1 %"
	case p < 100 && p > 99.5:
		return ">99 %"
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}
