package skysim

import (
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// The PSF is two Gaussians, as SDSS's pipeline models its core: most of the light in the first, the rest in one with a
// wider σ.
const (
	wingLight = 0.2
	wingWidth = 2.2 // σ of the second over σ of the first
)

// coreSigma is σ of the first Gaussian for FWHM 1 of both together.
var coreSigma = func() float64 {
	profile := func(r float64) float64 { // σ = 1
		return (1-wingLight)*math.Exp(-0.5*r*r) + wingLight/(wingWidth*wingWidth)*math.Exp(-0.5*r*r/(wingWidth*wingWidth))
	}
	low, high := 1.0, 2.0
	for range 60 {
		if middle := (low + high) / 2; profile(middle) > profile(0)/2 {
			low = middle
		} else {
			high = middle
		}
	}
	return 1 / (2 * low)
}()

// electrons per nanomaggy in one exposure, about SDSS's.
var electrons = [nBands]float64{170, 900, 900, 700, 150}

// skyNoise is σ of the sky in a pixel, in nanomaggies, such that a point source of the given magnitude is 5σ when
// weighted with a Gaussian PSF of that FWHM: σ_pixel = F₅/5 / √(4πσ_psf²).
func skyNoise(magnitude, fwhm, pixel float64) float64 {
	sigma := fwhm / 2.3548 / pixel
	return math.Pow(10, -0.4*(magnitude-22.5)) / 5 / math.Sqrt(4*math.Pi*sigma*sigma)
}

// reach is how far, in pixels, the PSF is followed.
func reach(fwhm, pixel float64) int {
	return int(math.Ceil(3 * wingWidth * coreSigma * fwhm / pixel))
}

// observe turns the canvas into the image that a telescope takes of it: extinction, unrelated objects, PSF, noise. out is
// [size, size, bands].
func (s *simulation) observe(out []float32, c *canvas, g *galaxy, r *sdk.Source) {
	others := s.others(c, g, r)
	noise := noiseSource(r)
	c.frame = grow(c.frame, s.Size*s.Size)
	for b := range nBands {
		c.band = grow(c.band, c.side*c.side)
		clear(c.band)
		dim := math.Exp(-0.4 * math.Ln10 * extinction[b] * g.ebv)
		for _, l := range c.layers[:c.used] {
			w := float32(l.flux[b] * dim)
			light := l.light[:len(c.band)]
			for i := range c.band {
				c.band[i] += w * light[i]
			}
		}
		for _, o := range others {
			c.blob(c.band, o.x, o.y, o.sigma, o.flux[b]*dim)
		}
		clear(c.frame)
		sigma := coreSigma * g.fwhm[b] / s.PixelScale
		c.convolve(sigma, 1-wingLight, s.Size)
		c.convolve(wingWidth*sigma, wingLight, s.Size)
		sky := s.sky[b]
		variance := 0.0
		if s.PhotonNoise {
			variance = 1 / electrons[b]
		}
		for i, v := range c.frame {
			scatter := math.Sqrt(sky*sky + max(0, float64(v))*variance)
			out[i*nBands+b] = v + float32(scatter*noise.NormFloat64())
		}
	}
}

// convolve adds to frame the band smoothed with a Gaussian of σ pixels and the given weight.
func (c *canvas) convolve(sigma, weight float64, size int) {
	radius := min(int(math.Ceil(3*sigma)), c.margin)
	c.kernel = c.kernel[:0]
	sum := 0.0
	for k := -radius; k <= radius; k++ {
		sum += gaussianStep(k, sigma)
	}
	for k := 0; k <= radius; k++ {
		c.kernel = append(c.kernel, float32(gaussianStep(k, sigma)/sum))
	}
	kernel := c.kernel
	// Across: the columns of the frame, in the rows that the second pass reads.
	rows := size + 2*radius
	c.across = grow(c.across, rows*size)
	for y := range rows {
		line := c.band[(c.margin-radius+y)*c.side+c.margin-radius:]
		to := c.across[y*size:][:size]
		from := line[radius:][:size]
		for x := range to {
			to[x] = kernel[0] * from[x]
		}
		for k := 1; k <= radius; k++ {
			addPair(to, line[radius-k:], line[radius+k:], kernel[k])
		}
	}
	// Down.
	w := float32(weight)
	for y := range size {
		to := c.frame[y*size:][:size]
		addPair(to, c.across[(y+radius)*size:], c.across[(y+radius)*size:], 0.5*w*kernel[0])
		for k := 1; k <= radius; k++ {
			addPair(to, c.across[(y+radius-k)*size:], c.across[(y+radius+k)*size:], w*kernel[k])
		}
	}
}

// gaussianStep is the Gaussian's integral over pixel k, so that narrow PSFs keep their width.
func gaussianStep(k int, sigma float64) float64 {
	x := float64(k)
	return math.Erf((x+0.5)/(sigma*math.Sqrt2)) - math.Erf((x-0.5)/(sigma*math.Sqrt2))
}

func addPair(out, a, b []float32, w float32) {
	a, b = a[:len(out)], b[:len(out)]
	for i := range out {
		out[i] += w * (a[i] + b[i])
	}
}

// other is an unrelated object in the frame.
type other struct {
	x, y, sigma float64
	flux        [nBands]float64
}

// others draws stars and small galaxies anywhere but on the galaxy itself.
func (s *simulation) others(c *canvas, g *galaxy, r *sdk.Source) (list []other) {
	area := float64(s.Size) * s.PixelScale / (64 * 0.396)
	few := math.Exp(-s.Neighbours * area * area)
	for product := 1 - r.Uniform(); product > few && len(list) < 500; product *= 1 - r.Uniform() { // a Poisson number, after Knuth
		o := other{x: r.Between(0, float64(c.side)), y: r.Between(0, float64(c.side)), sigma: 0.4}
		magnitude := 18.5 + 4*math.Sqrt(r.Uniform())
		red := r.Between(0.3, 1.4) // g − r along the stellar locus
		colour := [nBands]float64{0.8 + 1.9*red, red, 0, -0.15 - 0.4*(red-0.3), -0.2 - 0.65*(red-0.3)}
		if r.Uniform() < 0.4 {
			o.sigma = r.Between(0.5, 1.2) / s.PixelScale
			colour = [nBands]float64{0.9 + red, 0.8 * red, 0, -0.35, -0.6}
		}
		for b := range o.flux {
			o.flux[b] = math.Pow(10, -0.4*(magnitude+colour[b]-22.5))
		}
		if math.Hypot(o.x-c.cx, o.y-c.cy) > 1.5*g.r50/s.PixelScale {
			list = append(list, o)
		}
	}
	return list
}
