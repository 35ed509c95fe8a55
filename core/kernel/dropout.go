package kernel

import (
	"math"
	"unsafe"
)

// Dropout sets values to zero with some probability and scales the others by 1/(1−rate). What it draws is Philox4x32-10,
// as in core/key: value i of a sample is decided by draw i of the source of the key at (step, sample), so that nothing
// depends on how samples are batched or split. The gradient is the same operation on dy. A Dropout serves one operation at
// a time.
type Dropout struct {
	keys      [20]uint64 // two for each round
	threshold uint32     // less than it: dropped
	scale     float32

	step, samples, values, parts int
	x, y                         []float32
	run                          func(p *Pool, w *worker, task int)
}

// NewDropout makes a Dropout of a rate from 0 to less than 1, with a key of core/key.
func NewDropout(rate float64, key [2]uint32) *Dropout {
	if !(rate >= 0 && rate < 1) {
		panic("kernel: NewDropout: the rate must be at least 0 and less than 1")
	}
	d := &Dropout{threshold: uint32(min(math.Round(rate*(1<<32)), math.MaxUint32)), scale: float32(1 / (1 - rate))}
	for round := range 10 {
		d.keys[2*round], d.keys[2*round+1] = uint64(key[0]), uint64(key[1])
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	d.run = d.task
	return d
}

// dropBlock is how many values of a sample one task takes.
const dropBlock = 1 << 14

// Dropout computes y from x, both [samples, …]: samples 0, 1, … of the step. y may be x.
func (p *Pool) Dropout(d *Dropout, step uint64, samples int, x, y []float32) {
	want("Dropout", "y", len(y), len(x))
	if samples == 0 || len(x) == 0 {
		return
	}
	if len(x)%samples != 0 {
		panic("kernel: Dropout: samples must be of one size")
	}
	p.begin()
	defer p.end()
	d.step, d.samples, d.values, d.x, d.y = int(uint32(step)), samples, len(x)/samples, x, y
	d.parts = (d.values + dropBlock - 1) / dropBlock
	p.run(samples*d.parts, d.run)
	d.x, d.y = nil, nil
}

func (d *Dropout) task(p *Pool, w *worker, task int) {
	sample, first := task/d.parts, task%d.parts*dropBlock
	n := min(dropBlock, d.values-first)
	w.offsets = grow(w.offsets, 4)
	counter := w.offsets
	counter[0], counter[1], counter[2], counter[3] = int64(first/4), int64(d.step), int64(uint32(sample)), int64(uint64(sample)>>32)
	a := &w.row
	*a = rowArgs{scalars: [3]float32{d.scale}, tap: int32(d.threshold)}
	a.params[0], a.params[1] = unsafe.Pointer(&d.keys), unsafe.Pointer(&counter[0])
	at := sample*d.values + first
	group := 2 * p.set.vec // values of a turn of the loop
	if whole := n / group * group; whole > 0 {
		a.rows, a.whole = int64(n/group), int64(4*group)
		a.stream(0, d.x, at, group)
		a.stream(1, d.y, at, group)
		p.set.tokens().drop(a)
		counter[0] += int64(whole / 4)
		at, n = at+whole, n-whole
	}
	if n > 0 {
		a.rows, a.whole, a.tail = 1, 0, int64(n)
		a.stream(0, d.x, at, 0)
		a.stream(1, d.y, at, 0)
		dropPortable(a)
	}
}

// dropPortable writes s1 = k0·s0, or 0 where the draw is less than the tap as a number without sign. p0 are the keys of the
// rounds and p1 the counter, which counts blocks of four draws from the first row on.
func dropPortable(a *rowArgs) {
	keys, counter := (*[20]uint64)(a.params[0]), *(*[4]uint64)(a.params[1])
	n := int(a.whole)/4 + int(a.tail)
	for r := range int(a.rows) {
		x := unsafe.Slice((*float32)(unsafe.Add(a.streams[0], r*int(a.strides[0]))), n)
		y := unsafe.Slice((*float32)(unsafe.Add(a.streams[1], r*int(a.strides[1]))), n)
		for i := 0; i < n; i += 4 {
			for j, bits := range philox(counter, keys) {
				if i+j == n {
					break
				}
				if bits < uint32(a.tap) {
					y[i+j] = 0
				} else {
					y[i+j] = a.scalars[0] * x[i+j]
				}
			}
			counter[0]++
		}
	}
}

// philox is Philox4x32-10 (Salmon et al. 2011) with the keys of its rounds.
func philox(c [4]uint64, keys *[20]uint64) (words [4]uint32) {
	for round := range 10 {
		p0, p1 := 0xD2511F53*uint64(uint32(c[0])), 0xCD9E8D57*uint64(uint32(c[2]))
		c = [4]uint64{p1>>32 ^ c[1] ^ keys[2*round], p1, p0>>32 ^ c[3] ^ keys[2*round+1], p0}
	}
	for i, w := range c {
		words[i] = uint32(w)
	}
	return words
}
