package native

import "syscall"

// hugePages asks for pages of 2 MiB: a step walks through gigabytes and would miss the translation cache all the time.
// The kernel is free to refuse.
func hugePages(b []byte) {
	const hugePage = 14 // MADV_HUGEPAGE
	_ = syscall.Madvise(b, hugePage)
}
