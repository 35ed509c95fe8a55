package experiment

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/ast/astutil"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/asterism-ssl/asterism/core/fault"
)

// Limits on what is parsed: far beyond any experiment, and small enough that a stray file cannot exhaust the stack.
const (
	maxBytes = 4 << 20
	maxDepth = 200
)

// syntax is a parsed file after what the command line adds to it.
type syntax struct {
	file  *ast.File
	tags  []tag    // those that the file declares
	flags []string // boolean tags for @if, handed on to the loader
}

// parse reads the file and applies -t and --set to its syntax tree, before anything is evaluated, so that --set can
// replace what the file says.
func parse(file string, src []byte, o Options) (*syntax, faults) {
	var l faults
	if len(src) > maxBytes {
		l.add(&fault.Error{Where: file, What: fmt.Sprintf("this file has %d bytes: an experiment has at most %d", len(src), maxBytes), Do: "name a .cue file"})
		return nil, l
	}
	if line, column, deep := tooDeep(src); deep {
		l.add(&fault.Error{Where: fmt.Sprintf("%s:%d:%d", file, line, column), What: fmt.Sprintf("brackets are nested more than %d deep here", maxDepth), Do: "close them, or flatten the file"})
		return nil, l
	}
	f, err := parser.ParseFile(file, src, parser.ParseComments, parser.AllErrors)
	if err != nil {
		last := -1
		for _, e := range errors.Errors(err) {
			at := where(e.Position())
			if at == "" {
				at = file
			}
			if line := e.Position().Line(); line == last {
				continue // the parser stumbles on after the first
			} else {
				last = line
			}
			l.add(&fault.Error{Where: at, What: plainSyntax(e)})
		}
		return nil, l
	}
	s := &syntax{file: f}
	s.tags = declaredTags(f)
	s.inject(o.Tags, &l)
	for _, arg := range o.Sets {
		set(f, arg, &l)
	}
	if len(l) > 0 {
		return nil, l
	}
	if len(o.Sets)+len(o.Tags) > 0 {
		// New nodes came in: bind names anew.
		astutil.Resolve(f, func(token.Pos, string, ...any) {})
	}
	return s, nil
}

// begins says where the experiment begins in the file.
func (s *syntax) begins() string {
	for _, d := range s.file.Decls {
		if e, ok := d.(*ast.EmbedDecl); ok {
			if at := where(e.Pos()); at != "" {
				return at
			}
		}
	}
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.Field); ok {
			if at := where(f.Pos()); at != "" && !fromArgument(at) {
				return at
			}
		}
	}
	return s.file.Filename + ":1:1"
}

// tooDeep finds the bracket that opens more levels than are allowed. Brackets in strings and comments count too: that is
// no matter at this depth.
func tooDeep(src []byte) (line, column int, deep bool) {
	line, column = 1, 0
	depth, run := 0, 0
	for _, b := range src {
		column++
		switch b {
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			if depth > 0 {
				depth--
			}
		case '\n':
			line, column = line+1, 0
		}
		switch b { // a chain of signs nests as brackets do
		case '-', '+', '!', '*', '<', '>', '=', '~', ':', '.':
			run++
		case ' ', '\t', '\n', '\r':
		default:
			run = 0
		}
		if depth > maxDepth || run > 2*maxDepth {
			return line, column, true
		}
	}
	return 0, 0, false
}

// plainSyntax turns the parser's message into plain words.
func plainSyntax(e errors.Error) string {
	format, args := e.Msg()
	s := fmt.Sprintf(format, args...)
	for _, r := range []struct{ from, to string }{
		{"expected operand, found ", "a value is missing before "},
		{"missing ',' in struct literal", "a comma or a new line is missing between two fields, or a bracket is not closed"},
		{"missing ',' in list literal", "a comma is missing between two elements of a list, or a bracket is not closed"},
		{"expected label or ':', ", "expected a field, "},
		{"struct literal", "{…}"}, {"list literal", "[…]"}, {"string literal not terminated", "a quotation mark is missing at the end of a text"},
		{"'EOF'", "the end of the file"}, {" EOF", " the end of the file"}, {"'newline'", "the end of the line"}, {" newline", " the end of the line"},
	} {
		s = strings.Replace(s, r.from, r.to, 1)
	}
	return "not valid CUE: " + s
}

