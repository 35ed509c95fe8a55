package skysim

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

type goldens struct {
	Cosmology []struct{ Z, Kpc, Modulus float64 }
	Sersic    []struct{ N, B, X, Within float64 }
	Pixel     []struct{ N, Centre, Aside float64 }
}

func readGoldens(t *testing.T) (g goldens) {
	text, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s: %v, want %v within %v", what, got, want, relative)
	}
}

func TestDistancesAgainstAstropy(t *testing.T) {
	for _, c := range readGoldens(t).Cosmology {
		near(t, "kpc per arcsecond", kiloparsecs(c.Z), c.Kpc, 1e-7)
		near(t, "distance modulus", distanceModulus(c.Z), c.Modulus, 1e-7)
	}
}

func TestSersicAgainstSciPy(t *testing.T) {
	g := readGoldens(t)
	for _, c := range g.Sersic {
		near(t, "b", sersicB(c.N), c.B, 3e-5)
		near(t, "light within", sersicWithin(c.X, c.N), c.Within, 1e-4)
	}
	for _, c := range g.Pixel {
		var canvas canvas
		canvas.reset(41, 0)
		light := canvas.add([nBands]float64{})
		canvas.sersic(light, 20, 20, 0, 0.7, 5, c.N, 1)
		near(t, "light of the central pixel", float64(light[20*41+20]), c.Centre, 0.03)
		near(t, "light of a pixel aside", float64(light[22*41+26]), c.Aside, 0.01)
	}
}

// A point of light gets the PSF's full width at half maximum and keeps its flux.
func TestPSFWidth(t *testing.T) {
	const size, fwhm = 61, 6.0
	var c canvas
	margin := reach(fwhm, 1)
	c.reset(size, margin)
	c.band = make([]float32, c.side*c.side)
	c.frame = make([]float32, size*size)
	c.band[c.side*c.side/2] = 1
	c.convolve(coreSigma*fwhm, 1-wingLight, size)
	c.convolve(wingWidth*coreSigma*fwhm, wingLight, size)
	sum := 0.0
	for _, v := range c.frame {
		sum += float64(v)
	}
	near(t, "flux", sum, 1, 0.005)
	at := func(r int) float64 { return float64(c.frame[size/2*size+size/2+r]) }
	near(t, "brightness at half the FWHM", at(fwhm/2), at(0)/2, 0.02)
}
