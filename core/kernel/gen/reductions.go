package main

import "math"

// total sums so many registers from first on into the lowest lane of first, in a fixed order; the next register is lost.
func (t *tokens) total(first, count int) {
	t.fold(first, count, "VADDPS")
}

// fold joins registers and then lanes with an instruction, into all lanes of first.
func (t *tokens) fold(first, count int, name string) {
	for step := count / 2; step > 0; step /= 2 {
		for i := range step {
			t.op(name, first+i+step, first+i, first+i)
		}
	}
	spare := first + 1
	if t.masked {
		t.p("VSHUFF64X2 $0x4E, Z%d, Z%d, Z%d", first, first, spare)
		t.op(name, spare, first, first)
		t.p("VSHUFF64X2 $0xB1, Z%d, Z%d, Z%d", first, first, spare)
		t.op(name, spare, first, first)
	} else {
		t.p("VPERM2F128 $1, Y%d, Y%d, Y%d", first, first, spare)
		t.op(name, spare, first, first)
	}
	for _, order := range []string{"$0x4E", "$0xB1"} {
		t.p("VPERMILPS %s, %s, %s", order, t.v(first), t.v(spare))
		t.op(name, spare, first, first)
	}
}

// unrolled is how many vectors of a row a reduction has under way.
const unrolled = 4

// layerNorm writes, for each row: its mean; the mean of what that left, as a correction, and the variance; then the row
// itself. The row stays in the first-level cache.
func (t *tokens) layerNorm() {
	t.p("MOVQ a+0(FP), AX")
	t.p("MOVQ (rowArgs_streams+0)(AX), SI")
	t.p("MOVQ (rowArgs_streams+8)(AX), DI")
	t.p("MOVQ (rowArgs_params+0)(AX), R8")
	t.p("MOVQ (rowArgs_params+8)(AX), R9")
	t.p("MOVQ (rowArgs_streams+16)(AX), R10")
	t.p("MOVQ rowArgs_rows(AX), CX")
	t.p("MOVQ rowArgs_whole(AX), BX")
	t.takeMask("rowArgs_mask")
	t.p("VBROADCASTSS (rowArgs_scalars+0)(AX), %s", t.v(8))
	t.at("row")
	for i := range unrolled {
		t.clear(i)
	}
	t.along("rowArgs_tail(AX)", func(partial bool, lane int, at func(string) string) {
		if partial {
			t.get(at("SI"), 4, true)
			t.op("VADDPS", 4, lane, lane)
			return
		}
		t.p("VADDPS %s, %s, %s", at("SI"), t.v(lane), t.v(lane))
	}, unrolled)
	t.total(0, unrolled)
	t.op("VMULPS", 0, 8, 9) // the mean
	// The square's sums in 0–1, the correction's in 2–3.
	for i := range unrolled {
		t.clear(i)
	}
	t.along("rowArgs_tail(AX)", func(partial bool, lane int, at func(string) string) {
		t.get(at("SI"), 4, partial)
		t.op("VSUBPS", 9, 4, 4)
		if partial {
			t.keep(4)
		}
		t.op("VFMADD231PS", 4, 4, lane)
		t.op("VADDPS", 4, lane+2, lane+2)
	}, 2)
	t.op("VMOVAPS", 2, 4)
	t.op("VMOVAPS", 3, 5)
	t.total(0, 2)
	t.total(4, 2)
	t.op("VMULPS", 8, 0, 0)
	t.op("VMULPS", 8, 4, 4)
	t.op("VFNMADD231PS", 4, 4, 0) // the variance
	t.op("VADDPS", 4, 9, 9)
	t.p("VBROADCASTSS (rowArgs_scalars+4)(AX), %s", t.v(1))
	t.clear(2)
	t.op("VMAXPS", 0, 2, 0) // NaN stays
	t.op("VADDPS", 1, 0, 0)
	t.p("VSQRTSS X0, X0, X0")
	t.set(1, 10)
	t.p("VDIVSS X0, X10, X10") // 1/√(variance + ε)
	t.p("VBROADCASTSS X10, %s", t.v(10))
	t.p("VMOVSS X9, (R10)")
	t.p("VMOVSS X10, 4(R10)")
	t.along("rowArgs_tail(AX)", func(partial bool, _ int, at func(string) string) {
		t.get(at("SI"), 4, partial)
		t.get(at("R8"), 5, partial)
		t.get(at("R9"), 6, partial)
		t.op("VSUBPS", 9, 4, 4)
		t.op("VMULPS", 10, 4, 4)
		t.op("VFMADD213PS", 6, 5, 4)
		t.put(4, at("DI"), partial)
	}, 1)
	t.p("ADDQ (rowArgs_strides+0)(AX), SI")
	t.p("ADDQ (rowArgs_strides+8)(AX), DI")
	t.p("ADDQ (rowArgs_strides+16)(AX), R10")
	t.p("DECQ CX")
	t.p("JNZ row")
	t.end()
}

