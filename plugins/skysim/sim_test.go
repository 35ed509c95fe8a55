package skysim

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func reader(t testing.TB, config string) sdk.Reader {
	t.Helper()
	return sdktest.Configure(t, Plugin(), "galaxies", config).(sdk.Reader)
}

func read(t testing.TB, s sdk.Reader, i int) (r sdk.Record) {
	t.Helper()
	if err := s.Read(i, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// column gives a named value of a record.
func column(t testing.TB, s sdk.Reader, r sdk.Record, name string) float64 {
	t.Helper()
	catalogue, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	for k, f := range catalogue.Fields {
		if f.Name == name {
			return r.Values[k].(float64)
		}
	}
	t.Fatalf("no column %s", name)
	return 0
}

func TestCatalogueMatchesItsRecords(t *testing.T) {
	s := reader(t, `{count: 10, size: 32}`)
	c, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	if c.Count != 10 || c.Dtype != sdk.F32 || c.Facts.Flux != sdk.Linear || c.Facts.Unit != "nanomaggy" || !slices.Equal(c.Facts.Shape, []int64{32, 32, 5}) ||
		strings.Join(c.Facts.Bands, "") != "ugriz" {
		t.Errorf("catalogue: %v", c)
	}
	r := read(t, s, 7)
	if r.ID != "sim-000007" || len(r.Values) != len(c.Fields) || !slices.Equal(r.Shape, []int{32, 32, 5}) || len(r.F32) != 32*32*5 {
		t.Errorf("record: %s, %d values for %d fields, shape %v, %d pixels", r.ID, len(r.Values), len(c.Fields), r.Shape, len(r.F32))
	}
	for k, f := range c.Fields {
		_, text := r.Values[k].(string)
		if f.Doc == "" || text != (f.Type == sdk.String) || (!text && f.Unit == "") {
			t.Errorf("column %s: %v, unit %q, doc %q", f.Name, r.Values[k], f.Unit, f.Doc)
		}
	}
	other, err := reader(t, `{count: 10, size: 32, seed: 2}`).Open()
	if err != nil || other.Fingerprint == c.Fingerprint {
		t.Error("another seed should have another fingerprint")
	}
}

// Object i is the same alone, after others, and among concurrent readers; only the seed makes another.
func TestObjectsDependOnSeedAndIndexAlone(t *testing.T) {
	s := reader(t, `{count: 20, size: 32}`)
	want := make([]sdk.Record, 20)
	for i := range want {
		want[i] = read(t, s, i)
	}
	longer := reader(t, `{count: 5000, size: 32}`)
	var group sync.WaitGroup
	for i := 19; i >= 0; i-- {
		group.Go(func() {
			var r sdk.Record
			if err := longer.Read(i, &r); err != nil || !slices.Equal(r.F32, want[i].F32) || !slices.Equal(r.Values, want[i].Values) {
				t.Errorf("object %d differs when read in another order", i)
			}
		})
	}
	group.Wait()
	if slices.Equal(read(t, reader(t, `{size: 32, seed: 2}`), 3).F32, want[3].F32) {
		t.Error("another seed gives the same object")
	}
}

const noiseless = `photon_noise: false, neighbours: 0, depth: {u: 35, g: 35, r: 35, i: 35, z: 35}`

// The light in a noiseless frame is the true magnitude, dimmed by the true extinction, in every band.
func TestLightAgreesWithTruth(t *testing.T) {
	for class, lost := range map[string]float64{"elliptical": 0.2, "spiral": 0.09, "barred": 0.09, "edge_on": 0.09, "merger": 0.16} {
		others := ""
		for _, c := range classes {
			if c != class {
				others += c + ": 0, "
			}
		}
		s := reader(t, `{size: 96, `+noiseless+`, fractions: {`+others+class+`: 1}}`)
		var median []float64
		for i := range 30 {
			r := read(t, s, i)
			if r.Values[0] != class {
				t.Fatalf("asked for %s only, got %v", class, r.Values[0])
			}
			var sum [nBands]float64
			for k, v := range r.F32 {
				sum[k%nBands] += float64(v)
			}
			mag := [nBands]float64{2: column(t, s, r, "r_mag")}
			mag[1] = mag[2] + column(t, s, r, "g_r")
			mag[0] = mag[1] + column(t, s, r, "u_g")
			mag[3] = mag[2] - column(t, s, r, "r_i")
			mag[4] = mag[3] - column(t, s, r, "i_z")
			for b := range mag {
				dimmed := mag[b] + extinction[b]*column(t, s, r, "ebv")
				share := sum[b] / math.Pow(10, -0.4*(dimmed-22.5))
				if share > 1.03 || share < 0.6 {
					t.Errorf("%s %d: the frame holds %.3f of the true light in %s", class, i, share, bands[b])
				}
				median = append(median, share)
			}
		}
		slices.Sort(median) // outer light beyond the frame is lost, most for extended Sérsic wings
		if m := median[len(median)/2]; m < 1-lost {
			t.Errorf("%s: half of the frames hold less than %.3f of the true light", class, m)
		}
	}
}

// Half of an elliptical's light lies within the ellipse of its true half-light radius and axis ratio.
func TestHalfLightRadius(t *testing.T) {
	s := reader(t, `{size: 128, seeing: 0.3, `+noiseless+`, fractions: {elliptical: 1, spiral: 0, barred: 0, edge_on: 0, merger: 0}}`).(*simulation)
	for i := range 12 {
		random := s.key.At(0, uint64(i))
		g := s.draw(random)
		var c canvas
		c.reset(s.Size, 0)
		g.draw(&c, s.PixelScale, random)
		e := newEllipse(g.angle, g.axisRatio)
		inside := 0.0
		for k, v := range c.layers[0].light {
			u, w := e.plane(float64(k%c.side)-c.cx, float64(k/c.side)-c.cy)
			if math.Hypot(u, w) < g.r50/s.PixelScale {
				inside += float64(v)
			}
		}
		if math.Abs(inside-0.5) > 0.03 {
			t.Errorf("object %d: %.3f of the light within the half-light ellipse of r50 %.2f″", i, inside, g.r50)
		}
	}
}

// A disk and bulge together have half of their light within the r50 that the truth gives.
func TestScaleLengthGivesHalfLight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := galaxy{r50: rapid.Float64Range(1, 10).Draw(t, "r50"), bulge: rapid.Float64Range(0.03, 0.4).Draw(t, "bulge"), index: rapid.Float64Range(2, 4).Draw(t, "n")}
		g.bulgeR50 = g.r50 * rapid.Float64Range(0.15, 0.35).Draw(t, "size")
		x := g.r50 / g.scaleLength()
		within := g.bulge*sersicWithin(g.r50/g.bulgeR50, g.index) + (1-g.bulge)*(1-(1+x)*math.Exp(-x))
		if math.Abs(within-0.5) > 1e-6 {
			t.Fatalf("%v of the light within r50", within)
		}
	})
}

