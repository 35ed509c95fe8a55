package images_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/images"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

// smallBands are a plain file, one unit of several with scaled integers, and a tile-compressed one.
const smallBands = `bands: [{name: "g", file: "testdata/field_g.fits"}, {name: "r", file: "testdata/field_r.fits", hdu: 2}, {name: "i", file: "testdata/field_i.fits"}]`

func fieldReader(t testing.TB, config string) sdk.Reader {
	t.Helper()
	r := sdktest.Configure(t, images.Plugin(), "field", "{"+config+"}").(sdk.Reader)
	t.Cleanup(func() { r.(interface{ Close() error }).Close() })
	return r
}

func openField(t testing.TB, config string) (sdk.Reader, *sdk.Catalogue) {
	t.Helper()
	r := fieldReader(t, config)
	c, err := r.Open()
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// stampCRC is the digest that testdata/field.py makes.
func stampCRC(pixels []float32) uint32 {
	var b []byte
	for _, v := range pixels {
		bits := math.Float32bits(v)
		if v != v {
			bits = 0x7fc00000
		}
		b = binary.LittleEndian.AppendUint32(b, bits)
	}
	return crc32.ChecksumIEEE(b)
}

type stampGolden map[string]*struct {
	X, Y   int
	CRC    uint32
	Values []*float64
	Peak   []int
}

func stamps(t testing.TB, file string) (golden stampGolden) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	return golden
}

// Stamps of plain, scaled and compressed files are what astropy and numpy cut, and objects at the border are named.
func TestFieldAgreesWithAstropy(t *testing.T) {
	r, c := openField(t, smallBands+`, catalogue: "testdata/field.csv", size: 9, columns: ["kind"], derived: ellipticity: "1 - b/a", unit: "ADU", pixel_scale: 0.2`)
	if c.Count != 8 || !slices.Equal(c.Facts.Shape, []int64{9, 9, 3}) || !slices.Equal(c.Facts.Bands, []string{"g", "r", "i"}) || c.Facts.Flux != sdk.Linear || c.Facts.Unit != "ADU" || c.Facts.PixelScale != 0.2 || c.Dtype != sdk.F32 {
		t.Errorf("%v", c)
	}
	all := records(t, r, c)
	golden := stamps(t, "testdata/field.json")
	for name, want := range golden {
		one := all[name]
		if want == nil {
			if one.Bad != name+": its stamp leaves the field" {
				t.Errorf("%s: %q", name, one.Bad)
			}
			continue
		}
		if one.Bad != "" || !slices.Equal(one.Shape, []int{9, 9, 3}) {
			t.Fatalf("%s: %q, shape %v", name, one.Bad, one.Shape)
		}
		for i, w := range want.Values {
			got := one.F32[(3+i/3)*27+4*3+i%3]
			if w == nil && got == got || w != nil && float32(*w) != got {
				t.Errorf("%s: value %d is %g", name, i, got)
			}
		}
		if stampCRC(one.F32) != want.CRC {
			t.Errorf("%s: its stamp is another one", name)
		}
	}
	if one := all["s1"]; one.Values[0] != "G" || math.Abs(one.Values[1].(float64)-1./3) > 1e-12 || all["s2"].Values[1] != nil {
		t.Errorf("columns %v and %v", one.Values, all["s2"].Values)
	}
	if c.Fields[0].Name != "kind" || c.Fields[0].Type != sdk.String || c.Fields[1].Name != "ellipticity" || c.Fields[1].Type != sdk.Number {
		t.Errorf("fields %v", c.Fields)
	}
	if len(c.Notices) != 1 || c.Notices[0].Count != 1 || c.Notices[0].Examples[0] != "s2" || !strings.Contains(c.Notices[0].What, `"ellipticity" = 1 - b/a has no value`) {
		t.Errorf("notices %v", c.Notices)
	}
}

