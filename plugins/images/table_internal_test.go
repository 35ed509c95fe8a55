package images

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseTable(t *testing.T) {
	for _, c := range []struct {
		what, text string
		wanted     []string
		names      string
		rows       string // fields joined by |, rows by /
	}{
		{"a header line", "id a\nx 1\ny 2", nil, "id|a", "x|1/y|2"},
		{"a comment header", "# notes\n#id a\nx 1\n", nil, "id|a", "x|1"},
		{"a comment and a header line", "# two words\nid type\nx E\n", nil, "id|type", "x|E"},
		{"a comment header over names", "# id type\nx E\ny S\n", []string{"type"}, "id|type", "x|E/y|S"},
		{"quotes and commas", "id,\"a\"\n\"x, y\",1\n", nil, "id|a", "x, y|1"},
		{"a comment of words over commas", "# id a\nx,1\n", nil, "id|a", "x|1"},
		{"semicolons", "id;a\nx;1\n", nil, "id|a", "x|1"},
		{"tabs with an empty field", "id\ta\tb\nx\t\t2\n", nil, "id|a|b", "x||2"},
		{"old line ends", "id a\rx 1\r", nil, "id|a", "x|1"},
		{"nothing under the header", "id a\n", nil, "id|a", ""},
	} {
		got, err := parseTable([]byte(c.text), c.wanted)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		var rows []string
		for _, r := range got.rows {
			rows = append(rows, strings.Join(r, "|"))
		}
		if strings.Join(got.names, "|") != c.names || strings.Join(rows, "/") != c.rows {
			t.Errorf("%s: names %q, rows %q", c.what, got.names, rows)
		}
	}
}

// A column is one of numbers when nearly all that is there is a number; one without any value is not.
func TestColumn(t *testing.T) {
	for _, c := range []struct {
		what, cells string
		numbers     bool
		bad         []int
	}{
		{"numbers", "1 2.5 -3e2", true, nil},
		{"numbers and missing values", "1 NULL -- nan 2", true, nil},
		{"one bad cell of ten", "1 2 3 abc 5 6 7 8 9 10 --", true, []int{3}},
		{"one bad cell of nine", "1 2 3 abc 5 6 7 8 9 --", false, nil},
		{"names", "E S0 Sa", false, nil},
		{"no value", "-- nan", false, nil},
		{"no row", "", false, nil},
	} {
		tab := &table{names: []string{"a"}}
		for _, cell := range strings.Fields(c.cells) {
			tab.rows = append(tab.rows, []string{cell})
		}
		values, numbers, bad := tab.column(0)
		if numbers != c.numbers || !slices.Equal(bad, c.bad) {
			t.Errorf("%s: numbers %v, bad %v", c.what, numbers, bad)
		}
		for r, v := range values {
			if _, number := v.(float64); v != nil && number != numbers || (v == nil) != (missing(tab.rows[r][0]) || slices.Contains(bad, r)) {
				t.Errorf("%s: row %d is %v", c.what, r, v)
			}
		}
	}
}

// What an unclosed quotation mark swallows is not lost without a word; marks within fields are no fault.
func TestUnclosedQuotationMark(t *testing.T) {
	for text, line := range map[string]int{
		"id,a\nx,\"1\ny,2\n":              2,
		"# note\r\n\r\nid,a\r\nx, \"\r\n": 4,
		"id,a\rx,1\ry,\"2\r":              3,
		"id,a\nx,\"1\"\"\n":               2,
		"id,a\n\"x\ny\",\"1\nz,2":         3,
		"\"id,a\nx,1\n":                   1,
		"id,a\nx,\"1\"":                   0,
		"id,a\nx,\"1\"\"\"\r\n":           0,
		"id,a\nx,\"\"\n":                  0,
		"id,a\nx,5\"\n":                   0,
		"id,a\n\"x\ny\",":                 0,
		"id,a\nx,\"1\"\n\n# \"\n":         0,
	} {
		_, err := parseTable([]byte(text), nil)
		if line == 0 && err != nil || line > 0 && (err == nil || err.Error() != fmt.Sprintf("unclosed quotation mark that begins in line %d", line)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"redshif", "redshift", 1}} {
		if got := edits(c.a, c.b); got != c.want || edits(c.b, c.a) != c.want {
			t.Errorf("%q to %q takes %d", c.a, c.b, got)
		}
	}
}

// Whatever the text, parsing ends, and what it gives is a rectangle.
func FuzzParseTable(f *testing.F) {
	for _, s := range []string{"id a\nx 1", "# id a\nx 1", "id,a\n\"x\n,1\n", "\xef\xbb\xbfid;a\r\n;;;\r\n", "#\n\n,", "1 2 3", "\"", "a\tb\n\t\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseTable(text, []string{"a"})
		if err != nil {
			return
		}
		for _, r := range got.rows {
			if len(r) != len(got.names) {
				t.Fatalf("a row of %d fields under %d names", len(r), len(got.names))
			}
		}
		for i := range got.names {
			if values, _, _ := got.column(i); len(values) != len(got.rows) {
				t.Fatalf("%d values for %d rows", len(values), len(got.rows))
			}
		}
		got.noColumn("a")
	})
}
