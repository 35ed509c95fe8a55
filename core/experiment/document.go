package experiment

import (
	"fmt"
	"io"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"github.com/mitchellh/go-wordwrap"

	"github.com/asterism-ssl/asterism/schemas"
)

// Documentation is what `asterism schema show` prints, made from the schema that experiments are checked against.
type Documentation struct {
	Component string  `json:"component,omitempty"` // empty: the language of experiments
	Kind      string  `json:"kind,omitempty"`      // "augmentation"
	Revision  uint32  `json:"revision,omitempty"`
	Doc       string  `json:"doc,omitempty"`
	Fields    []Field `json:"fields"`
	// Rules are the conditions that bind several fields, as they are said when they are broken.
	Rules []string `json:"rules,omitempty"`
}

// Field documents one field of a schema.
type Field struct {
	Path     string `json:"path"` // "optimizer.sgd.lr"; <name> stands for a free name
	Type     string `json:"type"` // what is allowed, in words
	Default  string `json:"default,omitempty"`
	Required bool   `json:"required,omitempty"`
	Doc      string `json:"doc,omitempty"`
}

// Document reads the documentation of a component's configuration out of its schema.
func Document(s Schema) (*Documentation, error) {
	ctx := cuecontext.New()
	v, err := compile(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("the schema of %s is broken: %w", s.Name, err)
	}
	d := &Documentation{Component: s.Name, Kind: noun(s.Kind), Revision: s.Revision, Doc: doc(v), Fields: []Field{}}
	d.read(ctx, v, path{}, true)
	return d, nil
}

// DocumentExperiment reads the documentation of the language of experiments out of its schema.
func DocumentExperiment() (*Documentation, error) {
	ctx := cuecontext.New()
	v := ctx.CompileString(schemas.Experiment, cue.Filename(languageFile)).LookupPath(cue.MakePath(cue.Def("Experiment")))
	if err := v.Err(); err != nil {
		return nil, err
	}
	d := &Documentation{Doc: doc(v), Fields: []Field{}}
	d.read(ctx, v, path{}, false)
	return d, nil
}

// read adds the fields of a struct and of what lies within.
func (d *Documentation) read(ctx *cue.Context, s cue.Value, p path, inComponent bool) {
	add := func(f field, v cue.Value, p path, note string) {
		entry := Field{Path: p.String(), Type: words(v), Required: f.required, Doc: note}
		kind, isComponent := p.kind()
		isComponent = isComponent && !inComponent
		switch {
		case isComponent && len(p.shown) > 1 && p.shown[0] == "tasks":
			entry.Type = fmt.Sprintf(`%s {"plugin.component": {…}} and how it is asked`, article(kind))
		case isComponent:
			entry.Type = fmt.Sprintf(`%s {"plugin.component": {…}}`, article(kind))
		case !inComponent && v.IncompleteKind() == cue.ListKind:
			if kind, ok := p.index(0).kind(); ok {
				entry.Type = fmt.Sprintf(`a list, each %s {"plugin.component": {…}}`, article(kind))
			}
		}
		if v.IncompleteKind() != cue.StructKind && !f.required && !f.optional {
			if x, _ := v.Default(); concrete(x) && fmt.Sprint(x) != "[]" {
				entry.Default = short(fmt.Sprint(x))
			}
		}
		d.Fields = append(d.Fields, entry)
		if v.IncompleteKind() == cue.StructKind {
			d.read(ctx, v, p, inComponent)
		}
	}
	fields, names := fieldsOf(s)
	for _, name := range names {
		f := fields[name]
		add(f, f.value, p.field(name), doc(f.value))
	}
	if pattern := patternField(s); pattern != nil {
		// Any name that the pattern allows leads to what it holds.
		const trial = "x"
		if s.Allows(cue.Str(trial)) {
			v := s.Unify(ctx.CompileString("{" + trial + ": _}")).LookupPath(cue.MakePath(cue.Str(trial)))
			if v.Exists() {
				add(field{optional: true}, v, p.field("<name>"), comment(pattern))
			}
		}
	}
	if it, err := s.LookupPath(cue.MakePath(cue.Def("rules"))).List(); err == nil {
		for it.Next() {
			if say, err := it.Value().LookupPath(cue.MakePath(cue.Str("say"))).String(); err == nil {
				d.Rules = append(d.Rules, say)
			}
		}
	}
}

// doc gives the comment over a field.
func doc(v cue.Value) string {
	for _, g := range v.Doc() {
		if t := strings.TrimSpace(g.Text()); t != "" {
			return strings.ReplaceAll(t, "\n", " ")
		}
	}
	return ""
}

func comment(n ast.Node) string {
	for _, g := range ast.Comments(n) {
		if g.Doc {
			return strings.ReplaceAll(strings.TrimSpace(g.Text()), "\n", " ")
		}
	}
	return ""
}

// Write prints the documentation for a person.
func (d *Documentation) Write(w io.Writer) error {
	var b strings.Builder
	if d.Component != "" {
		fmt.Fprintf(&b, "%s: %s, revision %d\n", d.Component, d.Kind, d.Revision)
	}
	if d.Doc != "" {
		b.WriteString(wordwrap.WrapString(d.Doc, 96) + "\n")
	}
	if len(d.Fields) == 0 {
		b.WriteString("\nNothing to configure.\n")
	}
	for _, f := range d.Fields {
		fmt.Fprintf(&b, "\n%s: %s", f.Path, f.Type)
		switch {
		case f.Required:
			b.WriteString(" (required)")
		case f.Default != "":
			fmt.Fprintf(&b, " = %s", f.Default)
		}
		b.WriteString("\n")
		if f.Doc != "" {
			b.WriteString("    " + strings.ReplaceAll(wordwrap.WrapString(f.Doc, 92), "\n", "\n    ") + "\n")
		}
	}
	if len(d.Rules) > 0 {
		b.WriteString("\nRules:\n")
		for _, r := range d.Rules {
			b.WriteString("    " + r + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
