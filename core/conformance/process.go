package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// started is a process, and when it was started: its number may be another's later.
type started struct {
	pid   int
	since string
}

// String gives its number.
func (s started) String() string { return strconv.Itoa(s.pid) }

// family lists a process with those in its group, and with its children and theirs, wherever these have gone.
func family(pid int) []started {
	if len(processes()) == 0 { // no /proc here: the group stands for its members
		return []started{{pid: -pid}}
	}
	var all []started
	for group, parents := pid, []int{pid}; len(parents) > 0; group = -1 {
		var found []int
		for p, one := range processes() {
			if slices.Contains(all, p) || p.pid != pid && one.group != group && !slices.Contains(parents, one.parent) {
				continue
			}
			all, found = append(all, p), append(found, p.pid)
		}
		parents = found
	}
	return all
}

// running gives those that run. Those that have ended and that nobody has waited for do not.
func running(all []started) []started {
	now := processes()
	return slices.DeleteFunc(slices.Clone(all), func(s started) bool {
		if s.pid < 0 {
			return syscall.Kill(s.pid, 0) != nil
		}
		_, runs := now[s]
		return !runs
	})
}

func kill(all []started) {
	for _, s := range all {
		syscall.Kill(s.pid, syscall.SIGKILL)
	}
}

// relations of a process to others.
type relations struct{ parent, group int }

// processes are all that run.
func processes() map[started]relations {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	all := map[started]relations{}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		name, rest, ok := cutLast(string(text), ") ") // the name may hold anything
		f := strings.Fields(rest)
		if !ok || len(f) < 20 || f[0] == "Z" {
			continue
		}
		number, _, _ := strings.Cut(name, " ")
		pid, err1 := strconv.Atoi(number)
		parent, err2 := strconv.Atoi(f[1])
		group, err3 := strconv.Atoi(f[2])
		if err1 == nil && err2 == nil && err3 == nil {
			all[started{pid, f[19]}] = relations{parent, group}
		}
	}
	return all
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
