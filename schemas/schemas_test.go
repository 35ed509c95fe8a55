package schemas_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"

	"github.com/asterism-ssl/asterism/schemas"
)

// Every field tells the reader what it is.
func TestEveryFieldIsDocumented(t *testing.T) {
	f, err := parser.ParseFile("experiment.cue", schemas.Experiment, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	fields := 0
	ast.Walk(f, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			_, comprehension := n.(*ast.Comprehension)
			return !comprehension
		}
		name, _, _ := ast.LabelName(field.Label)
		if name == "#rules" {
			return false
		}
		fields++
		for _, c := range ast.Comments(field) {
			if c.Doc {
				return true
			}
		}
		t.Errorf("%s: the field %q has no comment", field.Pos(), name)
		return true
	}, nil)
	if fields < 30 {
		t.Errorf("only %d fields were seen", fields)
	}
}

func TestFormatted(t *testing.T) {
	want, err := format.Source([]byte(schemas.Experiment))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(schemas.Experiment)) {
		t.Error("experiment.cue is not formatted: run cue fmt")
	}
}

// The module serves plain CUE as it serves the program: what an editor says about an experiment is right.
func TestPlainCUE(t *testing.T) {
	dir := t.TempDir()
	module := filepath.Join(dir, "cue.mod", "pkg", filepath.FromSlash(schemas.Module))
	if err := os.MkdirAll(module, 0o777); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(module, "experiment.cue"), schemas.Experiment)
	write(filepath.Join(dir, "cue.mod", "module.cue"), "module: \"example.com/x@v0\"\nlanguage: version: \"v0.17.0\"\n")
	const good = `
import "asterism.dev/schemas:asterism"
asterism.#Experiment & {
	name: "x"
	data: {sources: [{"a.b": {c: 1}}, {"a.b": {}}], frame: size: [64, 32]}
	views: {train: [{"a.c": {}}], eval: [], small: []}
	encoder: "a.d": {}
	train: {objective: "a.e": {}, epochs: 1, optimizer: sgd: lr: 1}
	tasks: t: {"a.f": {label: "T"}, labels: [5, "all"]}
}`
	for _, x := range []struct{ name, old, new, wrong string }{
		{"good", "", "", ""},
		{"misspelt", "epochs: 1", "epoch: 1", "not allowed"},
		{"out of bounds", "lr: 1", "lr: -1", "out of bound"},
		{"no dot", `"a.d"`, "ad", "not allowed"},
		{"no source", `[{"a.b": {c: 1}}, {"a.b": {}}]`, "[]", "sources"},
		{"missing", "eval: [], ", "", "eval"},
		{"bad label", `[5, "all"]`, `[0]`, "labels"},
		{"large list", "[64, 32]", "[1, 2, 3, 4]", "size"},
	} {
		text := strings.Replace(good, x.old, x.new, 1)
		write(filepath.Join(dir, "x.cue"), text)
		instance := load.Instances([]string{"./x.cue"}, &load.Config{Dir: dir, Env: append(os.Environ(), "CUE_REGISTRY=none")})[0]
		if instance.Err != nil {
			t.Fatal(instance.Err)
		}
		v := cuecontext.New().BuildInstance(instance)
		err := v.Validate(cue.Concrete(true), cue.Final())
		switch {
		case x.wrong == "" && err != nil:
			t.Errorf("%s: %v", x.name, err)
		case x.wrong == "":
			for path, want := range map[string]string{"seed": "0", "data.split.valid": "0.1", "data.split.test": "0.2", "train.batch": "128", "train.optimizer.sgd.momentum": "0.9", "train.schedule.cosine.warmup_epochs": "0", "tasks.t.against": `["untrained","constant"]`} {
				d, _ := v.LookupPath(cue.ParsePath(path)).Default()
				if b, _ := d.MarshalJSON(); string(b) != want {
					t.Errorf("default of %s: %s, want %s", path, b, want)
				}
			}
		case err == nil || !strings.Contains(err.Error(), x.wrong):
			t.Errorf("%s: got %v, want an error about %q", x.name, err, x.wrong)
		}
	}
}
