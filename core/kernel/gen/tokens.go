package main

import (
	"fmt"
	"math"
	"strings"
)

// tokens is an assembly file of what transformers add: functions of each value, reductions along rows, and draws. Constants are memory operands: the first four bytes of an entry of its table
// by broadcast in AVX-512, the whole entry of eight equal values in AVX2.
type tokens struct {
	*out
	table  []uint32
	places map[uint32]int
}

func init() {
	families = append(families, family{"tokens", func(o *out) { (&tokens{out: o, places: map[uint32]int{}}).write() }})
}

func (t *tokens) write() {
	fmt.Fprintf(t.decls, "\nfunc init() { vectorTokens[%q] = &tokenLoops%s }\n", strings.ToLower(t.name), t.name)
	loops := []struct {
		name string
		body func()
	}{
		{"layerNorm", t.layerNorm}, {"layerNormGradient", t.layerNormGradient},
		{"softmaxRows", t.softmax}, {"softmaxGradient", func() { t.softmaxGradient(false) }},
		{"attentionGradient", func() { t.softmaxGradient(true) }}, {"drop", t.drop},
	}
	fmt.Fprintf(t.decls, "\nvar tokenLoops%s = tokenLoops{\n", t.name)
	for _, f := range functions {
		fmt.Fprintf(t.decls, "\t%s: %s%s,\n", f.name, f.name, t.name)
	}
	for _, l := range loops {
		fmt.Fprintf(t.decls, "\t%s: %s%s,\n", l.name, l.name, t.name)
	}
	fmt.Fprintf(t.decls, "}\n")
	for _, f := range functions {
		t.function(f.name+t.name, "rowArgs", "computes "+f.doc+" in one row.")
		t.flat(f)
	}
	for _, l := range loops {
		t.function(l.name+t.name, "rowArgs", "is "+l.name+"Portable.")
		l.body()
	}
	t.tableData()
}

// place gives the place of an entry of the table.
func (t *tokens) place(bits uint32) int {
	at, known := t.places[bits]
	if !known {
		at = 32 * len(t.table)
		t.places[bits] = at
		t.table = append(t.table, bits)
	}
	return at
}

func (t *tokens) tableData() {
	fmt.Fprintf(&t.text, "\n")
	for i, v := range t.table {
		for k := range 4 {
			fmt.Fprintf(&t.text, "DATA tokenTable<>+%d(SB)/8, $0x%08x%08x\n", 32*i+8*k, v, v)
		}
	}
	fmt.Fprintf(&t.text, "GLOBL tokenTable<>(SB), RODATA|NOPTR, $%d\n", 32*len(t.table))
}

// bits writes an instruction whose first operand (in Go's order) is a constant, given as bits.
func (t *tokens) bits(name string, constant uint32, regs ...int) {
	if t.masked {
		name += ".BCST"
	}
	text := fmt.Sprintf("%s tokenTable<>+%d(SB)", name, t.place(constant))
	for _, r := range regs {
		text += ", " + t.v(r)
	}
	t.p("%s", text)
}

// with writes an instruction whose first operand is a constant.
func (t *tokens) with(name string, constant float64, regs ...int) {
	t.bits(name, math.Float32bits(float32(constant)), regs...)
}

// set fills a register with a constant.
func (t *tokens) set(constant float64, to int) {
	t.p("VBROADCASTSS tokenTable<>+%d(SB), %s", t.place(math.Float32bits(float32(constant))), t.v(to))
}

// clear fills a register with zeros.
func (t *tokens) clear(to int) {
	if t.masked {
		t.op("VPXORD", to, to, to)
	} else {
		t.op("VXORPS", to, to, to)
	}
}

// takeMask loads the mask that lies where a pointer of the arguments, in AX, says.
func (t *tokens) takeMask(field string) {
	t.p("MOVQ %s(AX), DX", field)
	if t.masked {
		t.p("KMOVW (DX), K1")
	} else {
		t.p("VMOVUPS (DX), Y%d", maskReg)
	}
}

