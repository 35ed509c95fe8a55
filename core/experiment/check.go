package experiment

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// A checker compares what a file says with what its schema allows, field by field, and collects every fault. The
// evaluator decides about single values; the words, the positions and the completeness are ours.
type checker struct {
	ctx      *cue.Context
	file     string
	schemas  Schemas
	tags     []tag
	whole    cue.Value         // the file and the language together: what the file leaves to defaults is known here
	inside   string            // the component whose configuration is being checked
	weights  bool              // an encoder may be named by its weights alone
	blank    map[string]bool   // positions of fields that could not be evaluated: said already
	places   map[string]string // path → position
	configs  map[string]config // path → the configuration of each component
	used     map[string]string // plugin that is not in the binary → version
	unwanted map[string]bool   // plugins that are not there as the file wants them: said already
	missing  func(component string) error
	said     map[string]bool // what of components that are not there
	faults   faults
}

// config is a component with its configuration, schema applied.
type config struct {
	name  string
	value cue.Value
}

// A path leads to a value, in the words of messages and in the evaluator's.
type path struct {
	shown     []string       // without the keys of components
	selectors []cue.Selector // from c.whole
}

func (p path) String() string { return strings.Join(p.shown, ".") }

func (p path) field(name string) path {
	return path{append(slices.Clone(p.shown), name), append(slices.Clone(p.selectors), cue.Str(name))}
}

func (p path) index(i int) path {
	return path{append(slices.Clone(p.shown), strconv.Itoa(i)), append(slices.Clone(p.selectors), cue.Index(i))}
}

// under goes to the configuration of a component, whose key messages leave out.
func (p path) under(component string) path {
	return path{p.shown, append(slices.Clone(p.selectors), cue.Str(component))}
}

// kind says which kind of component stands at a path of the language, if one does.
func (p path) kind() (protocol.Kind, bool) {
	s := p.shown
	switch {
	case len(s) == 3 && s[0] == "data" && s[1] == "sources":
		return protocol.Kind_DATASET, true
	case len(s) == 3 && s[0] == "views":
		return protocol.Kind_AUGMENTATION, true
	case len(s) == 1 && s[0] == "encoder":
		return protocol.Kind_ENCODER, true
	case len(s) == 1 && s[0] == "engine":
		return protocol.Kind_ENGINE, true
	case len(s) == 2 && s[0] == "train" && s[1] == "objective":
		return protocol.Kind_OBJECTIVE, true
	case len(s) == 2 && s[0] == "tasks", len(s) == 2 && s[0] == "train" && s[1] == "monitor":
		return protocol.Kind_TASK, true
	case len(s) == 4 && s[0] == "tasks" && s[2] == "finetune" && s[3] == "objective":
		return protocol.Kind_OBJECTIVE, true
	}
	return 0, false
}

// check compares a file with the language; at is where the experiment begins.
func (c *checker) check(language, given cue.Value, at string) {
	c.value(language, given, path{}, at)
	if len(c.faults) > 0 {
		return
	}
	// The evaluator has the last word: what is left can only come from what the file computes.
	for _, e := range errors.Errors(c.whole.Validate()) {
		f := translate(e)
		if f.Where == "" {
			f.Where = place(c.places, f.Path)
		}
		c.faults.add(f)
	}
}

func (c *checker) fault(p path, at, what, do string) {
	c.faults.add(&fault.Error{Where: at, Path: p.String(), Plugin: c.inside, What: what, Do: do})
}

// value checks one value; at is where its parent stands.
func (c *checker) value(s, g cue.Value, p path, at string) {
	if w := where(g.Pos()); w != "" && len(p.shown) > 0 {
		at = w
	}
	c.places[p.String()] = at
	if c.blank[where(g.Pos())] {
		return
	}
	if g.IncompleteKind() == cue.BottomKind && g.Validate() == nil {
		// Computed from what the file leaves to the language's defaults: the whole knows it.
		w := c.whole.LookupPath(cue.MakePath(p.selectors...))
		if w.IncompleteKind() == cue.BottomKind {
			c.unknown(s, g, p, at)
			return
		}
		g = w
	}
	switch kind := g.IncompleteKind(); {
	case kind == cue.StructKind && s.IncompleteKind()&cue.StructKind != 0:
		c.structure(s, g, p, at)
	case kind == cue.ListKind && s.IncompleteKind()&cue.ListKind != 0:
		c.list(s, g, p, at)
	default:
		c.leaf(s, g, p, at)
	}
}

// leaf checks a value that has no parts, or is not of the sort that the schema has parts for.
func (c *checker) leaf(s, g cue.Value, p path, at string) {
	if g.IncompleteKind() == cue.BottomKind {
		for _, e := range errors.Errors(g.Err()) {
			f := translate(e)
			f.Path, f.Plugin = p.String(), c.inside
			if f.Where == "" {
				f.Where = at
			}
			c.faults.add(f)
		}
		return
	}
	if _, isComponent := p.kind(); isComponent && c.inside == "" {
		kind, _ := p.kind()
		c.notAComponent(g, p, at, kind)
		return
	}
	u := s.Unify(g)
	if u.Err() != nil {
		c.refuse(p, at, found(g), words(s))
		return
	}
	if !concrete(u) {
		w := c.whole.LookupPath(cue.MakePath(p.selectors...))
		if w.Err() != nil || !concrete(w) {
			c.unknown(s, g, p, at)
			return
		}
		u = w
	}
	if what := c.unrepresentable(s, u); what != "" {
		c.fault(p, at, fmt.Sprintf("%s is not allowed: %s", found(g), what), "")
	}
}

