package kernel

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What a kernel stores as bfloat16 is checked against the plain twin on the inputs as they are, rounded: sums are taken in
// float32, and the result is rounded once.

// draw gives n random values of the checker's type.
func (c *checker) draw(n int) Array {
	values := c.array(n)
	if !c.half {
		return Float32s(values)
	}
	return BFloat16s(c.narrowed(values))
}

// narrowed rounds values to bfloat16, in an array with guard pages.
func (c *checker) narrowed(values []float32) []BFloat16 {
	all := Halves(guarded(c.T, (len(values)+1)/2, c.low)).BFloat16()
	narrow := all[len(all)-len(values):]
	if c.low {
		narrow = all[:len(values):len(values)]
	}
	for i, v := range values {
		narrow[i] = Round(v)
	}
	return narrow
}

// values gives an array's values as float32; none of none.
func values(a Array) []float32 {
	if a.None() {
		return nil
	}
	list := make([]float32, a.n)
	for i := range list {
		list[i] = a.value(i)
	}
	return list
}

// rounded gives the values of what may be bfloat16, as a kernel would see them.
func (c *checker) rounded(list []float32) []float32 {
	if !c.half {
		return list
	}
	return values(BFloat16s(c.narrowed(list)))
}

// sameArray is same for the checker's type.
func (c *checker) sameArray(start Array, f func(p *Pool, y Array)) Array {
	c.r.Helper()
	if !start.half {
		return Float32s(c.same(start.Float32(), func(p *Pool, y []float32) { f(p, Float32s(y)) }))
	}
	var first []BFloat16
	for i, p := range c.pools {
		y := c.narrowed(values(start))
		f(p, BFloat16s(y))
		if i == 0 {
			first = y
			continue
		}
		for j := range y {
			if y[j] != first[j] {
				c.r.Fatalf("value %d is %x on one thread and %x on %d", j, first[j], y[j], p.threads)
			}
		}
	}
	return BFloat16s(first)
}

// stores is near for what may be stored as bfloat16: then it must be the rounding of a value that is near. Instructions take
// the smallest numbers, those without a whole exponent, for zero.
func (c *checker) stores(name string, got Array, want, scale []float32, tolerance float64) {
	c.r.Helper()
	if !got.half {
		c.near(name, got.Float32(), want, scale, tolerance)
		return
	}
	for i, b := range got.BFloat16() {
		slack := tolerance
		if scale != nil {
			slack *= float64(scale[i])
		}
		slack += 0x1p-126
		v, w := b.Float32(), float64(want[i])
		low, high := Round(float32(w-slack)).Float32(), Round(float32(w+slack)).Float32()
		if !(low <= v && v <= high) && !(v != v && w != w) {
			c.r.Fatalf("%s: value %d is %v, want the rounding of %v ± %.2g", name, i, v, w, slack)
		}
	}
}

// packed gives weights packed for ConvForward, and the weights as they are then.
func (c *checker) packed(g Geometry, w []float32) (Array, []float32) {
	packed := c.pack(g, w)
	if !c.half {
		return Float32s(packed), w
	}
	return c.sameArray(c.draw(PackedLen(g)), func(p *Pool, dst Array) { p.PackBFloat16(dst.BFloat16(), g, packed) }), c.rounded(w)
}

// turned is packed for ConvInputGradient.
func (c *checker) turned(g Geometry, w []float32) (Array, []float32) {
	packed := c.pack(g, w)
	return c.sameArray(c.draw(PackedInputGradientLen(g)), func(p *Pool, dst Array) { p.PackInputGradient(dst, g, packed) }), c.rounded(w)
}

// onBFloat16 runs a property where there is bfloat16.
func onBFloat16(t *testing.T, property func(t *rapid.T, c *checker)) {
	for _, s := range available() {
		if s.half != nil {
			t.Run(s.name, func(t *testing.T) { check(t, s, true, property) })
		}
	}
}

