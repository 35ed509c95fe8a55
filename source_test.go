package asterism_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism"
)

const module = "github.com/asterism-ssl/asterism"

// list runs go list on the SDK as it is built for a platform and gives the lines.
func list(t *testing.T, platform, format string) []string {
	t.Helper()
	system, processor, _ := strings.Cut(platform, "/")
	c := exec.Command("go", "list", "-deps", "-f", format, "./plugins/sdk/...")
	c.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

var platforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64"}

// Every file that goes into the SDK's packages is carried, and of our packages no other; and every module that they need
// is in the go.mod, with the version that we build with, and no other.
func TestGoSDKIsWhatGoBuilds(t *testing.T) {
	packages, wanted, modules := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, platform := range platforms {
		const ours = `{{with .Module}}{{if .Main}}{{$d := $.Dir}}{{range $.GoFiles}}{{$d}}/{{.}} {{end}}{{range $.SFiles}}{{$d}}/{{.}} {{end}}{{range $.EmbedFiles}}{{$d}}/{{.}} {{end}}{{end}}{{end}}`
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range list(t, platform, ours) {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(name, "plugins/sdk/python/") {
				wanted[filepath.ToSlash(name)] = true
				packages[path.Dir(filepath.ToSlash(name))] = true
			}
		}
		for _, m := range list(t, platform, `{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}`) {
			modules[m] = true
		}
	}
	sdk := asterism.GoSDK()
	for name := range wanted {
		carried, err := fs.ReadFile(sdk, name)
		if err != nil {
			t.Errorf("%s is not carried: %v", name, err)
			continue
		}
		if there, err := os.ReadFile(filepath.FromSlash(name)); err != nil || !bytes.Equal(carried, there) {
			t.Errorf("%s is carried otherwise (%v)", name, err)
		}
	}
	files := 0
	err := fs.WalkDir(sdk, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		if dir := path.Dir(name); name != "LICENSE" && !packages[dir] || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata") {
			t.Errorf("%s is carried, and no package of the SDK needs it", name)
		}
		return nil
	})
	if err != nil || files < len(wanted) {
		t.Errorf("%d files are listed, %d are wanted (%v)", files, len(wanted), err)
	}
	for _, name := range []string{"plugins/sdk/serve_test.go", "plugins/sdk/python", "plugins/sdk/python/asterism_plugin/key.py", "go.sum", "../source.go"} {
		if _, err := sdk.Open(name); err == nil {
			t.Errorf("%s is given out", name)
		}
	}
	mod, sum := asterism.SDKModule()
	var got []string
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); len(f) >= 2 && strings.HasPrefix(f[1], "v") {
			got = append(got, f[0]+"@"+f[1])
		}
	}
	var want []string
	for m := range modules {
		want = append(want, m)
		if name, version, _ := strings.Cut(m, "@"); !strings.Contains(string(sum), name+" "+version+" h1:") {
			t.Errorf("go.sum has no %s %s", name, version)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("go.mod requires %v, and the SDK needs %v: correct the list in source.go", got, want)
	}
	if !strings.HasPrefix(string(mod), "module "+module+"\n") {
		t.Errorf("go.mod begins otherwise: %s", mod)
	}
}

// The carried Python package is what lies in its folder.
func TestPythonSDK(t *testing.T) {
	sources, err := filepath.Glob("plugins/sdk/python/asterism_plugin/*.py")
	if err != nil || len(sources) < 5 {
		t.Fatalf("%v, %v", sources, err)
	}
	var carried []string
	err = fs.WalkDir(asterism.PythonSDK(), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			carried = append(carried, "plugins/sdk/python/"+name)
			text, err := fs.ReadFile(asterism.PythonSDK(), name)
			if err != nil {
				return err
			}
			if there, err := os.ReadFile(carried[len(carried)-1]); err != nil || !bytes.Equal(there, text) {
				t.Errorf("%s is carried otherwise (%v)", name, err)
			}
		}
		return err
	})
	if err != nil || !slices.Equal(carried, sources) {
		t.Errorf("carried are %v, there are %v (%v)", carried, sources, err)
	}
}
