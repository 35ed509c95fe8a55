package main

import (
	"fmt"
	"math"
	"strings"
)

// Registers of the row loops, the same in both sets: streams 0–4, parameters 5–8, scalars 9–11, two for the body, zero and
// the mask.
const (
	param   = 5
	scalar  = 9
	free1   = 12
	free2   = 13
	zero    = 14
	maskReg = 15
)

// rowLoop is an operation on rows of channels: which streams and parameters it loads and stores, how many scalars it has.
type rowLoop struct {
	name, doc     string
	loads, stores string // of streams, as digits
	params, sums  string // parameters loaded; parameters loaded and stored
	scalars       int
	tap           bool // broadcast the tap's number as scalar 0
	body          func(o *out)
	half          string // streams, as digits, that are bfloat16 in the variant for it; "": there is none
	onlyHalf      bool   // there is no variant for float32 alone
}

var rowLoops = []rowLoop{
	{name: "add", half: "012", doc: "s2 = s0 + s1", loads: "01", stores: "2", body: func(o *out) { o.op("VADDPS", 0, 1, 2) }},
	{name: "scale", half: "01", doc: "s1 = k0·s0", loads: "0", stores: "1", scalars: 1, body: func(o *out) { o.op("VMULPS", 0, scalar, 1) }},
	{name: "axpy", doc: "s1 += k0·s0", loads: "01", stores: "1", scalars: 1, body: func(o *out) { o.op("VFMADD231PS", 0, scalar, 1) }},
	{name: "lerp", doc: "s1 = k0·s1 + k1·s0", loads: "01", stores: "1", scalars: 2, body: func(o *out) {
		o.op("VMULPS", 1, scalar, 1)
		o.op("VFMADD231PS", 0, scalar+1, 1)
	}},
	{name: "fill", half: "0", doc: "s0 = k0", stores: "0", scalars: 1, body: func(o *out) { o.op("VMOVAPS", scalar, 0) }},
	{name: "relu", half: "01", doc: "s1 = max(s0, 0)", loads: "0", stores: "1", body: func(o *out) { o.op("VMAXPS", 0, zero, 1) }},
	{name: "reluBackward", half: "012", doc: "s2 = s0 where s1 > 0", loads: "01", stores: "2", body: func(o *out) { o.keepPositive(0, 1, 2) }},
	{name: "sgd", doc: "s1 = k1·s1 + s0 + k2·s2, then s2 −= k0·s1 and s0 = 0", loads: "012", stores: "012", scalars: 3, body: func(o *out) {
		o.op("VFMADD231PS", 2, scalar+2, 0)
		o.op("VFMADD213PS", 0, scalar+1, 1)
		o.op("VFNMADD231PS", 1, scalar, 2)
		o.op("VMOVAPS", zero, 0)
	}},
	{name: "defects", doc: "p0 += s0 − s0, which is 0, or NaN", loads: "0", sums: "0", body: func(o *out) {
		o.op("VSUBPS", 0, 0, 0)
		o.op("VADDPS", 0, param, param)
	}},
	{name: "exp", doc: "s1 = exp(k0·s0 − k1)", loads: "0", stores: "1", scalars: 2, body: func(o *out) { o.exp() }},
	{name: "columnMax", doc: "p0 = max(p0, k0·s0)", loads: "0", sums: "0", scalars: 1, body: func(o *out) {
		o.op("VMULPS", 0, scalar, 0)
		o.op("VMAXPS", 0, param, param)
	}},
	{name: "columnSum", half: "0", doc: "p0 += s0", loads: "0", sums: "0", body: func(o *out) { o.op("VADDPS", 0, param, param) }},
	{name: "spread", half: "0", doc: "s0 = p0", stores: "0", params: "0", body: func(o *out) { o.op("VMOVAPS", param, 0) }},
	{name: "moments", half: "0", doc: "p0 += s0−p2, p1 += (s0−p2)²", loads: "0", params: "2", sums: "01", body: func(o *out) {
		o.op("VSUBPS", param+2, 0, 0)
		o.op("VADDPS", 0, param, param)
		o.op("VFMADD231PS", 0, 0, param+1)
	}},
	{name: "normalise", half: "01", doc: "s1 = (s0−p0)·p1 + p2", loads: "0", stores: "1", params: "012", body: func(o *out) { o.normalise() }},
	{name: "normaliseReLU", half: "01", doc: "s1 = max((s0−p0)·p1 + p2, 0)", loads: "0", stores: "1", params: "012", body: func(o *out) {
		o.normalise()
		o.op("VMAXPS", 1, zero, 1)
	}},
	{name: "normaliseAdd", half: "012", doc: "s1 = (s0−p0)·p1 + p2 + s2", loads: "02", stores: "1", params: "012", body: func(o *out) {
		o.normalise()
		o.op("VADDPS", 2, 1, 1)
	}},
	{name: "normaliseAddReLU", half: "012", doc: "s1 = max((s0−p0)·p1 + p2 + s2, 0)", loads: "02", stores: "1", params: "012", body: func(o *out) {
		o.normalise()
		o.op("VADDPS", 2, 1, 1)
		o.op("VMAXPS", 1, zero, 1)
	}},
	{name: "reduce", half: "01", doc: "p0 += s0, p1 += s0·(s1−p2)", loads: "01", params: "2", sums: "01", body: func(o *out) { o.reduce() }},
	{name: "reduceMasked", half: "012", doc: "the same for s0 where s2 > 0", loads: "012", params: "2", sums: "01", body: func(o *out) {
		o.keepPositive(0, 2, 0)
		o.reduce()
	}},
	{name: "inputGradient", half: "013", doc: "s3 = p0·s0 + p1·(s1−p3) + p2", loads: "01", stores: "3", params: "0123", body: func(o *out) { o.inputGradient() }},
	{name: "inputGradientMasked", half: "0123", doc: "the same for s0 where s2 > 0", loads: "012", stores: "3", params: "0123", body: func(o *out) {
		o.keepPositive(0, 2, 0)
		o.inputGradient()
	}},
	{name: "inputGradientResidual", half: "01234", doc: "the same as inputGradientMasked, and s4 = that s0", loads: "012", stores: "34", params: "0123", body: func(o *out) {
		o.keepPositive(0, 2, 0)
		o.op("VMOVAPS", 0, 4)
		o.inputGradient()
	}},
	{name: "maxPool", half: "01", doc: "s1 = s0 and s2 = tap where s0 > s1 or s0 is NaN", loads: "012", stores: "12", tap: true, body: func(o *out) {
		if o.masked {
			o.p("VCMPPS $0x1E, Z1, Z0, K2") // greater, quiet
			o.p("VCMPPS $3, Z0, Z0, K3")    // unordered: NaN
			o.p("KORW K2, K3, K2")
			o.p("VMOVAPS Z0, K2, Z1")
			o.p("VMOVDQA32 Z%d, K2, Z2", scalar)
			return
		}
		o.p("VCMPPS $0x1E, Y1, Y0, Y%d", free1)
		o.p("VCMPPS $3, Y0, Y0, Y%d", free2)
		o.op("VORPS", free1, free2, free1)
		o.p("VBLENDVPS Y%d, Y0, Y1, Y1", free1)
		o.p("VBLENDVPS Y%d, Y%d, Y2, Y2", free1, scalar)
	}},
	{name: "maxPoolBackward", half: "02", doc: "s2 += s0 where s1 is tap", loads: "012", stores: "2", tap: true, body: func(o *out) {
		if o.masked {
			o.p("VPCMPEQD Z%d, Z1, K2", scalar)
			o.p("VADDPS Z0, Z2, K2, Z2")
			return
		}
		o.op("VPCMPEQD", scalar, 1, 1)
		o.op("VANDPS", 0, 1, 0)
		o.op("VADDPS", 0, 2, 2)
	}},
}

