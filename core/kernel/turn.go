package kernel

import "unsafe"

// turnArgs describes the turning of 8 rows of 8·blocks values: turn writes columns[offsets[j] + i] = rows[i·stride + j],
// turnAdd adds to rows[i·stride + j] the values columns[offsets[j] + i].
type turnArgs struct {
	rows    unsafe.Pointer
	stride  int64
	columns unsafe.Pointer
	offsets unsafe.Pointer // [8·blocks] int32
	blocks  int64          // at least 1
}

// turnPortable is turn in Go.
func turnPortable(a *turnArgs) {
	for j, offset := range unsafe.Slice((*int32)(a.offsets), 8*a.blocks) {
		to := unsafe.Slice((*float32)(unsafe.Add(a.columns, int(offset)*4)), 8)
		for i := range to {
			to[i] = *(*float32)(unsafe.Add(a.rows, (i*int(a.stride)+j)*4))
		}
	}
}

// turnAddPortable is turnAdd in Go.
func turnAddPortable(a *turnArgs) {
	for j, offset := range unsafe.Slice((*int32)(a.offsets), 8*a.blocks) {
		for i, v := range unsafe.Slice((*float32)(unsafe.Add(a.columns, int(offset)*4)), 8) {
			*(*float32)(unsafe.Add(a.rows, (i*int(a.stride)+j)*4)) += v
		}
	}
}

// turn writes columns[offsets[j] + i] = rows[i·stride + j] for i < n and all offsets: eight by eight, and the rest one by
// one.
func (p *Pool) turn(w *worker, rows []float32, stride, n int, columns []float32, offsets []int32) {
	whole := len(offsets) &^ 7
	for i := 0; i < n; i += 8 {
		from := 0
		if n-i >= 8 && whole > 0 {
			w.turn = turnArgs{unsafe.Pointer(&rows[i*stride]), int64(stride), unsafe.Pointer(&columns[i]), unsafe.Pointer(&offsets[0]), int64(whole / 8)}
			p.set.turn(&w.turn)
			from = whole
		}
		for j := from; j < len(offsets); j++ {
			to := columns[int(offsets[j])+i:]
			for k := range min(8, n-i) {
				to[k] = rows[(i+k)*stride+j]
			}
		}
	}
}

// turnPairs writes columns[offsets[j] + i] = rows[i·stride + 2j] and rows[i·stride + 2j+1] as a pair of bfloat16, for i < n
// and all offsets.
func (p *Pool) turnPairs(w *worker, rows []float32, stride, n int, columns []uint32, offsets []int32) {
	whole := len(offsets) &^ 7
	for i := 0; i < n; i += 8 {
		from := 0
		if n-i >= 8 && whole > 0 {
			w.turn = turnArgs{unsafe.Pointer(&rows[i*stride]), int64(stride), unsafe.Pointer(&columns[i]), unsafe.Pointer(&offsets[0]), int64(whole / 8)}
			p.set.half.turnPairs(&w.turn)
			from = whole
		}
		for j := from; j < len(offsets); j++ {
			to := columns[int(offsets[j])+i:]
			for k := range min(8, n-i) {
				at := (i+k)*stride + 2*j
				to[k] = uint32(Round(rows[at])) | uint32(Round(rows[at+1]))<<16
			}
		}
	}
}

// turnAdd adds columns[offsets[j] + i] to rows[i·stride + j] for i < n and all offsets.
func (p *Pool) turnAdd(w *worker, rows []float32, stride, n int, columns []float32, offsets []int32) {
	whole := len(offsets) &^ 7
	for i := 0; i < n; i += 8 {
		from := 0
		if n-i >= 8 && whole > 0 {
			w.turn = turnArgs{unsafe.Pointer(&rows[i*stride]), int64(stride), unsafe.Pointer(&columns[i]), unsafe.Pointer(&offsets[0]), int64(whole / 8)}
			p.set.turnAdd(&w.turn)
			from = whole
		}
		for j := from; j < len(offsets); j++ {
			column := columns[int(offsets[j])+i:]
			for k := range min(8, n-i) {
				rows[(i+k)*stride+j] += column[k]
			}
		}
	}
}
