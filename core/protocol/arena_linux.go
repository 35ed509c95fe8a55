package protocol

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memfd gives a file that is memory; false where the system refuses (an old kernel, a container's filter).
func memfd() (*os.File, bool) {
	fd, err := unix.MemfdCreate("asterism", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, false
	}
	return os.NewFile(uintptr(fd), "arena"), true
}

// reserve takes every page or block now.
func reserve(f *os.File, size int64) error {
	if err := unix.Ftruncate(int(f.Fd()), size); err != nil {
		return err
	}
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP): // a file system without it: write the blocks
			return zero(f, size)
		}
		return err
	}
}

func zero(f *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for at := int64(0); at < size; {
		n, err := f.WriteAt(block[:min(int64(len(block)), size-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// seal fixes the size for good and, where only the host writes, forbids every further mapping for writing: the host's
// own was made before.
func seal(f *os.File, access Access) error {
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if access == HostWrites {
		_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals|unix.F_SEAL_FUTURE_WRITE)
		if !errors.Is(err, unix.EINVAL) { // before Linux 5.1
			return err
		}
	}
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
	return err
}

// available is the memory in bytes that can be had without the system killing someone for it: a memfd larger than that
// would be granted page by page until it does.
func available() (uint64, bool) { return availableBelow("/") }

// availableBelow reads /proc and /sys below root.
func availableBelow(root string) (uint64, bool) {
	kb, found := field(filepath.Join(root, "proc/meminfo"), "MemAvailable:")
	free := kb << 10
	// In a container that sees its own control group, its limit counts too, without the page cache that is counted to it
	// and given up on demand: data that were read fill any limit.
	group := filepath.Join(root, "sys/fs/cgroup")
	limit, ok := number(filepath.Join(group, "memory.max"))
	used, ok2 := number(filepath.Join(group, "memory.current"))
	if ok && ok2 && found {
		cache, _ := field(filepath.Join(group, "memory.stat"), "inactive_file")
		used -= min(used, cache)
		free = min(free, limit-min(limit, used))
	}
	return free, found
}

// field gives the number after a name at the beginning of a line.
func field(file, name string) (uint64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == name {
			n, err := strconv.ParseUint(words[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func number(file string) (uint64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // "max" is none
	return n, err == nil
}
