package npz

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Type is that of an array's values.
type Type struct {
	Kind    byte     // u, i, f, b, U or S as NumPy has them; V for a table
	Size    int      // bytes
	Columns []Column // of a table
	big     bool
}

// Column is a column of a table, at so many bytes of a row.
type Column struct {
	Name   string
	Type   Type
	Offset int
	Count  int // values: 1, or those of an array within the row
}

// String is the name of the type, such as "f4".
func (t Type) String() string {
	if t.Columns != nil {
		return "table"
	}
	n := t.Size
	if t.Kind == 'U' {
		n /= 4
	}
	return fmt.Sprintf("%c%d", t.Kind, n)
}

func (t Type) order() binary.ByteOrder {
	if t.big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

const maxItem = 1 << 28 // bytes of one value

// typeOf understands a descr: "<f4", or a list of (name, descr) or (name, descr, shape).
func typeOf(descr any, depth int) (Type, error) {
	switch d := descr.(type) {
	case string:
		return simple(d)
	case []any:
		t := Type{Kind: 'V', Columns: []Column{}}
		if depth > 4 {
			return t, errors.New("its header nests tables too deep")
		}
		for _, f := range d {
			field, ok := f.([]any)
			if !ok || len(field) != 2 && len(field) != 3 {
				return t, errors.New("its header has a column that is none")
			}
			name, ok := field[0].(string)
			if !ok {
				return t, errors.New("its header has a column without a name")
			}
			of, err := typeOf(field[1], depth+1)
			if err != nil {
				return t, err
			}
			c := Column{Name: name, Type: of, Offset: t.Size, Count: 1}
			if len(field) == 3 {
				shape, ok := field[2].([]any)
				if !ok {
					return t, fmt.Errorf("its column %q has no shape", name)
				}
				for _, s := range shape {
					n, ok := s.(int)
					if !ok || n < 0 || n > maxItem || c.Count*n > maxItem {
						return t, fmt.Errorf("its column %q has a shape that is none", name)
					}
					c.Count *= n
				}
			}
			if t.Size += c.Count * of.Size; t.Size > maxItem {
				return t, errors.New("its header has rows that are too large")
			}
			t.Columns = append(t.Columns, c)
		}
		if t.Size == 0 {
			return t, errors.New("its header has a table without columns")
		}
		return t, nil
	}
	return Type{}, errors.New("its header does not say the type")
}

// simple understands "<f4".
func simple(descr string) (Type, error) {
	if len(descr) > 1 && descr[1] == 'O' {
		return Type{}, errors.New("it holds Python objects, which are not read")
	}
	if len(descr) < 3 || !strings.ContainsRune("<>|=", rune(descr[0])) {
		return Type{}, fmt.Errorf("it holds values of the unknown type %q", clip(descr))
	}
	n, err := strconv.Atoi(descr[2:])
	if err != nil || n < 0 || n > maxItem/4 || !strings.ContainsRune("uifbUSV", rune(descr[1])) {
		return Type{}, fmt.Errorf("it holds values of the unknown type %q", clip(descr))
	}
	t := Type{Kind: descr[1], Size: n, big: descr[0] == '>'}
	if t.Kind == 'U' {
		t.Size *= 4
	}
	if t.Size == 0 && t.Kind != 'U' && t.Kind != 'S' && t.Kind != 'V' {
		return Type{}, fmt.Errorf("it holds values of the unknown type %q", clip(descr))
	}
	return t, nil
}

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// literal reads what a header is written in: Python's dictionaries, lists, tuples, texts, whole numbers, True and False.
// A list and a tuple are both []any.
func literal(text string) (any, error) {
	p := &python{text: text}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.skip(); p.at < len(p.text) {
		return nil, fmt.Errorf("it goes on with %q", clip(p.text[p.at:]))
	}
	return v, nil
}

type python struct {
	text string
	at   int
}

func (p *python) skip() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// next takes c, if it comes.
func (p *python) next(c byte) bool {
	if p.skip(); p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *python) word(w string) bool {
	if strings.HasPrefix(p.text[p.at:], w) {
		p.at += len(w)
		return true
	}
	return false
}

func (p *python) value(depth int) (any, error) {
	p.skip()
	if p.at == len(p.text) || depth > 16 {
		return nil, errors.New("it ends too early, or nests too deep")
	}
	switch c := p.text[p.at]; {
	case c == '\'' || c == '"':
		end := strings.IndexByte(p.text[p.at+1:], c)
		if end < 0 {
			return nil, errors.New("a text does not end")
		}
		s := p.text[p.at+1 : p.at+1+end]
		p.at += end + 2
		if strings.Contains(s, `\`) {
			return nil, errors.New("a text has a backslash")
		}
		return s, nil
	case c == '(' || c == '[':
		p.at++
		return p.list(map[byte]byte{'(': ')', '[': ']'}[c], depth)
	case c == '{':
		p.at++
		return p.dictionary(depth)
	case p.word("True"):
		return true, nil
	case p.word("False"):
		return false, nil
	case c >= '0' && c <= '9' || c == '-':
		end := p.at + 1
		for end < len(p.text) && p.text[end] >= '0' && p.text[end] <= '9' {
			end++
		}
		n, err := strconv.Atoi(p.text[p.at:end])
		p.at = end
		p.word("L") // Python 2's long numbers
		return n, err
	}
	return nil, fmt.Errorf("it has %q", clip(p.text[p.at:]))
}

func (p *python) list(end byte, depth int) ([]any, error) {
	list := []any{}
	for !p.next(end) {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if !p.next(',') {
			if p.next(end) {
				return list, nil
			}
			return nil, errors.New("a list does not end")
		}
	}
	return list, nil
}

func (p *python) dictionary(depth int) (map[string]any, error) {
	d := map[string]any{}
	for !p.next('}') {
		k, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		name, ok := k.(string)
		if !ok || !p.next(':') {
			return nil, errors.New("a dictionary has an entry without a name")
		}
		if d[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if !p.next(',') {
			if p.next('}') {
				return d, nil
			}
			return nil, errors.New("a dictionary does not end")
		}
	}
	return d, nil
}