func TestRound(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	negative := math.Float32frombits(0xff800001) // a NaN of which the upper half alone would be −∞
	for _, c := range []struct {
		value float32
		want  BFloat16
	}{
		{0, 0}, {float32(math.Copysign(0, -1)), 0x8000}, {1, 0x3f80}, {-2, 0xc000},
		{1 + 0x1p-8, 0x3f80}, {1 + 0x1p-8 + 0x1p-23, 0x3f81}, {1 + 0x1p-7, 0x3f81}, {1 + 3*0x1p-8, 0x3f82}, // ties go to even
		{-1 - 0x1p-8, 0xbf80}, {-1 - 3*0x1p-8, 0xbf82}, {2 - 0x1p-8, 0x4000}, {2 - 0x1p-8 - 0x1p-23, 0x3fff},
		{math.MaxFloat32, 0x7f80}, {-math.MaxFloat32, 0xff80}, {0x1.fep127, 0x7f7f}, {0x1.ffp127, 0x7f80}, {0x1.fefffep127, 0x7f7f}, // overflow
		{inf, 0x7f80}, {-inf, 0xff80}, {nan, 0x7fc0}, {negative, 0xffc0},
		{0x1p-126, 0x0080}, {0x1p-133, 0x0001}, {0x1p-149, 0}, {0x1p-134, 0}, {0x1.8p-133, 0x0002},
	} {
		if got := Round(c.value); got != c.want {
			t.Errorf("Round(%v) is %#04x, want %#04x", c.value, got, c.want)
		}
		if got := c.want.Float32(); c.value == c.value && Round(got) != c.want {
			t.Errorf("%#04x does not come back from %v", c.want, got)
		}
	}
	for b := range 1 << 16 { // every value is its own rounding, but for quiet NaNs
		v := BFloat16(b).Float32()
		if got := Round(v); got != BFloat16(b) && !(v != v && got == BFloat16(b)|0x40) {
			t.Fatalf("Round of %#04x is %#04x", b, got)
		}
	}
}

// Whatever the machine rounds is what Round says, but for numbers too small for a whole exponent, which are zero.
func TestConvert(t *testing.T) {
	onBFloat16(t, func(r *rapid.T, c *checker) {
		n := rapid.OneOf(rapid.IntRange(1, 70), rapid.IntRange(flatBlock-20, 2*flatBlock+20)).Draw(r, "n")
		x := c.array(n)
		for i := range x {
			c.seed = c.seed*6364136223846793005 + 1442695040888963407
			x[i] = math.Float32frombits(uint32(c.seed >> 32)) // of any magnitude, some of them NaN
			if i%5 == 0 {
				x[i] = math.Float32frombits(math.Float32bits(x[i])&^0xffff | 0x8000) // a tie
			}
		}
		narrow := c.sameArray(c.draw(n), func(p *Pool, y Array) { p.Convert(Float32s(x), y) })
		for i, got := range narrow.BFloat16() {
			want := Round(x[i])
			if want&0x7f80 == 0 || math.Abs(float64(x[i])) < 0x1p-126 {
				want &= 0x8000
				got &= 0x8000 // what is stored of the smallest numbers does not matter: products take them for zero
			}
			if got != want {
				r.Fatalf("%v (%#08x) is rounded to %#04x, want %#04x", x[i], math.Float32bits(x[i]), got, want)
			}
		}
		wide := c.same(c.array(n), func(p *Pool, y []float32) { p.Convert(narrow, Float32s(y)) })
		c.exactly("widened", wide, values(narrow))
	})
}

