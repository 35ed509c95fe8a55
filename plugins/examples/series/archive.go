package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type archiveConfig struct {
	Files  []string `json:"files"`
	Column string   `json:"column"`
	Length int      `json:"length"`
	Bands  []string `json:"bands"`
	Unit   string   `json:"unit"`
}

// archive is an open series.ts: all series in memory, as such archives are small.
type archive struct {
	archiveConfig
	dimensions int
	labelled   bool
	target     bool
	cases      []entry
}

// entry is one series with where it comes from.
type entry struct {
	timeSeries
	id, part string
}

func newArchive(c archiveConfig) (sdk.Reader, error) {
	for i, b := range c.Bands {
		if contains(c.Bands[:i], b) {
			return nil, sdk.FieldError{Field: fmt.Sprintf("bands.%d", i), What: fmt.Sprintf("the band name %q is there twice", b), Advice: "give every band a name of its own"}
		}
	}
	return &archive{archiveConfig: c}, nil
}

// Open reads the files.
func (a *archive) Open() (*sdk.Catalogue, error) {
	longest := 0
	digest := sha256.New()
	for i, file := range a.Files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, unreadable(file, err)
		}
		h, cases, err := read(file)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(digest, "%s %d %d\n", absolute(file), info.Size(), info.ModTime().UnixNano())
		if i == 0 {
			a.dimensions, a.target, a.labelled = h.dimensions, h.target, h.labelled || h.target
		}
		switch {
		case len(cases) > 0 && h.dimensions != a.dimensions:
			return nil, sdk.FieldError{Field: fmt.Sprintf("files.%d", i), What: fmt.Sprintf("%s has %d dimensions and %s has %d", file, h.dimensions, a.Files[0], a.dimensions), Advice: "give files of one set, and another set as another source"}
		case h.target != a.target || (h.labelled || h.target) != a.labelled:
			return nil, sdk.FieldError{Field: fmt.Sprintf("files.%d", i), What: fmt.Sprintf("%s has other labels than %s", file, a.Files[0]), Advice: "give files of one set, and another set as another source"}
		}
		stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		for k, c := range cases {
			a.cases = append(a.cases, entry{c, fmt.Sprintf("%s-%05d", stem, k), stem[strings.LastIndexByte(stem, '_')+1:]})
			longest = max(longest, len(c.values[0]))
		}
	}
	if len(a.cases) == 0 {
		return nil, sdk.DataError{What: strings.Join(a.Files, ", ") + " have no series after @data", Advice: "check that their download is complete"}
	}
	bands := a.Bands
	if len(bands) == 0 {
		for d := range a.dimensions {
			bands = append(bands, fmt.Sprintf("dim%d", d+1))
		}
	}
	if len(bands) != a.dimensions {
		return nil, sdk.FieldError{Field: "bands", What: fmt.Sprintf("%d bands are named, and %s has %d dimensions", len(bands), a.Files[0], a.dimensions), Advice: "name as many, or leave bands out"}
	}
	if a.Length > 0 {
		longest = a.Length
	}
	c := &sdk.Catalogue{Count: uint64(len(a.cases)), Dtype: sdk.F32,
		Facts: &sdk.SampleFacts{Shape: []int64{int64(longest), int64(a.dimensions)}, Bands: bands, Unit: a.Unit}}
	if a.labelled {
		kind, doc := sdk.String, "the class of the series"
		if a.target {
			kind, doc = sdk.Number, "the target of the series"
		}
		c.Fields = append(c.Fields, &sdk.Field{Name: a.Column, Type: kind, Doc: doc})
	}
	c.Fields = append(c.Fields, &sdk.Field{Name: "part", Type: sdk.String, Doc: "the part of the archive: TRAIN or TEST"})
	text, err := json.Marshal(a.archiveConfig)
	if err != nil {
		return nil, err
	}
	digest.Write(text)
	c.Fingerprint = fmt.Sprintf("%x", digest.Sum(nil))
	return c, nil
}

