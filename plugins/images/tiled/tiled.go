// Package tiled reads tile-compressed FITS images: section 10 of the FITS standard, version 4.0 (Pence, Seaman & White's
// convention, as fpack writes it).
//
// Such an image is cut into tiles, each compressed on its own and kept in a row of a binary table. Integers come back as
// they were, or as near as a lossy HCOMPRESS keeps them. Floats were made integers first, mostly with a dither; they come
// back to the very bits that cfitsio, and so astropy and funpack, give. Everything that is read can be nonsense: a damaged
// tile is an error, and takes no more memory than its size in the header.
package tiled

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Image is a tile-compressed image whose header was read. Its methods may be called from several goroutines.
type Image struct {
	Axes   []int // lengths, the fastest first
	Tile   []int // lengths of a tile along the same axes; the last along an axis may be shorter
	Bitpix int   // type of the image's values: 8, 16, 32 and 64 are integers, -32 and -64 floats

	r       io.ReaderAt
	data    int64 // where the table begins
	heap    int64 // where its heap begins
	end     int64 // where its heap ends
	row     int64 // bytes of a row
	across  []int // tiles along each axis
	tiles   int
	columns map[string]column
	decode  func(data []byte, n int) ([]int64, error)
	gzipped bool // decode gives whatever was packed, also the bits of floats
	scale   parameter
	zero    parameter
	blank   parameter
	dither  dither
	seed    int // ZDITHER0
}

// column is a column of the table.
type column struct {
	offset int64
	format byte // letter of the type, that of the elements for an array in the heap
	wide   byte // 'P' or 'Q' for an array in the heap, else 0
}

// parameter is a number that is the same for all tiles or has a column.
type parameter struct {
	value  float64
	column string // where it is of each tile
	given  bool
}

// MaxTile is the most pixels that a tile may have: 4096 × 4096.
const MaxTile = 1 << 24

// Open understands the header of a tile-compressed image: each keyword's value as it stands on its card, without the
// comment, strings in quotation marks. The table that holds the tiles begins at data and has size bytes, its heap included.
func Open(r io.ReaderAt, header map[string]string, data, size int64) (*Image, error) {
	h := cards(header)
	im := &Image{r: r, data: data, end: data + size}
	if err := im.shape(h); err != nil {
		return nil, err
	}
	if err := im.table(h, size); err != nil {
		return nil, err
	}
	if err := im.codec(h); err != nil {
		return nil, err
	}
	return im, im.values(h)
}

// shape reads axes and tiles.
func (im *Image) shape(h cards) error {
	naxis, err := h.integer("ZNAXIS", 0)
	if err != nil {
		return err
	}
	if naxis < 1 || naxis > 999 {
		return fmt.Errorf("its header says ZNAXIS = %d", naxis)
	}
	if im.Bitpix, err = h.integer("ZBITPIX", 0); err != nil {
		return err
	}
	if !slices.Contains([]int{8, 16, 32, 64, -32, -64}, im.Bitpix) {
		return fmt.Errorf("its header says ZBITPIX = %d", im.Bitpix)
	}
	im.tiles = 1
	pixels := 1
	for i := range naxis {
		length, err := h.integer(fmt.Sprintf("ZNAXIS%d", i+1), 0)
		if err != nil {
			return err
		}
		otherwise := 1
		if i == 0 {
			otherwise = length
		}
		tile, err := h.integer(fmt.Sprintf("ZTILE%d", i+1), otherwise)
		if err != nil {
			return err
		}
		if length < 1 || length > math.MaxInt32 || tile < 1 {
			return fmt.Errorf("its header says ZNAXIS%d = %d and ZTILE%d = %d", i+1, length, i+1, tile)
		}
		tile = min(tile, length)
		im.Axes, im.Tile, im.across = append(im.Axes, length), append(im.Tile, tile), append(im.across, (length+tile-1)/tile)
		if pixels *= tile; pixels > MaxTile {
			return fmt.Errorf("its tiles have more than %d million pixels", MaxTile>>20)
		}
		if im.tiles *= im.across[i]; im.tiles > math.MaxInt32 {
			return errors.New("its header promises more than two thousand million tiles")
		}
	}
	return nil
}

