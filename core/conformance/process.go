package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// group lists the processes of a process group that run. Those that have ended and that nobody has waited for do not.
func group(id int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	if len(stats) == 0 { // no /proc here
		if syscall.Kill(-id, 0) == nil {
			return []int{id}
		}
		return nil
	}
	var list []int
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		name, rest, ok := cutLast(string(text), ") ") // the name may hold anything
		f := strings.Fields(rest)
		if !ok || len(f) < 3 || f[0] == "Z" || f[2] != strconv.Itoa(id) {
			continue
		}
		pid, _, _ := strings.Cut(name, " ")
		if n, err := strconv.Atoi(pid); err == nil {
			list = append(list, n)
		}
	}
	return list
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// resident is the memory in bytes that a process has of its own, without what it shares; false where that is not known.
func resident(pid int) (int64, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "RssAnon:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}