// A tag is a field that -t can set: `root: string @tag(root)`.
type tag struct {
	name  string
	typ   string   // "string", "int", "number", "bool"
	short []string // words that set it by themselves
	field *ast.Field
}

func declaredTags(f *ast.File) []tag {
	var tags []tag
	ast.Walk(f, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		for _, a := range field.Attrs {
			name, body := a.Split()
			if name != "tag" {
				continue
			}
			parts := strings.Split(body, ",")
			t := tag{name: strings.TrimSpace(parts[0]), typ: "string", field: field}
			for _, p := range parts[1:] {
				switch k, v, _ := strings.Cut(strings.TrimSpace(p), "="); k {
				case "type":
					t.typ = v
				case "short":
					t.short = strings.Split(v, "|")
				}
			}
			tags = append(tags, t)
		}
		return true
	}, nil)
	return tags
}

// inject unifies the tagged fields with the values given by -t.
func (s *syntax) inject(args []string, l *faults) {
	conditional := false
	for _, d := range s.file.Decls {
		if a, ok := d.(*ast.Attribute); ok {
			if name, _ := a.Split(); name == "if" || name == "ignore" {
				conditional = true
			}
		}
	}
	var names []string
	for _, t := range s.tags {
		names = append(names, t.name)
	}
	for _, arg := range args {
		at := tagPrefix + arg
		name, value, given := strings.Cut(arg, "=")
		found := false
		for _, t := range s.tags {
			switch {
			case given && t.name == name:
				x, err := t.parse(at, value)
				if err != nil {
					l.add(&fault.Error{Where: at, Path: t.name, What: err.Error()})
				} else {
					t.field.Value = &ast.BinaryExpr{X: t.field.Value, Op: token.AND, Y: x}
				}
				found = true
			case !given:
				for _, w := range t.short {
					if w == name {
						t.field.Value = &ast.BinaryExpr{X: t.field.Value, Op: token.AND, Y: text(at, name)}
						found = true
					}
				}
			}
		}
		if !found && !given && conditional {
			s.flags = append(s.flags, name)
			found = true
		}
		if found {
			continue
		}
		e := &fault.Error{Where: at, What: fmt.Sprintf("%s declares no tag %q", s.file.Filename, name)}
		switch near := fault.Nearest(name, names); {
		case !given && slices.Contains(names, name):
			e.What, e.Do = fmt.Sprintf("no value is given for the tag %q", name), fmt.Sprintf("write -t %s=VALUE", name)
		case near != "":
			e.Do = fmt.Sprintf("did you mean %s?", near)
		case len(names) > 0:
			e.Do = "its tags: " + strings.Join(names, ", ")
		default:
			e.Do = fmt.Sprintf("mark the field that it is to set with @tag(%s)", name)
		}
		l.add(e)
	}
}

func (t tag) parse(at, value string) (ast.Expr, error) {
	want := map[string]string{"int": "an integer", "number": "a number", "bool": "true or false"}[t.typ]
	if want == "" {
		return text(at, value), nil
	}
	x, err := parser.ParseExpr(at, value)
	lit := x
	if u, ok := x.(*ast.UnaryExpr); ok && u.Op == token.SUB {
		lit = u.X
	}
	if b, ok := lit.(*ast.BasicLit); err == nil && ok {
		switch {
		case t.typ == "bool" && (b.Kind == token.TRUE || b.Kind == token.FALSE),
			t.typ != "bool" && b.Kind == token.INT,
			t.typ == "number" && b.Kind == token.FLOAT:
			return x, nil
		}
	}
	return nil, fmt.Errorf("%q is not allowed: must be %s", value, want)
}

// text is a string literal whose position is the argument of the command line.
func text(at, value string) ast.Expr {
	quoted := ast.NewString(value).Value
	if x, err := parser.ParseExpr(at, quoted); err == nil {
		return x
	}
	return ast.NewString(value)
}
