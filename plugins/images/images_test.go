package images_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/images"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func Example() {
	p := images.Plugin()
	fmt.Println(p.Name, p.Components[0].Name, p.Components[0].Summary)
	// Output: images folder JPEG, PNG or FITS pictures of a folder, joined to a table
}

// reader configures a folder; config is CUE after the root.
func reader(t testing.TB, root, config string) sdk.Reader {
	t.Helper()
	text, _ := json.Marshal(root)
	return sdktest.Configure(t, images.Plugin(), "folder", fmt.Sprintf("{root: %s\n%s}", text, config)).(sdk.Reader)
}

func open(t testing.TB, root, config string) (sdk.Reader, *sdk.Catalogue) {
	t.Helper()
	r := reader(t, root, config)
	c, err := r.Open()
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func records(t testing.TB, r sdk.Reader, c *sdk.Catalogue) map[string]sdk.Record {
	t.Helper()
	all := map[string]sdk.Record{}
	for i := range c.Count {
		var one sdk.Record
		if err := r.Read(int(i), &one); err != nil {
			t.Fatal(err)
		}
		if _, ok := all[one.ID]; ok {
			t.Fatalf("the id %q comes twice", one.ID)
		}
		all[one.ID] = one
	}
	return all
}

func write(t testing.TB, root, name string, data []byte) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// grey is a PNG of one grey.
func grey(value uint8, width, height int) []byte {
	m := image.NewGray(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = value
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Pixels are what Pillow and astropy read of the same files.
func TestPixelsAgreeWithPillowAndAstropy(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]struct {
		Shape     []int
		Tolerance float64
		Values    []*float64
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for name, want := range golden {
		root := t.TempDir()
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, name, data)
		r, c := open(t, root, "")
		var one sdk.Record
		if err := r.Read(0, &one); err != nil || one.Bad != "" {
			t.Errorf("%s: %v %s", name, err, one.Bad)
			continue
		}
		if !slices.Equal(one.Shape, want.Shape) || len(c.Facts.Shape) != len(want.Shape) || len(c.Facts.Bands) != want.Shape[len(want.Shape)-1] {
			t.Errorf("%s: shape %v, catalogue %v, bands %v; want %v", name, one.Shape, c.Facts.Shape, c.Facts.Bands, want.Shape)
			continue
		}
		for i, w := range want.Values {
			var v float64
			if c.Dtype == sdk.U8 {
				v = c.Scale * float64(one.U8[i])
			} else {
				v = c.Scale * float64(one.F32[i])
			}
			if w == nil {
				if !math.IsNaN(v) {
					t.Errorf("%s: value %d is %g, not NaN", name, i, v)
				}
			} else if !(math.Abs(v-*w) <= want.Tolerance+1e-6*math.Max(1, math.Abs(*w))) {
				t.Errorf("%s: value %d is %g, not %g", name, i, v, *w)
				break
			}
		}
		if isFITS := strings.Contains(name, ".fits"); isFITS != (c.Facts.Flux == sdk.Linear) {
			t.Errorf("%s: flux %v", name, c.Facts.Flux)
		}
	}
}

// A cube is bands or space; units can be chosen; names, unit and scale go into the facts.
func TestFITSLayout(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"cube.fits", "units.fits"} {
		data, _ := os.ReadFile(filepath.Join("testdata", name))
		write(t, root, name[:4]+"/"+name, data)
	}
	_, c := open(t, filepath.Join(root, "cube"), `cube: "volume"`)
	if !slices.Equal(c.Facts.Shape, []int64{3, 6, 7, 1}) {
		t.Errorf("volume: %v", c.Facts.Shape)
	}
	_, c = open(t, filepath.Join(root, "unit"), `hdus: [2], bands: ["K"], unit: "nanomaggy", pixel_scale: 0.396, flux: "stretched"`)
	if !slices.Equal(c.Facts.Shape, []int64{6, 7, 1}) || c.Facts.Bands[0] != "K" || c.Facts.Unit != "nanomaggy" || c.Facts.PixelScale != 0.396 || c.Facts.Flux != sdk.Stretched {
		t.Errorf("one unit: %v", c.Facts)
	}
	var f sdk.FieldError
	if _, err := reader(t, filepath.Join(root, "unit"), `bands: ["J", "H", "K"]`).Open(); !errors.As(err, &f) || f.Field != "bands" {
		t.Errorf("three names for two bands: %v", err)
	}
}

// The table's header is its last comment; columns are found, numbers and names told apart, missing values kept.
func TestJoin(t *testing.T) {
	root := t.TempDir()
	for i, name := range []string{"g1", "g2", "g3", "bare"} {
		write(t, root, "images/"+name+".png", grey(uint8(i), 4, 3))
	}
	write(t, root, "table.txt", []byte("# made by hand\n#\n# name  T  type ra\n\ng1  -3.5 E0  10\ng2  nan  --  11\ng9 2 Sa 12\ng3 1 Sb 13\nragged 1\ng3 9 Sc 14\n"))
	r, c := open(t, filepath.Join(root, "images"), fmt.Sprintf(`table: %q, columns: ["T", "type"]`, filepath.Join(root, "table.txt")))
	if c.Count != 4 || c.Fields[0].Type != sdk.Number || c.Fields[1].Type != sdk.String {
		t.Fatalf("%v", c)
	}
	for id, want := range map[string][]any{"g1": {-3.5, "E0"}, "g2": {nil, nil}, "g3": {1.0, "Sb"}, "bare": {nil, nil}} {
		if got := records(t, r, c)[id].Values; !slices.Equal(got, want) {
			t.Errorf("%s has %v, not %v", id, got, want)
		}
	}
	var notices []string
	for _, n := range c.Notices {
		notices = append(notices, fmt.Sprintf("%d %s: %s", n.Count, n.What, strings.Join(n.Examples, ", ")))
	}
	if got, want := strings.Join(notices, "\n"), `1 rows of the table without an image: g9
1 images without a row in the table: bare.png
1 rows of the table for an object that has one: g3, row 5
1 lines of the table with another number of fields than its header: line 9 has 2 fields`; got != want {
		t.Errorf("notices\n%s\ninstead of\n%s", got, want)
	}
	var one sdk.Record
	if err := r.(sdk.FileReader).ReadFile(filepath.Join(root, "images", "g1.png"), &one); err != nil || one.ID != "g1" || one.Values[0] != -3.5 || one.U8[0] != 0 {
		t.Errorf("a single file: %v %v", one, err)
	}
}

// One bad cell does not make names of numbers: it is missing, and a notice says where it is. A column without any value
// is none of numbers.
func TestBadCellsAndBlankColumns(t *testing.T) {
	root := t.TempDir()
	table := "name,z,kind,blank\n"
	for i := range 12 {
		name := fmt.Sprintf("g%03d", i)
		write(t, root, name+".png", grey(uint8(i), 4, 3))
		z := fmt.Sprintf("0.%d", i)
		switch i {
		case 3:
			z = "NULL"
		case 7:
			z = "abc"
		}
		table += name + "," + z + ",E,\n"
	}
	write(t, root, "table.csv", []byte(table))
	r, c := open(t, root, fmt.Sprintf(`table: %q, columns: ["z", "kind", "blank"]`, filepath.Join(root, "table.csv")))
	if c.Fields[0].Type != sdk.Number || c.Fields[1].Type != sdk.String || c.Fields[2].Type != sdk.String {
		t.Errorf("columns %v", c.Fields)
	}
	all := records(t, r, c)
	if all["g007"].Values[0] != nil || all["g003"].Values[0] != nil || all["g002"].Values[0] != 0.2 || all["g002"].Values[2] != nil {
		t.Errorf("%v", all)
	}
	var notices []string
	for _, n := range c.Notices {
		notices = append(notices, fmt.Sprintf("%d %s: %s", n.Count, n.What, strings.Join(n.Examples, ", ")))
	}
	if got, want := strings.Join(notices, "\n"), `1 columns of the table without any value: blank
1 cells that are no numbers in the column "z", taken as missing: g007: abc`; got != want {
		t.Errorf("notices\n%s\ninstead of\n%s", got, want)
	}
}

// A column of file names joins objects that are called otherwise, also without being named when it is the first.
func TestJoinByFileName(t *testing.T) {
	root := t.TempDir()
	for i := range 3 {
		write(t, root, fmt.Sprintf("%05d.png", i), grey(uint8(i), 4, 3))
	}
	write(t, root, "index.csv", []byte("\xef\xbb\xbffile,\"object\",z\r\n00000.png,\"a, b\",0.1\r\n./00002.png,c,\r\n"))
	r, c := open(t, root, fmt.Sprintf(`table: %q, file: "file", id: "object", columns: ["z"]`, filepath.Join(root, "index.csv")))
	all := records(t, r, c)
	if all["a, b"].Values[0] != 0.1 || all["c"].Values[0] != nil || all["00001"].ID == "" {
		t.Errorf("%v", all)
	}
	r, c = open(t, root, fmt.Sprintf(`table: %q, columns: ["z"]`, filepath.Join(root, "index.csv")))
	if got := records(t, r, c)["00000"].Values[0]; got != 0.1 {
		t.Errorf("by the first column: %v", got)
	}
	// A row that does not name its object leaves it the name of its file.
	write(t, root, "index.csv", []byte("file,object,z\n00000.png,,0.1\n00001.png,,0.2\n00002.png,c,0.3\n"))
	r, c = open(t, root, fmt.Sprintf(`table: %q, file: "file", id: "object", columns: ["z"]`, filepath.Join(root, "index.csv")))
	if all := records(t, r, c); all["00000"].Values[0] != 0.1 || all["00001"].Values[0] != 0.2 || all["c"].Values[0] != 0.3 {
		t.Errorf("rows without a name: %v", all)
	}
}

// Names are file names, and as much of the path as makes them unique; the order is that of paths.
func TestNames(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a/x.png", "b/x.png", "b/y.png", "z.png", "z.PNG", ".hidden.png", "notes.txt", "c/deep/w.png"} {
		write(t, root, name, grey(7, 2, 2))
	}
	r, c := open(t, root, "")
	var ids []string
	for i := range c.Count {
		var one sdk.Record
		if err := r.Read(int(i), &one); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, one.ID)
	}
	if want := []string{"a/x", "b/x", "y", "z.PNG", "z.png"}; !slices.Equal(ids, want) {
		t.Errorf("%v, not %v", ids, want)
	}
}

