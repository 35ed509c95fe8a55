package registry

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"

	"cuelang.org/go/cue/ast"
	cueerrors "cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

// LockFile stands beside the experiments whose plugins it holds fast.
const LockFile = "plugins.lock.cue"

// lockFormat is raised when the file says other things.
const lockFormat = 1

// maxLock is the size of a lock of many hundred components.
const maxLock = 256 << 10

// anyPlatform stands for the platform of a plugin that runs on all.
const anyPlatform = "any"

// Lock says which plugins experiments were last locked with. A nil Lock locks nothing.
type Lock struct {
	File    string
	Plugins map[string]map[string]*Locked // name → version
}

// Locked is one version of a plugin.
type Locked struct {
	Digests    map[string]string // platform, or "any" → of the folder, "h1:…"
	Components map[string]LockedComponent
}

// LockedComponent is what an experiment may rely on of a component.
type LockedComponent struct {
	Kind     string // "augmentation"
	Revision uint32
	Schema   string // "sha256:…" of its text
}

// versions gives those of a plugin, the newest first.
func (l *Lock) versions(name string) []string {
	if l == nil {
		return nil
	}
	return slices.SortedFunc(maps.Keys(l.Plugins[name]), newer)
}

// Add locks a plugin with its digest as it is now. What a lock had before of the same version for other platforms stays,
// unless its components are others.
func (l *Lock) Add(p Plugin, before *Lock) {
	now := &Locked{Digests: map[string]string{}, Components: map[string]LockedComponent{}}
	for _, c := range p.Manifest.Components {
		now.Components[c.Name] = lockedComponent(c)
	}
	if before != nil {
		was := before.Plugins[p.Name][p.Version]
		if was != nil && p.Platform != "" && was.Digests[anyPlatform] == "" && maps.Equal(was.Components, now.Components) {
			maps.Copy(now.Digests, was.Digests)
		}
	}
	now.Digests[cmp.Or(p.Platform, anyPlatform)] = p.Digest
	if l.Plugins[p.Name] == nil {
		l.Plugins[p.Name] = map[string]*Locked{}
	}
	l.Plugins[p.Name][p.Version] = now
}

func lockedComponent(c *protocol.ComponentInfo) LockedComponent {
	sum := sha256.Sum256([]byte(c.Schema))
	return LockedComponent{Kind: strings.ToLower(c.Kind.String()), Revision: c.Revision, Schema: "sha256:" + hex.EncodeToString(sum[:])}
}

// Digest gives what is locked of a plugin for its platform; empty: nothing.
func (l *Lock) Digest(p Plugin) string {
	if l == nil || l.Plugins[p.Name][p.Version] == nil {
		return ""
	}
	return l.Plugins[p.Name][p.Version].Digests[cmp.Or(p.Platform, anyPlatform)]
}

// locked gives what is locked of a plugin that is to be used, or says that nothing is.
func (r *Registry) locked(p Plugin) (*Locked, error) {
	l := r.options.Lock
	if locked := l.Plugins[p.Name][p.Version]; locked != nil {
		return locked, nil
	}
	what := fmt.Sprintf("the plugin %s %s is used and not locked in %s", p.Name, p.Version, l.File)
	if versions := l.versions(p.Name); len(versions) > 0 {
		slices.Reverse(versions)
		what += ", which has " + strings.Join(versions, ", ")
	}
	return nil, &fault.Error{Kind: fault.Plugin, Plugin: p.Name, What: what, Do: cmp.Or(r.relock("lock it: "), "use the plugin that was locked")}
}

// componentLocked says what is wrong with a component, seen from the lock; no file of the plugin is read.
func (r *Registry) componentLocked(p Plugin, c *protocol.ComponentInfo) error {
	if r.options.Lock == nil || p.Builtin || p.Override || r.options.Made[p.Name] != "" {
		return nil
	}
	locked, err := r.locked(p)
	if err != nil {
		return err
	}
	name := p.Name + "." + c.Name
	f := &fault.Error{Kind: fault.Plugin, Plugin: name, Do: fmt.Sprintf("install the %s %s that was locked", p.Name, p.Version) + r.relock("; or look at what changed and lock that: ")}
	was, ok := locked.Components[c.Name]
	is := lockedComponent(c)
	switch {
	case !ok:
		f.What = fmt.Sprintf("the %s %s that is locked in %s has no such component", p.Name, p.Version, r.options.Lock.File)
	case was.Schema != is.Schema:
		f.What = fmt.Sprintf("its schema is not the one that is locked in %s: locked is %s, installed is %s in %s", r.options.Lock.File, was.Schema, is.Schema, p.Dir)
	case was != is:
		f.What = fmt.Sprintf("is %s of revision %d in %s, and %s of revision %d in %s", was.Kind, was.Revision, r.options.Lock.File, is.Kind, is.Revision, p.Dir)
	default:
		return nil
	}
	return f
}

