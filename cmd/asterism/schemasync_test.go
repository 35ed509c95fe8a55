package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"

	"github.com/asterism-ssl/asterism/core/experiment"
)

// After schema sync plain CUE finds nothing wrong with our own experiments, and knows the fields of every component.
func TestPlainCUEKnowsOurExperiments(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "experiments"))); err != nil {
		t.Fatal(err)
	}
	a := &app{out: io.Discard, err: io.Discard}
	c := a.root()
	c.SetArgs([]string{"schema", "sync", dir})
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.Name() == "cue.mod" {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".cue") || !experiment.Imports(path) {
			return nil
		}
		files++
		check := func(want string) {
			instance := load.Instances([]string{path}, &load.Config{Dir: dir, Env: append(os.Environ(), "CUE_REGISTRY=none")})[0]
			var err error = instance.Err
			if instance.Err == nil {
				err = cuecontext.New().BuildInstance(instance).Validate(cue.Final())
			}
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", path, err, want)
			}
		}
		check("")
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, before, ok := strings.Cut(string(text), `objective: {"`)
		if !ok {
			return nil
		}
		name, _, _ := strings.Cut(before, `"`)
		broken := strings.Replace(string(text), `objective: {"`+name+`": {`, `objective: {"`+name+`": {nothing_of_this_name: 1, `, 1)
		if err := os.WriteFile(path, []byte(broken), 0o666); err != nil {
			return err
		}
		check("nothing_of_this_name: field not allowed")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 3 {
		t.Errorf("only %d experiments were checked", files)
	}
}
