package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/npz"
)

const (
	maxVolume = 1 << 28 // bytes of a volume as it is stored
	maxKept   = 4 << 30 // bytes of all volumes as they are kept in memory
	maxLabels = 1 << 28 // bytes of the labels of a part
)

type archiveConfig struct {
	File    string   `json:"file"`
	Parts   []string `json:"parts"`
	Pool    int      `json:"pool"`
	Classes []string `json:"classes"`
	Count   int      `json:"count"`
	Bands   []string `json:"bands"`
}

// archive is an open volumes.npz. The headers and labels are read when it is opened, the volumes at the first Read: an
// archive is compressed as a whole and can only be read from its front.
type archive struct {
	archiveConfig
	parts []part
	shape []int // of a volume as stored: depth, height, width, bands
	kept  []int // after pooling
	once  sync.Once
	err   error
}

// part is train, val or test.
type part struct {
	name   string
	count  int
	labels []string
	voxels []byte
}

func newArchive(c archiveConfig) (sdk.Reader, error) {
	for _, list := range []struct {
		field string
		names []string
	}{{"parts", c.Parts}, {"classes", c.Classes}, {"bands", c.Bands}} {
		for i, name := range list.names {
			if slices.Contains(list.names[:i], name) {
				return nil, sdk.FieldError{Field: fmt.Sprintf("%s.%d", list.field, i), What: fmt.Sprintf("%q is there twice", name), Advice: "name each once"}
			}
		}
	}
	return &archive{archiveConfig: c}, nil
}

// Open reads headers and labels.
func (a *archive) Open() (*sdk.Catalogue, error) {
	f, err := a.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &sdk.Catalogue{Dtype: sdk.U8, Scale: 1. / 255, Facts: &sdk.SampleFacts{Bands: a.Bands},
		Fields: []*sdk.Field{{Name: "class", Type: sdk.String, Doc: "what the volume shows"}, {Name: "part", Type: sdk.String, Doc: "the part of the archive"}}}
	var missing []string
	for _, name := range a.Parts {
		if !slices.Contains(f.Names(), name+"_images") {
			missing = append(missing, name)
			continue
		}
		p, err := a.part(f, name)
		if err != nil {
			return nil, err
		}
		a.parts = append(a.parts, p)
		c.Count += uint64(p.count)
	}
	if len(a.parts) == 0 {
		return nil, sdk.FieldError{Field: "parts", What: fmt.Sprintf("%s has none of %s: it holds %s", a.File, strings.Join(missing, ", "), strings.Join(f.Names(), ", ")), Advice: "name parts that are there: NAME_images and NAME_labels"}
	}
	if len(missing) > 0 {
		c.Notices = append(c.Notices, &sdk.Notice{What: "parts that are not in the archive", Count: uint64(len(missing)), Examples: missing})
	}
	kept := 1
	for _, n := range a.kept {
		c.Facts.Shape = append(c.Facts.Shape, int64(n))
		kept *= n
	}
	if c.Count > uint64(maxKept/kept) {
		return nil, sdk.ResourceError{What: fmt.Sprintf("%d volumes of %d bytes are more than the %d GB that are kept in memory", c.Count, kept, maxKept>>30), Advice: "take fewer by count, or pool voxels"}
	}
	if bands := a.shape[3]; len(a.Bands) == 0 {
		for i := range bands {
			c.Facts.Bands = append(c.Facts.Bands, fmt.Sprintf("band%d", i+1))
		}
	} else if len(a.Bands) != bands {
		return nil, sdk.FieldError{Field: "bands", What: fmt.Sprintf("%d bands are named, and %s has %d", len(a.Bands), a.File, bands), Advice: "name as many, or leave bands out"}
	}
	c.Fingerprint, err = a.fingerprint()
	return c, err
}

