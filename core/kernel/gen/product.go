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
	for vecs := 1; vecs <= o.vecs; vecs++ {
		for rows := 1; rows <= o.rows(vecs); rows++ {
			o.product(rows, vecs)
		}
	}
	o.table("products", "product", "productArgs")
}

func (o *out) table(name, function, args string) {
	fmt.Fprintf(o.decls, "\n// %s%s lists the tiles by width in vectors and height.\nvar %s%s = [][]func(*%s){\n\tnil,\n", name, o.name, name, o.name, args)
	for vecs := 1; vecs <= o.vecs; vecs++ {
		fmt.Fprintf(o.decls, "\t{nil")
		for rows := 1; rows <= o.rows(vecs); rows++ {
			fmt.Fprintf(o.decls, ", %s%dx%d%s", function, rows, vecs, o.name)
		}
		fmt.Fprintf(o.decls, "},\n")
	}
	fmt.Fprintf(o.decls, "}\n")
}

// product writes one tile: rows × vecs accumulators from register 0, then vecs weights, then a broadcast.
func (o *out) product(rows, vecs int) {
	o.function(fmt.Sprintf("product%dx%d%s", rows, vecs, o.name), "productArgs",
		fmt.Sprintf("computes %d rows × %d outputs; see productPortable.", rows, vecs*o.bytes/4))
	acc := func(r, v int) string { return o.v(r*vecs + v) }
	w := func(v int) string { return o.v(rows*vecs + v) }
	free := rows*vecs + vecs // broadcasts rotate through the rest
	for i := range rows * vecs {
		if o.masked {
			o.p("VPXORD %s, %s, %s", o.v(i), o.v(i), o.v(i))
		} else {
			o.p("VXORPS %s, %s, %s", o.v(i), o.v(i), o.v(i))
		}
	}
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
			o.p("VFMADD231PS %s, %s, %s", w(v), b, acc(r, v))
		}
	}
	o.p("ADDQ $%d, %s", vecs*o.bytes, weight)
	o.p("INCQ %s", index)
	o.p("JNZ channel")
	o.p("MOVQ a+0(FP), %s", index)
	o.p("DECQ productArgs_left(%s)", index)
	o.p("JNZ tap")

	o.at("finish") // bias, sum with what is there, store; the last vector under the mask
	o.p("MOVQ productArgs_mask(%s), %s", index, weight)
	last := vecs - 1
	mask := o.v(o.regs - 1)
	if o.masked {
		o.p("KMOVW (%s), K1", weight)
	} else {
		o.p("VMOVUPS (%s), %s", weight, mask)
	}
	load := func(v int, from, to string) {
		switch {
		case v < last:
			o.p("VMOVUPS %s, %s", from, to)
		case o.masked:
			o.p("VMOVUPS.Z %s, K1, %s", from, to)
		default:
			o.p("VMASKMOVPS %s, %s, %s", from, mask, to)
		}
	}
	o.p("MOVQ productArgs_bias(%s), %s", index, weight)
	o.p("TESTQ %s, %s", weight, weight)
	o.p("JEQ place")
	for v := range vecs {
		load(v, fmt.Sprintf("%d(%s)", v*o.bytes, weight), w(v))
	}
	for r := range rows {
		for v := range vecs {
			o.p("VADDPS %s, %s, %s", w(v), acc(r, v), acc(r, v))
		}
	}
	o.at("place")
	o.p("MOVQ productArgs_out(%s), %s", index, weight)
	for r := range rows {
		o.p("MOVQ %d(%s), %s", 8*r, weight, pointers[r])
	}
	o.p("MOVQ productArgs_column(%s), %s", index, weight)
	o.p("CMPQ productArgs_add(%s), $0", index)
	o.p("JEQ store")
	for r := range rows {
		for v := range vecs {
			load(v, fmt.Sprintf("%d(%s)(%s*4)", v*o.bytes, pointers[r], weight), w(v))
			o.p("VADDPS %s, %s, %s", w(v), acc(r, v), acc(r, v))
		}
	}
	o.at("store")
	for r := range rows {
		for v := range vecs {
			to := fmt.Sprintf("%d(%s)(%s*4)", v*o.bytes, pointers[r], weight)
			switch {
			case v < last:
				o.p("VMOVUPS %s, %s", acc(r, v), to)
			case o.masked:
				o.p("VMOVUPS %s, K1, %s", acc(r, v), to)
			default:
				o.p("VMASKMOVPS %s, %s, %s", acc(r, v), mask, to)
			}
		}
	}
	o.end()
}

// gradients writes the tiles of the weight gradient.
func (o *out) gradients() {
	for vecs := 1; vecs <= o.vecs; vecs++ {
		for rows := 1; rows <= o.rows(vecs); rows++ {
			o.gradient(rows, vecs)
		}
	}
	o.table("gradients", "gradient", "gradientArgs")
}