// get loads a vector, under the mask with zeros elsewhere if partial.
func (t *tokens) get(from string, to int, partial bool) {
	switch {
	case !partial:
		t.p("VMOVUPS %s, %s", from, t.v(to))
	case t.masked:
		t.p("VMOVUPS.Z %s, K1, %s", from, t.v(to))
	default:
		t.p("VMASKMOVPS %s, Y%d, %s", from, maskReg, t.v(to))
	}
}

// put stores a vector, under the mask if partial.
func (t *tokens) put(from int, to string, partial bool) {
	switch {
	case !partial:
		t.p("VMOVUPS %s, %s", t.v(from), to)
	case t.masked:
		t.p("VMOVUPS %s, K1, %s", t.v(from), to)
	default:
		t.p("VMASKMOVPS %s, Y%d, %s", t.v(from), maskReg, to)
	}
}

// keep zeroes the lanes of a register that the mask leaves out.
func (t *tokens) keep(r int) {
	if t.masked {
		t.p("VMOVAPS.Z Z%d, K1, Z%d", r, r)
	} else {
		t.op("VANDPS", r, maskReg, r)
	}
}

// function is a function of each value: the streams that it reads and the one that it writes, its scalars in registers from
// scalar on.
type function struct {
	name, doc string
	loads     int // streams 0…
	store     int // the stream that is written, from register 0
	scalars   int
	body      func(t *tokens)
}

// Registers 0 and 1 hold what is loaded; 2 to 8 are free, and scalar.
var functions = []function{
	{"gelu", "s1 = s0·Φ(s0)", 1, 1, 0, func(t *tokens) {
		t.normal()
		t.op("VMULPS", 7, 0, 0)
	}},
	{"geluGradient", "s2 = s0·(Φ(s1) + s1·φ(s1))", 2, 2, 0, func(t *tokens) {
		t.op("VMOVAPS", 0, 8)
		t.op("VMOVAPS", 1, 0)
		t.normal()
		t.with("VMULPS", 1/math.Sqrt(2*math.Pi), 3, 3)
		t.op("VFMADD231PS", 0, 3, 7)
		t.op("VMULPS", 7, 8, 0)
	}},
	{"silu", "s1 = s0·σ(s0)", 1, 1, 0, func(t *tokens) {
		t.logistic(0, 7, -1)
		t.op("VMULPS", 7, 0, 0)
	}},
	{"siluGradient", "s2 = s0·σ(s1)·(1 + s1·σ(−s1))", 2, 2, 0, func(t *tokens) {
		t.logistic(1, 7, 8)
		t.set(1, 2)
		t.op("VFMADD213PS", 2, 1, 8)
		t.op("VMULPS", 7, 8, 8)
		t.op("VMULPS", 8, 0, 0)
	}},
	{"sigmoid", "s1 = σ(s0)", 1, 1, 0, func(t *tokens) {
		t.logistic(0, 7, -1)
		t.op("VMOVAPS", 7, 0)
	}},
	{"sigmoidGradient", "s2 = s0·(s1 − s1²)", 2, 2, 0, func(t *tokens) {
		t.op("VMOVAPS", 1, 2)
		t.op("VFNMADD231PS", 1, 1, 2)
		t.op("VMULPS", 2, 0, 0)
	}},
	{"tanh", "s1 = tanh s0", 1, 1, 0, func(t *tokens) { t.tanh() }},
	{"tanhGradient", "s2 = s0·(1 − s1²)", 2, 2, 0, func(t *tokens) {
		t.op("VMULPS", 0, 1, 2)
		t.op("VFNMADD231PS", 1, 2, 0)
	}},
	{"leaky", "s1 = s0, times k0 where it is negative", 1, 1, 1, func(t *tokens) {
		t.op("VMULPS", 0, scalar, 2)
		t.negative(0, 2, 0, 0)
	}},
	{"leakyGradient", "s2 = s0, times k0 where s1 is not positive", 2, 2, 1, func(t *tokens) {
		t.op("VMULPS", 0, scalar, 2)
		t.clear(3)
		if t.masked {
			t.p("VCMPPS $0x1E, Z3, Z1, K2") // greater
			t.p("VMOVAPS Z0, K2, Z2")
			t.op("VMOVAPS", 2, 0)
			return
		}
		t.p("VCMPPS $0x1E, Y3, Y1, Y3")
		t.p("VBLENDVPS Y3, Y0, Y2, Y0")
	}},
}

