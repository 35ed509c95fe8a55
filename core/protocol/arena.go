package protocol

import (
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Access says who writes into an arena.
type Access int

// HostWrites: the plugin can map the arena for reading only. PluginWrites: both can write.
const (
	HostWrites Access = iota
	PluginWrites
)

// ArenaEnv forces where arenas live: "file" puts them in unlinked temporary files even where memfd exists.
const ArenaEnv = "ASTERISM_ARENA"

// Arena is memory that host and plugin share. Its pages are taken when it is made, so that lack of memory is an error
// then and not a SIGBUS later, and neither side can change its size.
type Arena struct {
	access Access
	once   sync.Once
	mem    []byte
	whole  []byte   // mem up to the end of its last page
	write  *os.File // a descriptor that may be mapped for writing
	read   *os.File // one for reading only; the same as write where sealing does that work
}

// NewArena makes an arena of size bytes, or a few where size is 0. The error wraps ENOMEM or ENOSPC when there is not enough room.
func NewArena(size uint64, access Access) (*Arena, error) {
	page := uint64(os.Getpagesize())
	size = max(size, Align)
	if size > math.MaxInt64/2 {
		return nil, fmt.Errorf("shared memory of %d bytes: %w", size, unix.ENOMEM)
	}
	whole := (size + page - 1) / page * page
	if free, ok := AvailableMemory(); ok && whole > uint64(free) {
		return nil, fmt.Errorf("shared memory of %d MB where %d MB are free: %w", whole>>20, free>>20, unix.ENOMEM)
	}
	a := &Arena{access: access}
	sealed, err := a.open(int64(whole))
	if err != nil {
		return nil, fmt.Errorf("shared memory of %d bytes: %w", size, err)
	}
	a.whole, err = unix.Mmap(int(a.write.Fd()), 0, int(whole), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil && sealed {
		err = seal(a.write, access)
	}
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("shared memory of %d bytes: %w", size, err)
	}
	a.mem = a.whole[:size:size]
	return a, nil
}

// open makes the file behind the arena: memory of its own where the system has it, else a temporary file without a name.
func (a *Arena) open(size int64) (sealed bool, err error) {
	if os.Getenv(ArenaEnv) != "file" {
		if f, ok := memfd(); ok {
			a.write, a.read = f, f
			if err := reserve(f, size); err != nil {
				a.Close()
				return false, err
			}
			return true, nil
		}
	}
	f, err := os.CreateTemp("", "asterism-arena-")
	if err != nil {
		return false, err
	}
	a.write = f
	a.read, err = os.Open(f.Name())
	if removed := os.Remove(f.Name()); err == nil {
		err = removed
	}
	if err == nil {
		err = reserve(f, size)
	}
	if err != nil {
		a.Close()
	}
	return false, err
}

// mapArena maps an arena that came over a channel.
func mapArena(fd int, size uint64, access Access) (*Arena, error) {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return nil, err
	}
	if size == 0 || size > math.MaxInt64/2 || s.Size < 0 || uint64(s.Size) < size {
		return nil, unix.EINVAL
	}
	protection := unix.PROT_READ
	if access == PluginWrites {
		protection |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(fd, 0, int(size), protection, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &Arena{access: access, mem: mem, whole: mem}, nil
}

// Bytes is the memory. Its address is a multiple of the page size. It must not be touched after Close.
func (a *Arena) Bytes() []byte { return a.mem }

// Size is the number of bytes.
func (a *Arena) Size() uint64 { return uint64(len(a.mem)) }

// Close gives the memory back on this side of the border.
func (a *Arena) Close() error {
	var err error
	a.once.Do(func() {
		if a.whole != nil {
			err = unix.Munmap(a.whole)
		}
		a.mem, a.whole = nil, nil
		if a.read != nil && a.read != a.write {
			a.read.Close()
		}
		if a.write != nil {
			a.write.Close()
		}
	})
	return err
}
