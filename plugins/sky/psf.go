package sky

import (
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type psfConfig struct {
	Survey   string               `json:"survey"`
	Unit     string               `json:"unit"`
	Bands    map[string]lognormal `json:"bands"`
	Pictures bool                 `json:"pictures"`
}

// lognormal is the distribution of a PSF's Gaussian σ: loc + scale·exp(shape·N(0,1)).
type lognormal struct {
	Shape float64 `json:"shape"`
	Loc   float64 `json:"loc"`
	Scale float64 `json:"scale"`
}

func (l lognormal) draw(r *sdk.Source) float64 { return l.Loc + l.Scale*math.Exp(l.Shape*r.Normal()) }

// scaled multiplies every value by a factor.
func (l lognormal) scaled(by float64) lognormal { return lognormal{l.Shape, l.Loc * by, l.Scale * by} }

// seeing holds the distributions of σ in arcseconds, by survey and band.
var seeing = map[string]map[string]lognormal{
	// Quartiles of the r-band PSF width 1.30, 1.43, 1.58″ (SDSS DR7 seeing page), read as FWHM = 2.3548 σ of a lognormal;
	// the other bands by λ^−0.3 (Xin et al. 2018). The fit of Hayat et al. 2021 is not published with their code.
	"sdss": {
		"u": {0.145, 0, 0.717}, "g": {0.145, 0, 0.659}, "r": {0.145, 0, 0.607}, "i": {0.145, 0, 0.573}, "z": {0.145, 0, 0.543},
	},
	// Stein et al. 2021's released code: fits in pixels of 0.262″.
	"decals": {
		"g": lognormal{0.2109966, 1.0807153, 1.3153171}.scaled(0.262),
		"r": lognormal{0.3008485, 1.2394326, 0.9164757}.scaled(0.262),
		"z": lognormal{0.3471172, 1.1928363, 0.8233702}.scaled(0.262),
	},
}

type psf struct{ psfConfig }

func newPSF(c psfConfig) (sdk.Augmenter, error) { return psf{c}, nil }

// width gives the distribution of σ in pixels for a band.
func (p psf) width(facts *sdk.SampleFacts, band int) (l lognormal, pixels, ok bool) {
	name := ""
	if band < len(facts.Bands) {
		name = facts.Bands[band]
	}
	if l, ok = p.Bands[name]; !ok {
		l, ok = p.Bands["*"]
	}
	if ok && p.Unit == "pixel" {
		return l, true, true
	}
	if !ok {
		l, ok = seeing[p.Survey][name]
	}
	if facts.PixelScale > 0 {
		return l.scaled(1 / facts.PixelScale), true, ok
	}
	return l, false, ok
}

// Plan wants pixels that are not stretched unless told, a distribution for every band, and the pixel scale where widths are angles.
func (p psf) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank("psf", facts, 1, 2, 3); err != nil {
		return nil, err
	}
	if facts.Flux == sdk.Stretched && !p.Pictures {
		return nil, wantLinear("psf", facts)
	}
	for b := range int(facts.Shape[len(facts.Shape)-1]) {
		_, pixels, ok := p.width(facts, b)
		name := fmt.Sprint(b)
		if b < len(facts.Bands) {
			name = facts.Bands[b]
		}
		if !ok {
			return nil, sdk.FieldError{Field: "bands", What: fmt.Sprintf("no distribution of the PSF is known for the band %q of %s", name, p.Survey),
				Advice: `give bands: {"` + name + `": {shape: …, loc: …, scale: …}}, or "*" for all`}
		}
		if !pixels {
			return nil, sdk.FieldError{Field: "unit", What: "PSF widths are in arcseconds, and the data do not give their pixel scale",
				Advice: `give the pixel scale at the data source, or unit: "pixel" with bands`}
		}
	}
	return &sdk.AugmentationPlan{Leaves: leaves(facts), Ranks: []uint32{1, 2, 3}}, nil
}