// flat writes a function over one row.
func (t *tokens) flat(f function) {
	streams := []string{"SI", "DI", "R8"}
	t.p("MOVQ a+0(FP), AX")
	for i, r := range streams {
		if i < f.loads || i == f.store {
			t.p("MOVQ (rowArgs_streams+%d)(AX), %s", 8*i, r)
		}
	}
	for i := range f.scalars {
		t.p("VBROADCASTSS (rowArgs_scalars+%d)(AX), %s", 4*i, t.v(scalar+i))
	}
	t.takeMask("rowArgs_mask")
	t.p("MOVQ rowArgs_whole(AX), BX")
	t.along("rowArgs_tail(AX)", func(partial bool, _ int, at func(string) string) {
		for i := range f.loads {
			t.get(at(streams[i]), i, partial)
		}
		f.body(t)
		t.put(0, at(streams[f.store]), partial)
	}, 1)
	t.end()
}

// along walks along a row: DX counts bytes up to BX, of whole vectors, unrolled so many times; then comes the rest, if
// there is one, under the mask. Labels are numbered, as a function may walk several times. The step is told which of
// the unrolled ones it is and how to address a stream.
func (t *tokens) along(tail string, step func(partial bool, lane int, at func(string) string), unroll int) {
	n := t.text.Len() // unique
	label := func(name string) string { return fmt.Sprintf("%s%d", name, n) }
	at := func(offset int) func(string) string {
		return func(base string) string {
			if offset == 0 {
				return "(" + base + ")(DX*1)"
			}
			return fmt.Sprintf("%d(%s)(DX*1)", offset, base)
		}
	}
	t.p("XORQ DX, DX")
	if unroll > 1 {
		t.p("LEAQ -%d(BX), R15", (unroll-1)*t.bytes) // as long as DX is less, all of them fit
		t.p("CMPQ DX, R15")
		t.p("JGE %s", label("few"))
		t.at(label("many"))
		for lane := range unroll {
			step(false, lane, at(lane*t.bytes))
		}
		t.p("ADDQ $%d, DX", unroll*t.bytes)
		t.p("CMPQ DX, R15")
		t.p("JLT %s", label("many"))
		t.at(label("few"))
	}
	t.p("CMPQ DX, BX")
	t.p("JGE %s", label("tail"))
	t.at(label("one"))
	step(false, 0, at(0))
	t.p("ADDQ $%d, DX", t.bytes)
	t.p("CMPQ DX, BX")
	t.p("JLT %s", label("one"))
	t.at(label("tail"))
	t.p("CMPQ %s, $0", tail)
	t.p("JEQ %s", label("done"))
	step(true, 0, at(0))
	t.at(label("done"))
}

// expFit are the coefficients of Q in eʳ = 1 + r + r²·Q(r) for |r| ≤ ½ ln 2, and normalFit those of P in
// Φ(−a) = e^(−a²/2)·t·P(t) with t = 1/(1 + a·normalScale), for 0 ≤ a ≤ 13.3; fit.py finds them. See functions.go of the kernels.
var (
	expFit    = []float64{0.49999994, 0.16666521, 0.041668389, 0.0083687166, 0.0013814601}
	normalFit = []float64{0.10771922, 0.10756574, 0.10165729, 0.072615512, 0.10656524, -0.067471832, 0.16833113, -0.12580918, 0.028826874}
)

const normalScale = 0.27

// exp writes e^x for x up to 88, and 0 where it is less than −87: x = n·ln 2 + r, then (1 + r + r²·Q(r))·2ⁿ by adding n to
// the exponent. x is overwritten; three registers are needed beside e.
func (t *tokens) exp(x, e, a, b, zero int) {
	t.set(-87, b)
	if t.masked {
		t.p("VCMPPS $0x15, Z%d, Z%d, K2", b, x) // not less, or NaN
	} else {
		t.p("VCMPPS $0x15, Y%d, Y%d, Y%d", b, x, zero)
	}
	t.op("VMAXPS", x, b, x) // of the two NaN is the latter
	t.split(x, e, a, b)
	t.with("VADDPS", 1, e, e)
	if t.masked {
		t.p("VPADDD.Z Z%d, Z%d, K2, Z%d", b, e, e)
		return
	}
	t.op("VPADDD", b, e, e)
	t.op("VANDPS", zero, e, e)
}

