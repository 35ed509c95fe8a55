//go:build amd64 && !noasm

package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// available lists the instruction sets, best first.
func available() []*set {
	var sets []*set
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ {
		if cpu.X86.HasAVX512BF16 && avx512.half == nil {
			avx512.half, avx512.title = bfloat16, "AVX-512 with bfloat16"
		}
		sets = append(sets, avx512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		sets = append(sets, avx2)
	}
	return append(sets, portable)
}

var (
	bits512 [17]uint64  // the first n of 16 lanes
	lanes2  [9][8]int32 // the first n of 8 lanes
	avx512  = &set{name: "avx512", title: "AVX-512", vec: 16, width: 64, products: productsAVX512, gradients: gradientsAVX512, copies: copiesAVX512, loops: loopsAVX512, turn: turnAVX512, turnAdd: turnAddAVX512, masks: masks512()}
	avx2    = &set{name: "avx2", title: "AVX2", vec: 8, width: 16, products: productsAVX2, gradients: gradientsAVX2, copies: copiesAVX2, loops: loopsAVX2, turn: turnAVX2, turnAdd: turnAddAVX2, masks: masks2()}
)

var bfloat16 = &halfSet{products: productsBF16, gradients: gradientsBF16, copies: copiesBF16, loops: loopsBF16, turnPairs: turnPairsBF16}

func masks512() (m []unsafe.Pointer) {
	for n := range bits512 {
		bits512[n] = 1<<n - 1
		m = append(m, unsafe.Pointer(&bits512[n]))
	}
	return m
}

func masks2() (m []unsafe.Pointer) {
	for n := range lanes2 {
		for i := range n {
			lanes2[n][i] = -1
		}
		m = append(m, unsafe.Pointer(&lanes2[n]))
	}
	return m
}
