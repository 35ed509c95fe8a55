// Package skysim is the plugin of simulated surveys with known truth: skysim.galaxies draws galaxies in ugriz, so that a
// fresh machine has something to learn from.
//
// Object i depends on the seed and on i alone, whatever is read before it and by how many readers. The physics is plain:
// population.go says what there is, spectra.go its colours, render.go its shapes, observe.go what a telescope makes of
// it. It is for learning to use Asterism and for tests, where truth must be known; nothing about real galaxies follows
// from it.
package skysim

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed galaxies.cue
var galaxiesSchema string

// Plugin gives the plugin "skysim".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "skysim", Version: "0.1.0", Components: []sdk.Component{
		sdk.Dataset("galaxies", 1, "simulates a five-band survey of galaxies with known truth", galaxiesSchema, newGalaxies),
	}}
}

// Config is the configuration of skysim.galaxies; the schema documents it.
type Config struct {
	Count          int                `json:"count"`
	Size           int                `json:"size"`
	PixelScale     float64            `json:"pixel_scale"`
	Seed           uint64             `json:"seed"`
	Fractions      map[string]float64 `json:"fractions"`
	RedshiftMin    float64            `json:"redshift_min"`
	RedshiftMax    float64            `json:"redshift_max"`
	MagnitudeLimit float64            `json:"magnitude_limit"`
	Seeing         float64            `json:"seeing"`
	Depth          map[string]float64 `json:"depth"`
	PhotonNoise    bool               `json:"photon_noise"`
	Neighbours     float64            `json:"neighbours"`
}

// simulation is a configured survey.
type simulation struct {
	Config
	key       sdk.Key
	shares    [nClasses]float64
	redshifts redshifts
	sky       [nBands]float64 // σ per pixel, nanomaggies
	canvases  sync.Pool
}

func newGalaxies(c Config) (sdk.Reader, error) {
	s := &simulation{Config: c, key: sdk.NewKey(c.Seed, "simulate", "skysim.galaxies")}
	total := 0.0
	for i, name := range classes {
		s.shares[i] = max(0, c.Fractions[name])
		total += s.shares[i]
	}
	if total <= 0 {
		return nil, sdk.FieldError{Field: "fractions", What: "at least one class must have a fraction above zero"}
	}
	for i := range s.shares {
		s.shares[i] /= total
	}
	for b, name := range bands {
		s.sky[b] = skyNoise(c.Depth[name], c.Seeing*math.Pow(wavelength[b]/wavelength[2], -0.3), c.PixelScale)
	}
	if widest := reach(c.Seeing*1.9, c.PixelScale); widest > 256 {
		return nil, sdk.FieldError{Field: "seeing", What: fmt.Sprintf("a PSF of %v″ covers %d pixels of %v″", c.Seeing, 2*widest, c.PixelScale),
			Advice: "give better seeing or larger pixels"}
	}
	s.redshifts = newRedshifts(c.MagnitudeLimit, c.RedshiftMin, c.RedshiftMax)
	s.canvases.New = func() any { return &canvas{} }
	return s, nil
}

// Open says what there is; it draws nothing.
func (s *simulation) Open() (*sdk.Catalogue, error) {
	number := func(name, unit, doc string) *sdk.Field {
		return &sdk.Field{Name: name, Type: sdk.Number, Unit: unit, Doc: doc}
	}
	fields := []*sdk.Field{
		{Name: "morphology", Type: sdk.String, Doc: "true class: elliptical, spiral, barred, edge_on or merger"},
		number("redshift", "1", "true redshift"),
		number("ebv", "mag", "true Milky Way E(B−V); the image is dimmed by it"),
		number("r_mag", "mag", "true total AB magnitude in r, before Milky Way extinction"),
		number("u_g", "mag", "true colour u−g, before Milky Way extinction"),
		number("g_r", "mag", "true colour g−r, before Milky Way extinction"),
		number("r_i", "mag", "true colour r−i, before Milky Way extinction"),
		number("i_z", "mag", "true colour i−z, before Milky Way extinction"),
		number("r50_arcsec", "arcsec", "true half-light radius along the major axis of the smooth light in rest-frame r, without PSF; of the brighter galaxy of a merger"),
		number("axis_ratio", "1", "true minor over major axis; of the brighter galaxy of a merger"),
		number("bulge_fraction", "1", "true share of the rest-frame r light in the bulge; 1 for ellipticals"),
		number("sersic_index", "1", "true Sérsic index of the elliptical or bulge"),
	}
	for _, b := range bands {
		fields = append(fields, number("psf_fwhm_"+b, "arcsec", "FWHM of the PSF in "+b))
	}
	text, err := json.Marshal(s.Config)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(append([]byte("skysim.galaxies 1 "), text...))
	return &sdk.Catalogue{
		Count: uint64(s.Count), Fields: fields, Dtype: sdk.F32, Scale: 1, Fingerprint: hex.EncodeToString(digest[:]),
		Facts: &sdk.SampleFacts{Shape: []int64{int64(s.Size), int64(s.Size), nBands}, Bands: bands, Flux: sdk.Linear, Unit: "nanomaggy", PixelScale: s.PixelScale},
	}, nil
}

// Read simulates object i.
func (s *simulation) Read(i int, r *sdk.Record) error {
	random := s.key.At(0, uint64(i))
	g := s.draw(random)
	margin := 1
	for _, fwhm := range g.fwhm {
		margin = max(margin, reach(fwhm, s.PixelScale))
	}
	c := s.canvases.Get().(*canvas)
	defer s.canvases.Put(c)
	c.reset(s.Size, margin)
	g.draw(c, s.PixelScale, random)
	r.ID = fmt.Sprintf("sim-%06d", i)
	r.Shape = []int{s.Size, s.Size, nBands}
	r.F32 = grow(r.F32, s.Size*s.Size*nBands)
	s.observe(r.F32, c, &g, random)

	var m [nBands]float64
	for b, f := range c.total() {
		m[b] = 22.5 - 2.5*math.Log10(f)
	}
	r.Values = []any{classes[g.class], g.z, g.ebv, m[2], m[0] - m[1], m[1] - m[2], m[2] - m[3], m[3] - m[4],
		g.r50, g.axisRatio, g.bulge, g.index}
	for _, fwhm := range g.fwhm {
		r.Values = append(r.Values, fwhm)
	}
	return nil
}
