package images

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/astrogo/fitsio"

	"github.com/asterism-ssl/asterism/plugins/images/tiled"
)

// unit is a header-data unit as far as it matters before fitsio is let near it: fitsio believes every header, reads
// tables that nobody asked for, and takes the memory that a header promises.
type unit struct {
	start, data, end int64 // offsets of header, data and what follows, padding included; end may lie behind the file
	size             int64 // bytes of data
	cards            map[string]string
	axes             []int // NAXIS1 first: the fastest
	bitpix           int
	image            bool         // has an array of its own
	tiled            bool         // holds an image in compressed tiles
	tiles            *tiled.Image // of a tiled unit, unless it is damaged
	damage           error        // of a tiled unit
}

const fitsBlock = 2880

// picture says whether the unit is an image that has pixels.
func (u unit) picture() bool {
	return u.tiled || u.image && len(u.axes) > 0 && !slices.Contains(u.axes, 0) && u.size > 0
}

// decodeFITS gives the image units of a FITS file as bands.
func (c *config) decodeFITS(data []byte, headerOnly bool) (*pixels, error) {
	file := bytes.NewReader(data)
	units, err := scanFITS(file, int64(len(data)))
	if err != nil {
		return nil, err
	}
	chosen, err := c.chooseUnits(units)
	if err != nil {
		return nil, err
	}
	spatial, depth, err := c.layout(units[chosen[0]].axes)
	if err != nil {
		return nil, err
	}
	count := depth
	for _, n := range spatial {
		count *= n
	}
	for _, u := range chosen[1:] {
		if !slices.Equal(units[u].axes, units[chosen[0]].axes) {
			return nil, fmt.Errorf("its image units have different axes, %v in unit %d and %v in unit %d: choose with hdus", units[chosen[0]].axes, chosen[0], units[u].axes, u)
		}
	}
	if count*len(chosen) > maxPixels {
		return nil, fmt.Errorf("it has %d values, more than %d million", count*len(chosen), maxPixels>>20)
	}
	p := &pixels{shape: append(spatial, depth*len(chosen)), f32: []float32{}, fits: true}
	if headerOnly {
		return p, nil
	}
	p.f32 = make([]float32, count*len(chosen))
	for k, u := range chosen {
		values, err := units[u].read(file)
		if err != nil {
			return nil, fmt.Errorf("unit %d: %w", u, err)
		}
		// [band, space] of the file becomes [space, band].
		space, bands := count/depth, depth*len(chosen)
		for d := range depth {
			for s, v := range values[d*space : (d+1)*space] {
				p.f32[s*bands+k*depth+d] = v
			}
		}
	}
	return p, nil
}

// layout divides axes (fastest first) into space (slowest first) and bands.
func (c *config) layout(axes []int) (spatial []int, bands int, err error) {
	a := slices.Clone(axes)
	for len(a) > 2 && a[len(a)-1] == 1 {
		a = a[:len(a)-1]
	}
	slices.Reverse(a)
	switch {
	case len(a) <= 2 || len(a) == 3 && c.Cube == "volume":
		return a, 1, nil
	case len(a) == 3:
		return a[1:], a[0], nil
	}
	return nil, 0, fmt.Errorf("its array has %d axes, %v: at most three can be read", len(axes), axes)
}

