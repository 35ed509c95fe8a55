package skysim

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mathext"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// The classes, in the order of Config.Fractions.
const (
	elliptical = iota
	spiral
	barred
	edgeOn
	merger
	nClasses
)

var classes = [nClasses]string{"elliptical", "spiral", "barred", "edge_on", "merger"}

// galaxy is the truth of one object.
type galaxy struct {
	class      int
	z          float64
	magnitude  float64 // absolute, rest-frame r
	r50        float64 // arcsec, along the major axis, of the smooth light without PSF; of the brighter one of a merger
	axisRatio  float64
	angle      float64 // of the major axis, radian
	bulge      float64 // fraction of the rest-frame r-band light
	index      float64 // Sérsic index of the bulge or elliptical
	bulgeR50   float64 // arcsec
	scale      float64 // exponential scale length of the disk, arcsec
	bulgeStars population
	diskStars  population
	armStars   population
	ebv        float64
	fwhm       [nBands]float64 // of the PSF, arcsec
}

// luminosity function: Schechter, M* and α of Blanton et al. 2003 in r, for h = 0.7.
const (
	characteristic = -21.2
	faintSlope     = -1.05
	brightest      = -24.6
)

func schechter(magnitude float64) float64 {
	l := math.Exp(-0.4 * math.Ln10 * (magnitude - characteristic))
	return math.Pow(l, faintSlope+1) * math.Exp(-l)
}

// faintest is the absolute magnitude that a survey limited at r = limit still sees, with K(z) ≈ z.
func faintest(limit, z float64) float64 { return limit - distanceModulus(z) - z }

// redshifts is the cumulative distribution of z of a survey limited at r = limit: volume × the luminosity function
// above the limit.
type redshifts struct{ z, cumulative []float64 }

func newRedshifts(limit, lowest, highest float64) redshifts {
	const steps = 400
	r := redshifts{z: make([]float64, steps+1), cumulative: make([]float64, steps+1)}
	dz := (highest - lowest) / steps
	for i := range r.z {
		z := lowest + float64(i)*dz
		r.z[i] = z
		if i == 0 {
			continue
		}
		d := comovingDistance(z)
		density, faint := 0.0, faintest(limit, z)
		for m := brightest; m < faint; m += 0.05 {
			density += schechter(m)
		}
		r.cumulative[i] = r.cumulative[i-1] + (d*d*(comovingDistance(z+1e-3)-d)+1e-12)*(density+1e-9)
	}
	return r
}

func (r redshifts) draw(u float64) float64 {
	u *= r.cumulative[len(r.cumulative)-1]
	low, high := 0, len(r.cumulative)-1
	for high-low > 1 {
		if middle := (low + high) / 2; r.cumulative[middle] <= u {
			low = middle
		} else {
			high = middle
		}
	}
	w := (u - r.cumulative[low]) / (r.cumulative[high] - r.cumulative[low])
	return r.z[low] + w*(r.z[high]-r.z[low])
}