// halfLoops have a variant for bfloat16 alone.
var halfLoops = []rowLoop{
	{name: "widen", doc: "s1 = s0", loads: "0", stores: "1", half: "0", onlyHalf: true, body: func(o *out) { o.op("VMOVAPS", 0, 1) }},
	{name: "narrow", doc: "s1 = s0", loads: "0", stores: "1", half: "1", onlyHalf: true, body: func(o *out) { o.op("VMOVAPS", 0, 1) }},
	{name: "weave", doc: "s2 = the pairs of s0 and s1, a bfloat16 each", loads: "01", stores: "2", half: "", onlyHalf: true, body: func(o *out) {
		o.narrow("Z0", "Z0")
		o.narrow("Z1", "Z1")
		o.p("VPMOVZXWD Y0, Z0")
		o.p("VPMOVZXWD Y1, Z2")
		o.p("VPSLLD $16, Z2, Z2")
		o.op("VPORD", 0, 2, 2)
	}},
}

// op writes an instruction on whole registers.
func (o *out) op(name string, regs ...int) {
	text := name
	for i, r := range regs {
		if i > 0 {
			text += ","
		}
		text += " " + o.v(r)
	}
	o.p("%s", text)
}

// keepPositive sets to = value where where > 0, else 0.
func (o *out) keepPositive(value, where, to int) {
	if o.masked {
		o.p("VCMPPS $0x11, Z%d, Z%d, K2", where, zero)
		o.p("VMOVAPS.Z Z%d, K2, Z%d", value, to)
		return
	}
	o.p("VCMPPS $0x11, Y%d, Y%d, Y%d", where, zero, free1)
	o.op("VANDPS", value, free1, to)
}

