package images

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

// plane is an open image of two axes of which parts are read, from several goroutines.
type plane struct {
	path          string
	file          *os.File
	unit          unit
	scaling       scaling
	width, height int
	cache         tileCache // of a tile-compressed image
}

// openPlane reads the headers of a FITS file. hdu is nil where the file has only one image.
func openPlane(path string, hdu *int) (p *plane, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	start := make([]byte, 9)
	n, _ := file.ReadAt(start, 0)
	switch start = start[:n]; {
	case bytes.HasPrefix(start, []byte("\x1f\x8b")), bytes.HasPrefix(start, []byte("BZh")):
		return nil, errors.New("it is packed as a whole: unpack it with gunzip or bunzip2, only then can parts of it be read")
	case string(start) != "SIMPLE  =":
		return nil, errors.New("it is no FITS file")
	}
	units, err := scanFITS(file, info.Size())
	if err != nil {
		return nil, err
	}
	at, err := onlyImage(units, hdu)
	if err != nil {
		return nil, err
	}
	p = &plane{path: path, file: file, unit: units[at]}
	if p.unit.damage != nil {
		return nil, fmt.Errorf("unit %d is a tile-compressed image that cannot be read: %w", at, p.unit.damage)
	}
	axes := p.unit.axes
	for len(axes) > 2 && axes[len(axes)-1] == 1 {
		axes = axes[:len(axes)-1]
	}
	if len(axes) != 2 {
		return nil, fmt.Errorf("unit %d has the axes %v, and a field has two", at, p.unit.axes)
	}
	p.width, p.height = axes[0], axes[1]
	if p.scaling, err = p.unit.scaling(); err != nil {
		return nil, err
	}
	return p, nil
}

// onlyImage chooses a unit.
func onlyImage(units []unit, hdu *int) (int, error) {
	var pictures []int
	for i, u := range units {
		if u.picture() {
			pictures = append(pictures, i)
		}
	}
	switch {
	case hdu != nil && !slices.Contains(pictures, *hdu):
		return 0, fmt.Errorf("it has no image in unit %d, but in %v", *hdu, pictures)
	case hdu != nil:
		return *hdu, nil
	case len(pictures) == 0:
		return 0, errors.New("it holds no image")
	case len(pictures) > 1:
		return 0, fmt.Errorf("it has images in the units %s: choose by hdu", strings.Trim(fmt.Sprint(pictures), "[]"))
	}
	return pictures[0], nil
}

// cut reads the size × size pixels that begin at (x, y), which all lie in the image.
func (p *plane) cut(x, y, size int) ([]float64, error) {
	out := make([]float64, size*size)
	if p.unit.tiled {
		return out, p.cutTiles(out, x, y, size)
	}
	width := p.unit.width()
	raw := make([]byte, size*width)
	for j := range size {
		at := p.unit.data + (int64(y+j)*int64(p.width)+int64(x))*int64(width)
		if n, err := p.file.ReadAt(raw, at); n < len(raw) {
			if err == io.EOF {
				return nil, errors.New("it was cut short while it was in use")
			}
			return nil, reason(err)
		}
		decode(out[j*size:(j+1)*size], raw, p.unit.bitpix, p.scaling)
	}
	return out, nil
}

func (p *plane) cutTiles(out []float64, x, y, size int) error {
	tw, th := p.unit.tiles.Tile[0], p.unit.tiles.Tile[1]
	across := (p.width + tw - 1) / tw
	p.cache.room(across * ((size+th-2)/th + 2)) // a strip of the field, and a little for those who are ahead
	for ty := y / th; ty <= (y+size-1)/th; ty++ {
		for tx := x / tw; tx <= (x+size-1)/tw; tx++ {
			tile := ty*across + tx
			values, err := p.cache.get(tile, func() ([]float64, error) { return p.decode(tile) })
			if err != nil {
				return err
			}
			from, to := p.unit.tiles.Bounds(tile)
			left, right := max(x, from[0]), min(x+size, to[0])
			for row := max(y, from[1]); row < min(y+size, to[1]); row++ {
				stored := values[(row-from[1])*(to[0]-from[0]):]
				copy(out[(row-y)*size+left-x:][:right-left], stored[left-from[0]:])
			}
		}
	}
	return nil
}

// decode gives the physical values of a tile.
func (p *plane) decode(tile int) ([]float64, error) {
	values, err := p.unit.tiles.Read(tile)
	for i, v := range values {
		values[i] = p.scaling.apply(v)
	}
	return values, err
}

// tileCache keeps the tiles that were used last. Each is decoded once while it is kept, whoever asks.
type tileCache struct {
	mu    sync.Mutex
	most  int
	held  map[int]*heldTile
	order []int // the one that was used last at the end
}

type heldTile struct {
	once   sync.Once
	values []float64
	err    error
}

// room makes room for so many tiles.
func (c *tileCache) room(tiles int) {
	c.mu.Lock()
	c.most = max(c.most, tiles)
	c.mu.Unlock()
}

func (c *tileCache) get(tile int, decode func() ([]float64, error)) ([]float64, error) {
	c.mu.Lock()
	if c.held == nil {
		c.held = map[int]*heldTile{}
	}
	h := c.held[tile]
	if h == nil {
		h = &heldTile{}
		c.held[tile] = h
	} else {
		c.order = slices.DeleteFunc(c.order, func(t int) bool { return t == tile })
	}
	if c.order = append(c.order, tile); len(c.order) > c.most {
		delete(c.held, c.order[0])
		c.order = c.order[1:]
	}
	c.mu.Unlock()
	h.once.Do(func() { h.values, h.err = decode() })
	return h.values, h.err
}
