package experiment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"

	"github.com/asterism-ssl/asterism/core/fault"
)

// plain checks a file as cue vet -c does, without a registry.
func plain(dir, file string) error {
	instance := load.Instances([]string{"./" + file}, &load.Config{Dir: dir, Env: append(os.Environ(), "CUE_REGISTRY=none")})[0]
	if instance.Err != nil {
		return instance.Err
	}
	return cuecontext.New().BuildInstance(instance).Validate(cue.Concrete(true), cue.Final())
}

const synced = `import "asterism.dev/schemas:asterism"

asterism.#Experiment & {
	name: "x"
	data: {sources: [{"images.folder": {root: "r"}}], frame: size: 64}
	views: {train: [{"sky.rotate": {max: 90}}, {"sky.noise": {}}], eval: []}
	encoder: {"resnet.r18": {stem: "small"}}
	train: {objective: {"contrast.moco": {}}, epochs: 1, optimizer: sgd: lr: 1}
	tasks: t: {"classify.linear": {label: "T"}, labels: [5]}
}
`

// What Sync writes has plain CUE say what asterism vet says of the fields of components.
func TestPlainCUEKnowsComponents(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	imported := fake("acme.some", fakes[0].Kind, "package acme\n\nimport \"list\"\n\n// What it does.\n#Config: {\n\t// Which.\n\twhich: list.MaxItems(2) & [..._name] | *[]\n}\n_name: =~\"^a\"\n")
	installed := append(append(fakeSchemas{}, fakes...), imported)
	s, err := Sync(dir, installed)
	if err != nil {
		t.Fatal(err)
	}
	if s.Module != dir || len(s.Written) != 3+len(installed) || len(s.Removed) != 0 {
		t.Errorf("%+v", s)
	}
	for _, x := range []struct{ name, old, new, wrong string }{
		{"good", "", "", ""},
		{"with imports", `{"images.folder": {root: "r"}}`, `{"acme.some": {which: ["a"]}}`, ""},
		{"imported rule", `{"images.folder": {root: "r"}}`, `{"acme.some": {which: ["b"]}}`, "sources"},
		{"wrong field", "max: 90", "maximum: 90", "maximum: field not allowed"},
		{"wrong value", "max: 90", "max: 900", "max"},
		{"wrong field of an encoder", "stem:", "stam:", "stam: field not allowed"},
		{"missing", `{label: "T"}`, `{}`, "label"},
		{"unknown component", `"sky.noise"`, `"sky.noose"`, `"sky.noose": field not allowed`},
		{"wrong kind", `encoder: {"resnet.r18": {stem: "small"}}`, `encoder: {"sky.noise": {}}`, `"sky.noise": field not allowed`},
		{"the language itself", "epochs:", "epoch:", "epoch: field not allowed"},
	} {
		write("x.cue", strings.Replace(synced, x.old, x.new, 1))
		err := plain(dir, "x.cue")
		if x.wrong == "" && err != nil || x.wrong != "" && (err == nil || !strings.Contains(err.Error(), x.wrong)) {
			t.Errorf("%s: %v, want %q", x.name, err, x.wrong)
		}
		// The program goes on as before, in its own words.
		_, own := Load(filepath.Join(dir, "x.cue"), Options{Schemas: installed})
		if (own == nil) != (x.wrong == "") {
			t.Errorf("%s: the program says %v", x.name, own)
		}
		if own != nil && strings.Contains(own.Error(), "field not allowed") {
			t.Errorf("%s: the program speaks as CUE does: %v", x.name, own)
		}
	}

	// Again changes nothing; a plugin that is gone goes; a folder below has the same module.
	if s, err = Sync(dir, installed); err != nil || len(s.Written)+len(s.Removed) != 0 {
		t.Errorf("again: %+v, %v", s, err)
	}
	below := filepath.Join(dir, "more")
	if err := os.Mkdir(below, 0o777); err != nil {
		t.Fatal(err)
	}
	if s, err = Sync(below, fakes); err != nil || s.Module != dir || len(s.Removed) != 1 || len(s.Written) != 1 {
		t.Errorf("without a plugin: %+v, %v", s, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cue.mod/pkg/asterism.dev/schemas/components/acme")); err == nil {
		t.Error("the folder of the plugin that is gone is still there")
	}

	// A user's own files stay, and are said to be in the way where they are.
	write("cue.mod/module.cue", "module: \"example.com/mine@v0\"\nlanguage: version: \"v0.17.0\"\n")
	if s, err = Sync(dir, fakes); err != nil || len(s.Written)+len(s.Removed) != 0 {
		t.Errorf("in a module: %+v, %v", s, err)
	}
	write("x.cue", synced)
	if err := plain(dir, "x.cue"); err != nil {
		t.Errorf("in a module: %v", err)
	}
	write("cue.mod/module.cue", "module: \"example.com/mine@v0\"\nlanguage: version: \"v0.17.0\"\ndeps: \"asterism.dev/schemas@v0\": v: \"v0.1.0\"\n")
	_, err = Sync(dir, fakes)
	says(t, err, "cue.mod/module.cue", "depends on asterism.dev/schemas")
	write("cue.mod/module.cue", "module: \"example.com/mine@v0\"\nlanguage: version: \"v0.17.0\"\n")
	write("cue.mod/pkg/asterism.dev/schemas/mine.cue", "package asterism\n")
	_, err = Sync(dir, fakes)
	says(t, err, "schemas/mine.cue", "not written by it", "move it away")
	_, err = Sync(filepath.Join(dir, "nowhere"), fakes)
	says(t, err, "nowhere is not a folder")
	_, err = Sync(t.TempDir(), fakeSchemas{fake("acme.some", fakes[0].Kind, "#Config: {")})
	says(t, err, "acme.some", "broken")
}

func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	var b strings.Builder
	fault.Print(&b, err)
	for _, p := range parts {
		if err == nil || !strings.Contains(b.String(), p) {
			t.Errorf("%q is not said in:\n%s", p, &b)
		}
	}
}
