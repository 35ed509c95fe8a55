package protocol

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAvailableMemory: the least of what the system has and what the control group has left, where page cache is not
// in the way.
func TestAvailableMemory(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want uint64, known bool) {
		t.Helper()
		if got, ok := availableBelow(root); got != want || ok != known {
			t.Errorf("%d, %v, want %d, %v", got, ok, want, known)
		}
	}
	check(0, false)
	write("proc/meminfo", "MemTotal:       9000 kB\nMemAvailable:   1000 kB\n")
	check(1024000, true)
	write("sys/fs/cgroup/memory.max", "max\n")
	write("sys/fs/cgroup/memory.current", "900000\n")
	check(1024000, true)
	write("sys/fs/cgroup/memory.max", "1000000\n")
	check(100000, true)
	write("sys/fs/cgroup/memory.stat", "anon 100000\ninactive_file 700000\n")
	check(800000, true)
	write("sys/fs/cgroup/memory.current", "2000000\n")
	check(0, true)
}