// layerNormGradient writes, for each row: the sums that its gradient needs, with its part of γ's and β's gradients; then its
// gradient.
func (t *tokens) layerNormGradient() {
	t.p("MOVQ a+0(FP), AX")
	t.p("MOVQ (rowArgs_streams+0)(AX), SI")
	t.p("MOVQ (rowArgs_streams+8)(AX), DI")
	t.p("MOVQ (rowArgs_streams+16)(AX), R13")
	t.p("MOVQ (rowArgs_params+0)(AX), R8")
	t.p("MOVQ (rowArgs_params+8)(AX), R11")
	t.p("MOVQ (rowArgs_params+16)(AX), R12")
	t.p("MOVQ (rowArgs_streams+24)(AX), R10")
	t.p("MOVQ rowArgs_rows(AX), CX")
	t.p("MOVQ rowArgs_whole(AX), BX")
	t.takeMask("rowArgs_mask")
	t.p("VBROADCASTSS (rowArgs_scalars+0)(AX), %s", t.v(8))
	t.at("row")
	t.p("VBROADCASTSS (R10), %s", t.v(9))
	t.p("VBROADCASTSS 4(R10), %s", t.v(10))
	for i := range 4 {
		t.clear(i)
	}
	t.along("rowArgs_tail(AX)", func(partial bool, lane int, at func(string) string) {
		t.get(at("SI"), 4, partial)
		t.op("VSUBPS", 9, 4, 4)
		t.op("VMULPS", 10, 4, 4) // x̂; beyond the row it meets zeros of dy only
		t.get(at("DI"), 5, partial)
		t.get(at("R11"), 6, partial)
		t.op("VFMADD231PS", 4, 5, 6)
		t.put(6, at("R11"), partial)
		t.get(at("R12"), 7, partial)
		t.op("VADDPS", 5, 7, 7)
		t.put(7, at("R12"), partial)
		t.get(at("R8"), 6, partial)
		t.op("VMULPS", 6, 5, 5)
		t.op("VADDPS", 5, lane, lane)
		t.op("VFMADD231PS", 4, 5, lane+2)
	}, 2)
	t.op("VMOVAPS", 2, 4)
	t.op("VMOVAPS", 3, 5)
	t.total(0, 2)
	t.total(4, 2)
	t.op("VMULPS", 8, 0, 0) // mean of γ·dy
	t.op("VMULPS", 8, 4, 1) // mean of γ·dy·x̂
	t.along("rowArgs_tail(AX)", func(partial bool, _ int, at func(string) string) {
		t.get(at("SI"), 4, partial)
		t.op("VSUBPS", 9, 4, 4)
		t.op("VMULPS", 10, 4, 4)
		t.get(at("DI"), 5, partial)
		t.get(at("R8"), 6, partial)
		t.op("VFMSUB213PS", 0, 6, 5)
		t.op("VFNMADD231PS", 4, 1, 5)
		t.op("VMULPS", 10, 5, 5)
		t.put(5, at("R13"), partial)
	}, 1)
	t.p("ADDQ (rowArgs_strides+0)(AX), SI")
	t.p("ADDQ (rowArgs_strides+8)(AX), DI")
	t.p("ADDQ (rowArgs_strides+16)(AX), R13")
	t.p("ADDQ (rowArgs_strides+24)(AX), R10")
	t.p("DECQ CX")
	t.p("JNZ row")
	t.end()
}

