package experiment

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/asterism-ssl/asterism/core/fault"
)

// A step of a path is the name of a field or the index of an element.
type step struct {
	name   string
	index  int // −1: a name
	quoted bool
}

// set applies one --set path=value to the syntax tree: it replaces the field wherever the file writes it down, or adds
// it in the innermost struct that the file writes down.
func set(f *ast.File, arg string, l *faults) {
	at := setPrefix + arg
	bad := func(what, do string) { l.add(&fault.Error{Where: at, What: what, Do: do}) }
	path, value, err := splitSet(arg)
	if err != nil {
		bad(err.Error(), `write --set path=value, such as --set train.epochs=10 or --set 'views.train[0]."sky.rotate".degrees=45'`)
		return
	}
	if _, _, deep := tooDeep([]byte(value)); deep || len(value) > maxBytes {
		bad("the value is nested too deep or too long", "write it into the file")
		return
	}
	e := edit{at: at, value: setValue(at, value)}
	if e.replaceIn(&f.Decls, path) > 0 {
		return
	}
	if err := e.addTo(&f.Decls, path, true); err != nil {
		bad(err.Error(), "change the file itself")
	}
}

// splitSet takes path=value apart. A path is made of names, quoted names and indices: views.train[0]."sky.rotate".max,
// or views.train.0.max, as messages write it.
func splitSet(arg string) (path []step, value string, err error) {
	rest := arg
	for first := true; ; first = false {
		rest = strings.TrimLeft(rest, " \t")
		if !first {
			switch {
			case strings.HasPrefix(rest, "="):
				return path, strings.TrimSpace(rest[1:]), nil
			case strings.HasPrefix(rest, "."):
				rest = strings.TrimLeft(rest[1:], " \t")
			case strings.HasPrefix(rest, "["):
			case rest == "":
				return nil, "", fmt.Errorf("%q gives no value", arg)
			default:
				return nil, "", fmt.Errorf("%q is not a path followed by = and a value", arg)
			}
		}
		if len(path) > maxDepth {
			return nil, "", fmt.Errorf("the path is longer than %d steps", maxDepth)
		}
		switch {
		case strings.HasPrefix(rest, "["):
			end := strings.IndexByte(rest, ']')
			n := -1
			if end > 0 {
				if i, err := strconv.Atoi(strings.TrimSpace(rest[1:end])); err == nil {
					n = i
				}
			}
			if first || n < 0 {
				return nil, "", fmt.Errorf("%q holds an index that is not a number in brackets", arg)
			}
			path, rest = append(path, step{index: n}), rest[end+1:]
		case strings.HasPrefix(rest, `"`):
			end := 1
			for end < len(rest) && rest[end] != '"' {
				if rest[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(rest) {
				return nil, "", fmt.Errorf("%q lacks a closing quotation mark", arg)
			}
			name, err := literal.Unquote(rest[:end+1])
			if err != nil {
				return nil, "", fmt.Errorf("%q holds a quoted name that cannot be read", arg)
			}
			path, rest = append(path, step{name: name, index: -1, quoted: true}), rest[end+1:]
		default:
			end := strings.IndexAny(rest, ".[= \t\"")
			if end < 0 {
				end = len(rest)
			}
			name := rest[:end]
			if name == "" {
				return nil, "", fmt.Errorf("%q has an empty name in its path", arg)
			}
			s := step{name: name, index: -1}
			if n, err := strconv.Atoi(name); err == nil && n >= 0 && !first {
				s = step{index: n}
			} else if !ast.IsValidIdent(name) {
				return nil, "", fmt.Errorf("%q is not a name in %q: quote it", name, arg)
			}
			path, rest = append(path, s), rest[end:]
		}
	}
}

// setValue reads a value as CUE. What is no CUE, or is made of bare words, is text: --set name=trial,
// --set data.split.by=field, --set root=/data/efigi.
func setValue(at, value string) ast.Expr {
	x, err := parser.ParseExpr(at, value)
	if err != nil || value == "" {
		return text(at, value)
	}
	x = quoteWords(x, at)
	free := false
	var visit func(n ast.Node) bool
	visit = func(n ast.Node) bool {
		if f, ok := n.(*ast.Field); ok { // its label is no reference
			ast.Walk(f.Value, visit, nil)
			return false
		}
		if s, ok := n.(*ast.SelectorExpr); ok { // nor is what it selects
			ast.Walk(s.X, visit, nil)
			return false
		}
		free = free || isWord(n)
		return !free
	}
	ast.Walk(x, visit, nil)
	if free {
		return text(at, value)
	}
	return x
}

// isWord says whether a node is an identifier that means nothing to CUE by itself. Hidden fields and definitions of the
// file may be referred to.
func isWord(n ast.Node) bool {
	id, ok := n.(*ast.Ident)
	if !ok || strings.HasPrefix(id.Name, "_") || strings.HasPrefix(id.Name, "#") {
		return false
	}
	return !slices.Contains([]string{"int", "number", "float", "string", "bool", "bytes", "uint"}, id.Name)
}

// quoteWords makes text of bare words that stand alone, in a list or as the value of a field.
func quoteWords(x ast.Expr, at string) ast.Expr {
	switch x := x.(type) {
	case *ast.Ident:
		if isWord(x) {
			return text(at, x.Name)
		}
	case *ast.ListLit:
		for i := range x.Elts {
			x.Elts[i] = quoteWords(x.Elts[i], at)
		}
	case *ast.StructLit:
		for _, d := range x.Elts {
			if f, ok := d.(*ast.Field); ok {
				f.Value = quoteWords(f.Value, at)
			}
		}
	}
	return x
}

// labelled says whether a field has the name of the step.
func labelled(f *ast.Field, s step) bool {
	if s.index >= 0 {
		return false
	}
	name, isIdent, err := ast.LabelName(f.Label)
	if err != nil || f.Alias != nil && name == "" {
		return false
	}
	hidden := strings.HasPrefix(name, "_") || strings.HasPrefix(name, "#")
	return name == s.name && (!hidden || isIdent != s.quoted)
}

// written lists what an expression writes down itself: the literals that are joined by &.
func written(x ast.Expr) []ast.Expr {
	switch x := x.(type) {
	case *ast.StructLit, *ast.ListLit:
		return []ast.Expr{x}
	case *ast.ParenExpr:
		return written(x.X)
	case *ast.BinaryExpr:
		if x.Op == token.AND {
			return append(written(x.X), written(x.Y)...)
		}
	}
	return nil
}

// component gives the one component of a struct, whose key messages leave out of paths: views.train.0.max.
func component(decls []ast.Decl, s step) (*ast.Field, bool) {
	if s.index >= 0 || s.quoted || slices.Contains([]string{"against", "finetune", "judge", "labels", "draws"}, s.name) {
		return nil, false
	}
	var only *ast.Field
	for _, d := range decls {
		f, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		name, _, err := ast.LabelName(f.Label)
		if err != nil || !strings.Contains(name, ".") {
			continue
		}
		if only != nil {
			return nil, false
		}
		only = f
	}
	return only, only != nil
}

// An edit is one change of the syntax tree.
type edit struct {
	at    string   // the argument, which is the position of what comes in
	value ast.Expr // nil once it has found its place: whatever else the file says there goes
}

// replaceIn puts the value in the place of the field at the path, removes what else the file says at that path, and
// counts both.
func (e *edit) replaceIn(decls *[]ast.Decl, path []step) int {
	n := 0
	*decls = slices.DeleteFunc(*decls, func(d ast.Decl) bool {
		switch d := d.(type) {
		case *ast.Field:
			switch {
			case !labelled(d, path[0]):
			case len(path) > 1:
				n += e.replaceBelow(d.Value, path[1:])
			case e.value == nil:
				n++
				return true
			default:
				n++
				d.Label, d.Constraint, d.Value = e.label(path[0]), token.ILLEGAL, e.value
				e.value = nil
			}
		case *ast.EmbedDecl:
			n += e.replaceBelow(d.Expr, path)
		}
		return false
	})
	if n == 0 {
		if f, ok := component(*decls, path[0]); ok {
			n = e.replaceBelow(f.Value, path)
		}
	}
	return n
}

func (e *edit) replaceBelow(x ast.Expr, path []step) int {
	n := 0
	for _, w := range written(x) {
		switch w := w.(type) {
		case *ast.StructLit:
			n += e.replaceIn(&w.Elts, path)
		case *ast.ListLit:
			i := path[0].index
			switch {
			case i < 0 || i >= elements(w):
			case len(path) > 1:
				n += e.replaceBelow(w.Elts[i], path[1:])
			case e.value != nil:
				n++
				w.Elts[i], e.value = e.value, nil
			}
		}
	}
	return n
}

// elements counts what a list writes down.
func elements(l *ast.ListLit) int {
	n := len(l.Elts)
	if n > 0 {
		if _, open := l.Elts[n-1].(*ast.Ellipsis); open {
			n--
		}
	}
	return n
}

// addTo adds a field that the file does not write down, as deep as the file's own structs go.
func (e *edit) addTo(decls *[]ast.Decl, path []step, top bool) error {
	for _, d := range *decls {
		if f, ok := d.(*ast.Field); ok && labelled(f, path[0]) && len(path) > 1 {
			return e.addBelow(&f.Value, path[1:])
		}
	}
	if f, ok := component(*decls, path[0]); ok {
		return e.addBelow(&f.Value, path)
	}
	if top && path[0].index < 0 && !strings.HasPrefix(path[0].name, "_") {
		for _, d := range *decls {
			embed, ok := d.(*ast.EmbedDecl)
			if !ok {
				continue
			}
			for _, w := range written(embed.Expr) {
				if s, ok := w.(*ast.StructLit); ok {
					return e.addTo(&s.Elts, path, false)
				}
			}
		}
	}
	f, err := e.nested(path)
	if err != nil {
		return err
	}
	*decls = append(*decls, f)
	return nil
}

func (e *edit) addBelow(x *ast.Expr, path []step) error {
	literals := written(*x)
	for _, w := range literals {
		if s, ok := w.(*ast.StructLit); ok {
			return e.addTo(&s.Elts, path, false)
		}
	}
	for _, w := range literals {
		l, ok := w.(*ast.ListLit)
		if !ok {
			continue
		}
		i, n := path[0].index, elements(l)
		switch {
		case i < 0:
			return fmt.Errorf("the path has the name %q where the file has a list: write an index, such as [0]", path[0].name)
		case i >= n:
			return fmt.Errorf("the path has the index %d where the file has a list of %d", i, n)
		case len(path) == 1:
			return fmt.Errorf("the path has the index %d twice", i)
		}
		return e.addBelow(&l.Elts[i], path[1:])
	}
	f, err := e.nested(path)
	if err != nil {
		return err
	}
	// The file refers to something here: add to it. Where both say different things, evaluation reports it.
	*x = &ast.BinaryExpr{X: *x, Op: token.AND, Y: &ast.StructLit{Elts: []ast.Decl{f}}}
	return nil
}

// nested writes a.b.c: value.
func (e *edit) nested(path []step) (*ast.Field, error) {
	x := e.value
	for i := len(path) - 1; ; i-- {
		if path[i].index >= 0 {
			return nil, fmt.Errorf("the path has the index %d where the file does not write down a list", path[i].index)
		}
		f := &ast.Field{Label: e.label(path[i]), Value: x}
		if i == 0 {
			return f, nil
		}
		x = &ast.StructLit{Elts: []ast.Decl{f}}
	}
}

func (e *edit) label(s step) ast.Label {
	if x, err := parser.ParseExpr(e.at, s.name); err == nil && !s.quoted {
		if id, ok := x.(*ast.Ident); ok {
			return id
		}
	}
	if x, ok := text(e.at, s.name).(*ast.BasicLit); ok {
		return x
	}
	return ast.NewString(s.name)
}
