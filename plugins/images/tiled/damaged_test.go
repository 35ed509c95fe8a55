package tiled_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/images/tiled"
)

// made is a table of one tile: its header and its bytes.
func made(kind string, width, height int, tile []byte, change map[string]string) (map[string]string, []byte) {
	letter, count := "B", len(tile)
	if kind == "PLIO_1" {
		letter, count = "I", len(tile)/2
	}
	header := map[string]string{
		"NAXIS1": "8", "NAXIS2": "1", "TFIELDS": "1", "TTYPE1": "'COMPRESSED_DATA'", "TFORM1": fmt.Sprintf("'1P%s(%d)'", letter, count),
		"ZCMPTYPE": "'" + kind + "'", "ZBITPIX": "16", "ZNAXIS": "2", "ZNAXIS1": fmt.Sprint(width), "ZNAXIS2": fmt.Sprint(height),
		"ZTILE1": fmt.Sprint(width), "ZTILE2": fmt.Sprint(height),
	}
	maps.Copy(header, change)
	table := binary.BigEndian.AppendUint32(nil, uint32(count))
	return header, append(binary.BigEndian.AppendUint32(table, 0), tile...)
}

// hcompressed is the header of a tile of HCOMPRESS_1, and what follows it.
func hcompressed(height, width uint32, planes [3]byte, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0xdd, 0x99}, height)
	b = binary.BigEndian.AppendUint32(b, width)
	b = append(b, make([]byte, 4+8)...)
	return append(append(b, planes[:]...), rest...)
}

func zipped(n int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(make([]byte, n))
	z.Close()
	return b.Bytes()
}

