package sdktest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

// verdict is a test as Conform sees one.
type verdict struct {
	testing.TB
	logged, fatal string
}

func (v *verdict) Logf(format string, a ...any) { v.logged += fmt.Sprintf(format, a...) }

func (v *verdict) Fatalf(format string, a ...any) {
	v.fatal = fmt.Sprintf(format, a...)
	runtime.Goexit()
}

// conform calls Conform as a test of its own would.
func conform(t *testing.T) *verdict {
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		sdktest.Conform(v, "the folder")
	}()
	<-done
	return v
}

func TestConform(t *testing.T) {
	command := func(name, script string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := command("asterism", "echo \"$1 $2 $3: all well\"\n")
	bad := command("asterism", "echo contract 3.4 >&2; exit 4\n")
	for name, c := range map[string]struct{ named, path, logged, fatal string }{
		"named":   {good, "/nowhere", "plugin test the folder: all well", ""},
		"in PATH": {"", filepath.Dir(good), "plugin test the folder: all well", ""},
		"first":   {bad, filepath.Dir(good), "contract 3.4", "does not pass: exit status 4"},
		"neither": {"", "/nowhere", "", "ASTERISM=/where/it/is/asterism go test"},
		"wrong":   {"/nowhere/asterism", filepath.Dir(good), "", "cannot be started"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ASTERISM", c.named)
			t.Setenv("PATH", c.path+string(os.PathListSeparator)+"/bin") // sh has its tools
			v := conform(t)
			if !strings.Contains(v.logged, c.logged) || !strings.Contains(v.fatal, c.fatal) || c.fatal == "" && v.fatal != "" {
				t.Errorf("shows %q and fails with %q", v.logged, v.fatal)
			}
		})
	}
}
