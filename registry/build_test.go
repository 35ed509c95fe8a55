package registry_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/registry"
)

// described is what a plugin of these tests says of itself.
const described = `{"command": ["./anything"], "name": "acme", "version": "2.1.0", "api": 1, "components": [{"name": "blur", "kind": "AUGMENTATION", "revision": 3, "schema": "#Config: {}", "summary": "Blurs."}]}`

// folder writes files, by slash-separated name, and gives their folder. Names that end in + are executable.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name, program := strings.CutSuffix(name, "+")
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o644)
		if program {
			mode = 0o755
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// files lists a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// python is what these tests take for the Python SDK.
var python = fstest.MapFS{"asterism_plugin/__init__.py": {Data: []byte("TEXT = '''" + described + "'''\n"), Mode: 0o444}}

func build(t *testing.T, dir string) (*registry.Plugin, error) {
	t.Helper()
	return registry.Build(t.Context(), dir, filepath.Join(t.TempDir(), "built"), python)
}

func goSource() map[string]string {
	return map[string]string{
		"go.mod": "module example.com/acme\n\ngo 1.24\n", "README.md": "Acme.", "LICENSE": "Free.", "schema.cue": "#Config: {}\n", "main_test.go": "package main_test\n", "testdata/x": "x", ".git/config": "",
		"main.go": "package main\n\nimport \"os\"\n\nfunc main() {\n\tif len(os.Args) == 2 && os.Args[1] == \"describe\" {\n\t\tos.Stdout.WriteString(`" + described + "`)\n\t}\n}\n",
	}
}

func TestBuildGo(t *testing.T) {
	dir := folder(t, goSource())
	p, err := build(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"LICENSE", "README.md", "SHA256SUMS", "acme", "plugin.json", "schema/blur.cue", "schema.cue"}; !slices.Equal(files(t, p.Dir), want) {
		t.Errorf("files %v, want %v", files(t, p.Dir), want)
	}
	if p.Name != "acme" || p.Version != "2.1.0" || p.Platform != runtime.GOOS+"/"+runtime.GOARCH || !slices.Equal(p.Command, []string{filepath.Join(p.Dir, "acme")}) {
		t.Errorf("built %+v", p)
	}
	if out, err := exec.Command(p.Command[0], "describe").Output(); err != nil || string(out) != described {
		t.Errorf("the program says %s (%v)", out, err)
	}
	check := exec.Command("sha256sum", "--strict", "--check", "SHA256SUMS")
	check.Dir = p.Dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("SHA256SUMS: %v\n%s", err, out)
	}
	// The same source gives the same plugin, and a plugin that was built is one that can be built.
	q, err := build(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := build(t, p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	sums := func(dir string) string {
		text, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if sums(q.Dir) != sums(p.Dir) || sums(r.Dir) != sums(p.Dir) {
		t.Errorf("three builds of one source differ:\n%s\n%s\n%s", sums(p.Dir), sums(q.Dir), sums(r.Dir))
	}
}

func TestBuildPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 here")
	}
	p, err := build(t, folder(t, map[string]string{
		"plugin.py": "import sys, inner.told\nprint('welcome')\nif sys.argv[1:] == ['describe']: print(inner.told.TEXT)\n", "inner/__init__.py": "", "inner/told.py": "from asterism_plugin import TEXT\n",
		"test_plugin.py": "", "tests/test_more.py": "", "__pycache__/x.pyc": "", ".venv/x": "", "table.npy": "data",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"SHA256SUMS", "asterism_plugin/__init__.py", "inner/__init__.py", "inner/told.py", "plugin.json", "plugin.py", "schema/blur.cue", "table.npy"}; !slices.Equal(files(t, p.Dir), want) {
		t.Errorf("files %v, want %v", files(t, p.Dir), want)
	}
	if p.Platform != "" || !slices.Equal(p.Command, []string{"python3", filepath.Join(p.Dir, "plugin.py")}) {
		t.Errorf("built %+v", p)
	}
	// What was built is complete: it can be built again, to the same files, where there is no SDK.
	again, err := registry.Build(t.Context(), p.Dir, filepath.Join(t.TempDir(), "again"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(files(t, again.Dir), files(t, p.Dir)) {
		t.Errorf("built again it has the files %v", files(t, again.Dir))
	}
	// An author's own SDK is used and not touched.
	own, err := build(t, folder(t, map[string]string{"plugin.py": "import asterism_plugin\nprint(asterism_plugin.own)\n", "asterism_plugin/__init__.py": "own = '''" + described + "'''\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"SHA256SUMS", "asterism_plugin/__init__.py", "plugin.json", "plugin.py", "schema/blur.cue"}; !slices.Equal(files(t, own.Dir), want) {
		t.Errorf("files %v, want %v", files(t, own.Dir), want)
	}
}

// A plugin that is asked to describe itself sees as little of the user's environment as in a run.
func TestDescribingSeesWhatRunsSee(t *testing.T) {
	t.Setenv("SECRET_TOKEN", "hush")
	t.Setenv("OMP_NUM_THREADS", "3")
	source := goSource()
	source["main.go"] = strings.Replace(source["main.go"], "func main() {", "func main() {\n\tif os.Getenv(\"SECRET_TOKEN\") != \"\" || os.Getenv(\"OMP_NUM_THREADS\") != \"3\" {\n\t\tpanic(os.Environ())\n\t}", 1)
	if _, err := build(t, folder(t, source)); err != nil {
		t.Error(err)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 here")
	}
	const text = "import os, asterism_plugin\nassert 'SECRET_TOKEN' not in os.environ and os.environ['OMP_NUM_THREADS'] == '3', os.environ\nprint(asterism_plugin.TEXT)\n"
	if _, err := build(t, folder(t, map[string]string{"plugin.py": text})); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeBuilt(t *testing.T) {
	with := func(name, text string) map[string]string {
		all := goSource()
		all[name] = text
		return all
	}
	for name, c := range map[string]struct {
		files map[string]string
		kind  fault.Kind
		says  []string
	}{
		"empty":    {map[string]string{"x": ""}, fault.Config, []string{"there is no plugin in", "go.mod"}},
		"compiler": {with("main.go", "package main\nfunc main() { undefined() }\n"), fault.Plugin, []string{"does not build", "undefined: undefined"}},
		"library":  {map[string]string{"go.mod": goSource()["go.mod"], "acme.go": "package acme\n"}, fault.Plugin, []string{"no main packages"}},
		"dies":     {with("main.go", "package main\nfunc main() { panic(\"no table\") }\n"), fault.Plugin, []string{"does not describe itself", "no table"}},
		"silent":   {with("main.go", "package main\nfunc main() { println(\"hello\") }\n"), fault.Plugin, []string{"not a description", "hello"}},
		"version":  {with("main.go", strings.Replace(goSource()["main.go"], "2.1.0", "2.1", 1)), fault.Plugin, []string{`version "2.1"`, "1.2.0"}},
		"stale":    {with("plugin.json", described), fault.Plugin, []string{"./anything", "not in the folder"}},
		"bare":     {map[string]string{"plugin.json": strings.Replace(described, `"./anything"`, `"sh", "start.sh"`, 1), "start.sh": ""}, fault.Plugin, []string{"names start.sh in its command", "must be ./start.sh"}},
		"module":   {map[string]string{"plugin.json": strings.Replace(described, `"./anything"`, `"python3", "-m", "acme"`, 1)}, fault.Plugin, []string{"starts a module of Python by its name", "./plugin.py"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := build(t, folder(t, c.files))
			contains(t, err, c.kind, c.says...)
		})
	}
	dir := folder(t, map[string]string{"plugin.json": strings.Replace(described, "./anything", "sh", 1)})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	_, err := build(t, dir)
	contains(t, err, fault.Config, "secret", "plain files")
}