// digestLocked says what is wrong with a plugin, seen from the lock.
func (r *Registry) digestLocked(p Plugin) error {
	if r.options.Lock == nil {
		return nil
	}
	if made := r.options.Made[p.Name]; made == p.Digest {
		return nil
	} else if made != "" {
		return &fault.Error{Kind: fault.Plugin, Plugin: p.Name, What: fmt.Sprintf("the run was made with --plugin %s=FOLDER, whose files had the digest %s, and the installed %s %s in %s is %s; it is not started", p.Name, made, p.Name, p.Version, p.Dir, p.Digest),
			Do: fmt.Sprintf("give --plugin %s=FOLDER here as well, or install what was in that folder", p.Name)}
	}
	locked, err := r.locked(p)
	if err != nil {
		return err
	}
	on := cmp.Or(p.Platform, anyPlatform)
	switch was := locked.Digests[on]; was {
	case p.Digest:
		return nil
	case "":
		return &fault.Error{Kind: fault.Plugin, Plugin: p.Name, What: fmt.Sprintf("the plugin %s %s is not locked for %s in %s, which has it for %s", p.Name, p.Version, on, r.options.Lock.File, strings.Join(slices.Sorted(maps.Keys(locked.Digests)), ", ")),
			Do: cmp.Or(r.relock("lock it here as well: "), "use it where it was locked")}
	default:
		return &fault.Error{Kind: fault.Plugin, Plugin: p.Name, What: fmt.Sprintf("the plugin %s %s is not the one that is locked: %s has %s, and %s is %s; it is not started", p.Name, p.Version, r.options.Lock.File, was, p.Dir, p.Digest),
			Do: fmt.Sprintf("asterism plugin verify %s@%s names files that changed since it was installed; install the one that was locked", p.Name, p.Version) + r.relock(", or accept this one: ")}
	}
}

// Format gives the text of the file: formatted CUE, the same for the same content.
func (l *Lock) Format() ([]byte, error) {
	var b strings.Builder
	b.WriteString("// The plugins of the experiments in this folder, held fast: a plugin whose files have another digest is not started.\n// Written by asterism plugin lock; keep it with the experiments.\n\n")
	fmt.Fprintf(&b, "format: %d\nplugins: {\n", lockFormat)
	for _, name := range slices.Sorted(maps.Keys(l.Plugins)) {
		fmt.Fprintf(&b, "%q: {\n", name)
		versions := l.versions(name)
		slices.Reverse(versions)
		for _, version := range versions {
			locked := l.Plugins[name][version]
			fmt.Fprintf(&b, "%q: {\ndigests: {\n", version)
			for _, on := range slices.Sorted(maps.Keys(locked.Digests)) {
				fmt.Fprintf(&b, "%q: %q\n", on, locked.Digests[on])
			}
			b.WriteString("}\ncomponents: {\n")
			for _, local := range slices.Sorted(maps.Keys(locked.Components)) {
				c := locked.Components[local]
				fmt.Fprintf(&b, "%q: {kind: %q, revision: %d, schema: %q}\n", local, c.Kind, c.Revision, c.Schema)
			}
			b.WriteString("}\n}\n")
		}
		b.WriteString("}\n")
	}
	b.WriteString("}\n")
	return format.Source([]byte(b.String()), format.Simplify())
}

// ReadLock reads a lock; one that is not there is nil.
func ReadLock(file string) (*Lock, error) {
	text, err := readPlain(file, maxLock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "the lock of the plugins cannot be read", Err: err, Do: "get it back as it was, or remove it and lock anew: asterism plugin lock"}
	}
	return ParseLock(file, text)
}

