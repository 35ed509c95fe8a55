package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// header is what the lines before @data say.
type header struct {
	problem    string
	timestamps bool
	dimensions int      // 0: not said
	length     int      // 0: not said
	equal      bool     // said to be
	labelled   bool     // each case ends with a class
	classes    []string // that the header names
	target     bool     // each case ends with a number
}

// timeSeries is one case: a list of values for each dimension, NaN where missing, and its label.
type timeSeries struct {
	values [][]float64
	label  string
	line   int
}

const (
	maxLine  = 64 << 20 // bytes of one case
	maxCases = 1 << 22
)

// lineError says at which line a file is wrong.
type lineError struct {
	line int
	what string
}

func (e lineError) Error() string { return fmt.Sprintf("line %d %s", e.line, e.what) }

// parse reads a .ts file as the UCR and UEA archives have them: comments that begin with #, a header of lines that begin
// with @, and after @data a case a line, its dimensions between colons, their values between commas, the label last.
func parse(r io.Reader) (*header, []timeSeries, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	h := &header{}
	var cases []timeSeries
	began, n := false, 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "@") && !began:
			var err error
			if began, err = h.read(line); err != nil {
				return nil, nil, lineError{n, err.Error()}
			}
		case !began:
			return nil, nil, lineError{n, "comes before @data and begins with neither # nor @: this is no .ts file"}
		case len(cases) == maxCases:
			return nil, nil, lineError{n, fmt.Sprintf("is one case more than the %d that are read", maxCases)}
		default:
			c, err := h.take(line)
			if err != nil {
				return nil, nil, lineError{n, err.Error()}
			}
			c.line = n
			cases = append(cases, c)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, nil, lineError{n + 1, fmt.Sprintf("is longer than %d MB", maxLine>>20)}
	}
	if lines.Err() != nil {
		return nil, nil, lines.Err()
	}
	if !began {
		return nil, nil, errors.New("has no line @data: this is no .ts file, or it is cut short")
	}
	return h, cases, nil
}

// read takes one line of the header; true for @data.
func (h *header) read(line string) (data bool, err error) {
	words := strings.Fields(line)
	tag := strings.ToLower(words[0])
	value := ""
	if len(words) > 1 {
		value = words[1]
	}
	flag := func() bool {
		if err == nil && !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			err = fmt.Errorf("says neither true nor false after %s", words[0])
		}
		return strings.EqualFold(value, "true")
	}
	count := func() int {
		n, e := strconv.Atoi(value)
		if e != nil || n < 1 || n > maxLine {
			err = fmt.Errorf("has no number of at least 1 after %s", words[0])
		}
		return n
	}
	switch tag {
	case "@problemname":
		h.problem = strings.Join(words[1:], " ")
	case "@timestamps":
		h.timestamps = flag()
	case "@univariate":
		if flag() && h.dimensions == 0 {
			h.dimensions = 1
		}
	case "@dimensions", "@dimension":
		h.dimensions = count()
	case "@equallength":
		h.equal = flag()
	case "@serieslength":
		h.length = count()
	case "@classlabel":
		if h.labelled = flag(); h.labelled {
			h.classes = words[2:]
		}
	case "@targetlabel":
		h.target = flag()
	case "@missing":
		flag() // what is missing is seen in the values
	case "@data":
		if h.timestamps {
			return false, errors.New("begins series with time stamps (@timeStamps true), which are not read: resample them to equal steps and leave the stamps out")
		}
		if h.labelled && h.target {
			return false, errors.New("begins series with a class and a target, of which only one can be")
		}
		return true, err
	}
	return false, err // other tags say nothing that is needed here
}

// take takes one case apart.
func (h *header) take(line string) (c timeSeries, err error) {
	parts := strings.Split(line, ":")
	if h.labelled || h.target {
		c.label = strings.TrimSpace(parts[len(parts)-1])
		parts = parts[:len(parts)-1]
		if len(h.classes) > 0 && c.label != "?" && !contains(h.classes, c.label) {
			return c, fmt.Errorf("ends with the class %q; @classLabel names %s", clip(c.label), strings.Join(h.classes, ", "))
		}
	}
	if len(parts) == 0 {
		return c, errors.New("has no values")
	}
	if h.dimensions == 0 {
		h.dimensions = len(parts) // the first case says it for all
	}
	if len(parts) != h.dimensions {
		return c, fmt.Errorf("has %d dimensions instead of %d", len(parts), h.dimensions)
	}
	c.values = make([][]float64, len(parts))
	for d, part := range parts {
		if strings.HasPrefix(strings.TrimSpace(part), "(") {
			return c, errors.New("has time stamps, which are not read: resample the series to equal steps and leave the stamps out")
		}
		c.values[d] = make([]float64, 0, strings.Count(part, ",")+1)
		for text := range strings.SplitSeq(part, ",") {
			text = strings.TrimSpace(text)
			v := math.NaN()
			if text != "?" && !strings.EqualFold(text, "nan") {
				if v, err = strconv.ParseFloat(text, 64); err != nil || math.IsInf(v, 0) || math.Abs(v) > math.MaxFloat32 {
					return c, fmt.Errorf("has %q where a number should be", clip(text))
				}
			}
			c.values[d] = append(c.values[d], v)
		}
		if len(c.values[d]) != len(c.values[0]) {
			return c, fmt.Errorf("has %d values in dimension %d and %d in the first", len(c.values[d]), d+1, len(c.values[0]))
		}
	}
	if h.equal && h.length > 0 && len(c.values[0]) != h.length {
		return c, fmt.Errorf("has %d values; @seriesLength is %d and @equalLength true", len(c.values[0]), h.length)
	}
	return c, nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
