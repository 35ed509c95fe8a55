package experiment

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/schemas"
)

// evaluate gives what the file itself says, with the language left out: the module that it imports is served with
// definitions that allow everything. What the file says is then compared with the language field by field (see check),
// which finds everything that is wrong at once and can say it in the user's words; the evaluator alone stops at the
// first kind of error and reports it in its own.
//
// Everything comes from an overlay of the file system, so nothing is written, and a file needs no module around it.
func evaluate(ctx *cue.Context, s *syntax, file string) (cue.Value, faults) {
	var l faults
	dir := filepath.Dir(file)
	root, inModule := moduleRoot(dir)
	if !inModule {
		root = dir
	}
	main := filepath.Join(dir, "asterism experiment.cue") // stands in for the file, whatever it is called
	overlay := map[string]load.Source{
		main: load.FromString("{}"),
		filepath.Join(root, "cue.mod", "pkg", filepath.FromSlash(schemas.Module), "asterism.cue"): load.FromString(openLanguage()),
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
			return parser.ParseFile(name, src, c)
		},
	}
	maps.Copy(config.TagVars, load.DefaultTagVars())
	instance := load.Instances([]string{"." + string(filepath.Separator) + filepath.Base(main)}, config)[0]
	if instance.Err != nil {
		translateAll(&l, instance.Err, s.file.Filename, main)
		return cue.Value{}, l
	}
	given := ctx.BuildInstance(instance)
	if err := given.Err(); err != nil && given.IncompleteKind() != cue.StructKind {
		if given.IncompleteKind() != cue.BottomKind {
			l.add(&fault.Error{Where: s.file.Filename, What: "this file holds " + found(given) + ": an experiment is a struct of fields", Do: "start from one of the files in experiments/"})
		} else {
			translateAll(&l, err, s.file.Filename, main)
		}
		return cue.Value{}, l
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

// translateAll turns the evaluator's errors into faults.
func translateAll(l *faults, err error, file, main string) {
	for _, e := range errors.Errors(err) {
		f := translate(e)
		f.What = strings.ReplaceAll(f.What, main, file)
		if f.Where == "" {
			f.Where = file
		}
		f.Where = strings.Replace(f.Where, main, file, 1)
		l.add(f)
	}
}
