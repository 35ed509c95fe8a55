package tiled

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
)

// unzip undoes GZIP_1, and GZIP_2 when the bytes were shuffled: first the highest of all values, the lowest last.
func unzip(data []byte, n int, shuffled bool) ([]int64, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it cannot be unpacked: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, int64(8*n+1)))
	if err != nil {
		return nil, fmt.Errorf("it cannot be unpacked: %w", err)
	}
	if width := len(plain) / n; shuffled && width > 1 {
		ordered := make([]byte, len(plain))
		for i, b := range plain[:width*n] {
			ordered[i%n*width+i/n] = b
		}
		plain = ordered
	}
	return integers(plain, n)
}

// integers reads big-endian integers, as wide as n of them need to fill the data: a byte has no sign, others do.
func integers(data []byte, n int) ([]int64, error) {
	out := make([]int64, n)
	switch len(data) {
	case n:
		for i := range out {
			out[i] = int64(data[i])
		}
	case 2 * n:
		for i := range out {
			out[i] = int64(int16(binary.BigEndian.Uint16(data[2*i:])))
		}
	case 4 * n:
		for i := range out {
			out[i] = int64(int32(binary.BigEndian.Uint32(data[4*i:])))
		}
	case 8 * n:
		for i := range out {
			out[i] = int64(binary.BigEndian.Uint64(data[8*i:]))
		}
	default:
		return nil, fmt.Errorf("it has %d bytes for %d pixels", len(data), n)
	}
	return out, nil
}
