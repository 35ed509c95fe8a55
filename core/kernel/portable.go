package kernel

import "unsafe"

// The portable tiles are 4 rows × 16 outputs.
const (
	portableRows  = 4
	portableWidth = 16
)

var portableCounts = func() (c [portableWidth + 1]int64) {
	for i := range c {
		c[i] = int64(i)
	}
	return c
}()

var portable = func() *set {
	s := &set{name: "portable", title: "portable Go", vec: portableWidth, width: portableWidth, loops: portableLoops,
		turn: turnPortable, turnAdd: turnAddPortable}
	s.products = [][]func(*productArgs){nil, {nil}}
	s.gradients = [][]func(*gradientArgs){nil, {nil}}
	for rows := 1; rows <= portableRows; rows++ {
		s.products[1] = append(s.products[1], func(a *productArgs) { productPortable(a, rows) })
		s.gradients[1] = append(s.gradients[1], func(a *gradientArgs) { gradientPortable(a, rows) })
	}
	s.copies = append(s.copies, nil)
	for width := portableWidth; width <= 3*portableWidth; width += portableWidth {
		s.copies = append(s.copies, func(a *copyArgs) { copyRowsPortable(a, width) })
	}
	for i := range portableCounts {
		s.masks = append(s.masks, unsafe.Pointer(&portableCounts[i]))
	}
	return s
}()

// productPortable is the tile of productArgs in Go.
func productPortable(a *productArgs, rows int) {
	var acc [portableRows][portableWidth]float32
	table := unsafe.Slice((*unsafe.Pointer)(a.table), int(a.taps)*rows)
	offsets := unsafe.Slice((*int64)(a.offsets), a.taps)
	for t, offset := range offsets {
		w := unsafe.Slice((*float32)(unsafe.Add(a.weights, offset*portableWidth*4)), a.depth*portableWidth)
		for r := range rows {
			x := unsafe.Slice((*float32)(table[t*rows+r]), a.depth)
			for j := 0; j < portableWidth; j += 4 { // four sums stay in registers
				s0, s1, s2, s3 := acc[r][j], acc[r][j+1], acc[r][j+2], acc[r][j+3]
				wj := w[j:]
				for k, v := range x {
					q := wj[k*portableWidth : k*portableWidth+4 : k*portableWidth+4]
					s0 += v * q[0]
					s1 += v * q[1]
					s2 += v * q[2]
					s3 += v * q[3]
				}
				acc[r][j], acc[r][j+1], acc[r][j+2], acc[r][j+3] = s0, s1, s2, s3
			}
		}
	}
	n := int(*(*int64)(a.mask))
	for r := range rows {
		s := acc[r][:n]
		if a.from != nil {
			from := unsafe.Slice((*unsafe.Pointer)(a.from), rows)[r]
			for j, v := range unsafe.Slice((*float32)(unsafe.Add(from, a.fromColumn)), n) {
				s[j] += v
			}
		}
		if a.bias != nil {
			for j, v := range unsafe.Slice((*float32)(a.bias), n) {
				s[j] += v
			}
		}
		if a.sums != nil {
			sums, shift := unsafe.Slice((*float32)(a.sums), 2*portableWidth), unsafe.Slice((*float32)(a.shift), n)
			for j, v := range s {
				d := v - shift[j]
				sums[j] += d
				sums[portableWidth+j] += d * d
			}
		}
		y := unsafe.Slice((*float32)(unsafe.Add(unsafe.Slice((*unsafe.Pointer)(a.out), rows)[r], a.column)), n)
		for j, v := range s {
			if a.addend != 0 {
				v += *(*float32)(unsafe.Add(unsafe.Pointer(&y[j]), a.addendAt))
			}
			if a.relu != 0 {
				v = notNegative(v)
			}
			y[j] = v
		}
	}
}

// gradientPortable is the tile of gradientArgs in Go.
func gradientPortable(a *gradientArgs, rows int) {
	var acc [portableRows][portableWidth]float32
	n := int(*(*int64)(a.mask))
	for _, p := range unsafe.Slice((*[2]int32)(a.pairs), a.count) {
		x := unsafe.Slice((*float32)(unsafe.Add(a.x, int(p[0])*4)), rows)
		dy := unsafe.Slice((*float32)(unsafe.Add(a.dy, int(p[1])*4)), n)
		for r, v := range x {
			to := acc[r][:n]
			for j, d := range dy {
				to[j] += v * d
			}
		}
	}
	for r := range rows {
		sum := unsafe.Slice((*float32)(unsafe.Add(a.sum, int64(r)*a.stride*4)), portableWidth)
		for j := range sum {
			if a.set != 0 {
				sum[j] = 0
			}
			sum[j] += acc[r][j]
		}
	}
}

// copyRowsPortable is the loop of copyArgs in Go.
func copyRowsPortable(a *copyArgs, width int) {
	n := width - portableWidth + int(*(*int64)(a.mask))
	offsets := unsafe.Slice((*int32)(a.offsets), 2*a.rows)
	for r := range int(a.rows) {
		to := unsafe.Slice((*float32)(unsafe.Add(a.to, r*int(a.stride)*4)), width)
		copy(to, unsafe.Slice((*float32)(unsafe.Add(a.from, int(offsets[2*r])*4)), n))
		clear(to[n:])
	}
}