func TestElementwiseInBFloat16(t *testing.T) {
	onBFloat16(t, func(r *rapid.T, c *checker) {
		n := rapid.OneOf(rapid.IntRange(0, 70), rapid.IntRange(flatBlock-20, 2*flatBlock+20)).Draw(r, "n")
		a, b := c.draw(n), c.draw(n)
		if n > 5 {
			for i, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0x1.fep127} {
				a.set(i, float32(v))
			}
			b.set(4, 0x1.fep127) // overflows in a sum
		}
		for name, op := range map[string]struct {
			start Array
			fast  func(p *Pool, y Array)
			naive func(y []float32)
		}{
			"ReLU":                  {c.draw(n), func(p *Pool, y Array) { p.ReLU(a, y) }, func(y []float32) { naiveReLU(values(a), y) }},
			"ReLU in place":         {a, func(p *Pool, y Array) { p.ReLU(y, y) }, func(y []float32) { naiveReLU(values(a), y) }},
			"ReLUBackward":          {c.draw(n), func(p *Pool, y Array) { p.ReLUBackward(b, a, y) }, func(y []float32) { naiveReLUBackward(values(b), values(a), y) }},
			"ReLUBackward in place": {b, func(p *Pool, y Array) { p.ReLUBackward(y, a, y) }, func(y []float32) { naiveReLUBackward(values(b), values(a), y) }},
			"Add":                   {c.draw(n), func(p *Pool, y Array) { p.Add(a, b, y) }, func(y []float32) { naiveAdd(values(a), values(b), y) }},
			"Add in place":          {b, func(p *Pool, y Array) { p.Add(a, y, y) }, func(y []float32) { naiveAdd(values(a), values(b), y) }},
		} {
			want := make([]float32, n)
			op.naive(want)
			got := c.sameArray(op.start, op.fast).BFloat16()
			for i, w := range want {
				if got[i].Float32() != Round(w).Float32() && !(w != w && got[i].Float32() != got[i].Float32()) {
					r.Fatalf("%s: value %d is %v, want the rounding of %v", name, i, got[i].Float32(), w)
				}
			}
		}
	})
}

// Packed weights are those of float32, rounded, in pairs of neighbours in the depth.
func TestPackInBFloat16(t *testing.T) {
	onBFloat16(t, func(r *rapid.T, c *checker) {
		g := drawGeometry(r)
		packed := c.pack(g, c.array(g.WeightLen()))
		pairs := func(name string, got Array, want []float32, outputs, depth int) {
			set := c.pools[0].set
			for i, b := range got.BFloat16() {
				panel := i / (set.width * depth)
				width := set.panel(outputs, panel)
				at := i - panel*set.width*depth // in the panel
				row, j := at/(2*width)*2+at%2, at%(2*width)/2
				if w := Round(want[panel*set.width*depth+row*width+j]); b != w {
					r.Fatalf("%s of %+v: value %d is %#04x, want %#04x", name, g, i, b, w)
				}
			}
		}
		if g.InC%2 == 0 {
			got := c.sameArray(c.draw(PackedLen(g)), func(p *Pool, dst Array) { p.PackBFloat16(dst.BFloat16(), g, packed) })
			pairs("PackBFloat16", got, packed, g.OutC, g.Taps()*g.InC)
		}
		if g.OutC%2 == 0 {
			wide := c.same(c.array(PackedInputGradientLen(g)), func(p *Pool, dst []float32) { p.PackInputGradient(Float32s(dst), g, packed) })
			got := c.sameArray(c.draw(len(wide)), func(p *Pool, dst Array) { p.PackInputGradient(dst, g, packed) })
			pairs("PackInputGradient", got, wide, g.InC, g.Taps()*g.OutC)
		}
	})
}

