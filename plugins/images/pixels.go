package images

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Limits against files that would take the machine down: what a header promises is checked before it is believed.
const (
	maxPixels = 64 << 20          // positions × bands of one object
	maxBytes  = 8*maxPixels + 1e6 // of one file, unpacked: float64 and headers
)

// pixels are a decoded file: samples channels-last, as bytes or as floats.
type pixels struct {
	shape []int // spatial…, bands
	u8    []byte
	f32   []float32
	fits  bool
}

func (p *pixels) bands() int { return p.shape[len(p.shape)-1] }

// decodeFile reads and decodes one file. With headerOnly the pixels themselves may be left out: only shape, type and
// kind count. Errors say what is wrong with the file, without its name.
func (c *config) decodeFile(path string, headerOnly bool) (*pixels, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8")), bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return decodePicture(data, headerOnly)
	case bytes.HasPrefix(data, []byte("SIMPLE  =")):
		return c.decodeFITS(data, headerOnly)
	}
	return nil, errors.New("it is neither JPEG, PNG nor FITS")
}

// readFile gives a file's bytes, unpacked when it is gzip.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a file")
	case info.Size() == 0:
		return nil, errors.New("it is empty")
	case info.Size() > maxBytes:
		return nil, fmt.Errorf("it has %d MB, more than a picture of %d million values can have", info.Size()>>20, maxPixels>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, reason(err)
	}
	if !bytes.HasPrefix(data, []byte("\x1f\x8b")) {
		return data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it cannot be unpacked: %w", err)
	}
	data, err = io.ReadAll(io.LimitReader(z, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("it cannot be unpacked: %w", err)
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("it unpacks to more than a picture of %d million values can have", maxPixels>>20)
	}
	return data, nil
}

// reason is an error of the file system without the path, which the caller names.
func reason(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// floats gives the values: bytes over 255.
func (p *pixels) floats() []float32 {
	if p.f32 == nil {
		p.f32 = make([]float32, len(p.u8))
		for i, v := range p.u8 {
			p.f32[i] = float32(v) / 255
		}
	}
	return p.f32
}