// table finds the columns.
func (im *Image) table(h cards, size int64) error {
	row, err := h.integer("NAXIS1", 0)
	if err != nil {
		return err
	}
	rows, err := h.integer("NAXIS2", 0)
	if err != nil {
		return err
	}
	fields, err := h.integer("TFIELDS", 0)
	if err != nil {
		return err
	}
	if rows != im.tiles {
		return fmt.Errorf("its table has %d rows for %d tiles", rows, im.tiles)
	}
	if row < 1 || fields < 1 || fields > 999 || int64(row) > size/int64(rows) {
		return errors.New("its table has no columns, or ends early")
	}
	im.row = int64(row)
	theap, err := h.integer("THEAP", row*rows)
	if err != nil {
		return err
	}
	if theap < row*rows || int64(theap) > size {
		return fmt.Errorf("its header says THEAP = %d", theap)
	}
	im.heap = im.data + int64(theap)
	im.columns = map[string]column{}
	offset := int64(0)
	for i := range fields {
		format := h.text(fmt.Sprintf("TFORM%d", i+1))
		c, width, err := parseFormat(format)
		if err != nil {
			return err
		}
		if width > im.row-offset {
			return errors.New("the columns of its table are longer than a row")
		}
		c.offset = offset
		if name := strings.ToUpper(h.text(fmt.Sprintf("TTYPE%d", i+1))); im.columns[name] == (column{}) {
			im.columns[name] = c
		}
		offset += width
	}
	if c := im.columns["COMPRESSED_DATA"]; c.wide == 0 {
		return errors.New("its table has no arrays called COMPRESSED_DATA")
	}
	return nil
}

// parseFormat understands a TFORM.
func parseFormat(format string) (c column, width int64, err error) {
	letters := strings.TrimLeft(format, "0123456789")
	repeat := int64(1)
	if digits := format[:len(format)-len(letters)]; digits != "" {
		if repeat, err = strconv.ParseInt(digits, 10, 32); err != nil {
			return c, 0, fmt.Errorf("its header says that a column is of the form %q", format)
		}
	}
	size := int64(0)
	if letters != "" {
		c.format = letters[0]
		size = map[byte]int64{'L': 1, 'B': 1, 'A': 1, 'I': 2, 'J': 4, 'E': 4, 'K': 8, 'D': 8, 'C': 8, 'M': 16, 'P': 8, 'Q': 16}[c.format]
	}
	switch {
	case c.format == 'X':
		return c, (repeat + 7) / 8, nil
	case size == 0, (c.format == 'P' || c.format == 'Q') && (repeat > 1 || len(letters) < 2):
		return c, 0, fmt.Errorf("its header says that a column is of the form %q", format)
	case (c.format == 'P' || c.format == 'Q') && repeat == 1:
		c.wide, c.format = c.format, letters[1]
	}
	return c, repeat * size, nil
}

// codec chooses what undoes the compression.
func (im *Image) codec(h cards) error {
	given := map[string]int{}
	for i := 1; ; i++ {
		name := h.text(fmt.Sprintf("ZNAME%d", i))
		if name == "" {
			break
		}
		v, err := h.number(fmt.Sprintf("ZVAL%d", i), 0)
		if err != nil {
			return err
		}
		given[strings.ToUpper(name)] = int(max(math.MinInt32, min(math.MaxInt32, v)))
	}
	setting := func(name string, otherwise int) int {
		if v, ok := given[name]; ok {
			return v
		}
		return otherwise
	}
	switch name := h.text("ZCMPTYPE"); name {
	case "HCOMPRESS_1":
		smooth := setting("SMOOTH", 0) != 0
		im.decode = func(data []byte, n int) ([]int64, error) { return hcompress(data, n, smooth) }
	case "RICE_1", "RICE_ONE":
		block, width := setting("BLOCKSIZE", 32), setting("BYTEPIX", 4)
		if block < 1 || !slices.Contains([]int{1, 2, 4}, width) {
			return fmt.Errorf("its header says BLOCKSIZE %d and BYTEPIX %d for RICE_1", block, width)
		}
		im.decode = func(data []byte, n int) ([]int64, error) { return rice(data, n, block, width) }
	case "GZIP_1":
		im.decode, im.gzipped = func(data []byte, n int) ([]int64, error) { return unzip(data, n, false) }, true
	case "GZIP_2":
		im.decode, im.gzipped = func(data []byte, n int) ([]int64, error) { return unzip(data, n, true) }, true
	case "PLIO_1":
		im.decode = plio
	case "":
		return errors.New("its header has no ZCMPTYPE")
	default:
		return fmt.Errorf("it is compressed by %s, which is not known here: unpack the file with funpack", name)
	}
	return nil
}

