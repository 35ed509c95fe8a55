package main

import "fmt"

// pointers are the general registers that hold row addresses; weight walks the packed weights, index counts.
var pointers = []string{"AX", "BX", "CX", "DX", "SI", "DI", "R8", "R9", "R10", "R11", "R12", "R13"}

const (
	weight = "R14"
	index  = "R15"
)

// products writes the tiles of every width and height, and the tables that list them.
func (o *out) products() {
	for _, half := range o.types() {
		for vecs := 1; vecs <= o.vecs; vecs++ {
			for rows := 1; rows <= o.rows(vecs); rows++ {
				o.product(rows, vecs, half)
			}
		}
		o.table("products", "product", "productArgs", half)
	}
}

// types lists whether values are bfloat16: what the instruction set can multiply.
func (o *out) types() []bool {
	if o.masked {
		return []bool{false, true}
	}
	return []bool{false}
}

// typed is the suffix of functions on float32 or bfloat16.
func (o *out) typed(half bool) string {
	if half {
		return "BF16"
	}
	return o.name
}

func (o *out) table(name, function, args string, half bool) {
	suffix := o.typed(half)
	fmt.Fprintf(o.decls, "\n// %s%s lists the tiles by width in vectors and height.\nvar %s%s = [][]func(*%s){\n\tnil,\n", name, suffix, name, suffix, args)
	for vecs := 1; vecs <= o.vecs; vecs++ {
		fmt.Fprintf(o.decls, "\t{nil")
		for rows := 1; rows <= o.rows(vecs); rows++ {
			fmt.Fprintf(o.decls, ", %s%dx%d%s", function, rows, vecs, suffix)
		}
		fmt.Fprintf(o.decls, "},\n")
	}
	fmt.Fprintf(o.decls, "}\n")
}

// zeroed clears registers 0 … n−1.
func (o *out) zeroed(n int) {
	for i := range n {
		if o.masked {
			o.op("VPXORD", i, i, i)
		} else {
			o.op("VXORPS", i, i, i)
		}
	}
}

// multiply adds to acc the products of a and b: of values, or of pairs of bfloat16.
func (o *out) multiply(half bool, a, b, acc string) {
	if half {
		o.dot(a, b, acc)
		return
	}
	o.p("VFMADD231PS %s, %s, %s", a, b, acc)
}

// setMask loads the mask of the last vector: K1, or the last register.
func (o *out) setMask(from string) {
	if o.masked {
		o.p("KMOVW (%s), K1", from)
	} else {
		o.p("VMOVUPS (%s), %s", from, o.v(o.regs-1))
	}
}

// load and store move a vector of float32, under the mask if masked.
func (o *out) load(from, to string, masked bool) {
	switch {
	case !masked:
		o.p("VMOVUPS %s, %s", from, to)
	case o.masked:
		o.p("VMOVUPS.Z %s, K1, %s", from, to)
	default:
		o.p("VMASKMOVPS %s, %s, %s", from, o.v(o.regs-1), to)
	}
}

func (o *out) store(from, to string, masked bool) {
	switch {
	case !masked:
		o.p("VMOVUPS %s, %s", from, to)
	case o.masked:
		o.p("VMOVUPS %s, K1, %s", from, to)
	default:
		o.p("VMASKMOVPS %s, %s, %s", from, o.v(o.regs-1), to)
	}
}

