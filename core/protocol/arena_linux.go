package protocol

import (
	"bytes"
	"errors"
	"os"
	"strconv"

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
func available() (uint64, bool) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	var free uint64
	found := false
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("MemAvailable:")); ok {
			kb, err := strconv.ParseUint(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			free, found = kb<<10, err == nil
			break
		}
	}
	// In a container that sees its own control group, its limit counts too.
	limit, ok := number("/sys/fs/cgroup/memory.max")
	used, ok2 := number("/sys/fs/cgroup/memory.current")
	if ok && ok2 && found {
		left := uint64(0)
		if used < limit {
			left = limit - used
		}
		free = min(free, left)
	}
	return free, found
}

func number(file string) (uint64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	return n, err == nil
}