func (o *out) normalise() {
	o.op("VSUBPS", param, 0, 1)
	o.op("VFMADD213PS", param+2, param+1, 1)
}

func (o *out) reduce() {
	o.op("VSUBPS", param+2, 1, 1)
	o.op("VADDPS", 0, param, param)
	o.op("VFMADD231PS", 0, 1, param+1)
}

func (o *out) inputGradient() {
	o.op("VSUBPS", param+3, 1, 1)
	o.op("VFMADD213PS", param+2, param, 0)
	o.op("VFMADD231PS", 1, param+1, 0)
	o.op("VMOVAPS", 0, 3)
}

// expTable holds the constants of exp, as bits of float32 except for the last, an exponent's bias.
var expTable = []uint32{
	math.Float32bits(88), math.Float32bits(1 / math.Ln2), math.Float32bits(1.5 * (1 << 23)),
	math.Float32bits(0.693145751953125), math.Float32bits(1.42860682030941723212e-6), math.Float32bits(-87),
	math.Float32bits(1. / 5040), math.Float32bits(1. / 720), math.Float32bits(1. / 120), math.Float32bits(1. / 24), math.Float32bits(1. / 6),
	math.Float32bits(1. / 2), math.Float32bits(1), math.Float32bits(1), 127 << 23,
}

// exp writes what exp in softmax.go does, on stream 0 into stream 1.
func (o *out) exp() {
	constant := func(i, to int) { o.p("VBROADCASTSS expTable<>+%d(SB), %s", 4*i, o.v(to)) }
	o.op("VMOVAPS", 0, 2)
	o.op("VFMSUB213PS", scalar+1, scalar, 2)
	constant(0, 3)
	o.op("VMINPS", 2, 3, 2)
	constant(1, 3)
	constant(2, 4)
	o.op("VMOVAPS", 2, 5)
	o.op("VFMADD213PS", 4, 3, 5) // n + magic
	o.p("VPSLLD $23, %s, %s", o.v(5), o.v(6))
	constant(14, 3)
	o.op("VPADDD", 3, 6, 6) // 2ⁿ
	o.op("VSUBPS", 4, 5, 5) // n
	o.op("VMOVAPS", 2, 7)
	constant(3, 3)
	o.op("VFNMADD231PS", 3, 5, 7)
	constant(4, 3)
	o.op("VFNMADD231PS", 3, 5, 7) // r
	constant(6, 1)
	for i := 7; i <= 13; i++ {
		constant(i, 3)
		o.op("VFMADD213PS", 3, 7, 1)
	}
	o.op("VMULPS", 6, 1, 1)
	constant(5, 3)
	if o.masked {
		o.p("VCMPPS $0x16, Z3, Z2, K2") // not at most, or NaN
		o.p("VMOVAPS.Z Z1, K2, Z1")
		return
	}
	o.p("VCMPPS $0x16, Y3, Y2, Y3")
	o.op("VANDPS", 3, 1, 1)
}

// expData writes the constants of exp.
func (o *out) expData() {
	fmt.Fprintf(&o.text, "\n")
	for i, v := range expTable {
		fmt.Fprintf(&o.text, "DATA expTable<>+%d(SB)/4, $0x%08x\n", 4*i, v)
	}
	fmt.Fprintf(&o.text, "GLOBL expTable<>(SB), RODATA|NOPTR, $%d\n", 4*len(expTable))
}