// A sum over an odd number of channels, arrays of types that do not go together and instruction sets without bfloat16 are
// refused.
func TestBFloat16Refuses(t *testing.T) {
	refuses := func(p *Pool, want string, f func()) {
		t.Helper()
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
				t.Errorf("%s: panic %q, want %q", p.set.name, text, want)
			}
		}()
		f()
	}
	half := func(n int) Array { return BFloat16s(make([]BFloat16, n)) }
	wide := func(n int) Array { return Float32s(make([]float32, n)) }
	even, odd := Conv(2, []int{3}, 4, 6, 3, 1, 1), Conv(2, []int{3}, 5, 7, 3, 1, 1)
	for _, s := range available() {
		p := newPool(1, s)
		t.Cleanup(p.Close)
		forward := func(g Geometry, x, w, y, addend Array) func() {
			return func() { p.ConvForward(g, Forward{X: x, Packed: w, Y: y, Addend: addend}) }
		}
		gradient := func(g Geometry, dy, w, dx Array) func() {
			return func() { p.ConvInputGradient(g, Backward{Dy: dy, Packed: w, Dx: dx}) }
		}
		packs := map[string]func(g Geometry) func(){
			"PackBFloat16": func(g Geometry) func() {
				return func() { p.PackBFloat16(half(PackedLen(g)).BFloat16(), g, make([]float32, PackedLen(g))) }
			},
			"PackInputGradient": func(g Geometry) func() {
				return func() { p.PackInputGradient(half(PackedInputGradientLen(g)), g, make([]float32, PackedLen(g))) }
			},
			"ConvForward": func(g Geometry) func() {
				return forward(g, half(g.InLen()), half(PackedLen(g)), half(g.OutLen()), Array{})
			},
			"ConvInputGradient": func(g Geometry) func() {
				return gradient(g, half(g.OutLen()), half(PackedInputGradientLen(g)), half(g.InLen()))
			},
		}
		if s.half == nil {
			packs["ConvWeightGradient"] = func(g Geometry) func() {
				return func() {
					p.ConvWeightGradient(g, half(g.InLen()), half(g.OutLen()), make([]float32, PackedLen(g)), make([]float32, ConvWeightGradientScratch(g)))
				}
			}
			packs["Convert"] = func(Geometry) func() { return func() { p.Convert(half(2), wide(2)) } }
			packs["ReLU"] = func(Geometry) func() { return func() { p.ReLU(half(2), half(2)) } }
			for name, f := range packs {
				refuses(p, name+": no bfloat16 with "+s.title, f(even))
			}
			continue
		}
		for name, f := range packs {
			refuses(p, name+": bfloat16 needs an even number of channels", f(odd))
			refuses(p, "<nil>", f(even))
		}
		n := Norm{1, even.OutLen() / even.OutC, even.OutC}
		k := make([]float32, n.Channels)
		out, in := even.OutLen(), even.InLen()
		none := Array{}
		for name, f := range map[string]func(){
			"ConvForward: the types":        forward(even, half(in), wide(PackedLen(even)), half(out), none),
			"ConvForward: the type":         forward(even, wide(in), wide(PackedLen(even)), half(out), none),
			"ConvForward: an addend":        forward(even, half(in), half(PackedLen(even)), wide(out), wide(out)),
			"ConvInputGradient: the types":  gradient(even, wide(out), half(PackedInputGradientLen(even)), half(in)),
			"ConvWeightGradient: the types": func() { p.ConvWeightGradient(even, half(in), wide(out), make([]float32, PackedLen(even)), nil) },
			"Convert: both arrays":          func() { p.Convert(half(2), half(2)) },
			"Add: the types":                func() { p.Add(half(2), wide(2), half(2)) },
			"ReLU: the types":               func() { p.ReLU(wide(2), half(2)) },
			"ReLUBackward: the types":       func() { p.ReLUBackward(half(2), half(2), wide(2)) },
			"BatchNormApply: the types":     func() { p.BatchNormApply(n, half(out), k, k, nil, nil, 1, wide(out), true, half(out)) },
			"BatchNormReduce: the types":    func() { p.BatchNormReduce(n, half(out), half(out), wide(out), k, k, 1, k, k) },
			"BatchNormInputGradient: the types": func() {
				p.BatchNormInputGradient(n, half(out), half(out), none, k, k, nil, 1, k, k, half(out), wide(out))
			},
			"MaxPool: the types":                   func() { p.MaxPool(Linear(2, 2, 2), half(4), wide(4), make([]int32, 4)) },
			"MaxPoolBackward: the types":           func() { p.MaxPoolBackward(Linear(2, 2, 2), half(4), make([]int32, 4), wide(4)) },
			"GlobalAveragePoolBackward: the types": func() { p.GlobalAveragePoolBackward(1, 2, 2, wide(2), half(4)) },
		} {
			refuses(p, name, f)
		}
	}
}

func TestArraysOfEitherType(t *testing.T) {
	a := Halves(make([]float32, 3))
	if a.Len() != 6 || !a.Half() || a.None() || !(Array{}).None() || !Float32s(nil).None() {
		t.Errorf("an array of %d values (bfloat16: %v)", a.Len(), a.Half())
	}
	a.BFloat16()[5] = Round(2.5)
	if got := a.value(5); got != 2.5 || !slices.Equal(a.First(2).BFloat16(), []BFloat16{0, 0}) {
		t.Errorf("value 5 is %v", got)
	}
	for name, f := range map[string]func(){
		"too long":           func() { a.First(7) },
		"bfloat16 as others": func() { a.Float32() },
		"others as bfloat16": func() { Float32s(make([]float32, 2)).BFloat16() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