// values reads what makes integers the image's values.
func (im *Image) values(h cards) (err error) {
	if im.scale, err = im.parameter(h, "ZSCALE", 1); err != nil {
		return err
	}
	if im.zero, err = im.parameter(h, "ZZERO", 0); err != nil {
		return err
	}
	if im.blank, err = im.parameter(h, "ZBLANK", 0); err != nil {
		return err
	}
	if !im.blank.given && im.Bitpix > 0 {
		if im.blank, err = im.parameter(h, "BLANK", 0); err != nil {
			return err
		}
	}
	if im.seed, err = h.integer("ZDITHER0", 1); err != nil {
		return err
	}
	switch method := h.text("ZQUANTIZ"); method {
	case "", "NO_DITHER", "NONE":
	case "SUBTRACTIVE_DITHER_1":
		im.dither = dither1
	case "SUBTRACTIVE_DITHER_2":
		im.dither = dither2
	default:
		return fmt.Errorf("its floats were made integers by %s, which is not known here: unpack the file with funpack", method)
	}
	if im.Bitpix < 0 && !im.scale.given && !im.gzipped {
		return errors.New("it holds floats, and neither a column nor a keyword ZSCALE says how they were made integers")
	}
	if im.dither != 0 && (im.seed < 1 || im.seed > ditherLength) {
		return fmt.Errorf("its header says ZDITHER0 = %d, which is not from 1 to %d", im.seed, ditherLength)
	}
	return nil
}

// parameter finds a number in a column or under a keyword.
func (im *Image) parameter(h cards, name string, otherwise float64) (parameter, error) {
	if c, ok := im.columns[name]; ok {
		if c.wide != 0 || !strings.ContainsRune("BIJKED", rune(c.format)) {
			return parameter{}, fmt.Errorf("the column %s of its table holds no numbers", name)
		}
		return parameter{column: name, given: true}, nil
	}
	v, err := h.number(name, otherwise)
	return parameter{value: v, given: h[name] != ""}, err
}

// Tiles is the number of tiles.
func (im *Image) Tiles() int { return im.tiles }

// Bounds gives the pixels of a tile along each axis, from ≤ pixel < to, counted from 0.
func (im *Image) Bounds(tile int) (from, to []int) {
	for i, n := range im.across {
		at := tile % n * im.Tile[i]
		from, to = append(from, at), append(to, min(at+im.Tile[i], im.Axes[i]))
		tile /= n
	}
	return from, to
}

// Read gives the values of a tile, the first axis being the fastest: NaN where the header says that there is none. BSCALE
// and BZERO are not applied.
func (im *Image) Read(tile int) ([]float64, error) {
	if tile < 0 || tile >= im.tiles {
		return nil, fmt.Errorf("there is no tile %d of %d", tile, im.tiles)
	}
	n := 1
	for from, to := im.Bounds(tile); len(from) > 0; from, to = from[1:], to[1:] {
		n *= to[0] - from[0]
	}
	row := make([]byte, im.row)
	if err := im.readAt(row, im.data+int64(tile)*im.row); err != nil {
		return nil, err
	}
	out, err := im.tile(row, tile, n)
	if err != nil {
		return nil, fmt.Errorf("tile %d: %w", tile, err)
	}
	return out, nil
}

// tile decodes the n values of one row of the table.
func (im *Image) tile(row []byte, tile, n int) ([]float64, error) {
	if mask, err := im.array(row, "NULL_PIXEL_MASK"); err != nil || len(mask) > 0 {
		return nil, errors.Join(err, errors.New("it has a mask of pixels without value, which is not read: unpack the file with funpack"))
	}
	packed, err := im.array(row, "COMPRESSED_DATA")
	if err != nil {
		return nil, err
	}
	if len(packed) > 0 {
		stored, err := im.decode(packed, n)
		if err != nil {
			return nil, err
		}
		if im.Bitpix < 0 && !im.scale.given {
			return im.floats(stored), nil
		}
		return im.restore(row, tile, stored)
	}
	// Tiles that could not be made integers, or not be made smaller, are kept as they are.
	if packed, err = im.array(row, "GZIP_COMPRESSED_DATA"); err != nil {
		return nil, err
	}
	var stored []int64
	if len(packed) > 0 {
		stored, err = unzip(packed, n, false)
	} else if packed, err = im.array(row, "UNCOMPRESSED_DATA"); err == nil {
		if len(packed) == 0 {
			return nil, errors.New("it has no data")
		}
		stored, err = integers(packed, n)
	}
	if err != nil {
		return nil, err
	}
	return im.floats(stored), nil
}

