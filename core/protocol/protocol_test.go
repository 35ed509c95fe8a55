package protocol_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/protocol"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// TestViewsStayInside checks descriptors of any kind against what they may reach.
func TestViewsStayInside(t *testing.T) {
	mem := make([]byte, 4096)
	for i := range mem {
		mem[i] = byte(i)
	}
	edge := rapid.OneOf(rapid.Int64Range(-2, 70), rapid.SampledFrom([]int64{math.MaxInt64, math.MinInt64, 1 << 31, 1 << 32, 1 << 62, 1024, 1 << 40}))
	rapid.Check(t, func(t *rapid.T) {
		d := &protocol.Tensor{
			Offset: rapid.OneOf(rapid.Uint64Range(0, 5000), rapid.SampledFrom([]uint64{64, 128, 4032, 4096, math.MaxUint64, math.MaxUint64 - 63, 1 << 63})).Draw(t, "offset"),
			Dtype:  protocol.DType_F64,
			Shape:  rapid.SliceOfN(edge, 0, 5).Draw(t, "shape"),
		}
		v, err := protocol.View[float64](mem, d)
		// In floating point, where nothing overflows.
		bytes := 8.0
		possible := true
		for _, n := range d.Shape {
			bytes *= float64(n)
			possible = possible && n >= 0
		}
		fits := possible && d.Offset%64 == 0 && d.Offset <= 4096 && bytes <= 4096-float64(d.Offset)
		if err == nil != fits {
			// A shape with a zero beside an absurd axis may be refused; nothing may be granted.
			if !(err != nil && bytes == 0) {
				t.Fatalf("%v: error %v, inside: %v", d, err, fits)
			}
		}
		if err == nil && float64(8*len(v)) != bytes {
			t.Fatalf("%v: %d values", d, len(v))
		}
	})
	v, err := protocol.View[uint8](mem, &protocol.Tensor{Offset: 64, Dtype: protocol.DType_U8, Shape: []int64{2, 3}})
	if err != nil || len(v) != 6 || cap(v) != 6 || v[0] != 64 {
		t.Errorf("%v of capacity %d, %v", v, cap(v), err)
	}
	if _, err := protocol.View[int64](mem, &protocol.Tensor{Dtype: protocol.DType_F64, Shape: []int64{1}}); err == nil {
		t.Error("a view of another type")
	}
	if _, err := protocol.View[float32](mem, nil); err == nil {
		t.Error("a view of no tensor")
	}
}

func TestLayoutIsAlignedAndDisjoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l protocol.Layout
		end := uint64(0)
		for range rapid.IntRange(1, 6).Draw(t, "tensors") {
			d := protocol.DType(rapid.IntRange(1, 4).Draw(t, "type"))
			p, err := l.Place(d, rapid.SliceOfN(rapid.Int64Range(0, 40), 0, 3).Draw(t, "shape")...)
			if err != nil {
				t.Fatal(err)
			}
			n, _ := p.Bytes()
			if p.Offset%protocol.Align != 0 || p.Offset < end || p.Inside(0, l.Size()) != nil {
				t.Fatalf("%v after %d, in %d", p, end, l.Size())
			}
			end = p.Offset + n
		}
	})
	var l protocol.Layout
	if _, err := l.Place(protocol.DType_F32, 1<<31, 1<<31, 1<<31); err == nil {
		t.Error("room for the impossible")
	}
}