// gradient writes one tile: rows channels of x × vecs vectors of outputs, over pixels.
func (o *out) gradient(rows, vecs int) {
	o.function(fmt.Sprintf("gradient%dx%d%s", rows, vecs, o.name), "gradientArgs",
		fmt.Sprintf("computes %d channels × %d outputs; see gradientPortable.", rows, vecs*o.bytes/4))
	acc := func(r, v int) string { return o.v(r*vecs + v) }
	w := func(v int) string { return o.v(rows*vecs + v) }
	free := rows*vecs + vecs
	for i := range rows * vecs {
		if o.masked {
			o.p("VPXORD %s, %s, %s", o.v(i), o.v(i), o.v(i))
		} else {
			o.p("VXORPS %s, %s, %s", o.v(i), o.v(i), o.v(i))
		}
	}
	o.p("MOVQ a+0(FP), AX")
	o.p("MOVQ gradientArgs_pairs(AX), BX")
	o.p("MOVQ gradientArgs_count(AX), CX")
	o.p("MOVQ gradientArgs_x(AX), SI")
	o.p("MOVQ gradientArgs_dy(AX), DI")
	o.p("MOVQ gradientArgs_mask(AX), DX")
	mask := o.v(o.regs - 1)
	broadcasts := o.regs - free
	if o.masked {
		o.p("KMOVW (DX), K1")
	} else {
		o.p("VMOVUPS (DX), %s", mask)
		broadcasts--
	}
	if broadcasts < 1 {
		panic("no register for a broadcast")
	}
	o.at("pixel")
	o.p("MOVLQSX (BX), R8")
	o.p("MOVLQSX 4(BX), R9")
	o.p("ADDQ $8, BX")
	for v := range vecs {
		from := fmt.Sprintf("%d(DI)(R9*4)", v*o.bytes)
		switch {
		case v < vecs-1:
			o.p("VMOVUPS %s, %s", from, w(v))
		case o.masked:
			o.p("VMOVUPS.Z %s, K1, %s", from, w(v))
		default:
			o.p("VMASKMOVPS %s, %s, %s", from, mask, w(v))
		}
	}
	for r := range rows {
		b := o.v(free + r%broadcasts)
		o.p("VBROADCASTSS %d(SI)(R8*4), %s", 4*r, b)
		for v := range vecs {
			o.p("VFMADD231PS %s, %s, %s", w(v), b, acc(r, v))
		}
	}
	o.p("DECQ CX")
	o.p("JNZ pixel")
	o.p("MOVQ gradientArgs_sum(AX), DI")
	o.p("MOVQ gradientArgs_stride(AX), SI")
	for r := range rows {
		for v := range vecs {
			o.p("VADDPS %d(DI), %s, %s", v*o.bytes, acc(r, v), acc(r, v))
			o.p("VMOVUPS %s, %d(DI)", acc(r, v), v*o.bytes)
		}
		if r < rows-1 {
			o.p("LEAQ (DI)(SI*4), DI")
		}
	}
	o.end()
}

// copies writes the loops that lay rows of a wider matrix side by side.
func (o *out) copies() {
	widest := max(o.vecs, 48*4/o.bytes)
	for vecs := 1; vecs <= widest; vecs++ {
		o.function(fmt.Sprintf("copyRows%d%s", vecs, o.name), "copyArgs",
			fmt.Sprintf("copies rows of %d values, the last vector under the mask; see copyRowsPortable.", vecs*o.bytes/4))
		o.p("MOVQ a+0(FP), AX")
		o.p("MOVQ copyArgs_from(AX), SI")
		o.p("MOVQ copyArgs_to(AX), DI")
		o.p("MOVQ copyArgs_rows(AX), CX")
		o.p("MOVQ copyArgs_offsets(AX), BX")
		o.p("MOVQ copyArgs_stride(AX), R9")
		o.p("SHLQ $2, R9")
		o.p("MOVQ copyArgs_mask(AX), DX")
		mask := o.v(o.regs - 1)
		if o.masked {
			o.p("KMOVW (DX), K1")
		} else {
			o.p("VMOVUPS (DX), %s", mask)
		}
		o.at("row")
		o.p("MOVLQSX (BX), R8")
		o.p("ADDQ $8, BX")
		for v := range vecs {
			from := fmt.Sprintf("%d(SI)(R8*4)", v*o.bytes)
			switch {
			case v < vecs-1:
				o.p("VMOVUPS %s, %s", from, o.v(v))
			case o.masked:
				o.p("VMOVUPS.Z %s, K1, %s", from, o.v(v))
			default:
				o.p("VMASKMOVPS %s, %s, %s", from, mask, o.v(v))
			}
		}
		for v := range vecs {
			o.p("VMOVUPS %s, %d(DI)", o.v(v), v*o.bytes)
		}
		o.p("ADDQ R9, DI")
		o.p("DECQ CX")
		o.p("JNZ row")
		o.end()
	}
	fmt.Fprintf(o.decls, "\n// copies%s lists the row copies by width in vectors.\nvar copies%s = []func(*copyArgs){nil", o.name, o.name)
	for vecs := 1; vecs <= widest; vecs++ {
		fmt.Fprintf(o.decls, ", copyRows%d%s", vecs, o.name)
	}
	fmt.Fprintf(o.decls, "}\n")
}
