package experiment

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/parser"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/schemas"
)

// syncMark begins every file that Sync writes, and tells it from a user's own.
const syncMark = "// Written by asterism schema sync, which writes over changes.\n\n"

// Synced says what Sync did.
type Synced struct {
	Module           string   // the folder that holds cue.mod
	Written, Removed []string // below it, slash-separated
}

// Sync writes, below cue.mod of the CUE module around a folder, the language of experiments and the schemas of the
// installed components, so that an editor and plain CUE know them without a network. Where there is no module the folder
// becomes one. Files that are not its own are never touched.
func Sync(dir string, installed []Schema) (*Synced, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, &fault.Error{Kind: fault.Config, What: dir + " is not a folder", Do: "name the folder of your experiments"}
	}
	root, inModule := moduleRoot(dir)
	if !inModule {
		root = dir
	}
	language := filepath.ToSlash(filepath.Join("cue.mod", "pkg", filepath.FromSlash(schemas.Module)))
	files := map[string][]byte{}
	texts, err := languageWith(installed)
	if err != nil {
		return nil, err
	}
	for name, text := range texts {
		files[language+"/"+name] = text
	}
	module := filepath.Join(root, "cue.mod", "module.cue")
	switch text, err := os.ReadFile(module); {
	case errors.Is(err, fs.ErrNotExist) || err == nil && ours(text):
		files["cue.mod/module.cue"] = []byte(syncMark + "module: \"experiments.local@v0\"\nlanguage: version: \"v0.17.0\"\n")
	case err != nil:
		return nil, &fault.Error{Kind: fault.Resource, What: "the CUE module cannot be read", Err: err}
	case strings.Contains(string(text), `"`+schemas.Module):
		return nil, &fault.Error{Kind: fault.Config, Where: module, What: "depends on " + schemas.Module + ", which is looked for elsewhere then", Do: "take it out of deps: what asterism schema sync writes is found without"}
	}
	there, err := filesBelow(filepath.Join(root, filepath.FromSlash(language)))
	if err != nil {
		return nil, err
	}
	s := &Synced{Module: root}
	for _, name := range there {
		name = language + "/" + name
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, &fault.Error{Kind: fault.Resource, What: "a file of the CUE module cannot be read", Err: err}
		}
		switch {
		case !ours(text):
			return nil, &fault.Error{Kind: fault.Config, Where: filepath.Join(root, filepath.FromSlash(name)), What: "is in the place of what asterism schema sync writes, and not written by it", Do: "move it away"}
		case files[name] == nil:
			s.Removed = append(s.Removed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(root, filepath.FromSlash(name))
		if text, err := os.ReadFile(file); err == nil && bytes.Equal(text, files[name]) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return nil, &fault.Error{Kind: fault.Resource, What: "cannot write " + file, Err: err}
		}
		if err := run.WriteFile(file, files[name]); err != nil {
			return nil, err
		}
		s.Written = append(s.Written, name)
	}
	for _, name := range s.Removed {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.Remove(file); err != nil {
			return nil, &fault.Error{Kind: fault.Resource, What: "cannot remove " + file, Err: err}
		}
		os.Remove(filepath.Dir(file)) // where it is empty now
		os.Remove(filepath.Dir(filepath.Dir(file)))
	}
	return s, nil
}

func ours(text []byte) bool { return bytes.HasPrefix(text, []byte(syncMark)) }

// filesBelow lists the files of a folder and of those in it; of one that is missing there are none.
func filesBelow(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return fs.SkipAll
		}
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "the CUE module cannot be read", Err: err}
	}
	return names, nil
}

// kindsOf names the definitions of the language that hold components of one kind alone.
var kindsOf = map[string]protocol.Kind{"#Encoder": protocol.Kind_ENCODER, "#Task": protocol.Kind_TASK}

// languageWith gives the files of the module of the language in which a field that holds a component is one field for each
// that is installed, with the component's own schema: a choice by name, and no disjunction.
func languageWith(installed []Schema) (map[string][]byte, error) {
	files := map[string][]byte{}
	f, err := parser.ParseFile(languageFile, schemas.Experiment, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	text := schemas.Experiment
	for _, d := range slices.Backward(f.Decls) { // from the end, so that places before stay where they are
		definition, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		name, _, err := ast.LabelName(definition.Label)
		s, ok := definition.Value.(*ast.StructLit)
		if err != nil || !ok {
			continue
		}
		for _, e := range slices.Backward(s.Elts) {
			field, ok := e.(*ast.Field)
			if !ok {
				continue
			}
			if l, ok := field.Label.(*ast.ListLit); ok && source(l) == componentKey {
				text = text[:field.Pos().Offset()] + setOf(name) + text[field.Value.End().Offset():]
			}
		}
	}
	files["experiment.cue"] = []byte(syncMark + text)

	var imports, sets strings.Builder
	sets.WriteString("// Every installed component, with its configuration.\n" + setOf("") + ": {\n")
	bySet := map[string]*strings.Builder{}
	for _, definition := range slices.Sorted(maps.Keys(kindsOf)) {
		bySet[definition] = &strings.Builder{}
	}
	sorted := slices.SortedFunc(slices.Values(installed), func(a, b Schema) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range sorted {
		plugin, local, _ := strings.Cut(s.Name, ".")
		schema, err := packaged(s)
		if err != nil {
			return nil, &fault.Error{Kind: fault.Plugin, Plugin: s.Name, What: "the plugin's own schema of this component is broken", Do: "report this to the plugin's author, or remove the plugin", Err: err}
		}
		files["components/"+plugin+"/"+local+"/config.cue"] = schema
		alias := plugin + "$" + local // no name of a plugin has a $
		fmt.Fprintf(&imports, "%s %q\n", alias, schemas.Module+"/components/"+plugin+"/"+local+":config")
		line := fmt.Sprintf("%q?: %s.#Config\n", s.Name, alias)
		sets.WriteString(line)
		for definition, kind := range kindsOf {
			if s.Kind == kind {
				bySet[definition].WriteString(line)
			}
		}
	}
	sets.WriteString("}\n")
	for _, definition := range slices.Sorted(maps.Keys(kindsOf)) {
		fmt.Fprintf(&sets, "\n// Every installed %s, with its configuration.\n%s: {\n%s}\n", noun(kindsOf[definition]), setOf(definition), bySet[definition])
	}
	all := "package asterism\n\n"
	if len(sorted) > 0 {
		all += "import (\n" + imports.String() + ")\n\n"
	}
	components, err := format.Source([]byte(syncMark + all + sets.String()))
	if err != nil {
		return nil, err
	}
	files["components.cue"] = components
	return files, nil
}

// setOf names the set of components that a definition of the language holds: those of its kind, or all.
func setOf(definition string) string {
	if kind, ok := kindsOf[definition]; ok {
		return "#installed_" + noun(kind)
	}
	return "#installed"
}

// packaged gives the schema of a component as a package of its own.
func packaged(s Schema) ([]byte, error) {
	f, err := parser.ParseFile(componentPrefix+s.Name, s.Text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	f.Decls = slices.DeleteFunc(f.Decls, func(d ast.Decl) bool { _, ok := d.(*ast.Package); return ok })
	body, err := format.Node(f)
	if err != nil {
		return nil, err
	}
	return []byte(syncMark + "// Package config holds the configuration of " + s.Name + ".\npackage config\n\n" + string(body)), nil
}