// chooseUnits gives the units that hold the bands.
func (c *config) chooseUnits(units []unit) ([]int, error) {
	chosen := c.HDUs
	if len(chosen) == 0 {
		for i, u := range units {
			if u.picture() {
				chosen = append(chosen, i)
			}
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("it holds no image")
	}
	for _, i := range chosen {
		switch {
		case i >= len(units):
			return nil, fmt.Errorf("it has %d units and no unit %d", len(units), i)
		case !units[i].picture():
			return nil, fmt.Errorf("unit %d is no image", i)
		case units[i].damage != nil:
			return nil, fmt.Errorf("unit %d is a tile-compressed image that cannot be read: %w", i, units[i].damage)
		}
	}
	return chosen, nil
}

// scanFITS walks the headers.
func scanFITS(file io.ReaderAt, size int64) ([]unit, error) {
	var units []unit
	for at := int64(0); at+fitsBlock <= size; {
		u, err := scanUnit(file, at, size)
		if err != nil {
			start := make([]byte, 8)
			if n, _ := file.ReadAt(start, at); len(units) > 0 && string(start[:n]) != "XTENSION" {
				break // what follows the last unit is nobody's business
			}
			return nil, fmt.Errorf("unit %d: %w", len(units), err)
		}
		units = append(units, u)
		at = u.end
	}
	if len(units) == 0 {
		return nil, errors.New("it ends within its first header")
	}
	return units, nil
}

// readCards reads a header up to END. data is where it ends.
func readCards(file io.ReaderAt, start, size int64) (cards map[string]string, data int64, err error) {
	cards = map[string]string{}
	block := make([]byte, fitsBlock)
	for at := start; at+fitsBlock <= size; at += fitsBlock {
		if _, err := file.ReadAt(block, at); err != nil && err != io.EOF {
			return nil, 0, reason(err)
		}
		for card := range slices.Chunk(block, 80) {
			name := strings.TrimRight(string(card[:8]), " ")
			if name == "END" {
				return cards, at + fitsBlock, nil
			}
			if _, again := cards[name]; !again && card[8] == '=' {
				cards[name] = cardValue(string(card[10:]))
			}
		}
	}
	return nil, 0, errors.New("its header does not end")
}

// cardValue is the value on a card, without the comment: a string keeps its quotation marks.
func cardValue(text string) string {
	text = strings.TrimSpace(text)
	if end := strings.IndexByte(strings.TrimPrefix(text, "'"), '\''); strings.HasPrefix(text, "'") && end >= 0 {
		return text[:end+2]
	}
	value, _, _ := strings.Cut(text, "/")
	return strings.TrimSpace(value)
}

func scanUnit(file io.ReaderAt, start, fileSize int64) (unit, error) {
	cards, data, err := readCards(file, start, fileSize)
	u := unit{start: start, data: data, cards: cards}
	if err != nil {
		return u, err
	}
	number := func(name string, otherwise int) (int, error) {
		text, ok := cards[name]
		if !ok {
			return otherwise, nil
		}
		v, err := strconv.Atoi(text)
		if err != nil || v < 0 && name != "BITPIX" {
			return 0, fmt.Errorf("its header says %s = %q", name, text)
		}
		return v, nil
	}
	var naxis, parameters, groups int
	if u.bitpix, err = number("BITPIX", 0); err != nil {
		return u, err
	}
	if !slices.Contains([]int{8, 16, 32, 64, -32, -64}, u.bitpix) {
		return u, fmt.Errorf("its header says BITPIX = %q", cards["BITPIX"])
	}
	if naxis, err = number("NAXIS", 0); err != nil {
		return u, err
	}
	if parameters, err = number("PCOUNT", 0); err != nil {
		return u, err
	}
	if groups, err = number("GCOUNT", 1); err != nil {
		return u, err
	}
	if naxis > 999 {
		return u, fmt.Errorf("its header says NAXIS = %d", naxis)
	}
	values := 1.0 // as a float: what a header says can overflow anything
	if naxis == 0 {
		values = 0
	}
	randomGroups := cards["GROUPS"] == "T" && cards["NAXIS1"] == "0"
	for i := range naxis {
		n, err := number("NAXIS"+strconv.Itoa(i+1), -1)
		if err != nil {
			return u, err
		}
		if n < 0 {
			return u, fmt.Errorf("its header has no NAXIS%d", i+1)
		}
		u.axes = append(u.axes, n)
		if !(randomGroups && i == 0) {
			values *= float64(n)
		}
	}
	size := (values + float64(parameters)) * float64(groups) * float64(max(u.bitpix, -u.bitpix)/8)
	if !(size < 1<<50) { // infinity times an empty axis is no number
		return u, fmt.Errorf("its header promises %.3g bytes", size)
	}
	u.size = int64(size)
	u.end = u.data + (u.size+fitsBlock-1)/fitsBlock*fitsBlock
	if u.data+u.size > fileSize {
		return u, fmt.Errorf("it is truncated: %d of %d bytes of data are there", fileSize-u.data, u.size)
	}
	switch kind := strings.TrimRight(strings.Trim(cards["XTENSION"], "'"), " "); {
	case start == 0 && cards["SIMPLE"] != "T":
		return u, errors.New("its header says that it is not standard FITS (SIMPLE is not T)")
	case randomGroups:
		// not an image: visibilities with parameters
	case start == 0, strings.HasPrefix(kind, "IMAGE"):
		u.image = true
	case cards["ZIMAGE"] == "T":
		u.tiled = true
		if u.tiles, u.damage = tiled.Open(file, cards, u.data, u.size); u.damage == nil {
			u.axes, u.bitpix = u.tiles.Axes, u.tiles.Bitpix
		}
	}
	return u, nil
}

// read gives the physical values of the unit: BSCALE × stored + BZERO, NaN where integers are BLANK.
func (u unit) read(file io.ReaderAt) ([]float32, error) {
	p, err := u.scaling()
	if err != nil {
		return nil, err
	}
	if u.tiled {
		return u.readTiles(p)
	}
	raw, err := u.decode(file)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(raw)/u.width())
	decode(out, raw, u.bitpix, p)
	return out, nil
}

// width is the number of bytes of a value.
func (u unit) width() int { return max(u.bitpix, -u.bitpix) / 8 }