// floats takes stored values as they are: the bits of floats, or integers.
func (im *Image) floats(stored []int64) []float64 {
	out := make([]float64, len(stored))
	for i, v := range stored {
		switch im.Bitpix {
		case -32:
			out[i] = float64(math.Float32frombits(uint32(v)))
		case -64:
			out[i] = math.Float64frombits(uint64(v))
		default:
			out[i] = float64(v)
		}
	}
	return out
}

// restore turns the integers of a tile into its values.
func (im *Image) restore(row []byte, tile int, stored []int64) ([]float64, error) {
	out := make([]float64, len(stored))
	blank, hasBlank := int64(im.of(row, im.blank)), im.blank.given
	if im.Bitpix > 0 {
		for i, v := range stored {
			if out[i] = float64(v); hasBlank && v == blank {
				out[i] = math.NaN()
			}
		}
		return out, nil
	}
	im.dither.restore(out, stored, im.of(row, im.scale), im.of(row, im.zero), im.seed-1+tile)
	for i, v := range stored {
		switch {
		case hasBlank && v == blank:
			out[i] = math.NaN()
		case im.Bitpix == -32:
			out[i] = float64(float32(out[i]))
		}
	}
	return out, nil
}

// of gives a parameter for the tile of a row.
func (im *Image) of(row []byte, p parameter) float64 {
	if p.column == "" {
		return p.value
	}
	c := im.columns[p.column]
	b := row[c.offset:]
	switch c.format {
	case 'B':
		return float64(b[0])
	case 'I':
		return float64(int16(binary.BigEndian.Uint16(b)))
	case 'J':
		return float64(int32(binary.BigEndian.Uint32(b)))
	case 'K':
		return float64(int64(binary.BigEndian.Uint64(b)))
	case 'E':
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b))
}

// array reads an array from the heap: nothing when there is no such column.
func (im *Image) array(row []byte, name string) ([]byte, error) {
	c, ok := im.columns[name]
	if !ok {
		return nil, nil
	}
	var count, offset uint64
	switch b := row[c.offset:]; c.wide {
	case 'P':
		count, offset = uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:]))
	case 'Q':
		count, offset = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	default:
		return nil, fmt.Errorf("the column %s of its table holds no arrays", name)
	}
	room := uint64(im.end - im.heap)
	size := uint64(1)
	switch c.format {
	case 'I':
		size = 2
	case 'J', 'E':
		size = 4
	case 'K', 'D':
		size = 8
	}
	if count > room/size || offset > room-count*size {
		return nil, fmt.Errorf("its %d compressed bytes lie outside the heap of %d", count, room)
	}
	if count*size > 16*MaxTile {
		return nil, fmt.Errorf("it has %d compressed bytes, more than any tile can need", count*size)
	}
	data := make([]byte, count*size)
	return data, im.readAt(data, im.heap+int64(offset))
}

func (im *Image) readAt(p []byte, at int64) error {
	if n, err := im.r.ReadAt(p, at); n < len(p) {
		if err == io.EOF {
			return errors.New("the file ends within the table")
		}
		return err
	}
	return nil
}

// cards are the values of a header.
type cards map[string]string

func (h cards) text(name string) string {
	return strings.TrimRight(strings.Trim(h[name], "'"), " ")
}

func (h cards) integer(name string, otherwise int) (int, error) {
	if h[name] == "" {
		return otherwise, nil
	}
	v, err := strconv.ParseInt(h[name], 10, 48) // sums and products of such numbers and 32-bit ones are in range
	if err != nil {
		return 0, fmt.Errorf("its header says %s = %q", name, h[name])
	}
	return int(v), nil
}

func (h cards) number(name string, otherwise float64) (float64, error) {
	if h[name] == "" {
		return otherwise, nil
	}
	v, err := strconv.ParseFloat(strings.Replace(h[name], "D", "E", 1), 64)
	if err != nil {
		return 0, fmt.Errorf("its header says %s = %q", name, h[name])
	}
	return v, nil
}
