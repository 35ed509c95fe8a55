package main

import (
	"fmt"
	"strconv"
)

// The instructions of AVX-512 BF16, which Go's assembler does not know, are written as bytes: EVEX prefix, opcode, ModRM
// (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, section 2.7).

// evex writes an instruction on three vector registers: map 0F38, 512 bits, W 0. pp is 2 for F3, 3 for F2. An instruction
// without a second source has 0 there.
func (o *out) evex(name string, pp, opcode, source2, source1, to int) {
	bit := func(r, i int) int { return ^r >> i & 1 }
	p0 := bit(to, 3)<<7 | bit(source2, 4)<<6 | bit(source2, 3)<<5 | bit(to, 4)<<4 | 2
	p1 := (^source1&15)<<3 | 4 | pp
	p2 := 2<<5 | bit(source1, 4)<<3
	modrm := 0xc0 | to&7<<3 | source2&7
	o.p("LONG $0x%02x%02x%02x62; WORD $0x%02x%02x // %s", p2, p1, p0, modrm, opcode, name)
}

// register gives the number in a register's name.
func register(name string) int {
	n, err := strconv.Atoi(name[1:])
	if err != nil {
		panic(err)
	}
	return n
}

// dot writes acc += the products of pairs of bfloat16 in a and b.
func (o *out) dot(a, b, acc string) {
	o.evex(fmt.Sprintf("VDPBF16PS %s, %s, %s", a, b, acc), 2, 0x52, register(a), register(b), register(acc))
}

// narrow writes 16 float32 as 16 bfloat16 into the lower half of to, rounded to nearest even.
func (o *out) narrow(from, to string) {
	o.evex(fmt.Sprintf("VCVTNEPS2BF16 %s, Y%s", from, to[1:]), 2, 0x72, register(from), 0, register(to))
}

// widen loads 16 bfloat16 as float32, those under the mask alone if masked.
func (o *out) widen(from, to string, masked bool) {
	if masked {
		o.p("VPMOVZXWD.Z %s, K1, %s", from, to)
	} else {
		o.p("VPMOVZXWD %s, %s", from, to)
	}
	o.p("VPSLLD $16, %s, %s", to, to)
}

// storeNarrow rounds a register and stores it as bfloat16, the values under the mask alone if masked.
func (o *out) storeNarrow(from, to string, masked bool) {
	o.narrow(from, from)
	if masked {
		o.p("VMOVDQU16 Y%s, K1, %s", from[1:], to)
	} else {
		o.p("VMOVDQU16 Y%s, %s", from[1:], to)
	}
}
