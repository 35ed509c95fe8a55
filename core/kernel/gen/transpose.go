package main

import "fmt"

// transposes writes the turning of blocks of 8×8 values, in AVX2 for both sets: turn reads rows and writes columns where a
// table says, turnAdd reads columns where the table says and adds to rows.
func (o *out) transposes() {
	y := func(i int) string { return fmt.Sprintf("Y%d", i) }
	shuffle := func() { // rows in Y0–Y7 → columns in Y8–Y15
		for i := 0; i < 8; i += 2 {
			o.p("VUNPCKLPS %s, %s, %s", y(i+1), y(i), y(8+i))
			o.p("VUNPCKHPS %s, %s, %s", y(i+1), y(i), y(9+i))
		}
		for i := 0; i < 8; i += 4 {
			for half := range 2 {
				o.p("VSHUFPS $0x44, %s, %s, %s", y(10+i+half), y(8+i+half), y(i+2*half))
				o.p("VSHUFPS $0xEE, %s, %s, %s", y(10+i+half), y(8+i+half), y(i+2*half+1))
			}
		}
		for i := range 4 {
			o.p("VPERM2F128 $0x20, %s, %s, %s", y(4+i), y(i), y(8+i))
			o.p("VPERM2F128 $0x31, %s, %s, %s", y(4+i), y(i), y(12+i))
		}
	}
	begin := func() {
		o.p("MOVQ a+0(FP), AX")
		o.p("MOVQ turnArgs_rows(AX), SI")
		o.p("MOVQ turnArgs_stride(AX), BX")
		o.p("SHLQ $2, BX")
		o.p("LEAQ (BX)(BX*2), DX") // three rows
		o.p("LEAQ (SI)(BX*4), R8") // the fifth row
		o.p("MOVQ turnArgs_columns(AX), DI")
		o.p("MOVQ turnArgs_offsets(AX), R9")
		o.p("MOVQ turnArgs_blocks(AX), CX")
		o.at("block")
	}
	row := func(i int) string {
		return []string{"(SI)", "(SI)(BX*1)", "(SI)(BX*2)", "(SI)(DX*1)", "(R8)", "(R8)(BX*1)", "(R8)(BX*2)", "(R8)(DX*1)"}[i]
	}
	finish := func() {
		o.p("ADDQ $32, SI")
		o.p("ADDQ $32, R8")
		o.p("ADDQ $32, R9")
		o.p("DECQ CX")
		o.p("JNZ block")
		o.end()
	}
	o.function("turn"+o.name, "turnArgs", "writes rows as columns; see turnPortable.")
	begin()
	for i := range 8 {
		o.p("VMOVUPS %s, %s", row(i), y(i))
	}
	shuffle()
	for i := range 8 {
		o.p("MOVLQSX %d(R9), R10", 4*i)
		o.p("VMOVUPS %s, (DI)(R10*4)", y(8+i))
	}
	finish()
	if o.masked {
		o.function("turnPairsBF16", "turnArgs", "writes rows as columns of pairs of bfloat16; see turn.")
		begin()
		for i := range 8 {
			o.p("VMOVUPS %s, Z%d", row(i), i)
			o.narrow(fmt.Sprintf("Z%d", i), fmt.Sprintf("Z%d", i))
		}
		shuffle()
		for i := range 8 {
			o.p("MOVLQSX %d(R9), R10", 4*i)
			o.p("VMOVUPS %s, (DI)(R10*4)", y(8+i))
		}
		o.p("ADDQ $32, SI") // a pair is two values
		o.p("ADDQ $32, R8")
		finish()
	}
	o.function("turnAdd"+o.name, "turnArgs", "adds columns to rows; see turnAddPortable.")
	begin()
	for i := range 8 {
		o.p("MOVLQSX %d(R9), R10", 4*i)
		o.p("VMOVUPS (DI)(R10*4), %s", y(i))
	}
	shuffle()
	for i := range 8 {
		o.p("VADDPS %s, %s, %s", row(i), y(8+i), y(8+i))
		o.p("VMOVUPS %s, %s", y(8+i), row(i))
	}
	finish()
}
