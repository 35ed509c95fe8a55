// Package core_test checks the rules of the house that no compiler checks.
package core_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/asterism-ssl/asterism/"

// root stands for the package at the root of the module, which carries the SDK's source.
const root = "."

// TestImports holds every package to the directions in which it may look: the border and the kernels know nothing of ours,
// plugins know the SDK alone, the core knows no plugin, and only the command line puts them together.
func TestImports(t *testing.T) {
	may := func(from, to string) bool {
		within := func(dir string) bool { return to == dir || strings.HasPrefix(to, dir+"/") }
		switch {
		case from == "core/protocol", from == "core/key", from == "core/fault", from == "core/safetensors" && !within("core/fault"):
			return false
		case strings.HasPrefix(from, "core/kernel"):
			return within("core/kernel")
		case strings.HasPrefix(from, "core"):
			return within("core") || from == "core/experiment" && within("schemas")
		case strings.HasPrefix(from, "plugins/sdk"):
			return within("core/protocol") || within("core/key") || within("core/kernel") || within("plugins/sdk")
		case strings.HasPrefix(from, "plugins/"):
			return within("plugins/sdk") || within(strings.Join(strings.Split(from, "/")[:2], "/"))
		case from == "registry":
			return within("core/protocol") || within("core/fault")
		case from == "registry/scaffold":
			return within("core/fault")
		case strings.HasPrefix(from, "registry/scaffold/"): // plugins to start from
			return within("plugins/sdk")
		case strings.HasPrefix(from, "schemas"):
			return false
		}
		return strings.HasPrefix(from, "cmd/")
	}
	files := 0
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "runs") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := path.Dir(strings.TrimPrefix(filepath.ToSlash(file), "../"))
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(name, module)
			if name+"/" == module {
				to, ours = root, true
			}
			if ours && !may(from, to) {
				t.Errorf("%s imports %s", file, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("looked at %d files only: the walk is broken", files)
	}
}

// TestNoRooms keeps out the folder names that say nothing.
func TestNoRooms(t *testing.T) {
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		switch d.Name() {
		case "utils", "util", "common", "helpers", "pkg", "misc":
			t.Errorf("%s: a folder is named after what is in it", file)
		case ".git":
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
