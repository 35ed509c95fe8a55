package protocol

import (
	"errors"
	"os"

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
