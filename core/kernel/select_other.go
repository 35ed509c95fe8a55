//go:build !amd64 || noasm

package kernel

// available lists the instruction sets, best first.
func available() []*set { return []*set{portable} }