// open opens the file.
func (a *archive) open() (*npz.File, error) {
	f, err := npz.Open(a.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sdk.DataError{What: "the file " + a.File + " is not there", Advice: "check file; relative paths start at the folder where asterism runs"}
	}
	if err != nil {
		return nil, sdk.DataError{What: fmt.Sprintf("%s: %v", a.File, err), Advice: "check that it is a NumPy archive (.npz) and that its download is complete"}
	}
	return f, nil
}

func (a *archive) broken(array string, err error) error {
	return sdk.DataError{What: fmt.Sprintf("%s: the array %s: %v", a.File, array, err), Advice: "check that the archive is of this form and that its download is complete"}
}

// part reads the header of the images and the labels of a part.
func (a *archive) part(f *npz.File, name string) (part, error) {
	p := part{name: name}
	images, err := f.Array(name + "_images")
	if err != nil {
		return p, a.broken(name+"_images", err)
	}
	defer images.Close()
	shape, kept, err := volume(images, a.Pool)
	if err != nil {
		return p, a.at(name+"_images", err)
	}
	if a.shape != nil && !slices.Equal(shape, a.shape) {
		return p, a.broken(name+"_images", fmt.Errorf("its volumes have the shape %v, those of %s %v", shape, a.parts[0].name, a.shape))
	}
	a.shape, a.kept = shape, kept
	labels, err := f.Array(name + "_labels")
	if err != nil {
		return p, a.broken(name+"_labels", err)
	}
	defer labels.Close()
	all, n := images.Shape[0], labels.Len()
	if n != all || labels.Shape[0] != all {
		return p, a.broken(name+"_labels", fmt.Errorf("it has the shape %v for %d volumes: only one label for each can be read", labels.Shape, all))
	}
	numbers, err := labels.Floats(maxLabels)
	if err != nil {
		return p, a.broken(name+"_labels", err)
	}
	p.count = all
	if a.Count > 0 {
		p.count = min(all, a.Count)
	}
	for _, v := range numbers[:p.count] {
		label := strconv.FormatFloat(v, 'g', -1, 64)
		if k := int(v); len(a.Classes) > 0 {
			if k < 0 || k >= len(a.Classes) || float64(k) != v {
				return p, sdk.FieldError{Field: "classes", What: fmt.Sprintf("%d classes are named, and %s has the label %s", len(a.Classes), name+"_labels", label), Advice: "name every class from 0 on, or leave classes out"}
			}
			label = a.Classes[k]
		}
		p.labels = append(p.labels, label)
	}
	return p, nil
}

// at gives an error its place, if it is not one of a field.
func (a *archive) at(array string, err error) error {
	if _, ok := err.(sdk.FieldError); ok {
		return err
	}
	return a.broken(array, err)
}

// volume gives the shape of one volume of an array of them, and the shape after pooling.
func volume(images *npz.Array, pool int) (shape, kept []int, err error) {
	if images.Type.String() != "u1" {
		return nil, nil, fmt.Errorf("it holds values of the type %s, and only unsigned bytes, u1, are read", images.Type)
	}
	if n := len(images.Shape); n != 4 && n != 5 {
		return nil, nil, fmt.Errorf("it has the shape %v; volumes have the axes sample, depth, height, width, and band if there are any", images.Shape)
	}
	shape = slices.Clone(images.Shape[1:])
	if len(shape) == 3 {
		shape = append(shape, 1)
	}
	return pooled(shape, pool)
}

// pooled checks the shape depth, height, width, bands and gives the one that pooling leaves.
func pooled(shape []int, pool int) (same, kept []int, err error) {
	size := 1
	for _, n := range shape {
		if n < 1 || size > maxVolume/n {
			return nil, nil, fmt.Errorf("it has volumes of the shape %v", shape)
		}
		size *= n
	}
	kept = slices.Clone(shape)
	for i := range kept[:3] {
		if kept[i]%pool != 0 {
			return nil, nil, sdk.FieldError{Field: "pool", What: fmt.Sprintf("%d voxels along axis %d cannot be divided into blocks of %d", kept[i], i, pool), Advice: "give a divisor of every length"}
		}
		kept[i] /= pool
	}
	return shape, kept, nil
}

