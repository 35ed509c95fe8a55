package skysim

import "math"

// bands are SDSS's. The passbands are flat-topped curves with SDSS's effective wavelengths and full widths at half
// maximum, in Ångström: close enough for colours, not for calibration.
var bands = []string{"u", "g", "r", "i", "z"}

const nBands = 5

var wavelength = [nBands]float64{3551, 4686, 6166, 7480, 8932}
var passband = [nBands]float64{599, 1379, 1382, 1535, 1370}

// extinction is A_b/E(B−V) of the Milky Way: Schlafly & Finkbeiner 2011, Table 6, R_V = 3.1.
var extinction = [nBands]float64{4.239, 3.303, 2.285, 1.698, 1.263}

// spectrum is a rest-frame F_λ, given at some wavelengths and interpolated between them.
type spectrum struct{ angstrom, flux []float64 }

// The two populations are schematic. They were drawn by hand, so that the colours of their mixtures run over
// 0 < z < 0.4 as those of galaxies do: a strong 4000 Å break and little ultraviolet for old stars, a blue continuum with
// a Balmer jump for young ones. They are no fits, and carry no emission lines.
var (
	old = spectrum{
		[]float64{1800, 2500, 3000, 3350, 3600, 3900, 3990, 4050, 4260, 4500, 4750, 5150, 5500, 6166, 7000, 7480, 8200, 8932, 10500},
		[]float64{0.03, 0.06, 0.13, 0.23, 0.32, 0.40, 0.43, 0.60, 0.68, 0.80, 0.87, 0.93, 1.00, 0.985, 0.965, 0.95, 0.905, 0.865, 0.76},
	}
	young = spectrum{
		[]float64{1800, 2500, 3000, 3500, 3640, 3850, 4100, 4500, 5000, 5500, 6166, 7000, 7480, 8200, 8932, 10500},
		[]float64{1.75, 1.42, 1.25, 1.12, 1.12, 1.38, 1.42, 1.28, 1.13, 1.00, 0.88, 0.75, 0.68, 0.59, 0.52, 0.40},
	}
)

// at interpolates linearly; outside it keeps the last value.
func (s spectrum) at(angstrom float64) float64 {
	for i, x := range s.angstrom {
		if angstrom > x {
			continue
		}
		if i == 0 {
			break
		}
		w := (angstrom - s.angstrom[i-1]) / (x - s.angstrom[i-1])
		return s.flux[i-1] + w*(s.flux[i]-s.flux[i-1])
	}
	if angstrom < s.angstrom[0] {
		return s.flux[0]
	}
	return s.flux[len(s.flux)-1]
}

// through gives the mean F_ν through a passband, photon-weighted as AB magnitudes are, of the spectrum seen at redshift
// z, as (1+z)·L_ν: what distance alone then turns into flux. The unit is arbitrary, the same for all bands.
func (s spectrum) through(band int, z float64) float64 {
	centre, width := wavelength[band], passband[band]
	const steps = 60
	var up, down float64
	for i := range steps {
		x := (float64(i)+0.5)/steps*2 - 1 // ±1 widths from the centre
		l := centre + x*width
		t := math.Exp(-math.Ln2 * math.Pow(2*x, 6))
		up += t * s.at(l/(1+z)) * l / (1 + z) // F_λ, photons: λF_λ dλ
		down += t / l                         // F_ν = 1: λ·c/λ² dλ
	}
	return up / down
}

// zStep is the step of the table of observed fluxes; highest is the last redshift in it.
const (
	zStep   = 0.005
	highest = 0.6
)

// seen holds, for the old and the young population, the flux in each band over redshift, for a galaxy of flux 1 in the
// rest-frame r band at the same distance.
var seen = func() (table [2][int(highest/zStep) + 2][nBands]float64) {
	for p, s := range []spectrum{old, young} {
		rest := s.through(2, 0)
		for i := range table[p] {
			for b := range nBands {
				table[p][i][b] = s.through(b, float64(i)*zStep) / rest
			}
		}
	}
	return table
}()

// population is a mixture of old and young stars behind dust.
type population struct {
	young float64 // fraction of the rest-frame r-band light, before dust
	dust  float64 // A_V in magnitudes; A_λ ∝ λ^−0.7
	tilt  float64 // stars of other ages and metals: flux × λ^tilt
}

// flux gives the observed flux in each band for rest-frame r-band light 1: dust and tilt change colours, not that light.
func (p population) flux(z float64) (f [nBands]float64) {
	at := min(z, highest) / zStep
	i := int(at)
	w := at - float64(i)
	for b := range nBands {
		mix := func(i int) float64 { return (1-p.young)*seen[0][i][b] + p.young*seen[1][i][b] }
		l := wavelength[b] / (1 + z)
		dust := p.dust * (math.Pow(l/5500, -0.7) - math.Pow(wavelength[2]/5500, -0.7))
		f[b] = ((1-w)*mix(i) + w*mix(i+1)) * math.Pow(l/wavelength[2], p.tilt) * math.Exp(-0.4*math.Ln10*dust)
	}
	return f
}
