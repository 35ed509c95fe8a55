package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type scenesConfig struct {
	Files      []string `json:"files"`
	Size       int      `json:"size"`
	Bands      []string `json:"bands"`
	Unit       string   `json:"unit"`
	PixelScale float64  `json:"pixel_scale"`
}

// scenes is an open hsc.scenes: all scenes in memory, each a few megabytes at most.
type scenes struct {
	scenesConfig
	sources []source
}

// source is an object of a scene.
type source struct {
	scene *scene
	x, y  float64
	id    string
}

func newScenes(c scenesConfig) (sdk.Reader, error) {
	for i, b := range c.Bands {
		if slices.Contains(c.Bands[:i], b) {
			return nil, sdk.FieldError{Field: fmt.Sprintf("bands.%d", i), What: fmt.Sprintf("the band %q is there twice", b), Advice: "name each once"}
		}
	}
	return &scenes{scenesConfig: c}, nil
}

// Open reads the scenes.
func (s *scenes) Open() (*sdk.Catalogue, error) {
	digest := sha256.New()
	for i, file := range s.Files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, sdk.DataError{What: fmt.Sprintf("the scene %s cannot be read: %v", file, err), Advice: "check files; relative paths start at the folder where asterism runs"}
		}
		path, err := filepath.Abs(file)
		if err != nil {
			path = file
		}
		fmt.Fprintf(digest, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		one, err := readScene(file)
		if err != nil {
			return nil, sdk.DataError{What: fmt.Sprintf("%s: %v", file, err), Advice: "mend the scene, or leave it out of files"}
		}
		if len(s.Bands) == 0 {
			s.Bands = one.filters
		}
		switch {
		case len(s.Bands) == 0:
			return nil, sdk.FieldError{Field: "bands", What: file + " does not name its bands", Advice: fmt.Sprintf("name its %d bands in their order", one.bands)}
		case len(s.Bands) != one.bands:
			return nil, sdk.FieldError{Field: "bands", What: fmt.Sprintf("%s has %d bands, and %s are named", file, one.bands, strings.Join(s.Bands, ", ")), Advice: "name every band in their order, and give scenes of other bands as another source"}
		}
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		if slices.ContainsFunc(s.sources, func(o source) bool { return o.scene.name == name }) {
			return nil, sdk.FieldError{Field: fmt.Sprintf("files.%d", i), What: fmt.Sprintf("two scenes are called %s", name), Advice: "objects are called after their scene: give files of different names"}
		}
		one.name = name
		for k, at := range one.positions {
			s.sources = append(s.sources, source{one, at[0], at[1], fmt.Sprintf("%s-%03d", name, k)})
		}
	}
	c := &sdk.Catalogue{Count: uint64(len(s.sources)), Dtype: sdk.F32,
		Facts: &sdk.SampleFacts{Shape: []int64{int64(s.Size), int64(s.Size), int64(len(s.Bands))}, Bands: s.Bands, Flux: sdk.Linear, Unit: s.Unit, PixelScale: s.PixelScale}}
	for _, b := range s.Bands {
		c.Fields = append(c.Fields, &sdk.Field{Name: column(b), Type: sdk.Number, Unit: s.Unit, Doc: "σ of a pixel's noise in the band " + b})
	}
	c.Fields = append(c.Fields, &sdk.Field{Name: "x", Type: sdk.Number, Unit: "pixel", Doc: "position in the scene, from 0"}, &sdk.Field{Name: "y", Type: sdk.Number, Unit: "pixel", Doc: "position in the scene, from 0"},
		&sdk.Field{Name: "scene", Type: sdk.String, Doc: "the scene"})
	text, err := json.Marshal(s.scenesConfig)
	if err != nil {
		return nil, err
	}
	digest.Write(text)
	c.Fingerprint = fmt.Sprintf("%x", digest.Sum(nil))
	return c, nil
}

// Read cuts out stamp i.
func (s *scenes) Read(i int, r *sdk.Record) error {
	if i < 0 || i >= len(s.sources) {
		return fmt.Errorf("there is no source %d of %d", i, len(s.sources))
	}
	s.cut(s.sources[i], r)
	return nil
}

// ReadFile reads a scene with one source.
func (s *scenes) ReadFile(path string, r *sdk.Record) error {
	one, err := readScene(path)
	if err != nil {
		return sdk.DataError{What: fmt.Sprintf("%s: %v", path, err), Advice: "give a scene of the same form"}
	}
	if len(one.positions) != 1 || one.bands != len(s.Bands) {
		return sdk.DataError{What: fmt.Sprintf("%s has %d sources and %d bands", path, len(one.positions), one.bands), Advice: fmt.Sprintf("give a scene with one source and %d bands; one with many is read as a source: files: [\"…\"]", len(s.Bands))}
	}
	one.name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	s.cut(source{one, one.positions[0][0], one.positions[0][1], one.name + "-000"}, r)
	return nil
}

// cut makes the record of a source: what the scene has of the box of size pixels about the pixel of the source.
func (s *scenes) cut(o source, r *sdk.Record) {
	*r = sdk.Record{ID: o.id}
	one := o.scene
	px, py := math.Floor(o.x+0.5), math.Floor(o.y+0.5)
	if !(px >= 0 && px < float64(one.width) && py >= 0 && py < float64(one.height)) { // also NaN
		r.Bad = fmt.Sprintf("%s: its position %g, %g is outside the scene of %d×%d", o.id, o.x, o.y, one.width, one.height)
		return
	}
	// Where the scene ends on one side, as much is left out on the other: the source stays in the middle, where the frame looks.
	x, w := within(int(px), s.Size, one.width)
	y, h := within(int(py), s.Size, one.height)
	r.Shape = []int{h, w, one.bands}
	r.F32 = make([]float32, h*w*one.bands)
	noise := make([][]float64, one.bands)
	for b := range one.bands {
		for i := range h {
			for k := range w {
				at := (b*one.height+y+i)*one.width + x + k
				r.F32[(i*w+k)*one.bands+b] = float32(one.images[at])
				if one.variance != nil {
					noise[b] = append(noise[b], math.Sqrt(one.variance[at]))
				}
			}
		}
		sigma := one.scatter[b]
		if one.variance != nil {
			sigma = median(noise[b])
		}
		r.Values = append(r.Values, any(sigma))
	}
	r.Values = append(r.Values, o.x, o.y, one.name)
}

// within gives the first pixel and the size of the largest box that lies in 0…n, is at most so large, and has p in its
// middle, which is the pixel size/2.
func within(p, most, n int) (first, size int) {
	size = min(most, 2*p+1, 2*(n-p))
	return p - size/2, size
}

// median of values, of which those that are not finite do not count; NaN of none.
func median(values []float64) float64 {
	v := slices.DeleteFunc(slices.Clone(values), func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
