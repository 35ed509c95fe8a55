package protocol

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// AvailableMemory is the memory in bytes that can be had now without the system killing someone for it; false where the
// system does not say.
func AvailableMemory() (int64, bool) { return memoryOf("/") }

// memoryOf reads /proc and /sys below root: the system's available memory, or what is left of the limit of a control
// group that the process is in, if that is less. Elsewhere than on Linux nothing is known.
func memoryOf(root string) (int64, bool) {
	least, known := int64(0), false
	lower := func(v int64) {
		if v = max(v, 0); !known || v < least {
			least, known = v, true
		}
	}
	info, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemAvailable:" {
			if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				lower(kib << 10)
			}
		}
	}
	groups, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		base, max, used := "sys/fs/cgroup", "memory.max", "memory.current"
		if f[0] != "0" { // version 1
			if f[1] != "memory" {
				continue
			}
			base, max, used = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
		}
		// The limits of every group above count, too; in a container the path may not exist and the root is the group.
		for path := f[2]; ; path = filepath.Dir(path) {
			dir := filepath.Join(root, base, path)
			limit, ok1 := number(filepath.Join(dir, max))
			use, ok2 := number(filepath.Join(dir, used))
			if ok1 && ok2 && limit < 1<<60 {
				lower(limit - use + reclaimable(dir))
			}
			if path == "/" || path == "." {
				break
			}
		}
	}
	return least, known
}

// reclaimable is the page cache counted to a group that the kernel gives up when memory is asked for.
func reclaimable(dir string) int64 {
	stat, _ := os.ReadFile(filepath.Join(dir, "memory.stat"))
	for line := range strings.Lines(string(stat)) {
		if f := strings.Fields(line); len(f) == 2 && (f[0] == "inactive_file" || f[0] == "total_inactive_file") {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

func number(path string) (int64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // "max" is no number: no limit
	return n, err == nil
}