// Every kind of bad file among good ones is left out with its name and a reason.
func TestBadFiles(t *testing.T) {
	root := t.TempDir()
	good := grey(9, 20, 10)
	bomb := slices.Clone(good)
	binary.BigEndian.PutUint32(bomb[16:], 1<<16)
	binary.BigEndian.PutUint32(bomb[20:], 1<<16)
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	jpeg, _ := os.ReadFile("testdata/grey.jpg")
	colour, _ := os.ReadFile("testdata/colour.png")
	deep, _ := os.ReadFile("testdata/deep.png")
	plane, _ := os.ReadFile("testdata/plane.fits")
	for name, data := range map[string][]byte{
		"good.png": good, "empty.png": {}, "text.jpg": []byte("<html>not found</html>"), "bomb.png": bomb,
		"cut.jpg": jpeg[:len(jpeg)-40], "half.png": good[:len(good)/2], "colour.png": colour, "deep.png": deep, "plane.fits": plane,
	} {
		write(t, root, name, data)
	}
	if err := os.Symlink("nowhere.png", filepath.Join(root, "link.png")); err != nil {
		t.Fatal(err)
	}
	// The first file in order decides what the folder holds: make it grey.
	write(t, root, "a.png", good)
	r, c := open(t, root, "")
	for id, one := range records(t, r, c) {
		want, bad := map[string]string{
			"empty": "empty.png: it is empty", "text": "text.jpg: it is neither", "bomb": "bomb.png: its header says 65536×65536 pixels",
			"cut": "cut.jpg: it is damaged jpeg", "half": "half.png: it", "colour": "colour.png: it has 3 bands, a.png has 1",
			"deep": "deep.png: it has 16 bits", "plane": "plane.fits: it is of another kind", "link": "link.png: no such file",
		}[id]
		if bad != (one.Bad != "") || !strings.HasPrefix(one.Bad, want) || bad == (one.U8 != nil) {
			t.Errorf("%s: %q", id, one.Bad)
		}
	}
}

