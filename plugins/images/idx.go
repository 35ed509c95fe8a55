package images

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	_ "embed" // for idx.cue
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed idx.cue
var idxSchema string

type idxConfig struct {
	Images, Labels, Column string
	Classes, Bands         []string
	Count                  int
	Unit, Flux             string
	PixelScale             float64 `json:"pixel_scale"`
}

// idx is an open images.idx: both files in memory.
type idx struct {
	idxConfig
	stem   string // of the objects' names
	shape  []int  // of a sample: spatial…, bands
	size   int    // values of a sample
	pixels []byte
	labels []byte
}

func newIDX(c idxConfig) (sdk.Reader, error) {
	for i, b := range c.Bands {
		if b == "" || slices.Contains(c.Bands[:i], b) {
			return nil, sdk.FieldError{Field: fmt.Sprintf("bands.%d", i), What: fmt.Sprintf("the band name %q is empty or there twice", b), Advice: "give every band a name of its own"}
		}
	}
	for i, name := range c.Classes {
		if name == "" || slices.Contains(c.Classes[:i], name) {
			return nil, sdk.FieldError{Field: fmt.Sprintf("classes.%d", i), What: fmt.Sprintf("the class name %q is empty or there twice", name), Advice: "give every class a name of its own"}
		}
	}
	if c.Labels == "" && len(c.Classes) > 0 {
		return nil, sdk.FieldError{Field: "classes", What: "there are no labels to name", Advice: "give the file of labels in labels, or leave classes out"}
	}
	return &idx{idxConfig: c}, nil
}

// Open reads both files.
func (x *idx) Open() (*sdk.Catalogue, error) {
	sizes, pixels, err := readIDX(x.Images, 2, 4, x.Count)
	if err != nil {
		return nil, fileError("images", x.Images, err)
	}
	x.stem = strings.TrimSuffix(filepath.Base(x.Images), ".gz")
	x.shape, x.pixels = slices.Clone(sizes[1:]), pixels
	if len(x.shape) < 3 {
		x.shape = append(x.shape, 1)
	}
	x.size = len(pixels) / sizes[0]
	bands := x.Bands
	if n := x.shape[len(x.shape)-1]; len(bands) == 0 {
		bands = idxBands(n)
	} else if len(bands) != n {
		return nil, sdk.FieldError{Field: "bands", What: fmt.Sprintf("%d bands are named, %s, and %s has %d", len(bands), strings.Join(bands, ", "), x.Images, n), Advice: "name as many bands as there are, or leave bands out"}
	}
	facts := &sdk.SampleFacts{Bands: bands, Flux: sdk.Stretched, Unit: x.Unit, PixelScale: x.PixelScale}
	if x.Flux == "linear" {
		facts.Flux = sdk.Linear
	}
	for _, n := range x.shape {
		facts.Shape = append(facts.Shape, int64(n))
	}
	c := &sdk.Catalogue{Count: uint64(sizes[0]), Facts: facts, Dtype: sdk.U8, Scale: 1. / 255}
	if x.Labels != "" {
		if err := x.readLabels(sizes[0]); err != nil {
			return nil, err
		}
		c.Fields = []*sdk.Field{{Name: x.Column, Type: sdk.String}}
	}
	c.Fingerprint = x.fingerprint()
	return c, nil
}

// readLabels reads the labels of so many samples, of which there may be more in the files.
func (x *idx) readLabels(samples int) error {
	sizes, labels, err := readIDX(x.Labels, 1, 1, x.Count)
	if err != nil {
		return fileError("labels", x.Labels, err)
	}
	if sizes[0] != samples {
		return sdk.DataError{What: fmt.Sprintf("%s has %d samples and %s has %d labels", x.Images, samples, x.Labels, sizes[0]), Advice: "give the two files of one set"}
	}
	if n := int(slices.Max(labels)); len(x.Classes) > 0 && n >= len(x.Classes) {
		return sdk.FieldError{Field: "classes", What: fmt.Sprintf("%d classes are named, and %s has the label %d", len(x.Classes), x.Labels, n), Advice: "name every class from 0 on, or leave classes out"}
	}
	x.labels = labels
	return nil
}

func fileError(field, path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return sdk.DataError{What: fmt.Sprintf("the file %s = %s is not there", field, path), Advice: "check " + field + "; relative paths start at the folder where asterism runs"}
	}
	return sdk.DataError{What: fmt.Sprintf("%s: %v", path, err), Advice: "check that " + field + " names an IDX file of bytes and that its download is complete"}
}

// idxBands are the names of so many bands.
func idxBands(n int) []string {
	switch n {
	case 1:
		return []string{"L"}
	case 3:
		return []string{"R", "G", "B"}
	}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("band%d", i+1))
	}
	return names
}

