//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A benchmark that is stopped ends without waiting for the step at hand, with exit status 130, and leaves no files.
func TestBenchStops(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	for _, args := range [][]string{
		{"bench", "step", "--arch", "resnet.r18", "--stem", "paper", "--batch", "64", "--queue", "64", "--steps", "1000"},
		{"bench", "views", "--views", "sky.flip", "--seconds", "1000"},
	} {
		t.Run(args[1], func(t *testing.T) {
			dir, temporary := t.TempDir(), t.TempDir()
			c := command(t, dir, append([]string{"--progress", "none"}, args...)...)
			c.Env = append(c.Env, "TMPDIR="+temporary, "XDG_RUNTIME_DIR="+temporary)
			var stderr bytes.Buffer
			c.Stderr = &stderr
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			for range 200 { // until its plugin is up
				if found, _ := filepath.Glob(filepath.Join(temporary, "*")); len(found) > 0 {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			time.Sleep(300 * time.Millisecond)
			if err := c.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 || !strings.Contains(stderr.String(), "stopped") {
				t.Fatalf("ended with %v: %s", err, stderr.String())
			}
			left, err := os.ReadDir(temporary)
			if err != nil {
				t.Fatal(err)
			}
			if len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func TestSplitList(t *testing.T) {
	got := splitList("sky.flip, sky.crop{size: [4, 5], shift: 1},sky.noise")
	if want := []string{"sky.flip", "sky.crop{size: [4, 5], shift: 1}", "sky.noise"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