// draw makes the truth of one object. Galaxies that are not resolved or do not fit the frame are drawn again, at most
// 200 times, as a survey for morphology selects them; the last draw is then brought to the nearest allowed size.
func (s *simulation) draw(r *sdk.Source) galaxy {
	var g galaxy
	g.class = s.class(r.Uniform())
	late := g.class != elliptical
	if g.class == merger && r.Uniform() < 0.3 {
		late = false
	}
	smallest, largest := 0.9*s.Seeing, 0.19*float64(s.Size)*s.PixelScale
	for try := 0; ; try++ {
		g.z = s.redshifts.draw(r.Uniform())
		g.magnitude = s.absolute(g.z, r)
		// Half-light radius in kpc over luminosity, roughly as Shen et al. 2003: steep for early types, shallow for late.
		l := -0.4 * (g.magnitude - characteristic)
		kpc := 6.0 * math.Pow(10, 0.6*l) * math.Exp(0.3*r.Normal())
		if late {
			kpc = 8.0 * math.Pow(10, 0.3*l) * math.Exp(0.28*r.Normal())
		}
		g.r50 = kpc / kiloparsecs(g.z)
		if g.r50 >= smallest && g.r50 <= largest {
			break
		}
		if try == 200 {
			g.r50 = max(min(g.r50, largest), min(smallest, largest))
			break
		}
	}
	g.angle = r.Between(0, math.Pi)

	// Bright galaxies are redder within their kind: the tilt is a colour-magnitude relation with scatter.
	tilt := -0.07*(g.magnitude-characteristic) + 0.12*r.Normal()
	switch {
	case !late:
		g.bulge, g.index = 1, r.Between(2.5, 5.5)
		g.axisRatio = r.Between(0.5, 1)
		g.bulgeStars = population{young: 0.03 * r.Uniform(), tilt: tilt}
	case g.class == edgeOn:
		g.bulge, g.index = r.Between(0.03, 0.4), r.Between(2, 4)
		g.axisRatio = r.Between(0.1, 0.2)
	default:
		g.bulge, g.index = r.Between(0.04, 0.35), r.Between(2, 4)
		inclination := r.Between(0.5, 1) // cosine: random orientation, edge-on ones left to their own class
		g.axisRatio = math.Sqrt(inclination*inclination*(1-0.03) + 0.03)
	}
	if late {
		// Star formation falls with bulge fraction and varies a lot; dust grows with the path through the disk.
		forming := min(max(0.6-0.9*g.bulge+0.14*r.Normal(), 0.05), 0.9)
		dust := 0.15 + 0.3*r.Uniform() + 0.35*math.Log10(1/g.axisRatio)
		g.bulgeStars = population{young: 0.25 * forming * r.Uniform(), dust: 0.3 * dust, tilt: tilt}
		g.diskStars = population{young: 0.7 * forming, dust: dust, tilt: tilt}
		g.armStars = population{young: min(1, 0.35+forming), dust: 0.7 * dust, tilt: tilt}
	}
	if g.class == merger { // gas that falls in makes stars
		g.armStars = population{young: r.Between(0.3, 0.9), dust: 0.3, tilt: tilt}
		if !late {
			g.armStars.young *= 0.3
		}
	}
	if g.bulge == 1 {
		g.bulgeR50 = g.r50
	} else {
		g.bulgeR50 = g.r50 * r.Between(0.15, 0.35)
		g.scale = g.scaleLength()
	}

	g.ebv = min(-0.04*math.Log(1-r.Uniform()), 0.3) // exponential, mean 0.04: what high latitudes have
	seeing := s.Seeing * math.Exp(0.145*r.Normal())
	for b := range g.fwhm {
		// FWHM ∝ λ^−0.3 (Xin et al. 2018), and a little of its own in each band.
		g.fwhm[b] = seeing * math.Pow(wavelength[b]/wavelength[2], -0.3) * math.Exp(0.03*r.Normal())
	}
	return g
}

// class turns a uniform number into a class.
func (s *simulation) class(u float64) int {
	for c, share := range s.shares {
		if u < share {
			return c
		}
		u -= share
	}
	for c := nClasses - 1; ; c-- { // rounding left nothing
		if s.shares[c] > 0 {
			return c
		}
	}
}

// absolute draws a magnitude from the luminosity function between the brightest and what the survey sees at z, by
// rejection; the function is cut at 100 tries.
func (s *simulation) absolute(z float64, r *sdk.Source) float64 {
	faint := min(faintest(s.MagnitudeLimit, z), -17)
	if faint <= brightest {
		return faint
	}
	peak := max(schechter(faint), schechter(min(faint, characteristic)))
	for range 100 {
		m := r.Between(brightest, faint)
		if r.Uniform()*peak < schechter(m) {
			return m
		}
	}
	return faint
}

// scaleLength gives the disk's scale length for which half of all light, bulge and disk, lies within r50.
func (g *galaxy) scaleLength() float64 {
	inBulge := sersicWithin(g.r50/g.bulgeR50, g.index)
	want := (0.5 - g.bulge*inBulge) / (1 - g.bulge) // of the disk's light, between 0.2 and 0.5
	low, high := 0.05, 10.0
	for range 40 { // of r50 in scale lengths; the share grows with it
		middle := (low + high) / 2
		if 1-(1+middle)*math.Exp(-middle) < want {
			low = middle
		} else {
			high = middle
		}
	}
	return g.r50 / low
}

// sersicWithin gives the share of a Sérsic profile's light within x half-light radii.
func sersicWithin(x, n float64) float64 {
	return mathext.GammaIncReg(2*n, sersicB(n)*math.Pow(x, 1/n))
}

// sersicB is the b_n that makes the effective radius the half-light radius: the series of
// Ciotti & Bertin 1999, to 3e-5 for n ≥ 1.
func sersicB(n float64) float64 {
	return 2*n - 1.0/3 + 4/(405*n) + 46/(25515*n*n) + 131/(1148175*n*n*n) - 2194697/(30690717750*n*n*n*n)
}

// flux gives the flux in nanomaggies of stars that make a share of the galaxy's rest-frame r-band light, in each band,
// outside the Milky Way.
func (g *galaxy) flux(p population, share float64) (f [nBands]float64) {
	f = p.flux(g.z)
	total := math.Pow(10, -0.4*(g.magnitude+distanceModulus(g.z)-22.5))
	for b := range f {
		f[b] *= total * share
	}
	return f
}

// noiseSource gives normals for whole images, seeded from 128 bits of the object's own source: PCG-DXSM and the ziggurat
// of math/rand/v2, whose sequence Go's own tests hold fixed.
func noiseSource(r *sdk.Source) *rand.Rand { return rand.New(rand.NewPCG(r.Uint64(), r.Uint64())) }