// readIDX reads an array of unsigned bytes of so many axes, or its first count samples.
func readIDX(path string, least, most, count int) (sizes []int, data []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("it is not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, reason(err)
	}
	defer f.Close()
	var r io.Reader = bufio.NewReaderSize(f, 1<<16)
	if start, err := r.(*bufio.Reader).Peek(2); err == nil && string(start) == "\x1f\x8b" {
		if r, err = gzip.NewReader(r); err != nil {
			return nil, nil, fmt.Errorf("it cannot be unpacked: %w", err)
		}
	}
	if sizes, err = idxHeader(r); err != nil {
		return nil, nil, err
	}
	if len(sizes) < least || len(sizes) > most {
		return nil, nil, fmt.Errorf("it has %d axes: labels have one, samples two to four", len(sizes))
	}
	all, size := sizes[0], 1
	for _, n := range sizes[1:] {
		if size *= n; size > maxPixels {
			return nil, nil, fmt.Errorf("its header says samples of %v, more than %d million values", sizes[1:], maxPixels>>20)
		}
	}
	if count > 0 {
		sizes[0] = min(all, count)
	}
	if sizes[0] > maxSet/size {
		return nil, nil, fmt.Errorf("its header says %d samples of %v, more than %d GB: take fewer by count", all, sizes[1:], maxSet>>30)
	}
	want := sizes[0] * size
	data, err = io.ReadAll(io.LimitReader(r, int64(want))) // takes memory as data come, whatever the header says
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, fmt.Errorf("it cannot be read: %w", reason(err))
	}
	if len(data) < want {
		return nil, nil, fmt.Errorf("it is cut short: its header says %d samples of %d bytes, and it ends in sample %d", all, size, len(data)/size)
	}
	if more, _ := io.ReadFull(r, make([]byte, 1)); more > 0 && sizes[0] == all {
		return nil, nil, fmt.Errorf("it goes on after the %d samples of %d bytes that its header says", all, size)
	}
	return sizes, data, nil
}

// maxSet is how many bytes of samples are kept in memory.
const maxSet = 4 << 30

// idxHeader reads two zeros, 8 for the type, the number of axes, and the length of each as a big-endian integer.
func idxHeader(r io.Reader) (sizes []int, err error) {
	cut := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("its header is cut short")
		}
		return fmt.Errorf("it cannot be read: %w", reason(err))
	}
	var magic [4]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return nil, cut(err)
	}
	switch {
	case magic[0] != 0 || magic[1] != 0 || magic[3] == 0:
		return nil, fmt.Errorf("it is no IDX file: it begins with % x", magic)
	case magic[2] != 8:
		return nil, fmt.Errorf("it holds values of the type 0x%02x, and only unsigned bytes, 0x08, are read", magic[2])
	}
	lengths := make([]byte, 4*int(magic[3]))
	if _, err := io.ReadFull(r, lengths); err != nil {
		return nil, cut(err)
	}
	for i := range int(magic[3]) {
		n := binary.BigEndian.Uint32(lengths[4*i:])
		if n == 0 || n > math.MaxInt32 {
			return nil, fmt.Errorf("its header says that axis %d has the length %d", i, n)
		}
		sizes = append(sizes, int(n))
	}
	return sizes, nil
}

// fingerprint digests everything that records depend on: the configuration, and the files' places, sizes and times.
func (x *idx) fingerprint() string {
	h := sha256.New()
	c := x.idxConfig
	for _, path := range []*string{&c.Images, &c.Labels} {
		if *path == "" {
			continue
		}
		if info, err := os.Stat(*path); err == nil {
			fmt.Fprintf(h, "%d %d\n", info.Size(), info.ModTime().UnixNano())
		}
		if absolute, err := filepath.Abs(*path); err == nil {
			*path = absolute
		}
	}
	text, _ := json.Marshal(c)
	h.Write(text)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// Read gives sample i.
func (x *idx) Read(i int, r *sdk.Record) error {
	if i < 0 || i >= len(x.pixels)/max(x.size, 1) {
		return fmt.Errorf("images: there is no record %d of %d", i, len(x.pixels)/max(x.size, 1))
	}
	*r = sdk.Record{ID: fmt.Sprintf("%s-%05d", x.stem, i), Shape: x.shape, U8: x.pixels[i*x.size : (i+1)*x.size]}
	if x.labels == nil {
		return nil
	}
	name := strconv.Itoa(int(x.labels[i]))
	if len(x.Classes) > 0 {
		name = x.Classes[x.labels[i]]
	}
	r.Values = []any{name}
	return nil
}
