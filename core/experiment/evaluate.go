package experiment

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/asterism-ssl/asterism/schemas"
)

// evaluate gives what the file itself says, with the language left out: the module that it imports is served with
// definitions that allow everything. What the file says is then compared with the language field by field (see check),
// which finds everything that is wrong at once and can say it in the user's words; the evaluator alone stops at the
// first kind of error and reports it in its own.
//
// Everything comes from an overlay of the file system, so nothing is written, and a file needs no module around it.
func evaluate(ctx *cue.Context, s *syntax, file string) (cue.Value, *broken) {
	dir := filepath.Dir(file)
	root, inModule := moduleRoot(dir)
	if !inModule {
		root = dir
	}
	main := filepath.Join(dir, "asterism experiment.cue") // stands in for the file, whatever it is called
	language := filepath.Join(root, "cue.mod", "pkg", filepath.FromSlash(schemas.Module))
	overlay := map[string]load.Source{main: load.FromString("{}")}
	there, _ := filepath.Glob(filepath.Join(language, "*.cue")) // what Sync has written, for others
	for _, name := range there {
		overlay[name] = load.FromString("package asterism\n")
	}
	overlay[filepath.Join(language, "asterism.cue")] = load.FromString(openLanguage())
	for _, name := range []string{"module.cue", "local-module.cue"} {
		if source, ok := withoutLanguage(filepath.Join(root, "cue.mod", name)); ok {
			overlay[filepath.Join(root, "cue.mod", name)] = source
		}
	}
	if !inModule {
		overlay[filepath.Join(root, "cue.mod", "module.cue")] = load.FromString("module: \"experiment.local@v0\"\nlanguage: version: \"v0.17.0\"\n")
	}
	config := &load.Config{
		Dir:        dir,
		ModuleRoot: root,
		Overlay:    overlay,
		Tags:       s.flags,
		TagVars:    map[string]load.TagVar{},
		Env:        append(os.Environ(), "CUE_REGISTRY=none"), // nothing is fetched
		ParseFile: func(name string, src any, c parser.Config) (*ast.File, error) {
			if name == main {
				return s.file, nil
			}
			if !filepath.IsAbs(s.file.Filename) { // messages name files as the user does
				if wd, err := os.Getwd(); err == nil {
					if rel, err := filepath.Rel(wd, name); err == nil {
						name = rel
					}
				}
			}
			return parser.ParseFile(name, src, c)
		},
	}
	maps.Copy(config.TagVars, load.DefaultTagVars())
	instance := load.Instances([]string{"." + string(filepath.Separator) + filepath.Base(main)}, config)[0]
	if instance.Err != nil {
		return cue.Value{}, translateAll(instance.Err, s.file, main)
	}
	given := ctx.BuildInstance(instance)
	if err := given.Err(); err != nil && given.IncompleteKind() == cue.BottomKind {
		return cue.Value{}, translateAll(err, s.file, main)
	}
	return given, nil
}

// moduleRoot finds the CUE module around a folder.
func moduleRoot(dir string) (string, bool) {
	for {
		if info, err := os.Stat(filepath.Join(dir, "cue.mod", "module.cue")); err == nil && !info.IsDir() {
			return dir, true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", false
		}
		dir = up
	}
}

// openLanguage is the module of the language with every definition open to everything.
var openLanguage = sync.OnceValue(func() string {
	var b strings.Builder
	b.WriteString("package asterism\n")
	f, err := parser.ParseFile(languageFile, schemas.Experiment)
	if err != nil {
		return b.String()
	}
	for _, d := range f.Decls {
		if field, ok := d.(*ast.Field); ok {
			if name, isIdent, err := ast.LabelName(field.Label); err == nil && isIdent {
				open := "{...}"
				if _, isList := field.Value.(*ast.ListLit); isList {
					open = "[...]"
				}
				b.WriteString(name + ": " + open + "\n")
			}
		}
	}
	return b.String()
})

// broken says why a file cannot be evaluated.
type broken struct {
	list faults
	at   []token.Pos // where each fault stands
}

// maxBlanks bounds how often the rest of a broken file is looked at.
const maxBlanks = 8

// leaveBlank replaces the values of the innermost fields around the positions by _ and notes where these fields stand.
// It says whether it changed anything.
func leaveBlank(f *ast.File, at []token.Pos, blank map[string]bool) bool {
	changed := false
	for _, p := range at {
		var inner *ast.Field
		ast.Walk(f, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok && field.Value.Pos().IsValid() && holds(field, p) {
				inner = field
			}
			return true
		}, nil)
		if inner == nil {
			continue
		}
		if id, ok := inner.Value.(*ast.Ident); ok && id.Name == "_" {
			continue
		}
		id := ast.NewIdent("_")
		ast.SetPos(id, inner.Value.Pos())
		inner.Value = id
		blank[where(inner.Pos())] = true
		changed = true
	}
	return changed
}

// holds says whether a position lies in a field.
func holds(field *ast.Field, p token.Pos) bool {
	from, to := field.Pos(), field.Value.End()
	return p.IsValid() && p.Filename() == from.Filename() && p.Offset() >= from.Offset() && p.Offset() <= to.Offset()
}

// translateAll turns the evaluator's errors into faults.
func translateAll(err error, file *ast.File, main string) *broken {
	b := &broken{}
	for _, e := range errors.Errors(err) {
		f := translate(e)
		f.Path = "" // the compiler's paths lack indices
		f.What = strings.ReplaceAll(f.What, main, file.Filename)
		for spec := range file.ImportSpecs() {
			if strings.HasPrefix(f.What, "import failed") && spec.Pos() == e.Position() {
				f.What, f.Do = fmt.Sprintf("there is no package %s here", spec.Path.Value), "nothing is fetched: imports come from the module around the file, or are "+strconv.Quote(schemas.Module+":asterism")
				if strings.Contains(spec.Path.Value, "asterism") {
					f.Do = fmt.Sprintf("did you mean %q?", schemas.Module+":asterism")
				}
			}
		}
		if f.Where == "" {
			f.Where = file.Filename
		}
		f.Where = strings.Replace(f.Where, main, file.Filename, 1)
		b.list.add(f)
		b.at = append(b.at, e.Position())
		if !e.Position().IsValid() && len(e.InputPositions()) > 0 {
			b.at[len(b.at)-1] = e.InputPositions()[0]
		}
	}
	return b
}

// withoutLanguage takes the language out of a module's dependencies: it is this program that provides it. Other text is
// left alone.
func withoutLanguage(name string) (load.Source, bool) {
	src, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(src), schemas.Module) {
		return nil, false
	}
	f, err := parser.ParseFile(name, src)
	if err != nil {
		return nil, false
	}
	drop := func(x ast.Expr) {
		if s, ok := x.(*ast.StructLit); ok {
			s.Elts = slices.DeleteFunc(s.Elts, func(d ast.Decl) bool {
				f, ok := d.(*ast.Field)
				if !ok {
					return false
				}
				label, _, err := ast.LabelName(f.Label)
				return err == nil && (label == schemas.Module || strings.HasPrefix(label, schemas.Module+"@"))
			})
		}
	}
	for _, d := range f.Decls {
		if field, ok := d.(*ast.Field); ok {
			if label, _, err := ast.LabelName(field.Label); err == nil && label == "deps" {
				drop(field.Value)
			}
		}
	}
	return load.FromFile(f), true
}