// The real field: stamps in nine bands have the bits of those that astropy gives, and hold their object in the middle.
func TestRealFieldStamps(t *testing.T) {
	folder := data(t, "kids_viking_9band")
	r, c := openField(t, realField(folder, 48))
	all := records(t, r, c)
	middle := 0
	golden := stamps(t, "testdata/field_kids.json")
	for name, want := range golden {
		one := all[name]
		if want == nil {
			if !strings.Contains(one.Bad, "leaves the field") {
				t.Errorf("%s: %q", name, one.Bad)
			}
			continue
		}
		if stampCRC(one.F32) != want.CRC {
			t.Errorf("%s: its stamp is another one", name)
			continue
		}
		peak := 0
		for k := range 48 * 48 {
			if one.F32[k*9+2] > one.F32[peak*9+2] {
				peak = k
			}
		}
		if got := []int{peak / 48, peak % 48}; !slices.Equal(got, want.Peak) {
			t.Errorf("%s: brightest at %v, not %v", name, got, want.Peak)
		}
		if max(math.Abs(float64(peak/48)-23.5), math.Abs(float64(peak%48)-23.5)) <= 1.5 {
			middle++
		}
	}
	bad := 0
	for _, one := range all {
		if one.Bad != "" {
			bad++
		}
	}
	t.Logf("%d objects, of which %d leave the field; %d of %d bright ones have their brightest pixel in the middle", c.Count, bad, middle, len(golden))
	if c.Count != 819 || bad != 26 || middle < 25 {
		t.Errorf("%d objects, %d leave the field, %d with the brightest pixel in the middle", c.Count, bad, middle)
	}
}

func realField(folder string, size int) string {
	var bands []string
	for _, b := range strings.Fields("u g r i Z Y J H Ks") {
		bands = append(bands, fmt.Sprintf("{name: %q, file: %q}", b, filepath.Join(folder, b+".fits")))
	}
	return fmt.Sprintf(`bands: [%s], catalogue: %q, x: "x0", y: "y0", origin: 0, size: %d`, strings.Join(bands, ", "), filepath.Join(folder, "sources_measured.csv"), size)
}

// Origins differ by one pixel; where takes some objects; names get their prefix; the order is that of the field.
func TestFieldSelection(t *testing.T) {
	_, c := openField(t, smallBands+`, catalogue: "testdata/field.csv", size: 9, where: "y > 11.5 && (b != 3 || a < 4)"`)
	var notices []string
	for _, n := range c.Notices {
		notices = append(notices, fmt.Sprintf("%d %s: %s", n.Count, n.What, strings.Join(n.Examples, ", ")))
	}
	// s0 and s6 lie low, s2 has no b: a comparison with nothing does not hold, and its a is 4.
	if got, want := strings.Join(notices, "\n"), "3 objects that are not as where says, not taken: s0, s2, s6"; got != want || c.Count != 5 {
		t.Errorf("%d objects, %s", c.Count, got)
	}
	read := func(config string) (sdk.Reader, *sdk.Catalogue, map[string]sdk.Record) {
		r, c := openField(t, smallBands+`, catalogue: "testdata/field.csv", `+config)
		return r, c, records(t, r, c)
	}
	_, _, fits := read("size: 9")
	_, _, numpy := read(`size: 9, origin: 0, prefix: "n-"`)
	one, other := fits["s0"], numpy["n-s0"]
	for k := range 8 * 8 {
		if y, x := k/8, k%8; one.F32[((y+1)*9+x+1)*3] != other.F32[(y*9+x)*3] {
			t.Fatal("an origin of 0 does not cut one pixel further")
		}
	}
	r, _, _ := read("size: 8")
	var ys []string
	for i := range 8 {
		var one sdk.Record
		if err := r.Read(i, &one); err != nil {
			t.Fatal(err)
		}
		ys = append(ys, one.ID)
	}
	if want := []string{"s6", "s0", "s5", "s7", "s1", "s3", "s2", "s4"}; !slices.Equal(ys, want) {
		t.Errorf("order %v, not %v", ys, want)
	}
}

// Masked pixels have no value in any band.
func TestFieldMask(t *testing.T) {
	for config, want := range map[string]int{"": 2, ", bits: 4": 1, ", bits: 1": 1, ", bits: 5": 2, ", bits: 2": 0, ", bits: 1073741824": 2} {
		r, c := openField(t, smallBands+`, catalogue: "testdata/field.csv", size: 9, mask: {file: "testdata/field_mask.fits"`+config+"}")
		one, plain := records(t, r, c)["s7"], 0
		_, where := openField(t, smallBands+`, catalogue: "testdata/field.csv", size: 9`)
		if where.Fingerprint == c.Fingerprint {
			t.Error("a mask does not change the fingerprint")
		}
		for k := range 81 {
			if one.F32[3*k] != one.F32[3*k] && one.F32[3*k+1] != one.F32[3*k+1] && one.F32[3*k+2] != one.F32[3*k+2] {
				plain++
			}
		}
		if plain != want {
			t.Errorf("mask%s: %d pixels without value, not %d", config, plain, want)
		}
	}
}