// split leaves eʳ − 1 in e and n in the exponent bits of b.
func (t *tokens) split(x, e, a, b int) {
	const magic = 1.5 * (1 << 23) // adding it rounds to a whole number
	t.op("VMOVAPS", x, a)
	t.set(1/math.Ln2, b)
	t.with("VFMADD213PS", magic, b, a)
	t.p("VPSLLD $23, %s, %s", t.v(a), t.v(b))
	t.with("VSUBPS", magic, a, a)
	t.with("VFNMADD231PS", 0.693145751953125, a, x)
	t.with("VFNMADD231PS", 1.42860682030941723212e-6, a, x)
	t.set(expFit[len(expFit)-1], e)
	for i := len(expFit) - 2; i >= 0; i-- {
		t.with("VFMADD213PS", expFit[i], x, e)
	}
	t.op("VMULPS", x, e, e)
	t.op("VFMADD213PS", x, x, e)
}

// negative writes to = yes where the sign of x is set, else no; to may be no.
func (t *tokens) negative(x, yes, no, to int) {
	if t.masked {
		t.p("VPMOVD2M Z%d, K2", x)
		if to != no {
			t.op("VMOVAPS", no, to)
		}
		t.p("VMOVAPS Z%d, K2, Z%d", yes, to)
		return
	}
	t.p("VBLENDVPS Y%d, Y%d, Y%d, Y%d", x, yes, no, to)
}

// logistic writes σ(x) and, unless other is negative, σ(−x), by 1/(1+e) and e/(1+e) for e = e^(−|x|). Registers 2 to 6.
func (t *tokens) logistic(x, y, other int) {
	t.bits("VORPS", 1<<31, x, 2)
	t.exp(2, 3, 4, 5, 6)
	t.with("VADDPS", 1, 3, 2)
	t.set(1, 4)
	t.op("VDIVPS", 2, 4, 4) // at least ½
	t.op("VMULPS", 4, 3, 5)
	t.negative(x, 5, 4, y)
	if other >= 0 {
		t.negative(x, 4, 5, other)
	}
}

// tanh writes tanh of register 0 there, by m/(m+2) for m = e^(2|x|) − 1, which loses nothing where x is small.
func (t *tokens) tanh() {
	t.bits("VANDPS", 1<<31-1, 0, 2)
	t.op("VADDPS", 2, 2, 2)
	t.set(20, 3)
	t.op("VMINPS", 2, 3, 2) // tanh 10 is 1
	t.split(2, 3, 4, 5)
	t.bits("VPADDD", 127<<23, 5, 5) // 2ⁿ
	t.with("VSUBPS", 1, 5, 4)
	t.op("VFMADD213PS", 4, 5, 3)
	t.with("VADDPS", 2, 3, 4)
	t.op("VDIVPS", 4, 3, 3)
	t.bits("VANDPS", 1<<31, 0, 0)
	t.op("VORPS", 3, 0, 0)
}

// normal writes Φ of register 0, x, to register 7 and e^(−x²/2) to register 3.
func (t *tokens) normal() {
	t.op("VMULPS", 0, 0, 2)
	t.with("VMULPS", -0.5, 2, 2)
	t.exp(2, 3, 4, 5, 6)
	t.bits("VANDPS", 1<<31-1, 0, 2)
	t.set(normalScale, 4)
	t.with("VFMADD213PS", 1, 4, 2)
	t.set(1, 4)
	t.op("VDIVPS", 2, 4, 2) // t
	t.set(normalFit[len(normalFit)-1], 6)
	for i := len(normalFit) - 2; i >= 0; i-- {
		t.with("VFMADD213PS", normalFit[i], 2, 6)
	}
	t.op("VMULPS", 2, 6, 6)
	t.op("VMULPS", 3, 6, 6) // Φ(−|x|)
	t.op("VSUBPS", 6, 4, 4)
	t.negative(0, 6, 4, 7)
}
