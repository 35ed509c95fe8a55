package tiled_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/images/tiled"
)

// unit is a header-data unit of a file.
type unit struct {
	header     map[string]string
	data, size int64
}

// units walks the headers of a sound file.
func units(t testing.TB, file []byte) (all []unit) {
	t.Helper()
	for at := 0; at < len(file); {
		u := unit{header: map[string]string{}}
		for ended := false; !ended; at += 80 {
			card := string(file[at : at+80])
			name := strings.TrimRight(card[:8], " ")
			ended = name == "END"
			if card[8] == '=' {
				value := strings.TrimSpace(card[10:])
				if strings.HasPrefix(value, "'") {
					value = value[:strings.Index(value[1:], "'")+2]
				} else {
					value, _, _ = strings.Cut(value, "/")
				}
				u.header[name] = strings.TrimSpace(value)
			}
		}
		number := func(name string) int {
			v, _ := strconv.Atoi(u.header[name])
			return v
		}
		at = (at + 2879) / 2880 * 2880
		u.data, u.size = int64(at), int64(number("NAXIS1")*number("NAXIS2")+number("PCOUNT"))
		at += (int(u.size) + 2879) / 2880 * 2880
		all = append(all, u)
	}
	return all
}

// whole puts the tiles of an image together.
func whole(im *tiled.Image) ([]float64, error) {
	n := 1
	for _, length := range im.Axes {
		n *= length
	}
	out := make([]float64, n)
	for tile := range im.Tiles() {
		values, err := im.Read(tile)
		if err != nil {
			return nil, err
		}
		from, to := im.Bounds(tile)
		for i, v := range values {
			at, step := 0, 1
			for k := range from {
				size := to[k] - from[k]
				at += (from[k] + i%size) * step
				step *= im.Axes[k]
				i /= size
			}
			out[at] = v
		}
	}
	return out, nil
}

func small(t testing.TB) []byte {
	t.Helper()
	packed, err := os.ReadFile("testdata/small.fits.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Every way of compressing that is known, to the bits that astropy reads.
func TestAgreesWithAstropy(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Name   string
		Shape  []int
		Bitpix int
		NaN    int
		CRC    uint32
		Values []*float64
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	file := small(t)
	all := units(t, file)[1:]
	if len(all) != len(golden) {
		t.Fatalf("%d units and %d answers", len(all), len(golden))
	}
	for i, want := range golden {
		t.Run(want.Name, func(t *testing.T) {
			im, err := tiled.Open(bytes.NewReader(file), all[i].header, all[i].data, all[i].size)
			if err != nil {
				t.Fatal(err)
			}
			shape := slices.Clone(im.Axes)
			slices.Reverse(shape)
			if !slices.Equal(shape, want.Shape) || im.Bitpix != want.Bitpix {
				t.Fatalf("shape %v of type %d, not %v of type %d", shape, im.Bitpix, want.Shape, want.Bitpix)
			}
			values, err := whole(im)
			if err != nil {
				t.Fatal(err)
			}
			nan := 0
			var stored []byte
			for _, v := range values {
				if math.IsNaN(v) {
					nan++
					v = math.Float64frombits(0x7ff8000000000000)
				}
				stored = binary.LittleEndian.AppendUint64(stored, math.Float64bits(v))
			}
			for i, w := range want.Values {
				if w == nil {
					w = new(math.NaN())
				}
				if *w != values[i] && !(math.IsNaN(*w) && math.IsNaN(values[i])) {
					t.Fatalf("value %d is %v, not %v", i, values[i], *w)
				}
			}
			if nan != want.NaN {
				t.Errorf("%d values are NaN, not %d", nan, want.NaN)
			}
			if crc32.ChecksumIEEE(stored) != want.CRC {
				t.Errorf("its values are others; it begins with %v", values[:6])
			}
		})
	}
}

// data gives a folder of real data, or skips.
func data(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("ASTERISM_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	folder := filepath.Join(root, name)
	if _, err := os.Stat(folder); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set and the data are not there: %v", err)
		}
		t.Skipf("needs %s of the test data: set ASTERISM_DATA", name)
	}
	return folder
}

// The real nine-band field: all 61 million pixels have the bits that Debian's astropy gives them.
func TestRealField(t *testing.T) {
	folder := data(t, "kids_viking_9band")
	text, err := os.ReadFile("testdata/kids.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string][]uint32
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden) != 9 {
		t.Fatalf("answers for %d bands", len(golden))
	}
	for name, want := range golden {
		im := field(t, filepath.Join(folder, name))
		if !slices.Equal(im.Axes, []int{2600, 2600}) || im.Tiles() != len(want) {
			t.Fatalf("%s: axes %v in %d tiles", name, im.Axes, im.Tiles())
		}
		for tile, crc := range want {
			values, err := im.Read(tile)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			stored := make([]byte, 0, 4*len(values))
			for _, v := range values {
				stored = binary.LittleEndian.AppendUint32(stored, math.Float32bits(float32(v)))
			}
			if crc32.ChecksumIEEE(stored) != crc {
				t.Fatalf("%s: tile %d begins with %v", name, tile, values[:6])
			}
		}
	}
}

// field opens the first compressed image of a file.
func field(t testing.TB, path string) *tiled.Image {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u := units(t, file)[1]
	im, err := tiled.Open(bytes.NewReader(file), u.header, u.data, u.size)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func BenchmarkRealTile(b *testing.B) {
	im := field(b, filepath.Join(data(b, "kids_viking_9band"), "r.fits"))
	b.SetBytes(4 * 2600 * 16)
	for b.Loop() {
		if _, err := im.Read(80); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	file := []byte("…") // a whole FITS file; header, start and size of the unit come from walking its headers
	_, err := tiled.Open(bytes.NewReader(file), map[string]string{"ZCMPTYPE": "'HCOMPRESS_1'", "ZBITPIX": "16"}, 5760, 0)
	fmt.Println(err)
	// Output: its header says ZNAXIS = 0
}
