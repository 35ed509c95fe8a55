//go:build unix

package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command starts this test binary as asterism in a folder that holds tiny.cue.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	tiny, err := os.ReadFile(filepath.Join("testdata", "tiny.cue"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tiny.cue"), tiny, 0o666); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "asterism") // testscript looks at the name under which it is started
	if err := os.Symlink(self, bin); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(bin, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "ASTERISM_CACHE="+filepath.Join(dir, "cache"), "XDG_CACHE_HOME="+filepath.Join(dir, "xdg"))
	return c
}

// TestSignals stops trainings as people and clusters do: politely, which leaves a checkpoint and exit status 75, and
// without asking, which leaves the last good checkpoint; both runs continue to the bits of an undisturbed one.
func TestSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	whole := t.TempDir()
	if out, err := command(t, whole, "--progress", "none", "run", "tiny.cue", "--set", "train.epochs=24").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := weightsOf(t, whole)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(s.String(), func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"--progress", "json", "run", "tiny.cue", "--set", "train.epochs=24", "--set", "train.checkpoint_minutes=0.0001"}
			c := command(t, dir, args...)
			stderr, err := c.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			sent := false
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				if !sent && strings.Contains(lines.Text(), "images/s") {
					time.Sleep(50 * time.Millisecond)
					sent = true
					if err := c.Process.Signal(s); err != nil {
						t.Fatal(err)
					}
				}
			}
			err = c.Wait()
			var exit *exec.ExitError
			if s != syscall.SIGKILL {
				if !errors.As(err, &exit) || exit.ExitCode() != 75 {
					t.Fatalf("a stopped run ended with %v, not with exit status 75", err)
				}
				steps, _ := filepath.Glob(filepath.Join(dir, "runs", "*", "checkpoints", "step-*"))
				if len(steps) == 0 {
					t.Fatal("a stopped run left no checkpoint")
				}
			}
			if out, err := command(t, dir, args...).CombinedOutput(); err != nil {
				t.Fatalf("continuing: %v: %s", err, out)
			}
			if weightsOf(t, dir) != want {
				t.Error("the continued run ended in other weights than the undisturbed one")
			}
		})
	}
}

// weights reads the weights of the only run in a folder.
func weightsOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "runs", "*", "weights.safetensors"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d runs with weights: %v", len(files), err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
