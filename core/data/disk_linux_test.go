package data

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
)

// TestFullDisk ingests in a child process that may write files of 64 KiB only, and onto a full disk where it may mount one.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv("DATA_TEST_LIMIT"); dir != "" {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 16, Max: 1 << 16}); err != nil {
			t.Fatal(err)
		}
		_, err := Ingest(context.Background(), dir, []Source{many(5000)}, Frame{}, Options{batchBytes: 1 << 14})
		wantFault(t, err, fault.Resource, "ASTERISM_CACHE", dir)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	child.Env = append(os.Environ(), "DATA_TEST_LIMIT="+t.TempDir())
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("with a limit on the size of files: %v\n%s", err, out)
	}
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("no small disk can be mounted here to fill (%v); a limit on file sizes was tested instead", err)
	}
	defer syscall.Unmount(dir, 0)
	_, err := Ingest(context.Background(), dir, []Source{many(4000)}, Frame{}, Options{batchBytes: 1 << 14})
	wantFault(t, err, fault.Resource, "ASTERISM_CACHE", dir)
}