// Empty corners of the frame scatter as the depth says.
func TestSkyNoise(t *testing.T) {
	s := reader(t, `{size: 64, neighbours: 0, photon_noise: false, magnitude_limit: 16}`).(*simulation)
	deeper := reader(t, `{size: 64, depth: r: 23.7}`).(*simulation)
	near(t, "noise one magnitude deeper", deeper.sky[2], s.sky[2]*math.Pow(10, -0.4), 1e-9)
	for b := range nBands {
		var differences []float64 // neighbouring pixels: what is left of the galaxy cancels
		for i := range 20 {
			r := read(t, s, i)
			for x := 0; x < 14; x += 2 {
				for _, y := range []int{0, 1, 2, 61, 62, 63} {
					differences = append(differences, math.Abs(float64(r.F32[(y*64+x)*nBands+b]-r.F32[(y*64+x+1)*nBands+b])))
				}
			}
		}
		slices.Sort(differences) // median of |N(0, 2σ²)| is 0.6745·√2·σ; 840 differences give it to 4 %
		sigma := differences[len(differences)/2] / 0.6745 / math.Sqrt2
		near(t, "σ of the sky in "+bands[b], sigma, s.sky[b], 0.15)
	}
}

// Classes occur as often as asked, and redshifts and sizes stay where the configuration puts them.
func TestPopulation(t *testing.T) {
	s := reader(t, `{redshift_min: 0.05, redshift_max: 0.2, fractions: {elliptical: 3, spiral: 1, barred: 0, edge_on: 0, merger: 0}}`).(*simulation)
	const n = 2000
	ellipticals := 0
	for i := range n {
		g := s.draw(s.key.At(0, uint64(i)))
		if g.class == elliptical {
			ellipticals++
		} else if g.class != spiral {
			t.Fatalf("class %s has fraction 0", classes[g.class])
		}
		if g.z < 0.05 || g.z > 0.2 || g.r50 > 0.19*64*0.396+1e-9 || g.r50 <= 0 || g.ebv < 0 || g.ebv > 0.3 {
			t.Fatalf("object %d: z %v, r50 %v, E(B−V) %v", i, g.z, g.r50, g.ebv)
		}
	}
	if math.Abs(float64(ellipticals)/n-0.75) > 0.04 {
		t.Errorf("%d of %d are elliptical, want three quarters", ellipticals, n)
	}
}