// product writes one tile: rows × vecs accumulators from register 0, then vecs weights, then a broadcast. For bfloat16, x
// and weights are walked in pairs, which are as wide as a float32.
func (o *out) product(rows, vecs int, half bool) {
	o.function(fmt.Sprintf("product%dx%d%s", rows, vecs, o.typed(half)), "productArgs",
		fmt.Sprintf("computes %d rows × %d outputs; see productPortable.", rows, vecs*o.bytes/4))
	acc := func(r, v int) string { return o.v(r*vecs + v) }
	w := func(v int) string { return o.v(rows*vecs + v) }
	free := rows*vecs + vecs // broadcasts rotate through the rest
	o.zeroed(rows * vecs)
	o.p("MOVQ a+0(FP), %s", index)
	o.p("MOVQ productArgs_table(%s), %s", index, weight)
	o.p("MOVQ %s, productArgs_tableAt(%s)", weight, index)
	o.p("MOVQ productArgs_offsets(%s), %s", index, weight)
	o.p("MOVQ %s, productArgs_offsetsAt(%s)", weight, index)
	o.p("MOVQ productArgs_taps(%s), %s", index, weight)
	o.p("MOVQ %s, productArgs_left(%s)", weight, index)
	o.p("TESTQ %s, %s", weight, weight)
	o.p("JEQ finish")
	o.at("tap") // row addresses of the tap, moved to their ends; the index runs up to zero
	o.p("MOVQ productArgs_tableAt(%s), %s", index, weight)
	for r := range rows {
		o.p("MOVQ %d(%s), %s", 8*r, weight, pointers[r])
	}
	o.p("ADDQ $%d, productArgs_tableAt(%s)", 8*rows, index)
	o.p("MOVQ productArgs_depth(%s), %s", index, weight)
	for r := range rows {
		o.p("LEAQ (%s)(%s*4), %s", pointers[r], weight, pointers[r])
	}
	o.p("MOVQ productArgs_offsetsAt(%s), %s", index, weight)
	o.p("ADDQ $8, productArgs_offsetsAt(%s)", index)
	o.p("MOVQ (%s), %s", weight, weight)
	o.p("IMULQ $%d, %s", vecs*o.bytes, weight)
	o.p("ADDQ productArgs_weights(%s), %s", index, weight)
	o.p("MOVQ productArgs_depth(%s), %s", index, index)
	o.p("NEGQ %s", index)
	o.at("channel")
	for v := range vecs {
		o.p("VMOVUPS %d(%s), %s", v*o.bytes, weight, w(v))
	}
	for r := range rows {
		b := o.v(free + r%(o.regs-free))
		o.p("VBROADCASTSS (%s)(%s*4), %s", pointers[r], index, b)
		for v := range vecs {
			o.multiply(half, w(v), b, acc(r, v))
		}
	}
	o.p("ADDQ $%d, %s", vecs*o.bytes, weight)
	o.p("INCQ %s", index)
	o.p("JNZ channel")
	o.p("MOVQ a+0(FP), %s", index)
	o.p("DECQ productArgs_left(%s)", index)
	o.p("JNZ tap")
	o.at("finish")
	o.finish(rows, vecs, half)
	o.end()
}

// finish writes what a tile does with its sums before they are stored; productArgs says it in order. The last vector goes
// under the mask.
func (o *out) finish(rows, vecs int, half bool) {
	acc := func(r, v int) string { return o.v(r*vecs + v) }
	free := func(i int) string { return o.v(rows*vecs + i) } // without masks, the last register is the mask
	last := vecs - 1
	address := func(v int, base string) string { return fmt.Sprintf("%d(%s)", v*o.bytes, base) }
	narrow := func(v int, base string) string { return fmt.Sprintf("%d(%s)", v*o.bytes/2, base) }
	each := func(f func(r, v int)) {
		for r := range rows {
			for v := range vecs {
				f(r, v)
			}
		}
	}
	skip := func(field, label string) { // where a field is zero; else it is in BX
		o.p("MOVQ productArgs_%s(%s), BX", field, index)
		o.p("TESTQ BX, BX")
		o.p("JEQ %s", label)
	}
	o.p("MOVQ productArgs_mask(%s), %s", index, weight)
	o.setMask(weight)

	skip("from", "bias")
	o.p("MOVQ productArgs_fromColumn(%s), DX", index)
	for r := range rows {
		o.p("MOVQ %d(BX), AX", 8*r)
		o.p("ADDQ DX, AX")
		for v := range vecs {
			o.load(address(v, "AX"), free(0), v == last)
			o.p("VADDPS %s, %s, %s", free(0), acc(r, v), acc(r, v))
		}
	}
	o.at("bias")
	skip("bias", "sums")
	for v := range vecs {
		o.load(address(v, "BX"), free(0), v == last)
		for r := range rows {
			o.p("VADDPS %s, %s, %s", free(0), acc(r, v), acc(r, v))
		}
	}
	o.at("sums")
	skip("sums", "addend")
	o.p("MOVQ productArgs_shift(%s), DX", index)
	for v := range vecs {
		o.load(address(v, "DX"), free(0), v == last)
		sum := fmt.Sprintf("%d(BX)", v*o.bytes)
		square := fmt.Sprintf("%d(BX)", (vecs+v)*o.bytes)
		if rows == 1 {
			o.p("VSUBPS %s, %s, %s", free(0), acc(0, v), free(1))
		} else {
			o.p("VMOVUPS %s, %s", sum, free(2))
			for r := range rows {
				o.p("VSUBPS %s, %s, %s", free(0), acc(r, v), free(1))
				o.p("VADDPS %s, %s, %s", free(1), free(2), free(2))
			}
			o.p("VMOVUPS %s, %s", free(2), sum)
			o.p("VMOVUPS %s, %s", square, free(2))
			for r := range rows {
				o.p("VSUBPS %s, %s, %s", free(0), acc(r, v), free(1))
				o.p("VFMADD231PS %s, %s, %s", free(1), free(1), free(2))
			}
			o.p("VMOVUPS %s, %s", free(2), square)
			continue
		}
		o.p("VADDPS %s, %s, %s", sum, free(1), free(2))
		o.p("VMOVUPS %s, %s", free(2), sum)
		o.p("VMOVUPS %s, %s", square, free(2))
		o.p("VFMADD231PS %s, %s, %s", free(1), free(1), free(2))
		o.p("VMOVUPS %s, %s", free(2), square)
	}
	o.at("addend")
	o.p("MOVQ productArgs_out(%s), CX", index)
	o.p("MOVQ productArgs_column(%s), DX", index)
	skip("addend", "relu")
	each(func(r, v int) {
		if v == 0 {
			o.p("MOVQ %d(CX), AX", 8*r)
			o.p("ADDQ DX, AX")
			o.p("ADDQ productArgs_addendAt(%s), AX", index)
		}
		if half {
			o.widen(narrow(v, "AX"), free(0), v == last)
		} else {
			o.load(address(v, "AX"), free(0), v == last)
		}
		o.p("VADDPS %s, %s, %s", free(0), acc(r, v), acc(r, v))
	})
	o.at("relu")
	skip("relu", "place")
	if o.masked {
		o.p("VPXORD %s, %s, %s", free(0), free(0), free(0))
	} else {
		o.p("VXORPS %s, %s, %s", free(0), free(0), free(0))
	}
	each(func(r, v int) { o.p("VMAXPS %s, %s, %s", acc(r, v), free(0), acc(r, v)) })
	o.at("place")
	if half {
		skip("narrow", "wide")
		each(func(r, v int) {
			if v == 0 {
				o.p("MOVQ %d(CX), AX", 8*r)
				o.p("ADDQ DX, AX")
			}
			o.storeNarrow(acc(r, v), narrow(v, "AX"), v == last)
		})
		o.end()
		o.at("wide")
	}
	each(func(r, v int) {
		if v == 0 {
			o.p("MOVQ %d(CX), AX", 8*r)
			o.p("ADDQ DX, AX")
		}
		o.store(acc(r, v), address(v, "AX"), v == last)
	})
}

