package skysim

import "math"

// The universe is flat ΛCDM with H0 = 70 km/s/Mpc and Ωm = 0.3.
const (
	hubbleDistance = 299792.458 / 70 // Mpc
	omegaMatter    = 0.3
)

// comovingDistance in Mpc, to better than 1e-8 for z ≤ 1: Simpson's rule on 32 intervals of ∫dz/E(z).
func comovingDistance(z float64) float64 {
	const intervals = 32
	inverse := func(z float64) float64 {
		return 1 / math.Sqrt(omegaMatter*(1+z)*(1+z)*(1+z)+1-omegaMatter)
	}
	h := z / intervals
	sum := inverse(0) + inverse(z)
	for i := 1; i < intervals; i++ {
		sum += float64(2+2*(i%2)) * inverse(float64(i)*h)
	}
	return hubbleDistance * sum * h / 3
}

// kiloparsecs that one arcsecond spans at redshift z.
func kiloparsecs(z float64) float64 {
	return comovingDistance(z) / (1 + z) * 1000 * math.Pi / 180 / 3600
}

// distanceModulus is m − M in magnitudes, without the K-correction.
func distanceModulus(z float64) float64 {
	return 5*math.Log10(comovingDistance(z)*(1+z)) + 25
}
