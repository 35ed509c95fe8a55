package kernel

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
)

var (
	current atomic.Pointer[set]
	refused string // why ASTERISM_KERNEL was not followed
)

func init() {
	if err := Select(os.Getenv("ASTERISM_KERNEL")); err != nil {
		refused = err.Error()
		_ = Select("")
	}
}

// Select chooses the instruction set of pools made from now on: "avx512", "avx2" or "portable"; "" is the best one here.
// It fails, changing nothing, where the name is unknown or the machine (or the build) lacks the instructions.
func Select(name string) error {
	sets := available()
	if name == "" {
		current.Store(sets[0])
		return nil
	}
	var names []string
	for _, s := range sets {
		if s.name == name {
			current.Store(s)
			return nil
		}
		names = append(names, s.name)
	}
	return fmt.Errorf("kernel: no instruction set %q here; there is %s", name, strings.Join(names, ", "))
}

// Describe says which instruction set new pools use, and why not the one that ASTERISM_KERNEL asked for: "AVX-512",
// "AVX2 (ASTERISM_KERNEL refused: kernel: no instruction set "avx512" here; there is avx2, portable)".
func Describe() string {
	if refused != "" {
		return fmt.Sprintf("%s (ASTERISM_KERNEL refused: %s)", current.Load().title, refused)
	}
	return current.Load().title
}
