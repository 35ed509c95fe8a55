package tiled

// bitReader reads bits, the highest of each byte first. Behind the end it gives zeros and remembers that it did.
type bitReader struct {
	data   []byte
	at     int // of the next byte
	buffer uint64
	have   uint // bits of the buffer that are not read yet
	ended  bool
}

// bits gives the next n ≤ 32 bits.
func (r *bitReader) bits(n uint) uint32 {
	for r.have < n {
		var next byte
		if r.at < len(r.data) {
			next = r.data[r.at]
		} else {
			r.ended = true
		}
		r.at++
		r.buffer = r.buffer<<8 | uint64(next)
		r.have += 8
	}
	r.have -= n
	return uint32(r.buffer>>r.have) & (1<<n - 1)
}

// align goes on at the next whole byte.
func (r *bitReader) align() { r.have -= r.have % 8 }