// gradients writes the tiles of the weight gradient.
func (o *out) gradients() {
	for _, half := range o.types() {
		for vecs := 1; vecs <= o.vecs; vecs++ {
			for rows := 1; rows <= o.rows(vecs); rows++ {
				o.gradient(rows, vecs, half)
			}
		}
		o.table("gradients", "gradient", "gradientArgs", half)
	}
}

// gradient writes one tile: rows channels of x × vecs vectors of outputs, over pixels, or over pairs of them that lie
// interleaved.
func (o *out) gradient(rows, vecs int, half bool) {
	o.function(fmt.Sprintf("gradient%dx%d%s", rows, vecs, o.typed(half)), "gradientArgs",
		fmt.Sprintf("computes %d channels × %d outputs; see gradientPortable.", rows, vecs*o.bytes/4))
	acc := func(r, v int) string { return o.v(r*vecs + v) }
	w := func(v int) string { return o.v(rows*vecs + v) }
	free := rows*vecs + vecs
	o.zeroed(rows * vecs)
	o.p("MOVQ a+0(FP), AX")
	o.p("MOVQ gradientArgs_pairs(AX), BX")
	o.p("MOVQ gradientArgs_count(AX), CX")
	o.p("MOVQ gradientArgs_x(AX), SI")
	o.p("MOVQ gradientArgs_dy(AX), DI")
	o.p("MOVQ gradientArgs_mask(AX), DX")
	o.setMask("DX")
	broadcasts := o.regs - free
	if !o.masked {
		broadcasts--
	}
	if broadcasts < 1 {
		panic("no register for a broadcast")
	}
	o.p("MOVQ gradientArgs_next(AX), R10")
	o.p("MOVQ gradientArgs_step(AX), R11")
	o.at("pixel")
	o.p("MOVLQSX (BX), R8")
	o.p("MOVLQSX 4(BX), R9")
	o.p("ADDQ $8, BX")
	o.p("PREFETCHT1 (R10)")
	o.p("ADDQ R11, R10")
	for v := range vecs {
		o.load(fmt.Sprintf("%d(DI)(R9*4)", v*o.bytes), w(v), v == vecs-1)
	}
	for r := range rows {
		b := o.v(free + r%broadcasts)
		o.p("VBROADCASTSS %d(SI)(R8*4), %s", 4*r, b)
		for v := range vecs {
			o.multiply(half, w(v), b, acc(r, v))
		}
	}
	o.p("DECQ CX")
	o.p("JNZ pixel")
	o.p("MOVQ gradientArgs_sum(AX), DI")
	o.p("MOVQ gradientArgs_stride(AX), SI")
	o.p("CMPQ gradientArgs_set(AX), $0")
	o.p("JNE set")
	for _, set := range []bool{false, true} {
		if set {
			o.at("set")
		}
		for r := range rows {
			for v := range vecs {
				if !set {
					o.p("VADDPS %d(DI), %s, %s", v*o.bytes, acc(r, v), acc(r, v))
				}
				o.p("VMOVUPS %s, %d(DI)", acc(r, v), v*o.bytes)
			}
			if r < rows-1 {
				o.p("LEAQ (DI)(SI*4), DI")
			}
		}
		o.end()
	}
}

