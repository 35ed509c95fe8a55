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

// needPython skips a test where Python or what the SDK needs is not installed, and fails where all is required.
func needPython(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("/usr/bin/python3", "-c", "import grpc, numpy, google.protobuf").CombinedOutput(); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set, and Python has not all of grpc, numpy, protobuf: %s", out)
		}
		t.Skip("Python with grpc, numpy and protobuf is not installed")
	}
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
				if language == "python" {
					needPython(t)
				}
				dir := t.TempDir()
				self := command(t, dir).Path
				run := func(name string, arguments ...string) string {
					t.Helper()
					c := exec.Command(name, arguments...)
					c.Dir, c.Env = filepath.Join(dir, "longer_name"), author(t, self)
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
					run("go", "vet", "./...")
				}
				test := []string{"plugin", "test", "."}
				if !long {
					test = append(test, "--batches", "5")
				}
				if !long && language == "python" && kind != "task" {
					test = append(test, "--run", "/(starts|description|schema|configuration)$")
				}
				if out := run(self, test...); !strings.Contains(out, "longer_name: ") || !strings.Contains(out, " 0 failed") {
					t.Errorf("what the kit says has no verdict: %s", out)
				}
				// The author's own test says the same. One of each language is enough: it is the same for all kinds.
				if kind != "task" {
					return
				}
				if language == "python" {
					run("/usr/bin/python3", "-m", "unittest")
				} else if long { // compiles CUE
					run("go", "test", "./...")
				}
			})
		}
	}
}
