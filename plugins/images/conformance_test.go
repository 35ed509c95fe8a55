package images_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// data gives a folder of real data, or skips.
func data(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("ASTERISM_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
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

// The FITS files of other projects' test suites: every image unit is what astropy reads, or is refused with a reason;
// files that astropy cannot open are refused.
func TestConformance(t *testing.T) {
	folder := data(t, "fits_conformance")
	text, err := os.ReadFile(filepath.Join(folder, "expected_astropy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]struct {
		OpenError string `json:"open_error"`
		HDUs      []struct {
			Type  string
			Shape []int
			Stats *struct {
				Nonfinite int
				Samples   map[string]*float64
			}
		}
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	// What astropy reads and we refuse, with the reason that a user sees.
	refused := map[string]string{}
	read, compressed := 0, 0
	for name, want := range expected {
		root := t.TempDir()
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, "one.fits", content)
		if want.OpenError != "" {
			if _, err := reader(t, root, "").Open(); err == nil {
				t.Errorf("%s: opens, astropy says %s", name, want.OpenError)
			}
			continue
		}
		for i, hdu := range want.HDUs {
			one := sdk.Record{}
			_, err := reader(t, root, fmt.Sprintf("hdus: [%d]", i)).Open()
			if err == nil {
				r, _ := open(t, root, fmt.Sprintf("hdus: [%d]", i))
				if err := r.Read(0, &one); err != nil {
					t.Fatal(err)
				}
				if one.Bad != "" {
					err = fmt.Errorf("%s", one.Bad)
				}
			}
			packed := hdu.Type == "CompImageHDU"
			image := packed || hdu.Type == "PrimaryHDU" || hdu.Type == "ImageHDU"
			if slices.Contains(hdu.Shape, 0) || hdu.Shape == nil || hdu.Stats == nil {
				image = false
			}
			switch {
			case !image && err == nil:
				t.Errorf("%s, unit %d: a %s of the shape %v is read as an image", name, i, hdu.Type, hdu.Shape)
			case !image:
			case err != nil:
				refused[fmt.Sprintf("%s[%d]", filepath.Base(name), i)] = err.Error()
			default:
				read++
				if packed {
					compressed++
				}
				if strings.HasSuffix(name, "compressed_with_nan.fits") {
					hdu.Stats.Nonfinite++ // astropy 5.2.1 does not look at ZBLANK of quantised floats, later ones do
				}
				compare(t, fmt.Sprintf("%s, unit %d", name, i), one, hdu.Shape, hdu.Stats.Nonfinite, hdu.Stats.Samples)
			}
		}
	}
	t.Logf("%d image units as astropy reads them, %d of them tile-compressed, and %d refused", read, compressed, len(refused))
	for name, why := range refused {
		t.Errorf("%s: %s", name, why)
	}
	if read < 20 || compressed < 9 {
		t.Errorf("only %d units were read, %d of them tile-compressed", read, compressed)
	}
}

// compare checks a record of one unit against samples by flat index in the order of the file.
func compare(t *testing.T, name string, one sdk.Record, shape []int, nonfinite int, samples map[string]*float64) {
	t.Helper()
	bands, space := one.Shape[len(one.Shape)-1], 1
	for _, n := range one.Shape[:len(one.Shape)-1] {
		space *= n
	}
	total, bad := 1, 0
	for _, n := range shape {
		total *= n
	}
	if total != len(one.F32) || space*bands != total {
		t.Errorf("%s: shape %v, not %v", name, one.Shape, shape)
		return
	}
	for _, v := range one.F32 {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			bad++
		}
	}
	if bad != nonfinite {
		t.Errorf("%s: %d values are not finite, astropy has %d", name, bad, nonfinite)
	}
	for at, want := range samples {
		i, err := strconv.Atoi(at)
		if err != nil {
			t.Fatal(err)
		}
		got := one.F32[i%space*bands+i/space]
		if want == nil || math.IsNaN(*want) {
			if got == got {
				t.Errorf("%s: value %d is %g, not NaN", name, i, got)
			}
		} else if math.Abs(float64(got)-*want) > 2e-7*math.Abs(*want) { // one rounding to float32, astropy sometimes two
			t.Errorf("%s: value %d is %g, not %g", name, i, got, *want)
		}
	}
}

// The real folders: all of EFIGI joins its table, and Stripe 82's damaged files are counted.
func TestRealFolders(t *testing.T) {
	efigi := data(t, "efigi88")
	start := time.Now()
	r, c := open(t, filepath.Join(efigi, "images"), fmt.Sprintf(`table: %q, id: "PGCname", columns: ["T"], bands: ["i", "r", "g"]`, filepath.Join(efigi, "EFIGI_attributes.txt")))
	t.Logf("opened %d EFIGI images in %v: %v", c.Count, time.Since(start).Round(time.Millisecond), c.Notices)
	if c.Count != 2500 || len(c.Notices) != 0 || !slices.Equal(c.Facts.Shape, []int64{88, 88, 3}) || c.Dtype != sdk.U8 || c.Fields[0].Type != sdk.Number {
		t.Errorf("%d images, notices %v, facts %v", c.Count, c.Notices, c.Facts)
	}
	sum := 0.0
	for i := range 50 {
		var one sdk.Record
		if err := r.Read(i*50, &one); err != nil || one.Bad != "" || len(one.U8) != 88*88*3 {
			t.Fatalf("%v %s", err, one.Bad)
		}
		stage := one.Values[0].(float64)
		if stage < -6 || stage > 11 {
			t.Errorf("%s has the Hubble stage %g", one.ID, stage)
		}
		sum += stage
	}
	if sum == 0 {
		t.Error("no stage was read")
	}
	if os.Getenv("ASTERISM_LONG") == "" {
		return
	}
	stripe := data(t, "sdss_stripe82_jpg")
	start = time.Now()
	r, c = open(t, filepath.Join(stripe, "images"), "")
	opened := time.Since(start)
	var bad []string
	for _, one := range records(t, r, c) {
		if one.Bad != "" {
			bad = append(bad, one.Bad)
		}
	}
	t.Logf("Stripe 82: %d files opened in %v, read in %v; %d bad: %v", c.Count, opened.Round(time.Millisecond), time.Since(start).Round(time.Millisecond), len(bad), bad)
	if len(bad) == 0 || len(bad) > 100 {
		t.Errorf("%d of %d files are bad", len(bad), c.Count)
	}
}
