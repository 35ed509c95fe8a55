package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// componentPrefix begins the name under which a component's schema is compiled.
const componentPrefix = "schema of "

// componentKey is how the language writes a field that holds a component.
const componentKey = `[=~"\\."]`

// article names a kind: "an augmentation".
func article(k protocol.Kind) string {
	return map[protocol.Kind]string{protocol.Kind_DATASET: "a dataset", protocol.Kind_AUGMENTATION: "an augmentation", protocol.Kind_ENCODER: "an encoder",
		protocol.Kind_OBJECTIVE: "an objective", protocol.Kind_TASK: "a task", protocol.Kind_ENGINE: "an engine"}[k]
}

// noun names a kind without its article.
func noun(k protocol.Kind) string {
	_, n, _ := strings.Cut(article(k), " ")
	return n
}

// named lists the components of a kind, sorted.
func (c *checker) named(kind protocol.Kind) []string {
	var names []string
	if c.schemas != nil {
		for _, s := range c.schemas.List() {
			if s.Kind == kind {
				names = append(names, s.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func (c *checker) example(kind protocol.Kind) string {
	if names := c.named(kind); len(names) > 0 {
		return names[0]
	}
	return "plugin.component"
}

// advise suggests a component of the kind for a name.
func (c *checker) advise(name string, kind protocol.Kind) string {
	names := c.named(kind)
	for _, n := range names {
		if _, local, _ := strings.Cut(n, "."); local == name {
			return fmt.Sprintf("did you mean %q?", n)
		}
	}
	if near := fault.Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(names) == 0 {
		return fmt.Sprintf("no installed plugin has %s", article(kind))
	}
	return fmt.Sprintf("installed %ss: %s", noun(kind), strings.Join(names, ", "))
}

// notAComponent reports a value where a component belongs.
func (c *checker) notAComponent(g cue.Value, p path, at string, kind protocol.Kind) {
	example, do := c.example(kind), ""
	if s, err := g.String(); err == nil && s != "" {
		if slices.Contains(c.named(kind), s) {
			example = s
		} else {
			do = c.advise(s, kind)
		}
	}
	c.fault(p, at, fmt.Sprintf("%s is not allowed: must be %s, such as {%q: {…}}", found(g), article(kind), example), do)
}

// noSuchComponent reports a key without a dot where a component belongs.
func (c *checker) noSuchComponent(p path, at, name string, kind protocol.Kind) {
	p.shown = p.shown[:len(p.shown)-1]
	c.fault(p, at, fmt.Sprintf("%q is not the name of %s: a name has a dot, such as %q", name, article(kind), c.example(kind)), c.advise(name, kind))
}

// component checks that one component of the right kind is named, and its configuration.
func (c *checker) component(names []string, given map[string]cue.Value, kind protocol.Kind, p path, at string) {
	if len(names) > 0 && slices.Contains(names, "") {
		names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
		if len(names) == 0 {
			return // said already
		}
	}
	switch len(names) {
	case 0:
		if _, ok := given["from"]; ok && c.weights && kind == protocol.Kind_ENCODER {
			return // weights that name their encoder are wrong themselves, and that is said
		}
		c.fault(p, at, fmt.Sprintf("names no component: must be %s, such as {%q: {…}}", article(kind), c.example(kind)), c.advise("", kind))
		return
	case 1:
	default:
		quoted := make([]string, len(names))
		for i, n := range names {
			quoted[i] = fmt.Sprintf("%q", n)
		}
		do := "keep one"
		if kind == protocol.Kind_AUGMENTATION || kind == protocol.Kind_DATASET {
			do = fmt.Sprintf("give each its own braces: {%s: {…}}, {%s: {…}}", quoted[0], quoted[1])
		}
		c.fault(p, at, fmt.Sprintf("names %d components, %s: must be one", len(names), strings.Join(quoted, " and ")), do)
	}
	for _, name := range names {
		c.configuration(name, given[name], kind, p, at)
	}
}

// notThere reports a component that cannot be had.
func (c *checker) notThere(name string, kind protocol.Kind, p path, at string) {
	if plugin, _, _ := strings.Cut(name, "."); c.unwanted[plugin] {
		return
	}
	advice := c.advise(name, kind)
	if c.missing != nil {
		if f, ok := errors.AsType[*fault.Error](c.missing(name)); ok {
			f := *f
			if c.said[f.What] {
				return // of another component of the same plugin
			}
			c.said[f.What] = true
			f.Where, f.Path, f.Plugin = at, p.String(), name
			if f.Do == "" || f.Kind == fault.Config && strings.HasPrefix(advice, "did you mean") {
				f.Do = advice
			}
			c.faults.add(&f)
			return
		}
	}
	c.fault(p, at, fmt.Sprintf("no installed plugin has a component %q", name), advice)
}

func (c *checker) configuration(name string, g cue.Value, kind protocol.Kind, p path, at string) {
	if w := where(g.Pos()); w != "" {
		at = w
	}
	var schema Schema
	ok := false
	if c.schemas != nil {
		schema, ok = c.schemas.Schema(name)
	}
	if !ok {
		c.notThere(name, kind, p, at)
		return
	}
	if schema.Version != "" {
		c.used[schema.Plugin] = schema.Version
	}
	if schema.Kind != kind {
		c.fault(p, at, fmt.Sprintf("%q is %s: this must be %s", name, article(schema.Kind), article(kind)), c.advise("", kind))
		return
	}
	s, err := compile(c.ctx, schema)
	if err != nil {
		c.faults.add(&fault.Error{Where: at, Path: p.String(), Plugin: name, What: "the plugin's own schema of this component is broken", Do: "report this to the plugin's author", Err: err})
		return
	}
	// What the file leaves to the language's defaults is known in the whole only.
	full := c.whole.LookupPath(cue.MakePath(p.under(name).selectors...))
	if full.Err() != nil || !full.Exists() {
		full = g
	}
	inner := *c
	inner.inside, inner.whole = name, s.Unify(full)
	if kind := g.IncompleteKind(); kind != cue.StructKind && kind != cue.BottomKind {
		inner.refuse(p, at, found(g), fmt.Sprintf("{%q: {…}}", name))
	} else {
		inner.value(s, g, path{shown: p.shown}, at)
	}
	c.faults = inner.faults
	c.places[p.String()] = at
	if _, ok := c.configs[p.String()]; !ok {
		c.configs[p.String()] = config{name, inner.whole}
	}
}

// compile gives #Config of a component's schema.
func compile(ctx *cue.Context, s Schema) (cue.Value, error) {
	v := ctx.CompileString(s.Text, cue.Filename(componentPrefix+s.Name))
	if err := v.Err(); err != nil {
		return v, err
	}
	config := v.LookupPath(cue.MakePath(cue.Def("Config")))
	if !config.Exists() {
		return v, fmt.Errorf("it has no #Config")
	}
	return config, config.Err()
}