func TestRefusals(t *testing.T) {
	root := t.TempDir()
	write(t, root, "images/g1.png", grey(1, 2, 2))
	write(t, root, "corrupt/g1.png", []byte("x"))
	write(t, root, "empty/readme.txt", []byte("x"))
	table := filepath.Join(root, "table.csv")
	write(t, root, "table.csv", []byte("name,redshift\ng1,0.1\n"))
	write(t, root, "other.csv", []byte("name,redshift\nelsewhere,0.1\n"))
	write(t, root, "headless.csv", []byte("g1,0.1\n"))
	write(t, root, "blank.csv", []byte("\n"))
	for _, c := range []struct {
		folder, config, field, says string
	}{
		{"nowhere", ``, "", "no such file or directory"},
		{"table.csv", ``, "", "is a file, not a folder"},
		{"empty", ``, "", "holds no picture"},
		{"corrupt", ``, "", "none of the 1 files"},
		{"images", `table: "/nowhere.csv"`, "", "no such file"},
		{"images", fmt.Sprintf(`table: %q, columns: ["redshif"]`, table), "columns.0", `has no column "redshif"`},
		{"images", fmt.Sprintf(`table: %q, columns: ["name", "Red"]`, table), "columns.1", `has no column "Red"`},
		{"images", fmt.Sprintf(`table: %q, id: "PGC"`, table), "id", `has no column "PGC"`},
		{"images", fmt.Sprintf(`table: %q, file: "path"`, table), "file", `has no column "path"`},
		{"images", fmt.Sprintf(`table: %q`, filepath.Join(root, "other.csv")), "", "no row of the table other.csv belongs to a file"},
		{"images", fmt.Sprintf(`table: %q`, filepath.Join(root, "headless.csv")), "", "holds numbers"},
		{"images", fmt.Sprintf(`table: %q`, filepath.Join(root, "blank.csv")), "", "has no rows"},
		{"images", fmt.Sprintf(`table: %q`, root), "", "not a file"},
		{"images", fmt.Sprintf(`table: %q`, filepath.Join(root, "images/g1.png")), "", "not text"},
	} {
		_, err := reader(t, filepath.Join(root, c.folder), c.config).Open()
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v", c.folder, c.config, err)
			continue
		}
		var f sdk.FieldError
		var d sdk.DataError
		if errors.As(err, &f) != (c.field != "") || f.Field != c.field || c.field == "" && !errors.As(err, &d) || f.Advice+d.Advice == "" {
			t.Errorf("%s %s: %#v", c.folder, c.config, err)
		}
		if strings.HasPrefix(c.field, "columns") && !strings.HasPrefix(f.Advice, `did you mean "redshift"?`) {
			t.Errorf("advice %q", f.Advice)
		}
	}
	for _, config := range []string{`{}`, `{root: "x", columns: ["T"]}`, `{root: "x", flux: "log"}`, `{root: "x", extensions: ["png"]}`, `{root: "x", bands: ["g", "g"]}`, `{root: "x", colums: []}`} {
		if _, err := sdktest.Build(images.Plugin(), "folder", config); err == nil {
			t.Errorf("%s is accepted", config)
		}
	}
}

