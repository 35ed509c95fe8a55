package tiled

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// hcompress undoes HCOMPRESS_1 (White, Postman & Lattanzi 1992; section 10.4.4 of the standard): the coefficients of a
// Haar-like transform, divided by a scale, in bit planes that are coded as quadtrees.
func hcompress(data []byte, n int, smooth bool) ([]int64, error) {
	const header = 2 + 4 + 4 + 4 + 8 + 3
	if len(data) < header {
		return nil, errors.New("it ends early")
	}
	if data[0] != 0xdd || data[1] != 0x99 {
		return nil, fmt.Errorf("it is no HCOMPRESS: it begins with % x", data[:2])
	}
	height, width := int(binary.BigEndian.Uint32(data[2:])), int(binary.BigEndian.Uint32(data[6:]))
	scale := int64(int32(binary.BigEndian.Uint32(data[10:])))
	sum := int64(binary.BigEndian.Uint64(data[14:]))
	if width < 1 || height < 1 || height > n || width*height != n {
		return nil, fmt.Errorf("it has %d × %d pixels instead of %d", width, height, n)
	}
	planes := data[22:25]
	if max(planes[0], planes[1], planes[2]) > 62 {
		return nil, fmt.Errorf("it has %d bit planes", max(planes[0], planes[1], planes[2]))
	}
	c := &coefficients{make([]int64, n), width, height}
	r := &bitReader{data: data[header:]}
	left, top := (width+1)/2, (height+1)/2
	for _, q := range []struct {
		x, y, width, height int
		planes              byte
	}{
		{0, 0, left, top, planes[0]},
		{left, 0, width - left, top, planes[1]},
		{0, top, left, height - top, planes[1]},
		{left, top, width - left, height - top, planes[2]},
	} {
		if err := c.quadrant(r, q.x, q.y, q.width, q.height, int(q.planes)); err != nil {
			return nil, err
		}
	}
	if r.bits(4) != 0 {
		return nil, errors.New("its bit planes do not end where they should")
	}
	r.align()
	for i, v := range c.values {
		if v != 0 && r.bits(1) == 1 {
			c.values[i] = -v
		}
	}
	if r.ended {
		return nil, errors.New("it ends early")
	}
	c.values[0] = sum
	if scale > 1 {
		for i := range c.values {
			c.values[i] *= scale
		}
	}
	return c.invert(smooth, scale), nil
}

// quadrant reads the bit planes of one quarter of the coefficients, the highest first.
func (c *coefficients) quadrant(r *bitReader, x, y, width, height, planes int) error {
	levels := max(1, bits.Len(uint(max(width, height, 1)-1)))
	codes, finer := make([]byte, (width+1)/2*((height+1)/2)+1), make([]byte, (width+1)/2*((height+1)/2)+1)
	for plane := planes - 1; plane >= 0; plane-- {
		if r.ended {
			return errors.New("it ends early")
		}
		w, h := (width+1)/2, (height+1)/2
		switch r.bits(4) {
		case 0: // the codes of all fours of pixels, one after the other
			for i := range codes[:w*h] {
				codes[i] = byte(r.bits(4))
			}
		case 15: // a quadtree: a code says which of the four below it are not empty
			codes[0] = r.code()
			w, h = 1, 1
			for level := levels - 1; level > 0; level-- {
				fw, fh := (width+1<<level-1)>>level, (height+1<<level-1)>>level
				r.descend(finer, fw, fh, codes, w)
				codes, finer, w, h = finer, codes, fw, fh
			}
		default:
			return errors.New("a bit plane begins with neither of the two codes")
		}
		for j := range h {
			for i, code := range codes[j*w : (j+1)*w] {
				if code != 0 {
					c.insert(x+2*i, y+2*j, x+width, y+height, code, plane)
				}
			}
		}
	}
	return nil
}

// descend reads the codes of a finer level, the last first: one for each bit that is set in the coarser level's codes.
func (r *bitReader) descend(finer []byte, width, height int, coarser []byte, stride int) {
	for y := height - 1; y >= 0; y-- {
		above, row := coarser[y/2*stride:], finer[y*width:(y+1)*width]
		for x := width - 1; x >= 0; x-- {
			if above[x/2]>>(3-2*(y&1)-x&1)&1 != 0 {
				row[x] = r.code()
			} else {
				row[x] = 0
			}
		}
	}
}

// insert sets a bit of the coefficients that a code names among four: upper left, upper right, lower left, lower right.
func (c *coefficients) insert(x, y, right, bottom int, code byte, plane int) {
	at, bit := y*c.width+x, int64(1)<<plane
	if code&8 != 0 && x < right && y < bottom {
		c.values[at] |= bit
	}
	if code&4 != 0 && x+1 < right && y < bottom {
		c.values[at+1] |= bit
	}
	if code&2 != 0 && x < right && y+1 < bottom {
		c.values[at+c.width] |= bit
	}
	if code&1 != 0 && x+1 < right && y+1 < bottom {
		c.values[at+c.width+1] |= bit
	}
}

// code reads four bits by the fixed Huffman code: frequent ones, those with one bit set, are three bits long, rare ones six.
func (r *bitReader) code() byte {
	v := r.bits(3)
	if v < 4 {
		return 1 << v
	}
	if v = v<<1 | r.bits(1); v < 13 {
		return [...]byte{3, 5, 10, 12, 15}[v-8]
	}
	if v = v<<1 | r.bits(1); v < 31 {
		return [...]byte{6, 7, 9, 11, 13}[v-26]
	}
	return [...]byte{0, 14}[r.bits(1)]
}
