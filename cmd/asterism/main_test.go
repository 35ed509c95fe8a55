package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in the scripts")

// TestMain lets the test binary be the command itself, also when the command starts itself again to serve a plugin or to
// hold one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "plugin" && (os.Args[2] == "serve" || os.Args[2] == "hold") {
		os.Exit(Main())
	}
	testscript.Main(m, map[string]func(){
		"asterism":  func() { os.Exit(Main()) },
		"badplugin": badplugin,
		"acme":      acmePlugin,
		"samebits":  sameRepresentations,
	})
}

// TestScripts runs what a person types, and pins what the person reads. Each script has a cache and a folder of runs of
// its own, and tiny.cue, an experiment of a few seconds.
func TestScripts(t *testing.T) {
	tiny, err := os.ReadFile(filepath.Join("testdata", "tiny.cue"))
	if err != nil {
		t.Fatal(err)
	}
	data := os.Getenv("ASTERISM_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "..", "shared", "data")
	}
	if data, err = filepath.Abs(data); err != nil {
		t.Fatal(err)
	}
	experiments, err := filepath.Abs(filepath.Join("..", "..", "experiments"))
	if err != nil {
		t.Fatal(err)
	}
	weights, err := filepath.Abs(filepath.Join("..", "..", "core", "flow", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	twin := filepath.Join(t.TempDir(), "twin") // the native engine as a plugin
	if out, err := exec.Command("go", "build", "-o", twin, "../../core/plugin/testdata/engine").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	goEnv, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Split(string(goEnv), "\n") // with which scripts build plugins in a second
	_, missing := os.Stat(data)
	_, noPython := os.Stat("/usr/bin/python3")
	has := func(modules string) func() bool {
		return sync.OnceValue(func() bool { return exec.Command("/usr/bin/python3", "-c", "import "+modules).Run() == nil })
	}
	grpc, torch := has("grpc, numpy, google.protobuf"), has("torch, grpc, numpy, google.protobuf") // what plugins in Python need
	plugins, err := filepath.Abs(filepath.Join("..", "..", "plugins"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"), RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("XDG_DATA_HOME", filepath.Join(e.WorkDir, ".data"))
			e.Setenv("ASTERISM_CACHE", filepath.Join(e.WorkDir, ".cache", "asterism"))
			e.Setenv("DATA", data)
			e.Setenv("EXPERIMENTS", experiments)
			e.Setenv("WEIGHTS", weights)
			e.Setenv("TWIN", twin)
			e.Setenv("PLUGINS", plugins)
			e.Setenv("GOCACHE", caches[0])
			e.Setenv("GOMODCACHE", caches[1])
			return os.WriteFile(filepath.Join(e.WorkDir, "tiny.cue"), tiny, 0o666)
		},
		Condition: func(condition string) (bool, error) {
			if condition == "long" {
				return os.Getenv("ASTERISM_LONG") != "", nil
			}
			there, known := map[string]bool{"data": missing == nil, "python": noPython == nil, "root": os.Getuid() == 0,
				"grpc": condition == "grpc" && grpc(), "torch": condition == "torch" && torch()}[condition]
			if !known {
				return false, fmt.Errorf("no condition %s", condition)
			}
			if !there && os.Getenv("ASTERISM_REQUIRE") != "" {
				return false, fmt.Errorf("%s is required here and missing", condition)
			}
			return there, nil
		},
	})
}
