package images_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/images"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

// idxFile is an IDX file whose values count up from first.
func idxFile(first byte, sizes ...int) []byte {
	file := []byte{0, 0, 8, byte(len(sizes))}
	n := 1
	for _, s := range sizes {
		file = binary.BigEndian.AppendUint32(file, uint32(s))
		n *= s
	}
	for i := range n {
		file = append(file, first+byte(i))
	}
	return file
}

func packed(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

// idxReader configures files of a folder; config is CUE after the images.
func idxReader(t testing.TB, root, images_, config string) sdk.Reader {
	t.Helper()
	return sdktest.Configure(t, images.Plugin(), "idx", fmt.Sprintf("{images: %q\n%s}", filepath.Join(root, images_), config)).(sdk.Reader)
}

func TestIDX(t *testing.T) {
	root := t.TempDir()
	labels := append(idxFile(0, 3)[:8], 2, 0, 2)
	write(t, root, "samples.gz", packed(idxFile(10, 3, 2, 4)))
	write(t, root, "samples", idxFile(10, 3, 2, 4))
	write(t, root, "labels", labels)
	write(t, root, "labels.gz", packed(labels))
	for _, ending := range []string{"", ".gz"} {
		at := fmt.Sprintf("labels: %q", filepath.Join(root, "labels"+ending))
		r := idxReader(t, root, "samples"+ending, at)
		c, err := r.Open()
		if err != nil {
			t.Fatal(err)
		}
		if c.Count != 3 || !slices.Equal(c.Facts.Shape, []int64{2, 4, 1}) || c.Dtype != sdk.U8 || c.Scale != 1./255 || c.Facts.Bands[0] != "L" || c.Facts.Flux != sdk.Stretched || c.Fields[0].Name != "label" || c.Fields[0].Type != sdk.String {
			t.Errorf("%v", c)
		}
		all := records(t, r, c)
		if one := all["samples-00001"]; !slices.Equal(one.Shape, []int{2, 4, 1}) || !slices.Equal(one.U8, []byte{18, 19, 20, 21, 22, 23, 24, 25}) || one.Values[0] != "0" || all["samples-00002"].Values[0] != "2" {
			t.Errorf("%v", all)
		}
		r = idxReader(t, root, "samples"+ending, at+`, classes: ["coat", "shoe", "bag"], column: "kind", count: 2, bands: ["r"], flux: "linear", unit: "count", pixel_scale: 2`)
		if c, err = r.Open(); err != nil {
			t.Fatal(err)
		}
		if all = records(t, r, c); len(all) != 2 || all["samples-00000"].Values[0] != "bag" || c.Fields[0].Name != "kind" || c.Facts.Bands[0] != "r" || c.Facts.Flux != sdk.Linear || c.Facts.Unit != "count" || c.Facts.PixelScale != 2 {
			t.Errorf("%v of %v", all, c)
		}
		var one sdk.Record
		if err := r.Read(2, &one); err == nil {
			t.Error("a sample that is not there is read")
		}
	}
}

// Two, three and four axes are spectra, pictures, and pictures of several bands.
func TestIDXAxes(t *testing.T) {
	root := t.TempDir()
	for name, c := range map[string]struct {
		sizes []int
		shape []int
		bands []string
	}{
		"spectra": {[]int{2, 5}, []int{5, 1}, []string{"L"}},
		"maps":    {[]int{2, 5, 4}, []int{5, 4, 1}, []string{"L"}},
		"colours": {[]int{2, 5, 4, 3}, []int{5, 4, 3}, []string{"R", "G", "B"}},
		"bands":   {[]int{2, 5, 4, 2}, []int{5, 4, 2}, []string{"band1", "band2"}},
	} {
		write(t, root, name, idxFile(0, c.sizes...))
		r := idxReader(t, root, name, "")
		catalogue, err := r.Open()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var one sdk.Record
		if err := r.Read(1, &one); err != nil || !slices.Equal(one.Shape, c.shape) || !slices.Equal(catalogue.Facts.Bands, c.bands) || len(one.U8) != volume(c.shape) || one.U8[0] != byte(len(one.U8)) || len(one.Values) != 0 {
			t.Errorf("%s: %v, %v, bands %v", name, err, one, catalogue.Facts.Bands)
		}
	}
}

// volume is the number of values of a shape.
func volume(sizes []int) int {
	n := 1
	for _, s := range sizes {
		n *= s
	}
	return n
}

// Each way in which files can be wrong is said, with the file and what to do.
func TestIDXRefusals(t *testing.T) {
	root := t.TempDir()
	good := idxFile(0, 3, 2, 4)
	huge := idxFile(0, 3, 2, 4)
	binary.BigEndian.PutUint32(huge[4:], 1<<31-1)
	none := idxFile(0, 3, 2, 4)
	binary.BigEndian.PutUint32(none[8:], 0)
	wide := idxFile(0, 3, 2, 4)
	binary.BigEndian.PutUint32(wide[8:], 1<<20)
	binary.BigEndian.PutUint32(wide[12:], 1<<20)
	typed := slices.Clone(good)
	typed[2] = 0x0d
	for name, data := range map[string][]byte{
		"good": good, "empty": {}, "short header": good[:9], "cut": good[:len(good)-3], "cut.gz": packed(good[:len(good)-3]), "torn.gz": packed(good)[:30],
		"long": append(slices.Clone(good), 0), "text": []byte("<html>not found</html>"), "typed": typed, "huge": huge, "none": none, "wide": wide,
		"five axes": idxFile(0, 1, 1, 1, 1, 1), "three labels": idxFile(0, 3), "four labels": idxFile(0, 4), "high labels": idxFile(5, 3), "cut labels": idxFile(0, 3)[:10],
	} {
		write(t, root, name, data)
	}
	labels := func(name string) string { return fmt.Sprintf("labels: %q", filepath.Join(root, name)) }
	for _, c := range []struct{ images, config, field, says string }{
		{"nowhere", "", "", "is not there"},
		{".", "", "", "it is not a file"},
		{"empty", "", "", "its header is cut short"},
		{"short header", "", "", "its header is cut short"},
		{"cut", "", "", "it is cut short: its header says 3 samples of 8 bytes, and it ends in sample 2"},
		{"cut.gz", "", "", "it is cut short: its header says 3 samples of 8 bytes, and it ends in sample 2"},
		{"torn.gz", "", "", "cut short"},
		{"long", "", "", "it goes on after the 3 samples of 8 bytes"},
		{"text", "", "", "it is no IDX file: it begins with 3c 68 74 6d"},
		{"typed", "", "", "values of the type 0x0d, and only unsigned bytes"},
		{"huge", "", "", "2147483647 samples of [2 4], more than 4 GB"},
		{"none", "", "", "axis 1 has the length 0"},
		{"wide", "", "", "samples of [1048576 1048576], more than 64 million values"},
		{"five axes", "", "", "it has 5 axes"},
		{"three labels", "", "", "it has 1 axes"},
		{"good", labels("good"), "", "it has 3 axes"},
		{"good", labels("nowhere"), "", "is not there"},
		{"good", labels("cut labels"), "", "it is cut short"},
		{"good", labels("four labels"), "", "has 3 samples and"},
		{"good", labels("high labels") + `, classes: ["a", "b"]`, "classes", "has the label 7"},
		{"good", `bands: ["g", "r"]`, "bands", "2 bands are named"},
	} {
		_, err := idxReader(t, root, c.images, c.config).Open()
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v, want %q", c.images, c.config, err, c.says)
			continue
		}
		var f sdk.FieldError
		var d sdk.DataError
		if errors.As(err, &f) != (c.field != "") || f.Field != c.field || c.field == "" && !errors.As(err, &d) || f.Advice+d.Advice == "" {
			t.Errorf("%s %s: %#v", c.images, c.config, err)
		}
	}
	for _, config := range []string{`{}`, `{images: "x", classes: ["a"]}`, `{images: "x", bands: ["g", "g"]}`, `{images: "x", labels: "y", classes: ["a", "a"]}`, `{images: "x", count: -1}`} {
		if _, err := sdktest.Build(images.Plugin(), "idx", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
}

func TestIDXFingerprint(t *testing.T) {
	root := t.TempDir()
	write(t, root, "a", idxFile(0, 3, 2, 4))
	write(t, root, "labels", idxFile(0, 3))
	print := func(config string) string {
		c, err := idxReader(t, root, "a", config).Open()
		if err != nil {
			t.Fatal(err)
		}
		return c.Fingerprint
	}
	first := print("")
	if print("") != first || print("count: 2") == first || print(fmt.Sprintf("labels: %q", filepath.Join(root, "labels"))) == first {
		t.Error("the fingerprint does not follow the configuration alone")
	}
	write(t, root, "a", idxFile(0, 5, 2, 4))
	if print("") == first {
		t.Error("another file has the same fingerprint")
	}
}

// The real files, where Debian's package has put them.
func TestFashionMNIST(t *testing.T) {
	const root = "/usr/share/datasets/fashion-mnist"
	if _, err := os.Stat(root); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip("needs Debian's dataset-fashion-mnist")
	}
	r := idxReader(t, root, "t10k-images-idx3-ubyte.gz", fmt.Sprintf("labels: %q", filepath.Join(root, "t10k-labels-idx1-ubyte.gz")))
	c, err := r.Open()
	if err != nil || c.Count != 10000 || !slices.Equal(c.Facts.Shape, []int64{28, 28, 1}) {
		t.Fatalf("%v %v", c, err)
	}
	count := map[any]int{}
	for _, one := range records(t, r, c) {
		count[one.Values[0]]++
	}
	if len(count) != 10 || count["7"] != 1000 {
		t.Errorf("classes %v", count)
	}
}
