package thumbnail

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The longest side of a written picture, in pixels: smaller pictures are enlarged, larger ones reduced.
const (
	smallest = 96
	largest  = 192
)

// Write writes the picture of a sample as PNG, enlarged to about 96 pixels where it is smaller (whole multiples for very
// small ones, whose pixels then stay visible as such) and reduced to 192 where it is larger. The file appears whole or not
// at all.
func Write(path string, pixels []float32, shape []int, bands []string, flux protocol.Flux) error {
	b, err := PNG(pixels, shape, bands, flux)
	if err == nil {
		err = writeAtomic(path, b)
	}
	if err != nil {
		kind := fault.KindOf(err)
		if kind == fault.Internal {
			kind = fault.Resource
		}
		return &fault.Error{Op: "report", Kind: kind, Where: path, What: "cannot write the picture of a sample", Err: err}
	}
	return nil
}

func writeAtomic(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".picture-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

func sized(m image.Image) image.Image {
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	long := max(w, h)
	to := func(side int) (int, int) {
		f := float64(side) / float64(long)
		return max(1, int(math.Round(float64(w)*f))), max(1, int(math.Round(float64(h)*f)))
	}
	switch {
	case long <= smallest/2:
		f := (smallest + long - 1) / long
		return Scaled(m, w*f, h*f)
	case long < smallest:
		w, h := to(smallest)
		return bilinear(m, w, h)
	case long > largest:
		w, h := to(largest)
		return shrink(m, w, h)
	}
	return m
}

// Scaled is a picture at another size, to the nearest pixel: small ones keep their pixels visible.
func Scaled(m image.Image, w, h int) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	b := m.Bounds()
	for y := range h {
		for x := range w {
			out.Set(x, y, m.At(b.Min.X+x*b.Dx()/w, b.Min.Y+y*b.Dy()/h))
		}
	}
	return out
}

func bilinear(m image.Image, w, h int) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	b := m.Bounds()
	at := func(x, y int) [3]float64 {
		x, y = min(max(x, 0), b.Dx()-1), min(max(y, 0), b.Dy()-1)
		r, g, bl, _ := m.At(b.Min.X+x, b.Min.Y+y).RGBA()
		return [3]float64{float64(r) / 257, float64(g) / 257, float64(bl) / 257}
	}
	for y := range h {
		for x := range w {
			sx := (float64(x)+0.5)*float64(b.Dx())/float64(w) - 0.5
			sy := (float64(y)+0.5)*float64(b.Dy())/float64(h) - 0.5
			x0, y0 := int(math.Floor(sx)), int(math.Floor(sy))
			fx, fy := sx-float64(x0), sy-float64(y0)
			p00, p10, p01, p11 := at(x0, y0), at(x0+1, y0), at(x0, y0+1), at(x0+1, y0+1)
			var c [3]uint8
			for k := range 3 {
				c[k] = uint8(math.Round((p00[k]*(1-fx)+p10[k]*fx)*(1-fy) + (p01[k]*(1-fx)+p11[k]*fx)*fy))
			}
			out.SetRGBA(x, y, color.RGBA{c[0], c[1], c[2], 255})
		}
	}
	return out
}

// shrink averages the pixels that fall into each new one.
func shrink(m image.Image, w, h int) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	b := m.Bounds()
	for y := range h {
		y0 := y * b.Dy() / h
		y1 := max(y0+1, (y+1)*b.Dy()/h)
		for x := range w {
			x0 := x * b.Dx() / w
			x1 := max(x0+1, (x+1)*b.Dx()/w)
			var sum [3]uint64
			for sy := y0; sy < y1; sy++ {
				for sx := x0; sx < x1; sx++ {
					r, g, bl, _ := m.At(b.Min.X+sx, b.Min.Y+sy).RGBA()
					sum[0], sum[1], sum[2] = sum[0]+uint64(r), sum[1]+uint64(g), sum[2]+uint64(bl)
				}
			}
			n := uint64((y1 - y0) * (x1 - x0))
			out.SetRGBA(x, y, color.RGBA{uint8(sum[0] / n >> 8), uint8(sum[1] / n >> 8), uint8(sum[2] / n >> 8), 255})
		}
	}
	return out
}

// PNG is the picture that Write writes.
func PNG(pixels []float32, shape []int, bands []string, flux protocol.Flux) ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, sized(Of(pixels, shape, bands, flux)))
	return b.Bytes(), err
}
