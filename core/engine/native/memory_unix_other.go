//go:build unix && !linux

package native

func hugePages([]byte) {}