// plugins opens the plugin's end of a channel in this process.
func plugins(t *testing.T) (*protocol.Channel, *protocol.Arenas, chan struct{}) {
	t.Helper()
	c, f, err := protocol.NewChannel()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(f.Fd()))
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	a, err := protocol.ReceiveArenas(fd, func() { close(gone) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, a, gone
}

func both(t *testing.T, f func(t *testing.T)) {
	t.Run("memory", f)
	t.Run("file", func(t *testing.T) {
		t.Setenv(protocol.ArenaEnv, "file")
		f(t)
	})
}

func TestArenasAreShared(t *testing.T) {
	both(t, func(t *testing.T) {
		c, plugin, _ := plugins(t)
		for _, access := range []protocol.Access{protocol.HostWrites, protocol.PluginWrites} {
			a, err := protocol.NewArena(100_000, access)
			if err != nil {
				t.Fatal(err)
			}
			id := uint32(7)
			if err := c.Share(id, a, false); err != nil {
				t.Fatal(err)
			}
			mem, writable, done, err := plugin.Use(id)
			if err != nil || writable != (access == protocol.PluginWrites) || len(mem) != 100_000 {
				t.Fatalf("%d bytes, writable %v, %v", len(mem), writable, err)
			}
			a.Bytes()[99_999] = 7
			if mem[99_999] != 7 {
				t.Error("the plugin does not see what the host writes")
			}
			if writable {
				mem[5] = 8
				if a.Bytes()[5] != 8 {
					t.Error("the host does not see what the plugin writes")
				}
			}
			// Taken back while a call uses it, it stays until the call ends.
			if err := c.Release(id); err != nil {
				t.Fatal(err)
			}
			a.Close()
			if mem[99_999] != 7 {
				t.Error("the memory of a call is gone")
			}
			done()
			if _, _, _, err := plugin.Use(id); err == nil {
				t.Error("a released arena can be used")
			}
			if a.Close() != nil {
				t.Error("closing twice")
			}
		}
	})
}

func TestArenasCannotBeChanged(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("seals are Linux's")
	}
	// What a plugin could do with the descriptor of an arena that it gets: /proc shows it to this test.
	before := descriptors(t)
	a, err := protocol.NewArena(10_000, protocol.HostWrites)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for fd, name := range descriptors(t) {
		if before[fd] == name || !strings.Contains(name, "memfd:asterism") {
			continue
		}
		if err := unix.Ftruncate(fd, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("shrinking: %v", err)
		}
		if err := unix.Ftruncate(fd, 1<<20); !errors.Is(err, unix.EPERM) {
			t.Errorf("growing: %v", err)
		}
		if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EPERM) {
			t.Errorf("mapping for writing: %v", err)
		}
		if _, err := unix.Pwrite(fd, []byte{1}, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("writing: %v", err)
		}
		a.Bytes()[0] = 1 // the host still can
		return
	}
	t.Skip("this system has no memfd")
}

func descriptors(t *testing.T) map[int]string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	m := map[int]string{}
	for _, e := range entries {
		var fd int
		fmt.Sscan(e.Name(), &fd)
		m[fd], _ = os.Readlink("/proc/self/fd/" + e.Name())
	}
	return m
}

func TestLackOfMemoryIsAnErrorAtOnce(t *testing.T) {
	both(t, func(t *testing.T) {
		for _, size := range []uint64{1 << 45, math.MaxUint64} {
			_, err := protocol.NewArena(size, protocol.HostWrites)
			if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EFBIG) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	})
	a, err := protocol.NewArena(0, protocol.PluginWrites)
	if err != nil || len(a.Bytes()) == 0 {
		t.Errorf("an empty arena: %v", err)
	}
	a.Close()
}

func TestTheLineBreaksWithTheHost(t *testing.T) {
	c, plugin, gone := plugins(t)
	a, err := protocol.NewArena(64, protocol.HostWrites)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	id := uint32(7)
	if err := c.Share(id, a, false); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
		t.Fatal("the line is broken")
	case <-time.After(20 * time.Millisecond):
	}
	c.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("the plugin does not notice")
	}
	if _, _, done, err := plugin.Use(id); err != nil { // calls in flight end in peace
		t.Error(err)
	} else {
		done()
	}
}

func TestTheLineBreaksWithThePlugin(t *testing.T) {
	c, f, err := protocol.NewChannel()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := protocol.NewArena(64, protocol.HostWrites)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	time.AfterFunc(20*time.Millisecond, func() { f.Close() })
	if err := c.Share(1, a, false); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		t.Errorf("%v", err)
	}
}

func ExampleView() {
	a, err := protocol.NewArena(1<<12, protocol.HostWrites)
	if err != nil {
		panic(err)
	}
	defer a.Close()
	t := &protocol.Tensor{Offset: 64, Dtype: protocol.DType_F32, Shape: []int64{2, 3}}
	x, err := protocol.View[float32](a.Bytes(), t)
	if err != nil {
		panic(err)
	}
	x[5] = 1
	t.Shape[0] = 1 << 20
	_, err = protocol.View[float32](a.Bytes(), t)
	fmt.Println(x)
	fmt.Println(err)
	// Output:
	// [0 0 0 0 0 1]
	// a tensor of 12582912 bytes at byte 64, outside the memory from 0 to 4096
}

// Finite agrees with the definition for every kind of value at every place.
func TestFinite(t *testing.T) {
	memory := make([]float32, 64)
	for from := range 3 {
		for n := range 40 {
			x := memory[from : from+n]
			for i := range x {
				x[i] = []float32{0, 1, -math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Copysign(0, -1))}[i%5]
			}
			if !protocol.Finite(x) {
				t.Fatalf("%v is finite", x)
			}
			for i := range x {
				for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					kept := x[i]
					x[i] = float32(bad)
					if protocol.Finite(x) {
						t.Fatalf("%v at %d of %d from %d is not finite", bad, i, n, from)
					}
					x[i] = kept
				}
			}
		}
	}
}
