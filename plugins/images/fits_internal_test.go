package images

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"
)

// No file makes the reader panic or promise another number of values than it gives.
func FuzzFITS(f *testing.F) {
	for _, name := range []string{"plane.fits", "cube.fits", "scaled.fits", "units.fits"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	packed, err := os.Open("tiled/testdata/small.fits.gz")
	if err != nil {
		f.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		f.Fatal(err)
	}
	file, err := io.ReadAll(z)
	if err != nil {
		f.Fatal(err)
	}
	units, err := scanFITS(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		f.Fatal(err)
	}
	for _, u := range units[1:] { // each alone, behind the empty first unit
		f.Add(append(bytes.Clone(file[:units[0].end]), file[u.start:u.end]...))
	}
	header := func(cards ...string) []byte {
		b := []byte(strings.Repeat(" ", fitsBlock))
		for i, c := range append(cards, "END") {
			copy(b[80*i:], c)
		}
		return b
	}
	f.Add(append(header("SIMPLE  =                    T", "BITPIX  =                   16", "NAXIS   =                    1", "NAXIS1  =                    3"), make([]byte, fitsBlock)...))
	f.Add(header("SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2", "NAXIS1  =          99999999999", "NAXIS2  =          99999999999"))
	f.Add(header("SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                 9999"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range []*config{{Cube: "bands"}, {Cube: "volume", HDUs: []int{1}}} {
			header, err := c.decodeFITS(data, true)
			if err != nil {
				continue
			}
			n := 1
			for _, length := range header.shape {
				n *= length
			}
			if n > 1<<20 {
				continue // only to be quick
			}
			if p, err := c.decodeFITS(data, false); err == nil && (len(p.f32) != n || n == 0) {
				t.Fatalf("%d values for the shape %v", len(p.f32), header.shape)
			}
		}
	})
}