// rowLoops writes every row loop and the tables of them.
func (o *out) rowLoops() {
	o.expData()
	for _, half := range o.types() {
		loops := rowLoops
		if half {
			loops = append(loops, halfLoops...)
		}
		fmt.Fprintf(o.decls, "\nvar loops%s = loops{\n", o.typed(half))
		for _, l := range loops {
			if !half || l.half != "" || l.onlyHalf {
				fmt.Fprintf(o.decls, "\t%s: %s%s,\n", l.name, l.name, o.typed(half))
			}
		}
		fmt.Fprintf(o.decls, "}\n")
		for _, l := range loops {
			if !half || l.half != "" || l.onlyHalf {
				o.rowLoop(l, half)
			}
		}
	}
}

var (
	streamRegisters = []string{"SI", "DI", "R8", "R9", "R10"}
	paramRegisters  = []string{"R11", "R12", "R13", "R15"}
)

// rowLoop writes one loop. The index counts bytes, of bfloat16 where there are any.
func (o *out) rowLoop(l rowLoop, half bool) {
	o.function(l.name+o.typed(half), "rowArgs", "computes, row by row, "+l.doc+".")
	used := map[int]bool{}
	for _, d := range l.loads + l.stores {
		used[int(d-'0')] = true
	}
	o.p("MOVQ a+0(FP), AX")
	for i, r := range streamRegisters {
		if used[i] {
			o.p("MOVQ (rowArgs_streams+%d)(AX), %s", 8*i, r)
		}
	}
	for _, d := range l.params + l.sums {
		o.p("MOVQ (rowArgs_params+%d)(AX), %s", 8*(d-'0'), paramRegisters[d-'0'])
	}
	for i := range l.scalars {
		o.p("VBROADCASTSS (rowArgs_scalars+%d)(AX), %s", 4*i, o.v(scalar+i))
	}
	if l.tap {
		o.p("VPBROADCASTD rowArgs_tap(AX), %s", o.v(scalar))
	}
	if o.masked {
		o.op("VPXORD", zero, zero, zero)
	} else {
		o.op("VXORPS", zero, zero, zero)
	}
	o.p("MOVQ rowArgs_mask(AX), DX")
	o.setMask("DX")
	o.p("MOVQ rowArgs_rows(AX), CX")
	o.p("MOVQ rowArgs_whole(AX), BX")
	step, scale := o.bytes, 1 // of the index; bytes of a float32 for one of it
	if half {
		o.p("SHRQ $1, BX")
		step, scale = step/2, 2
	}
	isHalf := func(d rune) bool { return half && strings.ContainsRune(l.half, d) }
	at := func(base string, narrow bool) string {
		if narrow {
			return "(" + base + ")(DX*1)"
		}
		return fmt.Sprintf("(%s)(DX*%d)", base, scale)
	}
	vector := func(masked bool) {
		for _, d := range l.loads {
			from, to := at(streamRegisters[d-'0'], isHalf(d)), o.v(int(d-'0'))
			if isHalf(d) {
				o.widen(from, to, masked)
			} else {
				o.load(from, to, masked)
			}
		}
		for _, d := range l.params + l.sums {
			o.load(at(paramRegisters[d-'0'], false), o.v(param+int(d-'0')), masked)
		}
		l.body(o)
		for _, d := range l.stores {
			from, to := o.v(int(d-'0')), at(streamRegisters[d-'0'], isHalf(d))
			if isHalf(d) {
				o.storeNarrow(from, to, masked)
			} else {
				o.store(from, to, masked)
			}
		}
		for _, d := range l.sums {
			o.store(o.v(param+int(d-'0')), at(paramRegisters[d-'0'], false), masked)
		}
	}
	o.at("row")
	o.p("XORQ DX, DX")
	o.p("TESTQ BX, BX")
	o.p("JEQ tail")
	o.at("column")
	vector(false)
	o.p("ADDQ $%d, DX", step)
	o.p("CMPQ DX, BX")
	o.p("JLT column")
	o.at("tail")
	o.p("CMPQ rowArgs_tail(AX), $0")
	o.p("JEQ next")
	vector(true)
	o.at("next")
	for i, r := range streamRegisters {
		if used[i] {
			o.p("ADDQ (rowArgs_strides+%d)(AX), %s", 8*i, r)
		}
	}
	o.p("DECQ CX")
	o.p("JNZ row")
	o.end()
}
