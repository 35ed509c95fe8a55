//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/registry/scaffold"
)

// author is the environment of someone who writes plugins on a machine without a network: the modules that building
// Asterism has downloaded, Debian's Python, and asterism in PATH. Packages are compiled as `asterism plugin` compiles
// them, so that all share the work.
func author(t *testing.T, self string) []string {
	t.Helper()
	return append(os.Environ(), "PATH="+filepath.Dir(self)+":/usr/bin:"+os.Getenv("PATH"), "ASTERISM=", "GOPROXY=off", "GOWORK=off", "GOFLAGS=-mod=readonly -trimpath", "CGO_ENABLED=0")
}

// havePython says whether Python has what the SDK needs; where all is required it fails the test otherwise.
func havePython(t *testing.T) bool {
	t.Helper()
	out, err := exec.Command("/usr/bin/python3", "-c", "import grpc, numpy, google.protobuf").CombinedOutput()
	if err != nil && os.Getenv("ASTERISM_REQUIRE") != "" {
		t.Fatalf("ASTERISM_REQUIRE is set, and Python has not all of grpc, numpy, protobuf: %s", out)
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
				if language == "python" && !havePython(t) {
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