// Redshift can be learned from colours: 15 nearest neighbours on true r and four colours do several times better than a
// constant, and not perfectly.
func TestRedshiftIsInTheColours(t *testing.T) {
	s := reader(t, `{}`).(*simulation)
	const n, trained = 2000, 1500
	x, z := make([][nBands]float64, n), make([]float64, n)
	for i := range n {
		random := s.key.At(0, uint64(i))
		g := s.draw(random)
		var c canvas
		c.reset(16, 0) // colours need no pixels
		g.draw(&c, s.PixelScale, random)
		f := c.total()
		x[i], z[i] = [nBands]float64{22.5 - 2.5*math.Log10(f[2])}, g.z
		for b := range 4 {
			x[i][b+1] = 2.5 * math.Log10(f[b+1]/f[b])
		}
	}
	middle := slices.Sorted(slices.Values(z[:trained]))[trained/2]
	var knn, constant []float64
	for i := trained; i < n; i++ {
		type hit struct{ d, z float64 }
		hits := make([]hit, trained)
		for j := range hits {
			hits[j].z = z[j]
			for k, v := range x[j] {
				hits[j].d += (v - x[i][k]) * (v - x[i][k])
			}
		}
		slices.SortFunc(hits, func(a, b hit) int { return int(math.Copysign(1, a.d-b.d)) })
		guess := 0.0
		for _, h := range hits[:15] {
			guess += h.z / 15
		}
		knn, constant = append(knn, (guess-z[i])/(1+z[i])), append(constant, (middle-z[i])/(1+z[i]))
	}
	if a, b := scatter(knn), scatter(constant); a < 0.005 || a > 0.03 || b < 2*a {
		t.Errorf("σ_MAD is %.4f from colours and %.4f from a constant", a, b)
	}
}

func scatter(x []float64) float64 {
	slices.Sort(x)
	middle := x[len(x)/2]
	d := make([]float64, len(x))
	for i := range x {
		d[i] = math.Abs(x[i] - middle)
	}
	slices.Sort(d)
	return 1.4826 * d[len(d)/2]
}

