package thumbnail

import (
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

func rgbaAt(m image.Image, x, y int) color.RGBA {
	return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)
}

// galaxy is a round source of the given colour on noisy sky, bands u g r i z.
func galaxy(side int, colour []float64) []float32 {
	noise := key.New(1, "test")
	pixels := make([]float32, 0, side*side*len(colour))
	for y := range side {
		for x := range side {
			r := math.Hypot(float64(x)-float64(side)/2, float64(y)-float64(side)/2)
			for b, c := range colour {
				draw := noise.At(uint64(y*side+x), uint64(b))
				n := draw.Uniform() + draw.Uniform() + draw.Uniform() - 1.5
				pixels = append(pixels, float32(c*100*math.Exp(-r/4)+n))
			}
		}
	}
	return pixels
}

var ugriz = []string{"sdss_u", "sdss_g", "sdss_r", "sdss_i", "sdss_z"}

func TestGalaxiesKeepTheirColours(t *testing.T) {
	red := Of(galaxy(32, []float64{0.05, 0.3, 1, 1.5, 1.8}), []int{32, 32, 5}, ugriz, protocol.Flux_LINEAR)
	blue := Of(galaxy(32, []float64{0.5, 1, 0.9, 0.8, 0.7}), []int{32, 32, 5}, ugriz, protocol.Flux_LINEAR)
	for _, at := range []int{16, 20} { // centre, and where it is faint
		if c := rgbaAt(red, at, 16); !(c.R > c.G && c.G > c.B) {
			t.Errorf("a red galaxy is %v at column %d", c, at)
		}
		if c := rgbaAt(blue, at, 16); !(c.B >= c.G && c.G > c.R) {
			t.Errorf("a blue galaxy is %v at column %d", c, at)
		}
	}
	if c := rgbaAt(red, 16, 16); c.R != 255 {
		t.Errorf("the centre is %v: it should be as bright as it gets", c)
	}
	if c := rgbaAt(red, 1, 1); c.R > 80 || c.G > 80 || c.B > 80 {
		t.Errorf("the sky is %v: it should be dark", c)
	}
	// The ratio of the bands is kept where nothing is clipped (Lupton's point).
	pixels := galaxy(32, []float64{0.05, 0.3, 1, 1.5, 1.8})
	at := 5 * (16*32 + 20)
	c := rgbaAt(red, 20, 16)
	want := float64(pixels[at+3]) * 4.9 / (float64(pixels[at+1]) * 7.8)
	if got := float64(c.R) / float64(c.B); math.Abs(got-want) > 0.05*want {
		t.Errorf("red to blue is %.3f, in the data %.3f", got, want)
	}
}

func TestStretchedPicturesAreShownAsTheyAre(t *testing.T) {
	m := Of([]float32{1, 0.5, 0, 0.2, 0.2, 0.2}, []int{1, 2, 3}, []string{"red", "green", "blue"}, protocol.Flux_STRETCHED)
	if c := rgbaAt(m, 0, 0); c != (color.RGBA{255, 128, 0, 255}) {
		t.Errorf("first pixel %v", c)
	}
	if c := rgbaAt(m, 1, 0); c != (color.RGBA{51, 51, 51, 255}) {
		t.Errorf("second pixel %v", c)
	}
	grey := Of([]float32{0.25, 1}, []int{1, 2, 1}, nil, protocol.Flux_STRETCHED)
	if c := rgbaAt(grey, 0, 0); c != (color.RGBA{64, 64, 64, 255}) {
		t.Errorf("one band is %v, want grey", c)
	}
}

func TestBandsAreChosenByName(t *testing.T) {
	for _, c := range []struct {
		bands []string
		flux  protocol.Flux
		want  [3]int
	}{
		{[]string{"u", "g", "r", "i", "Z", "Y"}, protocol.Flux_LINEAR, [3]int{3, 2, 1}},
		{[]string{"HSC-I", "HSC-R", "HSC-G"}, protocol.Flux_LINEAR, [3]int{0, 1, 2}},
		{[]string{"J", "H", "Ks"}, protocol.Flux_LINEAR, [3]int{2, 1, 0}},
		{[]string{"red", "green", "blue"}, protocol.Flux_STRETCHED, [3]int{0, 1, 2}},
		{[]string{"a", "b", "c"}, protocol.Flux_STRETCHED, [3]int{0, 1, 2}},
	} {
		if got, _ := primaries(len(c.bands), c.bands, c.flux); got != c.want {
			t.Errorf("%v: red, green, blue from %v, want %v", c.bands, got, c.want)
		}
	}
}

func TestVolumesAreProjected(t *testing.T) {
	volume := make([]float32, 3*4*4)
	volume[2*16+1*4+2] = 1 // depth 2, row 1, column 2
	m := Of(volume, []int{3, 4, 4, 1}, nil, protocol.Flux_STRETCHED)
	if m.Bounds() != image.Rect(0, 0, 4, 4) || rgbaAt(m, 2, 1).R != 255 || rgbaAt(m, 1, 2).R != 0 {
		t.Errorf("a voxel of a volume is not where it belongs: %v", m)
	}
}

func TestLinePlotsFollowTheValues(t *testing.T) {
	values := make([]float32, 50)
	for i := range values {
		values[i] = float32(i)
	}
	m := Of(values, []int{50, 1}, nil, protocol.Flux_LINEAR)
	lit := func(x, y int) bool { return rgbaAt(m, x, y).B > 100 }
	if !lit(plotSide/2, plotSide/2) || lit(plotSide/4, plotSide/4) || lit(3*plotSide/4, 3*plotSide/4) {
		t.Error("a rising line does not run from the lower left to the upper right")
	}
}

func TestAnyInputGivesAPicture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(0, 5), 0, 5).Draw(t, "shape")
		n := 1
		for _, s := range shape {
			n *= s
		}
		n = max(0, n+rapid.SampledFrom([]int{0, 0, 0, 1, -1}).Draw(t, "wrong by"))
		special := rapid.SampledFrom([]float32{0, 1, -1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, math.SmallestNonzeroFloat32})
		pixels := rapid.SliceOfN(rapid.OneOf(special, rapid.Float32()), n, n).Draw(t, "pixels")
		flux := protocol.Flux(rapid.IntRange(0, 2).Draw(t, "flux"))
		m := sized(Of(pixels, shape, nil, flux))
		if b := m.Bounds(); b.Dx() < 1 || b.Dy() < 1 || b.Dx() > largest || b.Dy() > largest {
			t.Fatalf("a picture of %v", b)
		}
	})
}

func TestWrittenPicturesAreOfOneSize(t *testing.T) {
	dir := t.TempDir()
	for side, want := range map[int]int{1: 96, 28: 112, 64: 96, 120: 120, 500: 192} {
		path := filepath.Join(dir, "p.png")
		if err := Write(path, make([]float32, side*side), []int{side, side, 1}, nil, protocol.Flux_LINEAR); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := png.DecodeConfig(f)
		f.Close()
		if err != nil || m.Width != want || m.Height != want {
			t.Errorf("a sample of %d pixels became %d×%d (%v), want %d", side, m.Width, m.Height, err, want)
		}
	}
	if err := Write(filepath.Join(dir, "none", "p.png"), []float32{1}, []int{1, 1, 1}, nil, 0); err == nil {
		t.Error("wrote into a folder that is not there")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files are left, want the picture alone", len(left))
	}
}
