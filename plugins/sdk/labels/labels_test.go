package labels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/labels"
)

func Example() {
	c, _ := labels.Bins([]float64{-3.5, 0.5})
	fmt.Println(c.Names[c.Class(-3.5)], c.Class(-4), c.Class(7), c.Class(math.NaN()))
	// Output: -3.5 to 0.5 0 2 -1
}

func TestOf(t *testing.T) {
	columns := []*sdk.LabelFacts{
		{Column: "T", Count: 10, Minimum: -6, Maximum: 10},
		{Column: "type", Count: 10, Categories: []string{"E", "S"}},
		{Column: "empty"},
		{Column: "unread", Count: 10, Unread: true, Type: sdk.String},
		{Column: "unread T", Count: 10, Unread: true, Type: sdk.Number},
	}
	if c, err := labels.Of("type", nil, columns); err != nil || c.Class(1) != 1 || c.Class(2) != -1 {
		t.Errorf("names: %+v, %v", c, err)
	}
	if c, err := labels.Of("T", []float64{0}, columns); err != nil || c.Class(-1e-9) != 0 || c.Class(0) != 1 {
		t.Errorf("numbers: %+v, %v", c, err)
	}
	if c, err := labels.Of("unread", nil, columns); err != nil || len(c.Names) < 2 {
		t.Errorf("names that are not read yet: %+v, %v", c, err)
	}
	if c, err := labels.Of("unread T", []float64{0}, columns); err != nil || len(c.Names) != 2 {
		t.Errorf("numbers that are not read yet: %+v, %v", c, err)
	}
	for _, bad := range []struct {
		label, field string
		edges        []float64
	}{{"T", "edges", nil}, {"type", "edges", []float64{1}}, {"unread", "edges", []float64{1}}, {"unread T", "edges", nil}, {"T", "edges", []float64{2, 2}}, {"T", "edges", []float64{math.NaN()}}, {"t", "label", nil}} {
		_, err := labels.Of(bad.label, bad.edges, columns)
		if f, ok := err.(sdk.FieldError); !ok || f.Field != bad.field || f.Advice == "" {
			t.Errorf("%s with %v: %v", bad.label, bad.edges, err)
		}
	}
	if _, err := labels.Of("empty", []float64{1}, columns); err == nil {
		t.Error("a label that no row has is accepted")
	} else if _, ok := err.(sdk.DataError); !ok {
		t.Errorf("a label that no row has: %v", err)
	}
}
