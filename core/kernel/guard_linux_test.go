package kernel

import (
	"syscall"
	"testing"
	"unsafe"
)

// guarded gives n values between two pages that may not be touched, right before the second one, or right after the
// first one if low.
func guarded(t testing.TB, n int, low bool) []float32 {
	if n == 0 {
		return []float32{}
	}
	page := syscall.Getpagesize()
	size := (4*n + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	held = append(held, m)
	for _, guard := range [][]byte{m[:page], m[page+size:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	start := page
	if !low {
		start += size - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&m[start])), n)
}

var held [][]byte

// release unmaps what guarded gave.
func release() {
	for _, m := range held {
		_ = syscall.Munmap(m)
	}
	held = held[:0]
}