// What is damaged is an error that says how, at once and without taking memory for what a header promises.
func TestRefusals(t *testing.T) {
	flat := hcompressed(4, 4, [3]byte{}, 0, 0)
	for _, c := range []struct {
		says, kind string
		tile       []byte
		change     map[string]string
	}{
		{"", "HCOMPRESS_1", flat, nil},
		{"", "GZIP_1", zipped(32), nil},
		{"", "RICE_1", make([]byte, 5), nil},
		{"", "PLIO_1", make([]byte, 10), nil},
		{"it ends early", "HCOMPRESS_1", flat[:24], nil},
		{"it ends early", "HCOMPRESS_1", flat[:25], nil},
		{"it ends early", "HCOMPRESS_1", hcompressed(4, 4, [3]byte{62, 62, 62}), nil},
		{"neither of the two codes", "HCOMPRESS_1", hcompressed(4, 4, [3]byte{1, 0, 0}, 0x50), nil},
		{"do not end where they should", "HCOMPRESS_1", hcompressed(4, 4, [3]byte{}, 0x10), nil},
		{"it is no HCOMPRESS", "HCOMPRESS_1", make([]byte, 40), nil},
		{"4294967295 × 4294967295 pixels instead of 16", "HCOMPRESS_1", hcompressed(1<<32-1, 1<<32-1, [3]byte{}), nil},
		{"0 × 4 pixels instead of 16", "HCOMPRESS_1", hcompressed(4, 0, [3]byte{}), nil},
		{"255 bit planes", "HCOMPRESS_1", hcompressed(4, 4, [3]byte{0, 255, 0}), nil},
		{"it has no data", "HCOMPRESS_1", nil, nil},
		{"it cannot be unpacked", "GZIP_1", flat, nil},
		{"31 bytes for 16 pixels", "GZIP_1", zipped(31), nil},
		{"129 bytes for 16 pixels", "GZIP_1", zipped(1 << 24), nil},
		{"31 bytes for 16 pixels", "GZIP_2", zipped(31), nil},
		{"it ends early", "RICE_1", make([]byte, 4), nil},
		{"it ends early", "PLIO_1", make([]byte, 8), nil},
		{"its header is damaged", "PLIO_1", []byte{0, 0, 0, 7, 0, 0, 1, 0, 0, 0}, nil},
		{"an instruction that is not known", "PLIO_1", []byte{0, 0, 0, 0, 0, 4, 0xf0, 0}, nil},
		{"its header says ZNAXIS = 0", "RICE_1", nil, map[string]string{"ZNAXIS": "0"}},
		{"its header says ZNAXIS2 = 0", "RICE_1", nil, map[string]string{"ZNAXIS2": "0"}},
		{`its header says ZNAXIS1 = "99999999999999999999"`, "RICE_1", nil, map[string]string{"ZNAXIS1": "99999999999999999999"}},
		{"more than 16 million pixels", "RICE_1", nil, map[string]string{"ZNAXIS1": "2147483647", "ZTILE1": "2147483647"}},
		{"two thousand million tiles", "RICE_1", nil, map[string]string{"ZNAXIS1": "2147483647", "ZTILE1": "1", "ZNAXIS2": "2147483647", "ZTILE2": "1"}},
		{"its table has 1 rows for 4 tiles", "RICE_1", nil, map[string]string{"ZTILE1": "1"}},
		{"has no columns, or ends early", "RICE_1", nil, map[string]string{"NAXIS1": "2000"}},
		{"THEAP = 7", "RICE_1", nil, map[string]string{"THEAP": "7"}},
		{"columns of its table are longer", "RICE_1", nil, map[string]string{"TFORM1": "'1QB(9)'"}},
		{`of the form "1Z"`, "RICE_1", nil, map[string]string{"TFORM1": "'1Z'"}},
		{"no arrays called COMPRESSED_DATA", "RICE_1", nil, map[string]string{"TFORM1": "'1J'"}},
		{"no ZCMPTYPE", "RICE_1", nil, map[string]string{"ZCMPTYPE": ""}},
		{"compressed by JPEG_9", "JPEG_9", nil, nil},
		{"ZBITPIX = 12", "RICE_1", nil, map[string]string{"ZBITPIX": "12"}},
		{"BYTEPIX 8", "RICE_1", nil, map[string]string{"ZNAME1": "'BYTEPIX'", "ZVAL1": "8"}},
		{"integers by MAGIC", "RICE_1", nil, map[string]string{"ZQUANTIZ": "'MAGIC'"}},
		{"ZDITHER0 = 10001", "RICE_1", nil, map[string]string{"ZBITPIX": "-32", "ZSCALE": "2", "ZQUANTIZ": "'SUBTRACTIVE_DITHER_1'", "ZDITHER0": "10001"}},
		{"neither a column nor a keyword ZSCALE", "RICE_1", nil, map[string]string{"ZBITPIX": "-32"}},
		{`ZSCALE = "much"`, "RICE_1", nil, map[string]string{"ZSCALE": "much"}},
	} {
		header, table := made(c.kind, 4, 4, c.tile, c.change)
		im, err := tiled.Open(bytes.NewReader(table), header, 0, int64(len(table)))
		if err == nil {
			_, err = im.Read(0)
		}
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %v: %v, want %q", c.kind, c.change, err, c.says)
		}
	}
	// Descriptors that point outside the heap, a file that ends within it, a tile that is not there.
	header, table := made("HCOMPRESS_1", 4, 4, flat, nil)
	for _, outside := range []struct{ count, offset uint32 }{{1 << 31, 0}, {27, 1}, {1, 1<<32 - 1}} {
		wrong := slices.Clone(table)
		binary.BigEndian.PutUint32(wrong, outside.count)
		binary.BigEndian.PutUint32(wrong[4:], outside.offset)
		im, err := tiled.Open(bytes.NewReader(wrong), header, 0, int64(len(wrong)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := im.Read(0); err == nil || !strings.Contains(err.Error(), "outside the heap") {
			t.Errorf("%+v: %v", outside, err)
		}
	}
	im, err := tiled.Open(bytes.NewReader(table[:20]), header, 0, int64(len(table)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := im.Read(0); err == nil || !strings.Contains(err.Error(), "the file ends within the table") {
		t.Errorf("cut: %v", err)
	}
	if _, err := im.Read(1); err == nil {
		t.Error("a tile that is not there is read")
	}
}

var kinds = []string{"HCOMPRESS_1", "RICE_1", "GZIP_1", "GZIP_2", "PLIO_1"}

// No tile makes a decoder panic, go on for ever or give another number of pixels.
func FuzzTile(f *testing.F) {
	file := small(f)
	for _, u := range units(f, file)[1:] {
		kind := slices.Index(kinds, strings.Trim(u.header["ZCMPTYPE"], "' "))
		var width, height int
		fmt.Sscan(u.header["ZTILE1"], &width)
		fmt.Sscan(u.header["ZTILE2"], &height)
		row := file[u.data:]
		var heap int
		fmt.Sscan(u.header["NAXIS1"], &heap)
		var rows int
		fmt.Sscan(u.header["NAXIS2"], &rows)
		count, offset := int(binary.BigEndian.Uint32(row)), int(binary.BigEndian.Uint32(row[4:]))
		if kind == 4 {
			count *= 2
		}
		f.Add(uint8(kind), uint8(width), uint8(height), uint8(2), false, row[heap*rows+offset:][:count])
	}
	f.Fuzz(func(t *testing.T, kind, width, height, bytepix uint8, smooth bool, tile []byte) {
		change := map[string]string{"ZNAME1": "'BYTEPIX'", "ZVAL1": fmt.Sprint(bytepix), "ZNAME2": "'SMOOTH'", "ZVAL2": fmt.Sprint(map[bool]int{smooth: 1}[true])}
		header, table := made(kinds[int(kind)%len(kinds)], int(width), int(height), tile, change)
		im, err := tiled.Open(bytes.NewReader(table), header, 0, int64(len(table)))
		if err != nil {
			return
		}
		if values, err := im.Read(0); err == nil && len(values) != int(width)*int(height) {
			t.Fatalf("%d values of %d × %d", len(values), width, height)
		}
	})
}
