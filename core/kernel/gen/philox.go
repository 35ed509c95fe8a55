package main

import "fmt"

// drop writes dropout: Philox4x32-10 in lanes of 64 bits, of which the lower half counts; a block of four draws per lane.
// Lanes hold the blocks in the order in which two shuffles of words make whole blocks follow each other.
func (t *tokens) drop() {
	lanes := t.bytes / 8
	t.p("MOVQ a+0(FP), AX")
	t.p("MOVQ (rowArgs_streams+0)(AX), SI")
	t.p("MOVQ (rowArgs_streams+8)(AX), DI")
	t.p("MOVQ rowArgs_rows(AX), CX")
	t.p("MOVQ (rowArgs_params+0)(AX), DX")
	const count, epoch, low, high, m0, m1, bound, scale = 8, 9, 10, 11, 12, 13, 14, 15
	quad := func(from string, to int) { t.p("VPBROADCASTQ %s, %s", from, t.v(to)) }
	t.p("MOVQ (rowArgs_params+8)(AX), BX")
	quad("(BX)", count)
	t.p("VPADDQ dropLanes<>(SB), %s, %s", t.v(count), t.v(count))
	quad("8(BX)", epoch)
	quad("16(BX)", low)
	quad("24(BX)", high)
	quad("dropNumbers<>+0(SB)", m0)
	quad("dropNumbers<>+8(SB)", m1)
	t.p("VPBROADCASTD rowArgs_tap(AX), %s", t.v(bound))
	t.p("VBROADCASTSS (rowArgs_scalars+0)(AX), %s", t.v(scale))
	t.at("group")
	c := [4]int{count, epoch, low, high}
	free := []int{0, 1, 2, 3, 4, 5, 6, 7}
	take := func() int {
		r := free[0]
		free = free[1:]
		return r
	}
	give := func(r int) {
		if r < 8 {
			free = append(free, r)
		}
	}
	xor := "VPXOR"
	if t.masked {
		xor = "VPXORQ"
	}
	for round := range 10 {
		p0, p1 := take(), take()
		t.op("VPMULUDQ", m0, c[0], p0)
		t.op("VPMULUDQ", m1, c[2], p1)
		give(c[0])
		give(c[2])
		half := func(product, with, key int) int {
			r := take()
			t.p("VPSRLQ $32, %s, %s", t.v(product), t.v(r))
			at := fmt.Sprintf("%d(DX)", 8*(2*round+key))
			if t.masked {
				t.p("VPTERNLOGQ.BCST $0x96, %s, %s, %s", at, t.v(with), t.v(r)) // the exclusive or of three
			} else {
				k := take()
				quad(at, k)
				t.op(xor, with, r, r)
				t.op(xor, k, r, r)
				give(k)
			}
			give(with)
			return r
		}
		c0 := half(p1, c[1], 0)
		c2 := half(p0, c[3], 1)
		c = [4]int{c0, p1, c2, p0}
	}
	a, b := take(), take()
	t.p("VSHUFPS $0x88, %s, %s, %s", t.v(c[1]), t.v(c[0]), t.v(a)) // words 0 and 1 of two blocks
	t.p("VSHUFPS $0x88, %s, %s, %s", t.v(c[3]), t.v(c[2]), t.v(b)) // words 2 and 3
	t.p("VSHUFPS $0x88, %s, %s, %s", t.v(b), t.v(a), t.v(c[0]))
	t.p("VSHUFPS $0xDD, %s, %s, %s", t.v(b), t.v(a), t.v(c[1]))
	for i, words := range c[:2] {
		at := i * t.bytes
		if t.masked {
			t.p("VPCMPUD $5, Z%d, Z%d, K2", bound, words) // at least
			t.p("VMULPS.Z %d(SI), Z%d, K2, Z%d", at, scale, a)
		} else {
			t.op("VPMAXUD", bound, words, a)
			t.op("VPCMPEQD", words, a, b)
			t.p("VMULPS %d(SI), Y%d, Y%d", at, scale, a)
			t.op("VANDPS", a, b, a)
		}
		t.p("VMOVUPS %s, %d(DI)", t.v(a), at)
	}
	quad("dropNumbers<>+16(SB)", a)
	t.op("VPADDQ", a, count, count)
	t.p("ADDQ $%d, SI", 2*t.bytes)
	t.p("ADDQ $%d, DI", 2*t.bytes)
	t.p("DECQ CX")
	t.p("JNZ group")
	t.end()
	fmt.Fprintf(&t.text, "\n")
	for i := range lanes {
		fmt.Fprintf(&t.text, "DATA dropLanes<>+%d(SB)/8, $%d\n", 8*i, i/2+i%2*lanes/2)
	}
	fmt.Fprintf(&t.text, "GLOBL dropLanes<>(SB), RODATA|NOPTR, $%d\n", t.bytes)
	for i, v := range []int{0xD2511F53, 0xCD9E8D57, lanes} {
		fmt.Fprintf(&t.text, "DATA dropNumbers<>+%d(SB)/8, $0x%x\n", 8*i, v)
	}
	fmt.Fprintf(&t.text, "GLOBL dropNumbers<>(SB), RODATA|NOPTR, $24\n")
}