func (c *checker) refuse(p path, at, found, allowed string) {
	c.fault(p, at, fmt.Sprintf("%s is not allowed: must be %s", found, allowed), "")
}

// unknown reports a value that is not given, only described or computed from what is not known.
func (c *checker) unknown(s, g cue.Value, p path, at string) {
	for _, t := range c.tags {
		if name, _, err := ast.LabelName(t.field.Label); err == nil && refersTo(g, name) {
			c.fault(p, at, fmt.Sprintf("has no value, because %s has none", name), fmt.Sprintf("pass -t %s=VALUE", t.name))
			return
		}
	}
	c.fault(p, at, "has no value: must be "+words(s), "give one")
}

// refersTo says whether the value's expression mentions a name.
func refersTo(v cue.Value, name string) bool {
	n := v.Source()
	if n == nil {
		return false
	}
	yes := false
	ast.Walk(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == name {
			yes = true
		}
		return !yes
	}, nil)
	return yes
}

// concrete says whether a value is one value, defaults taken.
func concrete(v cue.Value) bool { return v.Validate(cue.Concrete(true), cue.Final()) == nil }

// unrepresentable says why a number does not fit a computer's.
func (c *checker) unrepresentable(s, v cue.Value) string {
	v, _ = v.Default()
	switch v.Kind() {
	case cue.IntKind:
		if s.IncompleteKind() == cue.IntKind {
			if _, err := v.Int64(); err != nil {
				return "must fit a 64-bit integer"
			}
			return ""
		}
		fallthrough
	case cue.FloatKind:
		if _, err := v.Float64(); err != nil {
			return "must fit a 64-bit floating-point number"
		}
	}
	return ""
}

// list checks the elements of a list and then the list as a whole.
func (c *checker) list(s, g cue.Value, p path, at string) {
	before := len(c.faults)
	n, sound := 0, false
	plain := s.LookupPath(cue.MakePath(cue.AnyIndex)).Exists()
	for it, _ := g.List(); it.Next(); n++ {
		element := it.Value()
		q := p.index(n)
		e := s.LookupPath(cue.MakePath(cue.Index(n)))
		if !e.Exists() {
			e = s.LookupPath(cue.MakePath(cue.AnyIndex))
		}
		if plain && e.Exists() {
			c.value(e, element, q, at)
			continue
		}
		// A choice between lists: try the element in its place.
		w := where(element.Pos())
		if w == "" {
			w = at
		}
		c.places[q.String()] = w
		if n == 0 {
			sound = s.Unify(g).Err() == nil
		}
		if sound {
			continue
		}
		trial := slices.Repeat([]cue.Value{c.ctx.CompileString("_")}, n+1)
		if s.Unify(c.ctx.NewList(trial...)).Err() != nil {
			continue // too long: said of the list
		}
		trial[n] = element
		if s.Unify(c.ctx.NewList(trial...)).Err() == nil {
			continue
		}
		if x := elementExpression(expression(s.Source()), n); x != nil && describe(x, 0) != "" {
			c.refuse(q, w, found(element), describe(x, 0))
		}
	}
	if len(c.faults) > before {
		return
	}
	u := s.Unify(g)
	if u.Err() != nil {
		c.refuse(p, at, map[bool]string{true: "an empty list", false: fmt.Sprintf("a list of %d", n)}[n == 0], words(s))
		return
	}
	if !plain && !concrete(u) {
		c.unknown(s, g, p, at)
	}
}

