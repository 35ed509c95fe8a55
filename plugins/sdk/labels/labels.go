// Package labels turns a label column into classes: the categories of a column of names, or bins of a column of numbers.
package labels

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// Classes are the answers to a question of kind "which one".
type Classes struct {
	Names []string  // one a class
	Edges []float64 // between the bins of a column of numbers; nil for a column of names
}

// Of finds the classes of a column. With edges e₀ < e₁ < … a number v is in the class "eᵢ₋₁ to eᵢ" when eᵢ₋₁ ≤ v < eᵢ,
// and the first and the last bin are open. The faults name the configuration fields "label" and "edges".
func Of(label string, edges []float64, columns []*sdk.LabelFacts) (*Classes, error) {
	facts, err := Column("label", label, columns)
	if err != nil {
		return nil, err
	}
	if len(facts.Categories) > 0 {
		if len(edges) > 0 {
			return nil, sdk.FieldError{Field: "edges", What: fmt.Sprintf("%q is a column of names, which are the classes already", label), Advice: "leave edges out"}
		}
		return &Classes{Names: facts.Categories}, nil
	}
	if unreadText(facts) {
		if len(edges) > 0 {
			return nil, sdk.FieldError{Field: "edges", What: fmt.Sprintf("%q is a column of names, which are the classes already, or %s", label, noValue(label)), Advice: "leave edges out, or check the table"}
		}
		return &Classes{Names: []string{"not yet", "read"}}, nil // at least two, more is not known
	}
	if len(edges) == 0 && facts.Unread {
		return nil, sdk.FieldError{Field: "edges", What: fmt.Sprintf("%q is a column of numbers, and nothing says where one class ends", label), Advice: "give the numbers between the classes, ascending"}
	}
	if len(edges) == 0 {
		return nil, sdk.FieldError{Field: "edges", What: fmt.Sprintf("%q is a column of numbers from %s to %s, and nothing says where one class ends", label, number(facts.Minimum), number(facts.Maximum)),
			Advice: "give the numbers between the classes, for example edges: [" + number((facts.Minimum+facts.Maximum)/2) + "]"}
	}
	return Bins(edges)
}

// Bins gives the classes between edges.
func Bins(edges []float64) (*Classes, error) {
	for i, e := range edges {
		if math.IsNaN(e) || math.IsInf(e, 0) || i > 0 && e <= edges[i-1] {
			return nil, sdk.FieldError{Field: "edges", What: fmt.Sprintf("the edges must ascend, and %s does not", number(e)), Advice: "sort them and leave repetitions out"}
		}
	}
	c := &Classes{Edges: edges, Names: []string{"below " + number(edges[0])}}
	for i := 1; i < len(edges); i++ {
		c.Names = append(c.Names, number(edges[i-1])+" to "+number(edges[i]))
	}
	c.Names = append(c.Names, number(edges[len(edges)-1])+" and above")
	return c, nil
}

// Column finds the facts of a label column that a configuration field names, and refuses one that no row has.
func Column(field, label string, columns []*sdk.LabelFacts) (*sdk.LabelFacts, error) {
	var names []string
	for _, f := range columns {
		if f.Column == label {
			if f.Count == 0 {
				return nil, sdk.DataError{What: noValue(label), Advice: "check how the table is joined to the data: `asterism plan` counts what matched"}
			}
			return f, nil
		}
		names = append(names, f.Column)
	}
	advice := "the data have no columns: name some in the source's `columns`"
	if len(names) > 0 {
		slices.Sort(names)
		advice = "the data have the columns " + strings.Join(names, ", ")
	}
	return nil, sdk.FieldError{Field: field, What: fmt.Sprintf("the data have no column %q", label), Advice: advice}
}

// Numbers finds the facts of a label column as Column does, and refuses one of names too; kind says what is wanted, as in
// "redshifts". The faults name the given configuration field.
func Numbers(field, label, kind string, columns []*sdk.LabelFacts) (*sdk.LabelFacts, error) {
	facts, err := Column(field, label, columns)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%q is a column of names, not of %s", label, kind)
	switch {
	case len(facts.Categories) > 0:
		return nil, sdk.FieldError{Field: field, What: what, Advice: "name a column of numbers"}
	case unreadText(facts):
		return nil, sdk.FieldError{Field: field, What: what + ", or " + noValue(label), Advice: "name a column of numbers, or check the table"}
	}
	return facts, nil
}

// unreadText says whether a column is one of text whose values are not known yet. It may turn out to have none: a column
// without any value counts as text.
func unreadText(f *sdk.LabelFacts) bool { return f.Unread && f.Type == sdk.String }

func noValue(label string) string {
	return fmt.Sprintf("no training row has a value in the column %q", label)
}

// Class gives the class of a value of the column, −1 where it is missing.
func (c *Classes) Class(value float64) int {
	if math.IsNaN(value) {
		return -1
	}
	if c.Edges == nil {
		if value != math.Trunc(value) || value < 0 || value >= float64(len(c.Names)) {
			return -1
		}
		return int(value)
	}
	i, on := slices.BinarySearch(c.Edges, value)
	if on {
		i++
	}
	return i
}

// Tensor gives the classes as part of a task's state; Names finds their names again.
func (c *Classes) Tensor() sdk.Tensor {
	codes := make([]int64, len(c.Names))
	for i := range codes {
		codes[i] = int64(i)
	}
	return sdk.Tensor{Name: "names", Shape: []int{len(codes)}, I64: codes, Categories: c.Names}
}

// Names finds the class names in a task's state.
func Names(state []sdk.Tensor) []string {
	for _, t := range state {
		if t.Name == "names" {
			return t.Categories
		}
	}
	return nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
