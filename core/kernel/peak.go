package kernel

import "unsafe"

// MultiplyAdds runs the widest product tile on data in the first-level cache, on all threads at once, and returns the
// number of operations, a multiply-add as two: with the time that it takes, the machine's peak for products of this pool.
func (p *Pool) MultiplyAdds(half bool) int64 {
	p.wantTypes("MultiplyAdds", Array{half: half}, Array{half: half}, Array{}, Array{}, 2)
	const depth, taps, repeat = 32, 2000, 20
	vecs := p.set.width / p.set.vec
	rows := p.set.height(vecs)
	product, pair := p.set.products[vecs][rows], 1
	if half {
		product, pair = p.set.half.products[vecs][rows], 2
	}
	p.Do(p.threads, func(int) {
		x, y := make([]float32, depth), make([]float32, rows*p.set.width)
		w, offsets := make([]float32, depth*p.set.width), make([]int64, taps)
		table, out := make([]unsafe.Pointer, rows*taps), make([]unsafe.Pointer, rows)
		for i := range table {
			table[i] = unsafe.Pointer(&x[0])
		}
		for i := range out {
			out[i] = unsafe.Pointer(&y[i*p.set.width])
		}
		for range repeat {
			product(&productArgs{table: unsafe.Pointer(&table[0]), offsets: unsafe.Pointer(&offsets[0]), weights: unsafe.Pointer(&w[0]),
				taps: taps, depth: depth, mask: p.set.mask(p.set.width), out: unsafe.Pointer(&out[0])})
		}
	})
	return int64(2 * pair * rows * p.set.width * depth * taps * repeat * p.threads)
}

// HasBFloat16 tells whether this machine computes products of bfloat16, with the instruction set that is selected.
func HasBFloat16() bool { return current.Load().half != nil }
