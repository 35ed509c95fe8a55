package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Over the channel go messages of 24 bytes, little-endian: what, arena, size (u64), access or errno (u64 of which 32
// bits count). The host sends share (with a descriptor) and release; the plugin answers each in order.
const (
	messageSize = 24
	share       = uint32(1)
	release     = uint32(2)
)

func message(what, arena uint32, size, extra uint64) []byte {
	b := make([]byte, 0, messageSize)
	b = binary.LittleEndian.AppendUint32(b, what)
	b = binary.LittleEndian.AppendUint32(b, arena)
	b = binary.LittleEndian.AppendUint64(b, size)
	return binary.LittleEndian.AppendUint64(b, extra)
}

// Channel is the host's end of the line to one plugin. Arenas travel over it, and the plugin ends when it breaks: the
// host's end must be kept until then.
type Channel struct {
	Patience time.Duration // with answers, which a living plugin gives at once: after it a call fails with os.ErrDeadlineExceeded

	mu   sync.Mutex
	conn *net.UnixConn

	broken error // the plugin has stopped answering: nothing more is asked
}

// NewChannel makes a channel; the file is the plugin's end, for its process to inherit.
func NewChannel() (*Channel, *os.File, error) {
	pair, err := socketpair()
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "channel"), os.NewFile(uintptr(pair[1]), "channel")
	c, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return &Channel{Patience: 10 * time.Second, conn: c.(*net.UnixConn)}, theirs, nil
}

// Share gives an arena to the plugin and waits until it is mapped there. The id is the arena's in messages to this
// plugin; no other arena that it has may have the same. readOnly withholds the right to write in an arena that another plugin fills.
func (c *Channel) Share(id uint32, a *Arena, readOnly bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	access, file := a.access, a.write
	if readOnly || access == HostWrites {
		access, file = HostWrites, a.read
	}
	rights := unix.UnixRights(int(file.Fd()))
	c.conn.SetDeadline(time.Now().Add(c.Patience))
	b := message(share, id, a.Size(), uint64(access))
	if _, _, err := c.conn.WriteMsgUnix(b, rights, nil); err != nil {
		c.broken = err
		return err
	}
	return c.answer(share, id)
}

// Release takes an arena back from the plugin, which unmaps it when no call uses it any more.
func (c *Channel) Release(arena uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	c.conn.SetDeadline(time.Now().Add(c.Patience))
	if _, err := c.conn.Write(message(release, arena, 0, 0)); err != nil {
		c.broken = err
		return err
	}
	return c.answer(release, arena)
}

func (c *Channel) answer(what, arena uint32) error {
	b := make([]byte, messageSize)
	if _, err := io.ReadFull(c.conn, b); err != nil {
		c.broken = err // a late answer would be taken for another's
		return err
	}
	if binary.LittleEndian.Uint32(b) != what || binary.LittleEndian.Uint32(b[4:]) != arena {
		c.broken = errors.New("the plugin answered out of turn on its memory channel")
		return c.broken
	}
	if errno := unix.Errno(binary.LittleEndian.Uint32(b[16:])); errno != 0 {
		return fmt.Errorf("the plugin could not map shared memory: %w", errno)
	}
	return nil
}

// Close breaks the line: the plugin ends.
func (c *Channel) Close() error { return c.conn.Close() }

// Arenas is the plugin's end: the arenas that the host has shared.
type Arenas struct {
	mu    sync.Mutex
	table map[uint32]*mapped
}

type mapped struct {
	*Arena
	users    int
	released bool
}

// ReceiveArenas takes arenas from the inherited descriptor until the host closes the line or dies; then it calls gone.
func ReceiveArenas(fd int, gone func()) (*Arenas, error) {
	f := os.NewFile(uintptr(fd), "channel")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("the memory channel is no unix socket")
	}
	a := &Arenas{table: map[uint32]*mapped{}}
	go func() {
		defer gone()
		defer conn.Close()
		for a.receive(conn) == nil {
		}
	}()
	return a, nil
}

func (a *Arenas) receive(conn *net.UnixConn) error {
	b, oob := make([]byte, messageSize), make([]byte, unix.CmsgSpace(4*4))
	n, oobn, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return err
	}
	if n == 0 {
		return io.EOF
	}
	if _, err := io.ReadFull(conn, b[n:]); err != nil {
		return err
	}
	fd := descriptor(oob[:oobn])
	what, id := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	var errno unix.Errno
	switch what {
	case share:
		arena, err := mapArena(fd, binary.LittleEndian.Uint64(b[8:]), Access(binary.LittleEndian.Uint32(b[16:])))
		if err != nil && !errors.As(err, &errno) {
			errno = unix.EIO
		}
		if err == nil {
			a.mu.Lock()
			a.table[id] = &mapped{Arena: arena}
			a.mu.Unlock()
		}
	case release:
		a.mu.Lock()
		if m := a.table[id]; m != nil {
			delete(a.table, id)
			m.released = true
			if m.users == 0 {
				m.Close()
			}
		}
		a.mu.Unlock()
	}
	if fd >= 0 {
		unix.Close(fd)
	}
	_, err = conn.Write(message(what, id, 0, uint64(errno)))
	return err
}

// descriptor gives the one descriptor that came along, or −1. Any other is closed.
func descriptor(oob []byte) int {
	found := -1
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return found
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if found < 0 {
				found = fd
				unix.CloseOnExec(fd)
			} else {
				unix.Close(fd)
			}
		}
	}
	return found
}

// Use gives an arena for the time of a call; done says that the call has ended. The memory stays mapped until then even
// when the host has taken the arena back.
func (a *Arenas) Use(id uint32) (mem []byte, writable bool, done func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.table[id]
	if m == nil {
		return nil, false, nil, fmt.Errorf("there is no arena %d", id)
	}
	m.users++
	return m.mem, m.access == PluginWrites, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if m.users--; m.users == 0 && m.released {
			m.Close()
		}
	}, nil
}
