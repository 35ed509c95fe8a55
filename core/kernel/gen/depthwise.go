package main

import "fmt"

func init() {
	families = append(families, family{"depthwise", func(o *out) {
		o.depthwiseTiles("depthwise", (*out).depthwise)
		o.depthwiseTiles("depthwiseGradient", (*out).depthwiseGradient)
		o.depthwiseCopy()
	}})
}

// pixels is the width of the widest depthwise tile: it leaves four registers for sums and weights.
func (s isa) pixels() int { return min(16, s.regs-4) }

// depthwiseTiles writes the tiles of every width, and the table that lists them.
func (o *out) depthwiseTiles(name string, tile func(o *out, name string, pixels int)) {
	for pixels := 1; pixels <= o.pixels(); pixels++ {
		tile(o, fmt.Sprintf("%s%d%s", name, pixels, o.name), pixels)
	}
	fmt.Fprintf(o.decls, "\n// %s%s lists the tiles by pixels.\nvar %s%s = []func(*depthwiseArgs){nil", name, o.name, name, o.name)
	for pixels := 1; pixels <= o.pixels(); pixels++ {
		fmt.Fprintf(o.decls, ", %s%d%s", name, pixels, o.name)
	}
	fmt.Fprintf(o.decls, "}\n")
}

// depthwiseBegin loads the arguments of a tile.
func (o *out) depthwiseBegin() {
	o.p("MOVQ a+0(FP), AX")
	o.p("MOVQ depthwiseArgs_x(AX), SI")
	o.p("MOVQ depthwiseArgs_weights(AX), BX")
	o.p("MOVQ depthwiseArgs_taps(AX), DX")
	o.p("MOVQ depthwiseArgs_count(AX), CX")
	o.p("MOVQ depthwiseArgs_out(AX), DI")
}

// eachTap writes the loop over the taps: R8 is the tap's place in x, R9 that of its weights.
func (o *out) eachTap(body func()) {
	o.p("TESTQ CX, CX")
	o.p("JEQ done")
	o.at("tap")
	o.p("MOVQ (DX), R8")
	o.p("MOVQ 8(DX), R9")
	body()
	o.p("ADDQ $16, DX")
	o.p("DECQ CX")
	o.p("JNZ tap")
	o.at("done")
}

// depthwise writes one tile: a sum for each pixel from register 0, and the weights of a tap in the last register.
func (o *out) depthwise(name string, pixels int) {
	o.function(name, "depthwiseArgs", fmt.Sprintf("computes %d pixels; see depthwisePortable.", pixels))
	o.depthwiseBegin()
	for i := range pixels {
		o.p("VMOVUPS (BX), %s", o.v(i))
	}
	w := o.v(o.regs - 1)
	o.eachTap(func() {
		o.p("VMOVUPS (BX)(R9*1), %s", w)
		for i := range pixels {
			o.p("VFMADD231PS %d(SI)(R8*1), %s, %s", i*o.bytes, w, o.v(i))
		}
	})
	o.p("MOVQ depthwiseArgs_stride(AX), R8")
	o.p("MOVQ depthwiseArgs_mask(AX), DX")
	store := func(format string) {
		for i := range pixels {
			o.p(format, o.v(i))
			if i < pixels-1 {
				o.p("ADDQ R8, DI")
			}
		}
		o.end()
	}
	if o.masked {
		o.p("KMOVW (DX), K1")
		store("VMOVUPS %s, K1, (DI)")
		return
	}
	o.p("CMPQ depthwiseArgs_whole(AX), $0")
	o.p("JEQ part")
	store("VMOVUPS %s, (DI)")
	o.at("part")
	o.p("VMOVUPS (DX), %s", w)
	store("VMASKMOVPS %s, " + w + ", (DI)")
}

// depthwiseGradient writes one tile of the weight gradient: dy from register 0, and up to four sums of a tap, so that
// additions do not wait for one another.
func (o *out) depthwiseGradient(name string, pixels int) {
	o.function(name, "depthwiseArgs", fmt.Sprintf("computes %d pixels; see depthwiseGradientPortable.", pixels))
	o.depthwiseBegin()
	for i := range pixels {
		o.p("VMOVUPS %d(DI), %s", i*o.bytes, o.v(i))
	}
	sums := min(4, (pixels+1)/2)
	sum := func(i int) string { return o.v(pixels + i) }
	o.eachTap(func() {
		o.p("VMOVUPS (BX)(R9*1), %s", sum(0))
		for i := range pixels {
			name := "VFMADD231PS"
			if i > 0 && i < sums {
				name = "VMULPS"
			}
			o.p("%s %d(SI)(R8*1), %s, %s", name, i*o.bytes, o.v(i), sum(i%sums))
		}
		for n := sums; n > 1; n = (n + 1) / 2 {
			for i := range n / 2 {
				o.p("VADDPS %s, %s, %s", sum(n-1-i), sum(i), sum(i))
			}
		}
		o.p("VMOVUPS %s, (BX)(R9*1)", sum(0))
	})
	o.end()
}

// depthwiseCopy writes the loop that takes the vectors of pixels apart: it reads the channels of a pixel in order, as
// memory likes it.
func (o *out) depthwiseCopy() {
	o.function("depthwiseCopy"+o.name, "depthwiseCopyArgs", "copies vectors of pixels; see depthwiseCopyPortable.")
	o.p("MOVQ a+0(FP), AX")
	o.p("MOVQ depthwiseCopyArgs_from(AX), SI")
	o.p("MOVQ depthwiseCopyArgs_to(AX), DI")
	o.p("MOVQ depthwiseCopyArgs_pixels(AX), CX")
	o.p("MOVQ depthwiseCopyArgs_stride(AX), R8")
	o.p("MOVQ depthwiseCopyArgs_whole(AX), BX")
	o.p("MOVQ depthwiseCopyArgs_plane(AX), R9")
	o.p("MOVQ depthwiseCopyArgs_mask(AX), DX")
	if o.masked {
		o.p("KMOVW (DX), K1")
	} else {
		o.p("VMOVUPS (DX), %s", o.v(1))
	}
	o.at("pixel")
	o.p("MOVQ SI, R10")
	o.p("MOVQ DI, R11")
	o.p("MOVQ BX, R12")
	o.p("TESTQ R12, R12")
	o.p("JEQ last")
	o.at("vector")
	o.p("VMOVUPS (R10), %s", o.v(0))
	o.p("VMOVUPS %s, (R11)", o.v(0))
	o.p("ADDQ $%d, R10", o.bytes)
	o.p("ADDQ R9, R11")
	o.p("DECQ R12")
	o.p("JNZ vector")
	o.at("last")
	if o.masked {
		o.p("VMOVUPS.Z (R10), K1, %s", o.v(0))
	} else {
		o.p("VMASKMOVPS (R10), %s, %s", o.v(1), o.v(0))
	}
	o.p("VMOVUPS %s, (R11)", o.v(0))
	o.p("ADDQ R8, SI")
	o.p("ADDQ $%d, DI", o.bytes)
	o.p("DECQ CX")
	o.p("JNZ pixel")
	o.end()
}
