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
)

// unit is a header-data unit as far as it matters before fitsio is let near it: fitsio believes every header, reads
// tables that nobody asked for, and takes the memory that a header promises.
type unit struct {
	start, data, end int   // offsets of header, data and what follows, padding included; end may lie behind the file
	axes             []int // NAXIS1 first: the fastest
	bitpix           int
	image            bool
	compressed       bool
	size             int // bytes of data
}

const fitsBlock = 2880

// picture says whether the unit is an image that has pixels.
func (u unit) picture() bool {
	return u.image && len(u.axes) > 0 && !slices.Contains(u.axes, 0) && u.size > 0
}

// decodeFITS gives the image units of a FITS file as bands.
func (c *config) decodeFITS(data []byte, headerOnly bool) (*pixels, error) {
	units, err := scanFITS(data)
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
		values, err := units[u].read(data)
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
			if u.compressed || u.picture() {
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
		case units[i].compressed:
			return nil, fmt.Errorf("unit %d is a tile-compressed image: unpack the file with funpack", i)
		case !units[i].picture():
			return nil, fmt.Errorf("unit %d is no image", i)
		}
	}
	return chosen, nil
}

// scanFITS walks the headers.
func scanFITS(data []byte) ([]unit, error) {
	var units []unit
	for at := 0; at+fitsBlock <= len(data); {
		u, err := scanUnit(data, at)
		if err != nil {
			if len(units) > 0 && !bytes.HasPrefix(data[at:], []byte("XTENSION")) {
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

func scanUnit(data []byte, start int) (unit, error) {
	u := unit{start: start}
	cards := map[string]string{}
	at := start
	for ended := false; !ended; at += fitsBlock {
		if at+fitsBlock > len(data) {
			return u, errors.New("its header does not end")
		}
		for i := at; i < at+fitsBlock; i += 80 {
			card := data[i : i+80]
			name := strings.TrimRight(string(card[:8]), " ")
			if name == "END" {
				ended = true
				break
			}
			if _, again := cards[name]; !again && card[8] == '=' {
				value := strings.TrimSpace(string(card[10:]))
				if !strings.HasPrefix(value, "'") {
					value, _, _ = strings.Cut(value, "/")
				}
				cards[name] = strings.TrimSpace(value)
			}
		}
	}
	u.data = at
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
	var err error
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
	if !(size <= maxBytes) { // infinity times an empty axis is no number
		return u, fmt.Errorf("its header promises %.3g bytes", size)
	}
	u.size = int(size)
	u.end = u.data + (u.size+fitsBlock-1)/fitsBlock*fitsBlock
	if u.data+u.size > len(data) {
		return u, fmt.Errorf("it is truncated: %d of %d bytes of data are there", len(data)-u.data, u.size)
	}
	switch kind := strings.TrimRight(strings.Trim(cards["XTENSION"], "'"), " "); {
	case start == 0 && cards["SIMPLE"] != "T":
		return u, errors.New("its header says that it is not standard FITS (SIMPLE is not T)")
	case randomGroups:
		// not an image: visibilities with parameters
	case start == 0, strings.HasPrefix(kind, "IMAGE"):
		u.image = true
	case cards["ZIMAGE"] == "T":
		u.compressed = true
	}
	return u, nil
}

// read has fitsio decode the unit and gives its physical values: BSCALE × stored + BZERO, NaN where integers are BLANK.
func (u unit) read(data []byte) (values []float32, err error) {
	defer func() {
		if r := recover(); r != nil { // fitsio panics on some malformed headers
			values, err = nil, fmt.Errorf("the FITS library fails on it: %v", r)
		}
	}()
	padding := make([]byte, fitsBlock) // some writers leave the last block short
	hdu, err := fitsio.NewDecoder(io.MultiReader(bytes.NewReader(u.header(data)), bytes.NewReader(data[u.data:u.data+u.size]), bytes.NewReader(padding))).DecodeHDU()
	if err != nil {
		return nil, err
	}
	picture, ok := hdu.(fitsio.Image)
	if !ok {
		return nil, errors.New("it is no image")
	}
	raw, header := picture.Raw(), picture.Header()
	width := max(u.bitpix, -u.bitpix) / 8
	if header.Bitpix() != u.bitpix || len(raw) != u.size || u.size%width != 0 {
		return nil, errors.New("its header is ambiguous")
	}
	scale, err := cardNumber(header, "BSCALE", 1)
	if err != nil {
		return nil, err
	}
	zero, err := cardNumber(header, "BZERO", 0)
	if err != nil {
		return nil, err
	}
	blank, err := cardNumber(header, "BLANK", math.NaN())
	if err != nil && u.bitpix > 0 {
		return nil, err
	}
	out := make([]float32, len(raw)/width)
	for i := range out {
		b := raw[i*width : (i+1)*width]
		var v float64
		switch u.bitpix {
		case 8:
			v = float64(b[0])
		case 16:
			v = float64(int16(binary.BigEndian.Uint16(b)))
		case 32:
			v = float64(int32(binary.BigEndian.Uint32(b)))
		case 64:
			v = float64(int64(binary.BigEndian.Uint64(b)))
		case -32:
			v = float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
		case -64:
			v = math.Float64frombits(binary.BigEndian.Uint64(b))
		}
		if u.bitpix > 0 && v == blank {
			v = math.NaN()
		}
		out[i] = float32(scale*v + zero)
	}
	return out, nil
}

// header gives the cards that pixels depend on. The others are none of our business, and some of them (unquoted lists,
// long strings) are more than fitsio can take.
func (u unit) header(data []byte) []byte {
	var header []byte
	seen := map[string]bool{}
	for at := u.start; at < u.data; at += 80 {
		card := data[at : at+80]
		name := strings.TrimRight(string(card[:8]), " ")
		switch {
		case name == "END":
			at = u.data
		case seen[name]:
			continue
		case slices.Contains([]string{"SIMPLE", "XTENSION", "BITPIX", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "BLANK"}, name), strings.HasPrefix(name, "NAXIS"):
		default:
			continue
		}
		seen[name] = true
		header = append(header, card...)
	}
	for len(header)%fitsBlock != 0 {
		header = append(header, ' ')
	}
	return header
}

func cardNumber(h *fitsio.Header, name string, otherwise float64) (float64, error) {
	card := h.Get(name)
	if card == nil || card.Value == nil {
		return otherwise, nil
	}
	switch v := card.Value.(type) {
	case int:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, fmt.Errorf("its header says %s = %v", name, card.Value)
}