// All readers at once get the same stamps.
func TestFieldConcurrently(t *testing.T) {
	config := smallBands + `, catalogue: "testdata/field.csv", size: 9`
	r, c := openField(t, config)
	want := records(t, r, c)
	r, _ = openField(t, config)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for k := range 8 {
				var one sdk.Record
				if err := r.Read((k+worker)%8, &one); err != nil || stampCRC(one.F32) != stampCRC(want[one.ID].F32) {
					t.Errorf("%s: %v, or another stamp", one.ID, err)
				}
			}
		})
	}
	group.Wait()
}

func TestFormulas(t *testing.T) {
	root := t.TempDir()
	write(t, root, "c.csv", []byte("id,x,y,a,b\no,10,10,8,\np,20,20,-3,0.5\n"))
	value := func(text string) any {
		r, c := openField(t, fmt.Sprintf(`%s, catalogue: %q, size: 3, derived: v: %q`, smallBands, filepath.Join(root, "c.csv"), text))
		return records(t, r, c)["p"].Values[0]
	}
	for text, want := range map[string]any{
		"1 - b/2": 0.75, "-a*(b+1)": 4.5, "2*log10(1000)": math.Log10(1000) * 2, "pow(abs(a), 2)": 9.0, "min(a, 2) + max(a, 2)": -1.0,
		"floor(x/3)": 6.0, "sqrt(a)": nil, "1/0": nil, "exp(0) + log(1)": 1.0, "1e-2": 0.01, "+3 - -a": 0.0,
		"where(a < 0 || b > 9, x)": 20.0, "where(a > 0, x)": nil, "where(pow(10, 400) > 1, 1) + 1": 2.0,
	} {
		if got := value(text); got != want {
			t.Errorf("%s is %v, not %v", text, got, want)
		}
	}
	for text, says := range map[string]string{
		"1 -": "cannot be understood", "c": `has no column "c"`, "id": "holds no numbers", "a^2": "write pow(x, y)", "a > 1": "it is no number", "sin(a)": `no function "sin"`,
		"sqrt(a, b)": "takes 1 arguments, not 2", "pow(a)": "takes 2 arguments, not 1", "where(a, b)": "it is no condition", `"a"`: "is no number", "a[1]": "made of more than", "!a": "! is not known", "func() {}": "made of more than",
		"a % 2": "% is not known",
	} {
		_, err := fieldReader(t, fmt.Sprintf(`%s, catalogue: %q, size: 3, derived: v: %q`, smallBands, filepath.Join(root, "c.csv"), text)).Open()
		if f, ok := errors.AsType[sdk.FieldError](err); !ok || f.Field != "derived.v" || !strings.Contains(f.What, says) || f.Advice == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, says := range map[string]string{"a": "it is no condition", "a + 1": "it is no condition: + makes a number", "a > 1 && b": "it is no condition", "(a > 1) + 1 > 2": "it is no number"} {
		_, err := fieldReader(t, fmt.Sprintf(`%s, catalogue: %q, size: 3, where: %q`, smallBands, filepath.Join(root, "c.csv"), text)).Open()
		if f, ok := errors.AsType[sdk.FieldError](err); !ok || f.Field != "where" || !strings.Contains(f.What, says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Each way in which a field can be wrong is said, with the files and what to do.
func TestFieldRefusals(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	g, err := os.ReadFile("testdata/field_g.fits")
	if err != nil {
		t.Fatal(err)
	}
	i, err := os.ReadFile("testdata/field_i.fits")
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, "packed.fits", packed(g))
	write(t, root, "page.fits", []byte("<html>not found</html>"))
	write(t, root, "cut.fits", g[:len(g)-2880])
	write(t, root, "cards.fits", []byte(strings.Replace(string(i), "HCOMPRESS_1", "HCOMPRESS_7", 1)))
	write(t, root, "empty.csv", nil)
	write(t, root, "c.csv", []byte("id,x,y\na,10,10\nb,,3\n,5,5\nc,11,10\n"))
	write(t, root, "words.csv", []byte("id,x,y\na,here,there\n"))
	band := func(file string) string { return fmt.Sprintf("bands: [{name: %q, file: %q}]", "g", file) }
	small := band("testdata/field_g.fits")
	for _, c := range []struct{ bands, config, field, says string }{
		{band("nowhere.fits"), "", "", "nowhere.fits, is not there"},
		{band(root), "", "", "it is not a file"},
		{band(at("packed.fits")), "", "", "unpack it with gunzip"},
		{band(at("page.fits")), "", "", "it is no FITS file"},
		{band(at("cut.fits")), "", "", "it is truncated"},
		{band(at("cards.fits")), "", "", "it is compressed by HCOMPRESS_7"},
		{band("testdata/field_r.fits"), "", "", "images in the units 1 2: choose by hdu"},
		{`bands: [{name: "r", file: "testdata/field_r.fits", hdu: 5}]`, "", "", "no image in unit 5, but in [1 2]"},
		{band("testdata/cube.fits"), "", "", "has the axes [7 6 3], and a field has two"},
		{`bands: [{name: "g", file: "testdata/field_g.fits"}, {name: "z", file: "testdata/plane.fits"}]`, "", "", "testdata/field_g.fits has 61 × 52 pixels and testdata/plane.fits has 7 × 6"},
		{small, `mask: file: "testdata/plane.fits"`, "", "testdata/field_g.fits has 61 × 52 pixels and testdata/plane.fits has 7 × 6"},
		{small, `mask: {file: "testdata/field_g.fits", bits: 1}`, "mask.bits", "which have no bits"},
		{small, "size: 53", "size", "larger than the field of 61 × 52"},
		{small, `catalogue: "nowhere.csv"`, "", "no such file"},
		{small, fmt.Sprintf("catalogue: %q", at("empty.csv")), "", "it has no rows"},
		{small, fmt.Sprintf("catalogue: %q", at("words.csv")), "x", "holds no numbers"},
		{small, `x: "X_IMAGE"`, "x", `has no column "X_IMAGE"`},
		{small, `id: "ID"`, "id", `has no column "ID"`},
		{small, `columns: ["z"]`, "columns.0", `has no column "z"`},
	} {
		config := c.bands
		for _, otherwise := range []string{"size: 3", fmt.Sprintf("catalogue: %q", at("c.csv"))} {
			if name, _, _ := strings.Cut(otherwise, ":"); !strings.HasPrefix(c.config, name) {
				config += ", " + otherwise
			}
		}
		_, err := fieldReader(t, strings.TrimSuffix(config+", "+c.config, ", ")).Open()
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", config, err, c.says)
			continue
		}
		f, isField := errors.AsType[sdk.FieldError](err)
		d, _ := errors.AsType[sdk.DataError](err)
		if isField != (c.field != "") || f.Field != c.field || f.Advice+d.Advice == "" {
			t.Errorf("%s: %#v", config, err)
		}
	}
	for _, config := range []string{
		`{}`, `{bands: [], catalogue: "c", size: 3}`, `{bands: [{name: "g", file: "a"}, {name: "g", file: "b"}], catalogue: "c", size: 3}`,
		`{bands: [{name: "g", file: "a"}], catalogue: "c", size: 0}`, `{bands: [{name: "g", file: "a"}], catalogue: "c", size: 3, origin: 2}`,
		`{bands: [{name: "g", file: "a"}], catalogue: "c", size: 3, columns: ["a", "a"]}`, `{bands: [{name: "g", file: "a"}], catalogue: "c", size: 3, columns: ["a"], derived: a: "b"}`,
		`{bands: [{name: "g", file: "a"}, {name: "r", file: "a"}], catalogue: "c", size: 8192}`, `{bands: [{name: "g", file: "a", unit: 1}], catalogue: "c", size: 3}`,
	} {
		if _, err := sdktest.Build(images.Plugin(), "field", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
	// Rows without a position or a name are counted; a damaged tile makes a bad record that names the file.
	_, c := openField(t, fmt.Sprintf("%s, catalogue: %q, size: 3", small, at("c.csv")))
	if c.Count != 2 || len(c.Notices) != 1 || c.Notices[0].Count != 2 || !slices.Equal(c.Notices[0].Examples, []string{"row 2", "row 3"}) {
		t.Errorf("%d objects, notices %v", c.Count, c.Notices)
	}
	torn := slices.Clone(i)
	for k := 8640; k < len(torn); k++ { // behind the headers: descriptors and heap
		torn[k] ^= 0x55
	}
	write(t, root, "torn.fits", torn)
	r, c := openField(t, fmt.Sprintf("%s, catalogue: %q, size: 3", band(at("torn.fits")), at("c.csv")))
	for id, one := range records(t, r, c) {
		if !strings.HasPrefix(one.Bad, "torn.fits: tile ") {
			t.Errorf("%s: %q", id, one.Bad)
		}
	}
}

func BenchmarkRealField(b *testing.B) {
	config := realField(data(b, "kids_viking_9band"), 64)
	for b.Loop() {
		r, c := openField(b, config)
		for i := range c.Count {
			var one sdk.Record
			if err := r.Read(int(i), &one); err != nil {
				b.Fatal(err)
			}
		}
	}
}