// softmax writes, for each row: its greatest value, the exponentials and their sum, and the division.
func (t *tokens) softmax() {
	t.p("MOVQ a+0(FP), AX")
	t.p("MOVQ (rowArgs_streams+0)(AX), SI")
	t.p("MOVQ (rowArgs_streams+8)(AX), DI")
	t.p("MOVQ (rowArgs_streams+16)(AX), R10")
	t.p("MOVQ rowArgs_rows(AX), CX")
	t.p("MOVQ rowArgs_whole(AX), BX")
	t.takeMask("rowArgs_mask")
	t.p("VBROADCASTSS (rowArgs_scalars+0)(AX), %s", t.v(8))
	t.at("row")
	for i := range unrolled {
		t.set(math.Inf(-1), i)
	}
	t.along("rowArgs_tail(AX)", func(partial bool, lane int, at func(string) string) {
		if !partial {
			t.p("VMAXPS %s, %s, %s", at("SI"), t.v(lane), t.v(lane))
			return
		}
		if t.masked {
			t.p("VMAXPS %s, Z%d, K1, Z%d", at("SI"), lane, lane)
			return
		}
		t.get(at("SI"), 4, true)
		t.op("VMAXPS", 4, lane, 4)
		t.p("VBLENDVPS Y%d, Y4, Y%d, Y%d", maskReg, lane, lane)
	}, unrolled)
	t.fold(0, unrolled, "VMAXPS")
	t.op("VMULPS", 0, 8, 9) // scale · maximum
	t.clear(10)
	t.along("rowArgs_tail(AX)", func(partial bool, _ int, at func(string) string) {
		t.get(at("SI"), 2, partial)
		t.op("VFMSUB213PS", 9, 8, 2)
		t.exp(2, 3, 4, 5, 6)
		if partial {
			t.keep(3)
		}
		t.op("VADDPS", 3, 10, 10)
		t.put(3, at("DI"), partial)
	}, 1)
	t.op("VMOVAPS", 10, 0)
	t.total(0, 1)
	t.set(1, 1)
	t.p("VDIVSS X0, X1, X0")
	t.p("VMOVSS X9, (R10)")
	t.p("VMOVSS X0, 4(R10)")
	t.p("VBROADCASTSS X0, %s", t.v(0))
	t.along("rowArgs_tail(AX)", func(partial bool, _ int, at func(string) string) {
		t.get(at("DI"), 1, partial)
		t.op("VMULPS", 0, 1, 1)
		t.put(1, at("DI"), partial)
	}, 1)
	t.p("ADDQ (rowArgs_strides+0)(AX), SI")
	t.p("ADDQ (rowArgs_strides+8)(AX), DI")
	t.p("ADDQ (rowArgs_strides+16)(AX), R10")
	t.p("DECQ CX")
	t.p("JNZ row")
	t.end()
}

// softmaxGradient writes, for each row: Σ y·dy, and then k0·y·(dy − that). With recompute, y is first made of x and what
// softmax says of the row, and written over x.
func (t *tokens) softmaxGradient(recompute bool) {
	t.p("MOVQ a+0(FP), AX")
	t.p("MOVQ (rowArgs_streams+0)(AX), SI") // x, and then y
	t.p("MOVQ (rowArgs_streams+8)(AX), DI")
	t.p("MOVQ (rowArgs_streams+16)(AX), R13") // dx
	t.p("MOVQ (rowArgs_streams+24)(AX), R10")
	t.p("MOVQ rowArgs_rows(AX), CX")
	t.p("MOVQ rowArgs_whole(AX), BX")
	t.takeMask("rowArgs_mask")
	t.p("VBROADCASTSS (rowArgs_scalars+0)(AX), %s", t.v(8))
	t.at("row")
	t.clear(10)
	t.clear(11)
	if recompute {
		t.p("VBROADCASTSS (R10), %s", t.v(9))
		t.p("VBROADCASTSS 4(R10), %s", t.v(12))
	}
	t.along("rowArgs_tail(AX)", func(partial bool, lane int, at func(string) string) {
		if recompute {
			t.get(at("SI"), 2, partial)
			t.op("VFMSUB213PS", 9, 8, 2)
			t.exp(2, 3, 4, 5, 6)
			t.op("VMULPS", 12, 3, 3)
			if partial {
				t.keep(3) // beyond the row it may be infinite
			}
			t.put(3, at("SI"), partial)
		} else {
			t.get(at("SI"), 3, partial)
		}
		t.get(at("DI"), 4, partial)
		t.op("VFMADD231PS", 3, 4, 10+lane)
	}, 2)
	t.op("VMOVAPS", 10, 0)
	t.op("VMOVAPS", 11, 1)
	t.total(0, 2)
	t.along("rowArgs_tail(AX)", func(partial bool, _ int, at func(string) string) {
		t.get(at("SI"), 3, partial)
		t.get(at("DI"), 4, partial)
		t.op("VSUBPS", 0, 4, 4)
		t.op("VMULPS", 3, 4, 4)
		t.op("VMULPS", 8, 4, 4)
		t.put(4, at("R13"), partial)
	}, 1)
	t.p("ADDQ (rowArgs_strides+0)(AX), SI")
	t.p("ADDQ (rowArgs_strides+8)(AX), DI")
	t.p("ADDQ (rowArgs_strides+16)(AX), R13")
	t.p("ADDQ (rowArgs_strides+24)(AX), R10")
	t.p("DECQ CX")
	t.p("JNZ row")
	t.end()
}