// structure checks the fields of a struct: each one given, those that are missing, those that do not exist, the rules.
func (c *checker) structure(s, g cue.Value, p path, at string) {
	kind, isComponent := p.kind()
	isComponent = isComponent && c.inside == ""
	fields, names := fieldsOf(s)
	given := map[string]cue.Value{}
	meant := map[string]bool{} // what misspelt names stand for: not missing as well
	var components []string
	it, err := g.Fields()
	if err != nil {
		c.leaf(s, g, p, at)
		return
	}
	for it.Next() {
		name := it.Selector().Unquoted()
		value := it.Value()
		if isComponent && strings.Contains(name, ".") {
			components = append(components, name)
			given[name] = value
			continue
		}
		given[name] = value
		q := p.field(name)
		if f, ok := fields[name]; ok {
			c.value(f.value, value, q, at)
			continue
		}
		w := where(value.Pos())
		if w == "" {
			w = at
		}
		if s.Allows(cue.Str(name)) {
			if f := s.Unify(c.ctx.CompileString("{" + strconv.Quote(name) + ": _}")).LookupPath(cue.MakePath(cue.Str(name))); f.Exists() {
				c.value(f, value, q, at)
			}
			continue
		}
		switch {
		case isComponent && kind != protocol.Kind_TASK && fault.Nearest(name, names) == "":
			c.noSuchComponent(q, w, name, kind)
			components = append(components, "")
		default:
			meant[c.noSuchField(s, q, w, name, names)] = true
		}
	}
	for _, name := range names {
		f := fields[name]
		if _, ok := given[name]; ok || f.optional || meant[name] {
			continue
		}
		q := p.field(name)
		switch {
		case !f.required && concrete(f.value):
		case !f.required && f.value.IncompleteKind() == cue.StructKind: // may lack something further in
			c.structure(f.value, c.ctx.CompileString("{}"), q, at)
		default:
			w := c.whole.LookupPath(cue.MakePath(q.selectors...)) // what the file computes may give it
			if w.Err() == nil && w.Exists() && concrete(w) && !f.required {
				continue
			}
			c.faults.add(&fault.Error{Where: at, Path: q.String(), Plugin: c.inside, What: "is missing: must be " + c.wordsAt(f.value, q)})
		}
	}
	if s.LookupPath(cue.MakePath(cue.Def("rules"))).Exists() {
		c.rules(s.Unify(g), p, at)
	}
	if isComponent {
		c.component(components, given, kind, p, at)
	}
}

// wordsAt says what is allowed at a path: a component where the language has one.
func (c *checker) wordsAt(s cue.Value, p path) string {
	if kind, ok := p.kind(); ok && c.inside == "" {
		return fmt.Sprintf(`%s, such as {%q: {…}}`, article(kind), c.example(kind))
	}
	return words(s)
}

// A field of a schema.
type field struct {
	value              cue.Value
	optional, required bool
}

// fieldsOf lists the fields that a schema names, in its order.
func fieldsOf(s cue.Value) (map[string]field, []string) {
	fields := map[string]field{}
	var names []string
	it, err := s.Fields(cue.Optional(true))
	if err != nil {
		return fields, nil
	}
	for it.Next() {
		sel := it.Selector()
		if !sel.IsString() {
			continue
		}
		name := sel.Unquoted()
		f := field{value: it.Value(), optional: it.IsOptional() && sel.ConstraintType() == cue.OptionalConstraint, required: sel.ConstraintType() == cue.RequiredConstraint}
		if _, ok := fields[name]; !ok {
			names = append(names, name)
		}
		fields[name] = f
	}
	return fields, names
}

// noSuchField reports a field that the schema does not know, and gives the one that was probably meant.
func (c *checker) noSuchField(s cue.Value, p path, at, name string, names []string) string {
	if pattern := namePattern(s); pattern != "" {
		c.fault(p, at, fmt.Sprintf("%q is not allowed as a name here: must be %s", name, pattern), "")
		return ""
	}
	do := "there are no fields here"
	near := fault.Nearest(name, names)
	if near != "" {
		do = fmt.Sprintf("did you mean %s?", near)
	} else if len(names) > 0 {
		do = "fields here: " + strings.Join(names, ", ")
	}
	c.fault(p, at, "there is no such field", do)
	return near
}

// namePattern says which names a struct of free names allows.
func namePattern(s cue.Value) string {
	f := patternField(s)
	if f == nil {
		return ""
	}
	if w := said(f); w != "" {
		return w
	}
	return describe(f.Label.(*ast.ListLit).Elts[0], 0)
}

// patternField finds what a schema says about fields of free names, other than components.
func patternField(s cue.Value) *ast.Field {
	x := expression(s.Source())
	if id, ok := x.(*ast.Ident); ok {
		x = referred(id)
	}
	lit, ok := x.(*ast.StructLit)
	if !ok {
		return nil
	}
	for _, d := range lit.Elts {
		if f, ok := d.(*ast.Field); ok {
			if l, ok := f.Label.(*ast.ListLit); ok && len(l.Elts) == 1 && source(l) != componentKey {
				return f
			}
		}
	}
	return nil
}

// rules evaluates the #rules of a schema: [{path, ok, say}].
func (c *checker) rules(v cue.Value, p path, at string) {
	it, err := v.LookupPath(cue.MakePath(cue.Def("rules"))).List()
	if err != nil {
		return
	}
	for it.Next() {
		r := it.Value()
		ok, err := r.LookupPath(cue.MakePath(cue.Str("ok"))).Bool()
		if ok || err != nil { // a rule about what is not given says nothing
			continue
		}
		to, _ := r.LookupPath(cue.MakePath(cue.Str("path"))).String()
		say, _ := r.LookupPath(cue.MakePath(cue.Str("say"))).String()
		q := p
		if to != "" {
			q.shown = append(slices.Clone(p.shown), strings.Split(to, ".")...)
		}
		c.places[p.String()] = at
		c.fault(q, place(c.places, q.String()), say, "")
	}
}

// found shows a value as it was given, on one line.
func found(v cue.Value) string {
	switch v.IncompleteKind() {
	case cue.StructKind:
		return "{…}"
	case cue.ListKind:
		return "a list"
	}
	if d, ok := v.Default(); ok {
		v = d
	}
	return short(fmt.Sprint(v))
}