// decode has fitsio read the data.
func (u unit) decode(file io.ReaderAt) (raw []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // fitsio panics on some malformed headers
			raw, err = nil, fmt.Errorf("the FITS library fails on it: %v", r)
		}
	}()
	cards, err := u.header(file)
	if err != nil {
		return nil, err
	}
	padding := make([]byte, fitsBlock) // some writers leave the last block short
	hdu, err := fitsio.NewDecoder(io.MultiReader(bytes.NewReader(cards), io.NewSectionReader(file, u.data, u.size), bytes.NewReader(padding))).DecodeHDU()
	if err != nil {
		return nil, err
	}
	picture, ok := hdu.(fitsio.Image)
	if !ok {
		return nil, errors.New("it is no image")
	}
	raw = picture.Raw()
	if picture.Header().Bitpix() != u.bitpix || int64(len(raw)) != u.size || len(raw)%u.width() != 0 {
		return nil, errors.New("its header is ambiguous")
	}
	return raw, nil
}

// readTiles puts the tiles of an image together.
func (u unit) readTiles(p scaling) ([]float32, error) {
	count := 1
	for _, n := range u.axes {
		count *= n
	}
	out := make([]float32, count)
	for tile := range u.tiles.Tiles() {
		values, err := u.tiles.Read(tile)
		if err != nil {
			return nil, err
		}
		from, to := u.tiles.Bounds(tile)
		for row := to[0] - from[0]; len(values) > 0; values = values[row:] {
			at, step := 0, 1
			for k, x := range from {
				at += x * step
				step *= u.axes[k]
			}
			for i, v := range values[:row] {
				out[at+i] = float32(p.apply(v))
			}
			next(from, to, u.tiles.Tile)
		}
	}
	return out, nil
}

// next goes to the next row of a tile: from is its first pixel.
func next(from, to, tile []int) {
	for k := 1; k < len(from); k++ {
		if from[k]++; from[k] < to[k] {
			return
		}
		from[k] = (to[k] - 1) / tile[k] * tile[k]
	}
}

// scaling makes physical values of stored ones.
type scaling struct {
	scale, zero float64
	blank       float64 // the integer that means "no value", or NaN
}

func (u unit) scaling() (p scaling, err error) {
	if p.scale, err = u.cardNumber("BSCALE", 1); err != nil {
		return p, err
	}
	if p.zero, err = u.cardNumber("BZERO", 0); err != nil {
		return p, err
	}
	p.blank = math.NaN()
	if u.bitpix > 0 && !u.tiled { // tiles come with NaN
		p.blank, err = u.cardNumber("BLANK", math.NaN())
	}
	return p, err
}

// apply gives the physical value of a stored one.
func (p scaling) apply(v float64) float64 {
	if v == p.blank {
		return math.NaN()
	}
	return p.scale*v + p.zero
}

// decode gives the physical values of stored bytes.
func decode[T float32 | float64](out []T, raw []byte, bitpix int, p scaling) {
	for i := range out {
		var v float64
		switch bitpix {
		case 8:
			v = float64(raw[i])
		case 16:
			v = float64(int16(binary.BigEndian.Uint16(raw[2*i:])))
		case 32:
			v = float64(int32(binary.BigEndian.Uint32(raw[4*i:])))
		case 64:
			v = float64(int64(binary.BigEndian.Uint64(raw[8*i:])))
		case -32:
			v = float64(math.Float32frombits(binary.BigEndian.Uint32(raw[4*i:])))
		case -64:
			v = math.Float64frombits(binary.BigEndian.Uint64(raw[8*i:]))
		}
		out[i] = T(p.apply(v))
	}
}

// header gives the cards that pixels depend on. The others are none of our business, and some of them (unquoted lists,
// long strings) are more than fitsio can take.
func (u unit) header(file io.ReaderAt) ([]byte, error) {
	all := make([]byte, u.data-u.start)
	if _, err := file.ReadAt(all, u.start); err != nil && err != io.EOF {
		return nil, reason(err)
	}
	var header []byte
	seen := map[string]bool{}
	for card := range slices.Chunk(all, 80) {
		name := strings.TrimRight(string(card[:8]), " ")
		wanted := slices.Contains([]string{"SIMPLE", "XTENSION", "BITPIX", "PCOUNT", "GCOUNT", "END"}, name) || strings.HasPrefix(name, "NAXIS")
		if wanted && !seen[name] {
			header = append(header, card...)
		}
		seen[name] = true
		if name == "END" {
			break
		}
	}
	for len(header)%fitsBlock != 0 {
		header = append(header, ' ')
	}
	return header, nil
}

// cardNumber reads a number on a card.
func (u unit) cardNumber(name string, otherwise float64) (float64, error) {
	text := u.cards[name]
	if text == "" {
		return otherwise, nil
	}
	v, err := strconv.ParseFloat(strings.Replace(text, "D", "E", 1), 64)
	if err != nil {
		return 0, fmt.Errorf("its header says %s = %s", name, text)
	}
	return v, nil
}