// load reads all volumes.
func (a *archive) load() error {
	f, err := a.open()
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range a.parts {
		p := &a.parts[i]
		images, err := f.Array(p.name + "_images")
		if err == nil {
			p.voxels, err = read(images, p.count, a.shape, a.kept, a.Pool)
			images.Close()
		}
		if err != nil {
			return a.broken(p.name+"_images", err)
		}
	}
	return nil
}

// read reads so many volumes and pools each.
func read(images *npz.Array, count int, shape, kept []int, pool int) ([]byte, error) {
	stored := make([]byte, product(shape))
	out := []byte{}
	for i := range count {
		if err := images.Read(stored); err != nil {
			return nil, fmt.Errorf("volume %d: %w", i, err)
		}
		out = append(out, means(stored, shape, kept, pool)...)
	}
	return out, nil
}

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}

// means takes the mean of each block, rounded to the next whole byte, halves upwards.
func means(in []byte, shape, kept []int, pool int) []byte {
	if pool == 1 {
		return slices.Clone(in)
	}
	bands := shape[3]
	sums := make([]int, product(kept))
	row := shape[2] * bands
	for z := range shape[0] {
		for y := range shape[1] {
			line := in[(z*shape[1]+y)*row:][:row]
			to := sums[(z/pool*kept[1]+y/pool)*kept[2]*bands:]
			for x := range shape[2] {
				for b := range bands {
					to[x/pool*bands+b] += int(line[x*bands+b])
				}
			}
		}
	}
	block := pool * pool * pool
	out := make([]byte, len(sums))
	for i, s := range sums {
		out[i] = byte((2*s + block) / (2 * block))
	}
	return out
}

// Read gives volume i.
func (a *archive) Read(i int, r *sdk.Record) error {
	a.once.Do(func() { a.err = a.load() })
	if a.err != nil {
		return a.err
	}
	n := i
	for _, p := range a.parts {
		if n < p.count {
			size := product(a.kept)
			*r = sdk.Record{ID: fmt.Sprintf("%s-%05d", p.name, n), Shape: a.kept, U8: p.voxels[n*size : (n+1)*size], Values: []any{p.labels[n], p.name}}
			return nil
		}
		n -= p.count
	}
	return fmt.Errorf("there is no volume %d", i)
}

// ReadFile reads one volume from a .npy file, [depth, height, width] or with a fourth axis for bands.
func (a *archive) ReadFile(path string, r *sdk.Record) error {
	refused := func(err error) error {
		return sdk.DataError{What: fmt.Sprintf("%s: %v", path, err), Advice: "give a .npy file with one volume of unsigned bytes"}
	}
	f, err := os.Open(path)
	if err != nil {
		return refused(err)
	}
	defer f.Close()
	one, err := npz.NewArray(f)
	if err != nil {
		return refused(err)
	}
	shape := slices.Clone(one.Shape)
	if len(shape) == 3 {
		shape = append(shape, 1)
	}
	switch {
	case one.Type.String() != "u1" || len(shape) != 4:
		return refused(fmt.Errorf("it has the shape %v and values of the type %s", one.Shape, one.Type))
	case shape[3] != a.shape[3]:
		return refused(fmt.Errorf("it has %d bands instead of %d", shape[3], a.shape[3]))
	}
	shape, kept, err := pooled(shape, a.Pool)
	if err != nil {
		return refused(err)
	}
	voxels, err := read(one, 1, shape, kept, a.Pool)
	if err != nil {
		return refused(err)
	}
	*r = sdk.Record{ID: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Shape: kept, U8: voxels, Values: []any{nil, nil}}
	return nil
}

// fingerprint digests what the records depend on.
func (a *archive) fingerprint() (string, error) {
	info, err := os.Stat(a.File)
	if err != nil {
		return "", sdk.DataError{What: err.Error()}
	}
	c := a.archiveConfig
	if path, err := filepath.Abs(c.File); err == nil {
		c.File = path
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", info.Size(), info.ModTime().UnixNano())
	h.Write(text)
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