// The median colours of simulated ellipticals lie among those of real SDSS galaxies at the same redshift, and so do those
// of all classes where SDSS still sees many blue galaxies, z < 0.15.
func TestColoursAgainstSDSS(t *testing.T) {
	data := os.Getenv("ASTERISM_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "..", "shared", "data")
	}
	text, err := os.ReadFile(filepath.Join(data, "sdss_ugriz_specz", "sdss.ugriz.train"))
	if err != nil {
		if os.Getenv("ASTERISM_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skipf("real magnitudes are not here, set ASTERISM_DATA: %v", err)
	}
	var real, made, early [4][4][]float64 // redshift bins of 0.05 from 0.05 on, colours
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var m [11]float64
		if n, err := fmt.Sscan(line, &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &m[6], &m[7], &m[8], &m[9], &m[10]); n != 11 {
			t.Fatal(err)
		}
		if bin := int(math.Floor(m[10]/0.05)) - 1; bin >= 0 && bin < 4 {
			for c := range 4 {
				real[bin][c] = append(real[bin][c], m[c]-m[c+1])
			}
		}
	}
	s := reader(t, `{}`).(*simulation)
	for i := range 3000 {
		random := s.key.At(0, uint64(i))
		g := s.draw(random)
		var c canvas
		c.reset(16, 0)
		g.draw(&c, s.PixelScale, random)
		f := c.total()
		if bin := int(math.Floor(g.z/0.05)) - 1; bin >= 0 && bin < 4 {
			for k := range 4 {
				colour := 2.5 * math.Log10(f[k+1]/f[k])
				made[bin][k] = append(made[bin][k], colour)
				if g.class == elliptical {
					early[bin][k] = append(early[bin][k], colour)
				}
			}
		}
	}
	for bin := range real {
		for c := range 4 {
			slices.Sort(real[bin][c])
			n := len(real[bin][c])
			low, high := real[bin][c][n/10], real[bin][c][n*9/10]
			for what, sample := range map[string][]float64{"ellipticals": early[bin][c], "all": made[bin][c]} {
				slices.Sort(sample)
				got := sample[len(sample)/2]
				if (got < low || got > high) && (what != "all" || bin < 2) {
					t.Errorf("z %.2f, %s: median %s−%s is %.2f, SDSS galaxies have %.2f to %.2f", 0.05*float64(bin+1), what, bands[c], bands[c+1], got, low, high)
				}
			}
		}
	}
}

// Whatever the schema allows gives finite pixels and truth.
func TestAnyConfigurationGivesFiniteImages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		config := fmt.Sprintf(`{size: %d, pixel_scale: %v, seeing: %v, magnitude_limit: %v, redshift_min: %v, redshift_max: %v, neighbours: %v, seed: %d}`,
			rapid.IntRange(16, 40).Draw(rt, "size"), rapid.Float64Range(0.2, 5).Draw(rt, "scale"), rapid.Float64Range(0.1, 2).Draw(rt, "seeing"),
			rapid.Float64Range(14, 23).Draw(rt, "limit"), rapid.Float64Range(0.005, 0.3).Draw(rt, "low"), rapid.Float64Range(0.31, 0.6).Draw(rt, "high"),
			rapid.Float64Range(0, 20).Draw(rt, "neighbours"), rapid.IntRange(0, 1<<40).Draw(rt, "seed"))
		s := reader(t, config)
		r := read(t, s, rapid.IntRange(0, 1000).Draw(rt, "object"))
		for k, v := range r.F32 {
			if v-v != 0 {
				rt.Fatalf("%s: pixel %d is %v", config, k, v)
			}
		}
		for k, v := range r.Values {
			if x, ok := v.(float64); ok && x-x != 0 {
				rt.Fatalf("%s: value %d is %v", config, k, x)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	for config, want := range map[string]string{
		`{fractions: {elliptical: 0, spiral: 0, barred: 0, edge_on: 0, merger: 0}}`: "at least one class must have a fraction above zero",
		`{redshift_min: 0.3, redshift_max: 0.2}`:                                    "redshift_max must be larger than redshift_min",
		`{pixel_scale: 0.05, seeing: 5}`:                                            "a PSF of 5″ covers",
		`{size: 8}`:                                                                 "size",
		`{depth: y: 20}`:                                                            "depth.y",
	} {
		if _, err := sdktest.Build(Plugin(), "galaxies", config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{48, 64} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := reader(b, fmt.Sprintf(`{size: %d}`, size))
			var r sdk.Record
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := s.Read(i, &r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "galaxies/s")
		})
	}
}
