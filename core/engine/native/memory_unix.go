//go:build unix

package native

import (
	"syscall"
	"unsafe"
)

// takeMemory maps zeroed memory outside the Go heap: the collector then does not count gigabytes of activations as a
// reason to let as many gigabytes of garbage stand.
func takeMemory(values int) ([]float32, error) {
	if values == 0 {
		return nil, nil
	}
	b, err := syscall.Mmap(-1, 0, 4*values, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	hugePages(b)
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), values), nil
}

func giveMemory(s []float32) error {
	if len(s) == 0 {
		return nil
	}
	return syscall.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s)))
}
