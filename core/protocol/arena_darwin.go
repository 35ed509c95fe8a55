package protocol

import (
	"os"

	"golang.org/x/sys/unix"
)

// memfd does not exist on macOS.
func memfd() (*os.File, bool) { return nil, false }

// reserve takes every block now.
func reserve(f *os.File, size int64) error {
	store := &unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: size}
	if err := unix.FcntlFstore(f.Fd(), unix.F_PREALLOCATE, store); err != nil {
		return err
	}
	return unix.Ftruncate(int(f.Fd()), size)
}

// seal does not exist on macOS; the plugin gets a descriptor for reading only instead.
func seal(*os.File, Access) error { return nil }
