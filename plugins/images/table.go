package images

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// table is a parsed table: text in columns. Rows that have another number of fields than the header are in ragged.
type table struct {
	names  []string
	rows   [][]string
	ragged []string // "line 17 has 3 fields"
}

// parseTable reads CSV (commas, semicolons or tabs) or columns between spaces. Lines that begin with # and empty lines
// are passed over. The header is the first line, or the last comment before it when that has as many names as the first
// line has fields and either the first line has a number among them or only the comment has the wanted names.
func parseTable(text []byte, wanted []string) (*table, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, fmt.Errorf("it is not text")
	}
	comment, first := headLines(text)
	if first == "" {
		return nil, fmt.Errorf("it has no rows")
	}
	split := splitter(first)
	lines, err := split.all(text)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("it has no rows")
	}
	t := &table{names: lines[0].fields}
	// Words in a comment may be divided otherwise than the rows are.
	for _, names := range [][]string{split.one(comment), strings.Fields(comment)} {
		if len(names) == len(lines[0].fields) && (hasNumber(lines[0].fields) || !containsAll(t.names, wanted) && containsAll(names, wanted)) {
			t.names = names
			break
		}
	}
	if slices.Equal(t.names, lines[0].fields) {
		if hasNumber(t.names) {
			return nil, fmt.Errorf("its first line, %q, holds numbers and no comment before it names the columns", clip(first))
		}
		lines = lines[1:]
	}
	for i, name := range t.names {
		if slices.Contains(t.names[:i], name) && slices.Contains(wanted, name) {
			return nil, fmt.Errorf("it has two columns %q", name)
		}
	}
	for _, l := range lines {
		if len(l.fields) != len(t.names) {
			t.ragged = append(t.ragged, fmt.Sprintf("line %d has %d fields", l.number, len(l.fields)))
			continue
		}
		t.rows = append(t.rows, l.fields)
	}
	return t, nil
}

// headLines gives the last comment before the first row, without its #, and the first row.
func headLines(text []byte) (comment, first string) {
	for len(text) > 0 {
		line := text
		if i := bytes.IndexAny(text, "\r\n"); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		switch s := strings.TrimSpace(string(line)); {
		case s == "":
		case s[0] == '#':
			if s = strings.TrimSpace(strings.TrimLeft(s, "#")); s != "" {
				comment = s
			}
		default:
			return comment, s
		}
	}
	return comment, ""
}

// splitter is the separator of fields: ',', ';', '\t', or 0 for spaces.
type separator rune

func splitter(line string) separator {
	for _, c := range ",\t;" {
		if strings.ContainsRune(line, c) {
			return separator(c)
		}
	}
	return 0
}

// one splits a single line.
func (s separator) one(line string) []string {
	if s == 0 {
		return strings.Fields(line)
	}
	fields := strings.Split(line, string(rune(s)))
	for i, f := range fields {
		fields[i] = strings.Trim(strings.TrimSpace(f), `"`)
	}
	return fields
}

type tableLine struct {
	number int
	fields []string
}

// all splits the whole text.
func (s separator) all(text []byte) (lines []tableLine, err error) {
	if s == 0 {
		n := 0
		for line := range strings.SplitSeq(strings.ReplaceAll(string(text), "\r", "\n"), "\n") {
			n++
			if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(f[0], "#") {
				lines = append(lines, tableLine{n, f})
			}
		}
		return lines, nil
	}
	if !bytes.ContainsRune(text, '\n') {
		text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.Comment, r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace = rune(s), '#', -1, true, s != '\t'
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		if r.InputOffset() == int64(len(text)) {
			if line, column := r.FieldPos(len(fields) - 1); unclosed(text, line, column) {
				return nil, fmt.Errorf("unclosed quotation mark that begins in line %d", line)
			}
		}
		for i, f := range fields {
			fields[i] = strings.TrimSpace(f)
		}
		if len(fields) == 1 && fields[0] == "" || strings.HasPrefix(fields[0], "#") {
			continue
		}
		n, _ := r.FieldPos(0)
		lines = append(lines, tableLine{n, fields})
	}
}

// unclosed says whether the last field of a text, which begins at this line and byte of the line, both counted from 1, is
// in quotation marks and goes on to the end of the text because nothing closes them. The reader of CSV takes such a field
// as it is, since it lets lone quotation marks pass.
func unclosed(text []byte, line, column int) bool {
	for ; line > 1; line-- {
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	field, quoted := bytes.CutPrefix(text[column-1:], []byte{'"'})
	if !quoted {
		return false
	}
	field = bytes.TrimSuffix(bytes.TrimSuffix(field, []byte{'\n'}), []byte{'\r'})
	marks := len(field) - len(bytes.TrimRight(field, `"`))
	return marks%2 == 0 // two are a mark within the field
}

func hasNumber(fields []string) bool {
	return slices.ContainsFunc(fields, func(f string) bool {
		_, err := strconv.ParseFloat(f, 64)
		return err == nil && !missing(f)
	})
}

func containsAll(names, wanted []string) bool {
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			return false
		}
	}
	return true
}

// missing says that a field means "no value".
func missing(field string) bool {
	switch strings.ToLower(field) {
	case "", "nan", "null", "none", "na", "n/a", "-", "--", `""`, "inf", "+inf", "-inf", "infinity":
		return true
	}
	return false
}

// column gives the values of a column, nil where missing: float64 where nearly all that are there are numbers, and string
// otherwise. Rows whose cell is no number in a column of numbers are in bad; their values are missing. A column without
// any value is one of strings: nothing says that it holds numbers.
func (t *table) column(i int) (values []any, numbers bool, bad []int) {
	values = make([]any, len(t.rows))
	there := 0
	for r, row := range t.rows {
		if missing(row[i]) {
			continue
		}
		there++
		v, err := strconv.ParseFloat(row[i], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			bad = append(bad, r)
			continue
		}
		values[r] = v
	}
	if there > 0 && 10*len(bad) <= there {
		return values, true, bad
	}
	for r, row := range t.rows {
		values[r] = nil
		if !missing(row[i]) {
			values[r] = row[i]
		}
	}
	return values, false, nil
}

// noColumn says which columns there are, the one that was probably meant first.
func (t *table) noColumn(name string) (what, advice string) {
	best, distance := "", len(name)/2+2
	for _, n := range t.names {
		d := edits(strings.ToLower(name), strings.ToLower(n))
		if strings.HasPrefix(strings.ToLower(n), strings.ToLower(name)) {
			d = 1
		}
		if d < distance {
			best, distance = n, d
		}
	}
	advice = "its columns are " + strings.Join(t.names[:min(len(t.names), 20)], ", ")
	if len(t.names) > 20 {
		advice += fmt.Sprintf(" and %d more", len(t.names)-20)
	}
	if best != "" {
		advice = fmt.Sprintf("did you mean %q? ", best) + advice
	}
	return fmt.Sprintf("has no column %q", name), advice
}

// edits is the least number of insertions, deletions and replacements that make b of a (Levenshtein).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