// The fingerprint changes with what records depend on, and with where the folder is: files of one size and time can hold
// other pixels elsewhere. That the same pixels elsewhere are not learned again is the store's digest's matter.
func TestFingerprint(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, root := range []string{a, b} {
		write(t, root, "g1.png", grey(1, 2, 2))
		info, _ := os.Stat(filepath.Join(a, "g1.png"))
		if err := os.Chtimes(filepath.Join(root, "g1.png"), info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	print := func(root, config string) string {
		_, c := open(t, root, config)
		return c.Fingerprint
	}
	first := print(a, "")
	if print(a, "") != first {
		t.Error("the same folder has another fingerprint")
	}
	if print(b, "") == first {
		t.Error("another folder has the same fingerprint")
	}
	if print(a, `bands: ["g"]`) == first {
		t.Error("another configuration has the same fingerprint")
	}
	write(t, a, "g1.png", grey(1, 30, 30))
	if print(a, "") == first {
		t.Error("another file has the same fingerprint")
	}
}

// A palette that decodes slowly, colour by colour, keeps its colours.
// A grey PNG may have one shade that is transparent; the decoder then gives colours though the header says grey.
func TestGreyWithATransparentShade(t *testing.T) {
	plain := grey(9, 4, 3)
	chunk := []byte("\x00\x00\x00\x02tRNS\x00\x09")
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	const header = 8 + 25 // signature and IHDR
	root := t.TempDir()
	write(t, root, "p.png", slices.Concat(plain[:header], chunk, plain[header:]))
	r, c := open(t, root, "")
	if one := records(t, r, c)["p"]; !slices.Equal(one.Shape, []int{3, 4, 1}) || !slices.Equal(one.U8, bytes.Repeat([]byte{9}, 12)) {
		t.Errorf("%+v", one)
	}
}

// What a header of FITS says may be nonsense; it is the file that is bad, nothing else.
func TestFITSHeadersThatLie(t *testing.T) {
	for name, cards := range map[string][]string{
		"no pixels but parameters": {"BITPIX  = 8", "NAXIS   = 3", "NAXIS1  = 4", "NAXIS2  = 4", "NAXIS3  = 0", "PCOUNT  = 16"},
		"no axes but parameters":   {"BITPIX  = 8", "NAXIS   = 0", "PCOUNT  = 16"},
		"infinity times nothing":   append(append([]string{"BITPIX  = 8", "NAXIS   = 19"}, axes(18, "9000000000000000000")...), "NAXIS19 = 0"),
	} {
		text := "SIMPLE  = T" + strings.Repeat(" ", 69)
		for _, card := range append(cards, "END") {
			text += fmt.Sprintf("%-80s", card)
		}
		root := t.TempDir()
		write(t, root, "a.fits", []byte(fmt.Sprintf("%-2880s", text)+strings.Repeat("\x00", 2880)))
		if _, err := reader(t, root, "").Open(); err == nil || !strings.Contains(err.Error(), "none of the 1 files") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func axes(n int, length string) (cards []string) {
	for i := range n {
		cards = append(cards, fmt.Sprintf("%-8s= %s", fmt.Sprintf("NAXIS%d", i+1), length))
	}
	return cards
}

func TestPalette(t *testing.T) {
	m := image.NewPaletted(image.Rect(0, 0, 2, 1), color.Palette{color.NRGBA{10, 20, 30, 255}, color.NRGBA{200, 100, 50, 0}})
	m.Pix[1] = 1
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	write(t, root, "p.png", b.Bytes())
	r, c := open(t, root, "")
	if got := records(t, r, c)["p"].U8; !slices.Equal(got, []byte{10, 20, 30, 200, 100, 50}) {
		t.Errorf("%v", got)
	}
}