// Apply draws for each band, in their order, what the object's PSF might have been and what it shall be, and adds the
// difference in quadrature when that is wider.
func (p psf) Apply(s *sdk.Sample) error {
	n, bands := extent(s.Facts.Shape)
	limit := float64(max(n[0], n[1], n[2]))
	w := smoothers.Get().(*smoother)
	defer smoothers.Put(w)
	for b := range bands {
		l, _, _ := p.width(s.Facts, b)
		own, final := l.draw(s.Random), l.draw(s.Random)
		added := min(math.Sqrt(max(0, final*final-own*own)), limit) // NaN cannot be: the schema keeps values finite
		if added < 0.05 {                                           // its kernel is 1 to nine digits
			for i := b; i < len(s.In); i += bands {
				s.Out[i] = s.In[i]
			}
			continue
		}
		w.smooth(s.Out, s.In, n, bands, b, added)
	}
	return nil
}

// smoother is the room in which one band is smoothed.
type smoother struct {
	plane, padded, kernel []float32
}

// smooth convolves one band with a Gaussian of σ pixels along every axis longer than one. As scipy.ndimage's
// gaussian_filter does, it cuts the sampled and normalised kernel at 4σ and mirrors the frame at its edges
// (…c b a | a b c…), which keeps the flux near them.
func (w *smoother) smooth(out, in []float32, n [3]int, bands, band int, sigma float64) {
	size := n[0] * n[1] * n[2]
	w.plane = grow(w.plane, size)
	for i := range w.plane {
		w.plane[i] = in[i*bands+band]
	}
	w.kernel = gaussian(w.kernel[:0], sigma)
	inner := size
	for _, length := range n {
		inner /= length
		if length > 1 {
			w.along(size/(length*inner), length, inner)
		}
	}
	for i, v := range w.plane {
		out[i*bands+band] = v
	}
}

// gaussian gives half a kernel: the weight at 0, 1, … ⌊4σ+½⌋ pixels, then zeros until the taps beside the centre are a
// multiple of two, as the loops want them.
func gaussian(kernel []float32, sigma float64) []float32 {
	radius := int(4*sigma + 0.5)
	sum := 0.0
	for k := -radius; k <= radius; k++ {
		sum += math.Exp(-0.5 * float64(k) * float64(k) / (sigma * sigma))
	}
	for k := 0; k <= radius; k++ {
		kernel = append(kernel, float32(math.Exp(-0.5*float64(k)*float64(k)/(sigma*sigma))/sum))
	}
	for len(kernel) < 3 || len(kernel)%2 == 0 {
		kernel = append(kernel, 0)
	}
	return kernel
}

// along filters the plane, seen as [outer, length, inner], along its middle axis.
func (w *smoother) along(outer, length, inner int) {
	kernel, radius := w.kernel, len(w.kernel)-1
	w.padded = grow(w.padded, (length+2*radius)*inner)
	for o := range outer {
		line := w.plane[o*length*inner:][:length*inner]
		copy(w.padded[radius*inner:], line)
		for i := range radius {
			copy(w.padded[i*inner:][:inner], line[mirrored(i-radius, length)*inner:])
			copy(w.padded[(radius+length+i)*inner:][:inner], line[mirrored(length+i, length)*inner:])
		}
		// Whole lines for every tap: the inner loops are sums of contiguous slices, five taps at a time.
		tap := func(k int) []float32 { return w.padded[(radius+k)*inner:][:len(line)] }
		first(line, tap(0), tap(-1), tap(1), tap(-2), tap(2), kernel[0], kernel[1], kernel[2])
		for k := 3; k <= radius; k += 2 {
			more(line, tap(-k), tap(k), tap(-k-1), tap(k+1), kernel[k], kernel[k+1])
		}
	}
}

func first(out, c, a, b, d, e []float32, w0, w1, w2 float32) {
	c, a, b, d, e = c[:len(out)], a[:len(out)], b[:len(out)], d[:len(out)], e[:len(out)]
	for i := range out {
		out[i] = w0*c[i] + w1*(a[i]+b[i]) + w2*(d[i]+e[i])
	}
}

func more(out, a, b, d, e []float32, w1, w2 float32) {
	a, b, d, e = a[:len(out)], b[:len(out)], d[:len(out)], e[:len(out)]
	for i := range out {
		out[i] += w1*(a[i]+b[i]) + w2*(d[i]+e[i])
	}
}

// mirrored folds an index into 0…n−1 by reflection at the edges.
func mirrored(i, n int) int {
	i %= 2 * n
	if i < 0 {
		i += 2 * n
	}
	if i >= n {
		i = 2*n - 1 - i
	}
	return i
}

func grow(s []float32, n int) []float32 { return slices.Grow(s[:0], n)[:n] }
