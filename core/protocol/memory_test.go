package protocol

import (
	"os"
	"path/filepath"
	"testing"
)

// The least of what the system has and what any control group above the process has left counts, where page cache is not
// in the way.
func TestMemoryLimitsOfGroupsCount(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, want int64) {
		t.Helper()
		if got, known := memoryOf(root); !known || got != want {
			t.Errorf("%s: got %d, want %d", what, got, want)
		}
	}
	if _, known := memoryOf(root); known {
		t.Error("nothing to read, and yet an answer")
	}
	write("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    1000 kB\n")
	expect("no group", 1000<<10)
	write("proc/self/cgroup", "0::/user/job\n")
	write("sys/fs/cgroup/user/job/memory.max", "max\n")
	write("sys/fs/cgroup/user/job/memory.current", "5\n")
	expect("no limit", 1000<<10)
	write("sys/fs/cgroup/user/memory.max", "700000\n")
	write("sys/fs/cgroup/user/memory.current", "300000\n")
	write("sys/fs/cgroup/user/memory.stat", "anon 1\ninactive_file 50000\n")
	expect("a limit above", 450000)
	write("proc/self/cgroup", "4:memory:/job\n")
	write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "400000\n")
	write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "100000\n")
	expect("version 1", 300000)
}
