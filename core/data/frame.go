package data

import (
	"fmt"
	"math"
	"slices"
)

// framer brings the records of one source to the frame. It is not safe for concurrent use.
type framer struct {
	mapping
	out    []int // spatial size of the frame
	depth  int   // bands of the frame
	table  [256]float32
	in     []int // where the box of pixels that a record gives begins in the record,
	to     []int // where it begins in the frame,
	box    []int // and its size
	at     []int
	finite []float32
}

func newFramer(l *layout, source int) *framer {
	rank := len(l.facts.Shape) - 1
	f := &framer{mapping: l.sources[source], depth: int(l.facts.Shape[rank])}
	for _, n := range l.facts.Shape[:rank] {
		f.out = append(f.out, int(n))
	}
	f.in, f.to, f.box, f.at = make([]int, rank), make([]int, rank), make([]int, rank), make([]int, rank)
	for i := range f.table {
		f.table[i] = float32(f.scale * float64(i))
	}
	return f
}

// place finds the box of a record of this shape, and says what is wrong with the shape, or nothing.
func (f *framer) place(shape []int, length int) (padded bool, bad string) {
	if len(shape) != f.rank+1 {
		return false, fmt.Sprintf("has %d spatial axes instead of %d", len(shape)-1, f.rank)
	}
	if n := shape[f.rank]; n != f.count {
		return false, fmt.Sprintf("has %d bands instead of %d", n, f.count)
	}
	total := 1
	for _, n := range shape {
		if n < 1 || n > most || total*n > most {
			return false, fmt.Sprintf("has the shape %v", shape)
		}
		total *= n
	}
	if total != length {
		return false, fmt.Sprintf("has %d values for the shape %v", length, shape)
	}
	for i, out := range f.out {
		n := shape[i]
		start := n/2 - out/2 // of the frame in the record
		f.in[i], f.to[i] = max(start, 0), max(-start, 0)
		f.box[i] = min(n, start+out) - f.in[i]
		padded = padded || f.box[i] < out
	}
	return padded, ""
}

// rows calls do for each run of pixels along the last axis of the box: where it begins in the frame and in the record,
// counted in pixels, and how many there are.
func (f *framer) rows(shape []int, do func(to, in, n int)) {
	last := f.rank - 1
	if last < 0 {
		do(0, 0, 1)
		return
	}
	for i := range f.at {
		f.at[i] = 0
	}
	for {
		to, in := 0, 0
		for i := range f.rank {
			to = to*f.out[i] + f.to[i] + f.at[i]
			in = in*shape[i] + f.in[i] + f.at[i]
		}
		do(to, in, f.box[last])
		i := last - 1
		for ; i >= 0; i-- {
			if f.at[i]++; f.at[i] < f.box[i] {
				break
			}
			f.at[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

// bytes puts a record of bytes into a frame of bytes.
func (f *framer) bytes(dst, src []byte, shape []int, padded bool) {
	if padded {
		clear(dst)
	}
	f.rows(shape, func(to, in, n int) { pick(dst[to*f.depth:], src[in*f.count:], n, f.mapping, f.depth) })
}

// pick copies n pixels with the bands of the store.
func pick[T uint8 | float32](dst, src []T, n int, m mapping, depth int) {
	if m.bands == nil {
		copy(dst[:n*depth], src[:n*depth])
		return
	}
	for p := range n {
		d, s := dst[p*depth:][:depth], src[p*m.count:][:m.count]
		for k, j := range m.bands {
			d[k] = s[j]
		}
	}
}

// widen puts a record of bytes into a frame of numbers.
func (f *framer) widen(dst []float32, src []byte, shape []int, padded bool) {
	if padded {
		clear(dst)
	}
	f.rows(shape, func(to, in, n int) {
		for p := range n {
			d, s := dst[(to+p)*f.depth:][:f.depth], src[(in+p)*f.count:][:f.count]
			for k := range d {
				j := k
				if f.bands != nil {
					j = f.bands[k]
				}
				d[k] = f.table[s[j]]
			}
		}
	})
}

// mended is the share of pixels that are not finite which a record may have to be mended and kept.
const mended = 0.01

// numbers puts a record of numbers into a frame. Pixels that are not finite are set to the median of their band in this
// record, if they are few.
func (f *framer) numbers(dst, src []float32, shape []int, padded bool) (mend int, bad string) {
	if padded {
		clear(dst)
	}
	scale := float32(f.scale)
	total := 0
	f.rows(shape, func(to, in, n int) {
		run := dst[to*f.depth:][:n*f.depth]
		pick(run, src[in*f.count:], n, f.mapping, f.depth)
		if scale != 1 {
			for i := range run {
				run[i] *= scale
			}
		}
		for _, v := range run {
			if !finite(v) {
				mend++
			}
		}
		total += len(run)
	})
	if mend == 0 {
		return 0, ""
	}
	if float64(mend)/float64(total) > mended {
		// Without the share itself: objects that are left out for one reason are counted together.
		return mend, fmt.Sprintf("more than %g %% of the pixels are not finite (fill them, or choose a smaller frame without them)", 100*mended)
	}
	for b := range f.depth {
		f.finite = f.finite[:0]
		holes := 0
		f.rows(shape, func(to, in, n int) {
			for p := to; p < to+n; p++ {
				if v := dst[p*f.depth+b]; finite(v) {
					f.finite = append(f.finite, v)
				} else {
					holes++
				}
			}
		})
		if holes == 0 {
			continue
		}
		if len(f.finite) == 0 {
			return mend, fmt.Sprintf("has no finite pixel in band %d", b)
		}
		m := median(f.finite)
		f.rows(shape, func(to, in, n int) {
			for p := to; p < to+n; p++ {
				if !finite(dst[p*f.depth+b]) {
					dst[p*f.depth+b] = m
				}
			}
		})
	}
	return mend, ""
}

func finite(v float32) bool { return math.Float32bits(v)&0x7f800000 != 0x7f800000 }

// median sorts v, which must not be empty, and gives its median.
func median(v []float32) float32 {
	slices.Sort(v)
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return float32((float64(v[n/2-1]) + float64(v[n/2])) / 2)
}