// read parses one file.
func read(file string) (*header, []timeSeries, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, unreadable(file, err)
	}
	defer f.Close()
	h, cases, err := parse(f)
	if err != nil {
		var at lineError
		if errors.As(err, &at) {
			return nil, nil, sdk.DataError{What: fmt.Sprintf("%s:%d: the line %s", file, at.line, at.what), Advice: "mend the file, or leave it out of files"}
		}
		return nil, nil, sdk.DataError{What: fmt.Sprintf("%s: %v", file, err), Advice: "check that it is a whole .ts file"}
	}
	return h, cases, nil
}

func unreadable(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return sdk.DataError{What: "the file " + file + " is not there", Advice: "check files; relative paths start at the folder where asterism runs"}
	}
	return sdk.DataError{What: fmt.Sprintf("%s cannot be read: %v", file, err), Advice: "check its permissions"}
}

func absolute(file string) string {
	if path, err := filepath.Abs(file); err == nil {
		return path
	}
	return file
}

// Read gives series i.
func (a *archive) Read(i int, r *sdk.Record) error {
	if i < 0 || i >= len(a.cases) {
		return fmt.Errorf("there is no series %d of %d", i, len(a.cases))
	}
	a.fill(a.cases[i], r)
	return nil
}

// ReadFile reads a file that holds one series.
func (a *archive) ReadFile(path string, r *sdk.Record) error {
	h, cases, err := read(path)
	if err != nil {
		return err
	}
	if len(cases) != 1 {
		return sdk.DataError{What: fmt.Sprintf("%s holds %d series", path, len(cases)), Advice: "give a file with one series; all of a file are read as a source: files: [\"…\"]"}
	}
	if h.dimensions != a.dimensions {
		return sdk.DataError{What: fmt.Sprintf("%s has %d dimensions instead of %d", path, h.dimensions, a.dimensions), Advice: "give a series of what was learned"}
	}
	stem := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	c := cases[0]
	if a.target != h.target {
		c.label = "?" // a class is no target
	}
	a.fill(entry{c, stem + "-00000", stem[strings.LastIndexByte(stem, '_')+1:]}, r)
	return nil
}

// fill makes a record: points in time, and for each the dimensions side by side.
func (a *archive) fill(e entry, r *sdk.Record) {
	*r = sdk.Record{ID: e.id}
	length := len(e.values[0])
	if a.Length > 0 {
		length = a.Length
	}
	r.Shape, r.F32 = []int{length, a.dimensions}, make([]float32, length*a.dimensions)
	for d, values := range e.values {
		whole, ok := filled(values)
		if !ok {
			r.Bad = fmt.Sprintf("%s: dimension %d has no values", e.id, d+1)
			return
		}
		for t := range length {
			v := whole[min(t, len(whole)-1)]
			if len(whole) != length {
				v = at(whole, place(t, length, len(whole)))
			}
			r.F32[t*a.dimensions+d] = float32(v)
		}
	}
	switch {
	case !a.labelled:
	case e.label == "" || e.label == "?":
		r.Values = append(r.Values, nil)
	case a.target:
		v, err := strconv.ParseFloat(e.label, 64)
		if err != nil || math.IsInf(v, 0) {
			r.Bad = fmt.Sprintf("%s: the target %q is no number", e.id, clip(e.label))
			return
		}
		r.Values = append(r.Values, v)
	default:
		r.Values = append(r.Values, e.label)
	}
	r.Values = append(r.Values, e.part)
}

// filled puts a straight line into each gap; before the first value and after the last it is as they are.
func filled(values []float64) ([]float64, bool) {
	out := append([]float64(nil), values...)
	last := -1
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		for k := last + 1; k < i; k++ {
			out[k] = v
			if last >= 0 {
				out[k] = values[last] + (v-values[last])*float64(k-last)/float64(i-last)
			}
		}
		last = i
	}
	for k := last + 1; k < len(out) && last >= 0; k++ {
		out[k] = values[last]
	}
	return out, last >= 0
}

// place says where point t of so many lies in a list of another length, ends on ends.
func place(t, points, length int) float64 {
	if points == 1 {
		return float64(length-1) / 2
	}
	return float64(t) * float64(length-1) / float64(points-1)
}

// at reads between two values.
func at(values []float64, x float64) float64 {
	i := min(max(int(x), 0), len(values)-1)
	if i == len(values)-1 {
		return values[i]
	}
	w := x - float64(i)
	return (1-w)*values[i] + w*values[i+1]
}
