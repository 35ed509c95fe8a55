package images

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg" // registers the decoder
	_ "image/png"  // registers the decoder
)

// decodePicture decodes JPEG and PNG: one band for grey, three for everything else. Transparency is dropped: the colours
// are those below it. 16-bit PNG become floats over 65535.
func decodePicture(data []byte, headerOnly bool) (*pixels, error) {
	header, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("its header cannot be decoded: %w", err)
	}
	p := &pixels{shape: []int{header.Height, header.Width, 3}}
	deep := false
	switch header.ColorModel {
	case color.GrayModel:
		p.shape[2] = 1
	case color.Gray16Model:
		p.shape[2], deep = 1, true
	case color.RGBA64Model, color.NRGBA64Model:
		deep = true
	}
	if header.Width < 1 || header.Height < 1 || header.Width > maxPixels || header.Height > maxPixels || header.Width*header.Height*p.shape[2] > maxPixels {
		return nil, fmt.Errorf("its header says %d×%d pixels, more than %d million values", header.Width, header.Height, maxPixels>>20)
	}
	if headerOnly {
		if deep {
			p.f32 = []float32{}
		} else {
			p.u8 = []byte{}
		}
		return p, nil
	}
	picture, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it is damaged %s: %w", format, err)
	}
	if size := picture.Bounds().Size(); size.X != header.Width || size.Y != header.Height {
		return nil, fmt.Errorf("its header says %d×%d pixels and its data are %d×%d", header.Width, header.Height, size.X, size.Y)
	}
	if deep {
		p.f32 = make([]float32, header.Height*header.Width*p.shape[2])
	} else {
		p.u8 = make([]byte, header.Height*header.Width*p.shape[2])
	}
	p.fill(picture)
	return p, nil
}

// fill copies a decoded picture, fast for what the decoders give and colour by colour for the rest.
func (p *pixels) fill(picture image.Image) {
	height, width := p.shape[0], p.shape[1]
	at := picture.Bounds().Min
	switch source := picture.(type) {
	case *image.Gray:
		for y := range height {
			copy(p.u8[y*width:(y+1)*width], source.Pix[y*source.Stride:])
		}
		return
	case *image.NRGBA: // also grey with a transparent shade, whose header promises one band
		if p.shape[2] == 3 {
			p.threeOfFour(source.Pix, source.Stride)
			return
		}
	case *image.RGBA: // the decoders give it for opaque pictures only
		p.threeOfFour(source.Pix, source.Stride)
		return
	case *image.YCbCr, *image.CMYK:
		opaque := image.NewRGBA(image.Rect(0, 0, width, height))
		draw.Draw(opaque, opaque.Rect, picture, at, draw.Src)
		p.threeOfFour(opaque.Pix, opaque.Stride)
		return
	}
	bands := p.shape[2]
	for y := range height {
		for x := range width {
			c := straight(picture.At(at.X+x, at.Y+y))
			values := [3]uint16{c.R, c.G, c.B}
			for b := range bands {
				if i := (y*width+x)*bands + b; p.f32 != nil {
					p.f32[i] = float32(values[b]) / 65535
				} else {
					p.u8[i] = byte(values[b] >> 8)
				}
			}
		}
	}
}

// straight is a colour that transparency does not darken.
func straight(c color.Color) color.NRGBA64 {
	if n, ok := c.(color.NRGBA); ok {
		return color.NRGBA64{R: 257 * uint16(n.R), G: 257 * uint16(n.G), B: 257 * uint16(n.B), A: 257 * uint16(n.A)}
	}
	return color.NRGBA64Model.Convert(c).(color.NRGBA64)
}

func (p *pixels) threeOfFour(pix []byte, stride int) {
	height, width := p.shape[0], p.shape[1]
	for y := range height {
		row, out := pix[y*stride:], p.u8[y*width*3:(y+1)*width*3]
		for x := range width {
			out[3*x], out[3*x+1], out[3*x+2] = row[4*x], row[4*x+1], row[4*x+2]
		}
	}
}
