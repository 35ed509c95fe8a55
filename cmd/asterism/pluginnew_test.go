//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/asterism-ssl/asterism/registry/scaffold"
)

// author is the environment of someone who writes plugins on a machine without a network: the modules that building
// Asterism has downloaded, Debian's Python, and asterism in PATH. Packages are compiled as `asterism plugin` compiles
// them, so that all share the work.
func author(t *testing.T, self string) []string {
	t.Helper()
	return append(os.Environ(), "PATH="+filepath.Dir(self)+":/usr/bin:"+os.Getenv("PATH"), "ASTERISM=", "GOPROXY=off", "GOWORK=off", "GOFLAGS=-mod=readonly -trimpath", "CGO_ENABLED=0")
}

// havePython says whether Python has what the SDK needs, and these modules ", torch"; where all is required it fails the test
// otherwise.
func havePython(t *testing.T, modules string) bool {
	t.Helper()
	out, err := exec.Command("/usr/bin/python3", "-c", "import grpc, numpy, google.protobuf"+modules).CombinedOutput()
	if err != nil && os.Getenv("ASTERISM_REQUIRE") != "" {
		t.Fatalf("ASTERISM_REQUIRE is set, and Python has not all of grpc, numpy, protobuf%s: %s", modules, out)
	}
	return err == nil
}

// TestScaffolds writes each plugin to start from, under a name of another length than its template's, and puts it to what
// its README says: it is formatted, vetted and passes the conformance kit, without a network. Where time is short Python's
// plugins, but for one, only start and describe themselves.
func TestScaffolds(t *testing.T) {
	long := os.Getenv("ASTERISM_LONG") != ""
	for _, language := range scaffold.Languages {
		for _, kind := range scaffold.Kinds {
			t.Run(language+"/"+kind, func(t *testing.T) {
				t.Parallel()
				if language == "python" && !havePython(t, "") {
					t.Skip("Python with grpc, numpy and protobuf is not installed")
				}
				dir := t.TempDir()
				self := command(t, dir).Path
				quick := filepath.Join(dir, "quick") // asterism with less patience than its default
				if err := os.WriteFile(quick, []byte("#!/bin/sh\nexec "+self+" --progress none \"$@\" --batches 20\n"), 0o755); err != nil {
					t.Fatal(err)
				}
				run := func(name string, arguments ...string) string {
					t.Helper()
					c := exec.Command(name, arguments...)
					c.Dir, c.Env = filepath.Join(dir, "longer_name"), append(author(t, self), "ASTERISM="+quick)
					out, err := c.CombinedOutput()
					if err != nil {
						t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
					}
					return string(out)
				}
				if out, err := command(t, dir, "plugin", "new", "--lang", language, "--kind", kind, "longer_name").CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if language == "go" {
					if unformatted := run("gofmt", "-l", "."); unformatted != "" {
						t.Errorf("not formatted: %s", unformatted)
					}
				}
				if language == "go" && kind == "dataset" { // the templates themselves are vetted with everything of ours
					run("go", "vet", "./...")
				}
				// The author's own test runs the same kit; one of each language is enough, as it is the same for all kinds.
				var out string
				switch {
				case kind == "task" && language == "python":
					out = run("/usr/bin/python3", "-m", "unittest")
				case kind == "task" && long: // compiles CUE
					out = run("go", "test", "-v", "./...")
				case language == "go" || long:
					out = run(quick, "plugin", "test", ".")
				default:
					out = run(quick, "plugin", "test", ".", "--run", "/(starts|description|schema|configuration)$")
				}
				if !strings.Contains(out, "longer_name: ") || !strings.Contains(out, " 0 failed") {
					t.Errorf("what is said has no verdict: %s", out)
				}
			})
		}
	}
}

// TestScaffoldsNeedWhatWeNeed finds every package of a new plugin and of its test with nothing in the module cache but the
// modules that its go.mod names, which are among those that Asterism is built with.
func TestScaffoldsNeedWhatWeNeed(t *testing.T) {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	from, to, dir := strings.TrimSpace(string(out)), t.TempDir(), t.TempDir()
	if out, err := command(t, dir, "plugin", "new", "--lang", "go", "--kind", "task", "acme").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "acme", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	link := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range m.Require {
		if r.Mod.Path == "github.com/asterism-ssl/asterism" {
			continue
		}
		path, err := module.EscapePath(r.Mod.Path)
		if err != nil {
			t.Fatal(err)
		}
		link(path + "@" + r.Mod.Version)
		for _, ending := range []string{".info", ".mod", ".zip", ".ziphash"} {
			link(filepath.Join("cache", "download", path, "@v", r.Mod.Version+ending))
		}
	}
	c := exec.Command("go", "list", "-deps", "-test", "-f", "{{with .Error}}{{.}}{{end}}", "./...")
	c.Dir, c.Env = filepath.Join(dir, "acme"), append(author(t, ""), "GOMODCACHE="+to)
	if out, err := c.CombinedOutput(); err != nil || len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