// ParseLock reads the text of a lock. It is plain data, and nothing in it is computed.
func ParseLock(file string, text []byte) (*Lock, error) {
	l := &Lock{File: file, Plugins: map[string]map[string]*Locked{}}
	odd := func(at token.Pos, format string, a ...any) *fault.Error {
		where := file
		if at.IsValid() {
			where = fmt.Sprintf("%s:%d:%d", file, at.Line(), at.Column())
		}
		return &fault.Error{Kind: fault.Config, Where: where, What: "this lock cannot be used: " + fmt.Sprintf(format, a...), Do: "it is written by asterism plugin lock, not by hand: get it back as it was, or remove it and lock anew"}
	}
	if len(text) > maxLock {
		return nil, odd(token.NoPos, "it has %d bytes, and no lock has more than %d", len(text), maxLock)
	}
	f, err := parser.ParseFile(file, text)
	if err != nil {
		e := cueerrors.Errors(err)[0]
		message, a := e.Msg()
		return nil, odd(e.Position(), "it is not CUE: "+message, a...)
	}
	top, formatted := &lockReader{odd: odd}, false
	for name, x := range top.fields(&ast.StructLit{Elts: f.Decls}) {
		switch name {
		case "format":
			formatted = true
			switch n := top.number(x); {
			case top.err != nil:
			case n > lockFormat:
				newer := odd(x.Pos(), "it is of format %d, which a newer Asterism has written, and this one reads format %d", n, lockFormat)
				newer.Do = "use an Asterism as new as the one that locked, or remove the file and lock anew: asterism plugin lock"
				return nil, newer
			case n < lockFormat:
				top.fail(x, "it is of format %d, and this Asterism reads format %d", n, lockFormat)
			}
		case "plugins":
			for plugin, x := range top.fields(x) {
				top.match(x, "plugin", plugin, nameForm)
				l.Plugins[plugin] = map[string]*Locked{}
				for version, x := range top.fields(x) {
					if !exactVersion(version) {
						top.fail(x, "%q is no version", version)
					}
					l.Plugins[plugin][version] = top.locked(x)
				}
			}
		default:
			top.fail(x, "there is no field %q", name)
		}
	}
	if top.err != nil {
		return nil, top.err
	}
	if !formatted {
		return nil, odd(token.NoPos, "it does not say its format")
	}
	return l, nil
}

var (
	digestForm       = regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	schemaDigestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	onForm           = regexp.MustCompile(`^(any|[a-z0-9]+/[a-z0-9]+)$`)
)

// lockReader reads literals and keeps the first thing that is wrong.
type lockReader struct {
	odd func(at token.Pos, format string, a ...any) *fault.Error
	err error
}

func (r *lockReader) fail(at ast.Node, format string, a ...any) {
	if r.err == nil {
		r.err = r.odd(at.Pos(), format, a...)
	}
}

func (r *lockReader) match(at ast.Node, what, text string, form *regexp.Regexp) {
	if !form.MatchString(text) {
		r.fail(at, "%q is no %s", text, what)
	}
}

// locked reads one version.
func (r *lockReader) locked(x ast.Expr) *Locked {
	l := &Locked{Digests: map[string]string{}, Components: map[string]LockedComponent{}}
	for name, x := range r.fields(x) {
		switch name {
		case "digests":
			for on, x := range r.fields(x) {
				r.match(x, "platform", on, onForm)
				l.Digests[on] = r.text(x)
				r.match(x, "digest", l.Digests[on], digestForm)
			}
		case "components":
			for local, x := range r.fields(x) {
				r.match(x, "component", local, nameForm)
				var c LockedComponent
				for name, x := range r.fields(x) {
					switch name {
					case "kind":
						c.Kind = r.text(x)
					case "revision":
						c.Revision = uint32(r.number(x))
					case "schema":
						c.Schema = r.text(x)
						r.match(x, "digest of a schema", c.Schema, schemaDigestForm)
					default:
						r.fail(x, "there is no field %q", name)
					}
				}
				l.Components[local] = c
			}
		default:
			r.fail(x, "there is no field %q", name)
		}
	}
	return l
}

// fields goes over the fields of a struct, each given once.
func (r *lockReader) fields(x ast.Expr) iter.Seq2[string, ast.Expr] {
	return func(yield func(string, ast.Expr) bool) {
		s, ok := x.(*ast.StructLit)
		if !ok {
			r.fail(x, "a struct is wanted here")
			return
		}
		seen := map[string]bool{}
		for _, d := range s.Elts {
			f, ok := d.(*ast.Field)
			if !ok {
				if _, ok := d.(*ast.CommentGroup); ok {
					continue
				}
				r.fail(d, "a field is wanted here")
				return
			}
			name, _, err := ast.LabelName(f.Label)
			if err != nil || f.Constraint != token.ILLEGAL || f.Alias != nil || len(f.Attrs) > 0 || f.Value == nil {
				r.fail(d, "a plain field is wanted here")
				return
			}
			if seen[name] {
				r.fail(d, "%q is given twice", name)
				return
			}
			seen[name] = true
			if !yield(name, f.Value) || r.err != nil {
				return
			}
		}
	}
}

func (r *lockReader) text(x ast.Expr) string {
	if b, ok := x.(*ast.BasicLit); ok && b.Kind == token.STRING {
		if s, err := literal.Unquote(b.Value); err == nil {
			return s
		}
	}
	r.fail(x, "a text is wanted here")
	return ""
}

func (r *lockReader) number(x ast.Expr) uint64 {
	if b, ok := x.(*ast.BasicLit); ok && b.Kind == token.INT {
		if n, err := strconv.ParseUint(b.Value, 10, 32); err == nil {
			return n
		}
	}
	r.fail(x, "a number is wanted here")
	return 0
}