// copies writes the loops that lay rows of a wider matrix side by side: float32 rows as they are, and pairs of bfloat16
// rows interleaved.
func (o *out) copies() {
	widest := max(o.vecs, 48*4/o.bytes)
	for _, half := range o.types() {
		for vecs := 1; vecs <= widest; vecs++ {
			o.copyRows(vecs, half)
		}
		suffix := o.typed(half)
		fmt.Fprintf(o.decls, "\n// copies%s lists the row copies by width in vectors.\nvar copies%s = []func(*copyArgs){nil", suffix, suffix)
		for vecs := 1; vecs <= widest; vecs++ {
			fmt.Fprintf(o.decls, ", copyRows%d%s", vecs, suffix)
		}
		fmt.Fprintf(o.decls, "}\n")
	}
}

// rowsAhead is how far ahead rows are fetched; lists of rows have room for as many more.
const rowsAhead = 8

func (o *out) copyRows(vecs int, half bool) {
	what := "copies rows"
	if half {
		what = "interleaves pairs of rows"
	}
	o.function(fmt.Sprintf("copyRows%d%s", vecs, o.typed(half)), "copyArgs",
		fmt.Sprintf("%s of %d values, the last vector under the mask; see copyRowsPortable.", what, vecs*o.bytes/4))
	o.p("MOVQ a+0(FP), AX")
	o.p("MOVQ copyArgs_from(AX), SI")
	o.p("MOVQ copyArgs_to(AX), DI")
	o.p("MOVQ copyArgs_rows(AX), CX")
	o.p("MOVQ copyArgs_offsets(AX), BX")
	o.p("MOVQ copyArgs_stride(AX), R9")
	o.p("SHLQ $2, R9")
	o.p("MOVQ copyArgs_mask(AX), DX")
	o.setMask("DX")
	if half {
		o.p("MOVQ copyArgs_zeros(AX), R10")
	}
	o.at("row")
	if half { // a row that is not there has a negative offset
		for i, r := range []string{"R8", "R11"} {
			o.p("MOVLQSX %d(BX), R12", 4*i)
			o.p("LEAQ (SI)(R12*2), %s", r)
			o.p("TESTQ R12, R12")
			o.p("CMOVQLT R10, %s", r)
		}
	} else {
		o.p("MOVLQSX (BX), R8")
	}
	for i := range 2 { // rows are far apart, where the processor does not see the next one coming
		if half || i == 0 {
			o.p("MOVLQSX %d(BX), R12", 8*rowsAhead+4*i)
			for line := 0; line < vecs*o.bytes; line += 64 {
				if half {
					o.p("PREFETCHT0 %d(SI)(R12*2)", line/2)
					line += 64
				} else {
					o.p("PREFETCHT0 %d(SI)(R12*4)", line)
				}
			}
		}
	}
	o.p("ADDQ $8, BX")
	for v := range vecs {
		if half {
			even, odd := o.v(2*v), o.v(2*v+1)
			for i, r := range []string{"R8", "R11"} {
				from, to := fmt.Sprintf("%d(%s)", v*o.bytes/2, r), []string{even, odd}[i]
				if v == vecs-1 {
					o.p("VPMOVZXWD.Z %s, K1, %s", from, to)
				} else {
					o.p("VPMOVZXWD %s, %s", from, to)
				}
			}
			o.p("VPSLLD $16, %s, %s", odd, odd)
			o.p("VPORD %s, %s, %s", odd, even, even)
			continue
		}
		o.load(fmt.Sprintf("%d(SI)(R8*4)", v*o.bytes), o.v(v), v == vecs-1)
	}
	for v := range vecs {
		from := o.v(v)
		if half {
			from = o.v(2 * v)
		}
		o.p("VMOVUPS %s, %d(DI)", from, v*o.bytes)
	}
	o.p("ADDQ R9, DI")
	o.p("DECQ CX")
	o.p("JNZ row")
	o.end()
}
