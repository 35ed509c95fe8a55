package images

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // for field.cue
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed field.cue
var fieldSchema string

type fieldConfig struct {
	Bands []struct {
		Name, File string
		HDU        *int `json:"hdu"`
	}
	Catalogue, X, Y, ID, Prefix string
	Origin                      float64
	Size                        int
	Columns                     []string
	Derived                     map[string]string
	Where, Unit                 string
	PixelScale                  float64 `json:"pixel_scale"`
	Mask                        *maskConfig
}

type maskConfig struct {
	File string
	HDU  *int `json:"hdu"`
	Bits int64
}

// field is an open images.field.
type field struct {
	fieldConfig
	planes  []*plane
	mask    *plane // or nil
	fields  []*sdk.Field
	objects []object
}

// object is a row of the catalogue.
type object struct {
	id     string
	x, y   int // of the first pixel of its stamp
	values []any
}

func newField(c fieldConfig) (sdk.Reader, error) {
	if len(c.Bands) == 0 {
		return nil, sdk.FieldError{Field: "bands", What: "there are none", Advice: `give at least one, for example {name: "r", file: "r.fits"}`}
	}
	names := map[string]bool{}
	for i, b := range c.Bands {
		if names[b.Name] {
			return nil, sdk.FieldError{Field: fmt.Sprintf("bands.%d.name", i), What: fmt.Sprintf("the band name %q is there twice", b.Name), Advice: "give every band a name of its own"}
		}
		names[b.Name] = true
	}
	if c.Size > maxPixels/c.Size/len(c.Bands) {
		return nil, sdk.FieldError{Field: "size", What: fmt.Sprintf("%d × %d pixels in %d bands are more than %d million values", c.Size, c.Size, len(c.Bands), maxPixels>>20), Advice: "choose smaller stamps"}
	}
	for i, name := range c.Columns {
		if _, also := c.Derived[name]; also || slices.Contains(c.Columns[:i], name) {
			return nil, sdk.FieldError{Field: fmt.Sprintf("columns.%d", i), What: fmt.Sprintf("the column %q is there twice", name), Advice: "give every column a name of its own"}
		}
	}
	return &field{fieldConfig: c}, nil
}

// Open reads the headers of all files, and the catalogue.
func (f *field) Open() (*sdk.Catalogue, error) {
	if err := f.openPlanes(); err != nil {
		f.Close()
		return nil, err
	}
	notices, err := f.readCatalogue()
	if err != nil {
		f.Close()
		return nil, err
	}
	n := int64(f.Size)
	facts := &sdk.SampleFacts{Shape: []int64{n, n, int64(len(f.Bands))}, Flux: sdk.Linear, Unit: f.Unit, PixelScale: f.PixelScale}
	for _, b := range f.Bands {
		facts.Bands = append(facts.Bands, b.Name)
	}
	return &sdk.Catalogue{Count: uint64(len(f.objects)), Fields: f.fields, Facts: facts, Dtype: sdk.F32, Scale: 1, Notices: notices, Fingerprint: f.fingerprint()}, nil
}

// Close closes the files.
func (f *field) Close() error {
	var errs []error
	for _, p := range f.planes {
		errs = append(errs, p.file.Close())
	}
	if f.mask != nil {
		errs = append(errs, f.mask.file.Close())
	}
	f.planes, f.mask = nil, nil
	return errors.Join(errs...)
}

// openPlanes opens the files of all bands and the mask, and sees that they are on one grid.
func (f *field) openPlanes() error {
	open := func(where, path string, hdu *int) (*plane, error) {
		p, err := openPlane(path, hdu)
		if errors.Is(err, os.ErrNotExist) {
			return nil, sdk.DataError{What: fmt.Sprintf("the file of %s, %s, is not there", where, path), Advice: "check its path; relative paths start at the folder where asterism runs"}
		}
		if err != nil {
			return nil, sdk.DataError{What: fmt.Sprintf("the file of %s, %s, cannot be read: %v", where, path, err), Advice: "give a FITS file that has one image, or say which by hdu; check that its download is complete"}
		}
		if first := f.planes; len(first) > 0 && (p.width != first[0].width || p.height != first[0].height) {
			p.file.Close()
			return nil, sdk.DataError{What: fmt.Sprintf("%s has %d × %d pixels and %s has %d × %d", first[0].path, first[0].width, first[0].height, path, p.width, p.height),
				Advice: "all files must be on one grid of pixels: resample them, for example with SWarp"}
		}
		return p, nil
	}
	for _, b := range f.Bands {
		p, err := open("the band "+b.Name, b.File, b.HDU)
		if err != nil {
			return err
		}
		f.planes = append(f.planes, p)
	}
	if p := f.planes[0]; f.Size > min(p.width, p.height) {
		return sdk.FieldError{Field: "size", What: fmt.Sprintf("stamps of %d × %d pixels are larger than the field of %d × %d", f.Size, f.Size, p.width, p.height), Advice: "choose smaller stamps"}
	}
	if f.Mask == nil {
		return nil
	}
	var err error
	if f.mask, err = open("the mask", f.Mask.File, f.Mask.HDU); err != nil {
		return err
	}
	if f.Mask.Bits != 0 && f.mask.unit.bitpix < 0 {
		return sdk.FieldError{Field: "mask.bits", What: fmt.Sprintf("the mask %s holds floats, which have no bits to choose", f.Mask.File), Advice: "leave bits out: whatever is not 0 is bad then"}
	}
	return nil
}

// readCatalogue makes an object of each row that is taken.
func (f *field) readCatalogue() ([]*sdk.Notice, error) {
	text, err := readTable(f.Catalogue)
	if err != nil {
		return nil, sdk.DataError{What: fmt.Sprintf("the catalogue %s cannot be read: %v", f.Catalogue, reason(err)), Advice: "check catalogue; relative paths start at the folder where asterism runs"}
	}
	wanted := append(slices.Clone(f.Columns), f.X, f.Y)
	if f.ID != "" {
		wanted = append(wanted, f.ID)
	}
	t, err := parseTable(text, wanted)
	if err != nil {
		return nil, sdk.DataError{What: fmt.Sprintf("the catalogue %s cannot be read: %v", f.Catalogue, err), Advice: "it should be CSV, or columns between spaces, under a line of column names"}
	}
	c := &catalogue{table: t, name: filepath.Base(f.Catalogue)}
	key := 0
	if f.ID != "" {
		if key, err = c.find("id", f.ID); err != nil {
			return nil, err
		}
	}
	c.key = key
	c.note("lines of the catalogue with another number of fields than its header", t.ragged)
	x, err := c.numbers("x", f.X)
	if err != nil {
		return nil, err
	}
	y, err := c.numbers("y", f.Y)
	if err != nil {
		return nil, err
	}
	values, err := f.takeColumns(c)
	if err != nil {
		return nil, err
	}
	take := func(int) float64 { return 1 }
	if f.Where != "" {
		if take, err = parseCondition(f.Where, c.columns("where")); err != nil {
			return nil, formulaError("where", f.Where, err)
		}
	}
	var lost, others []string
	for row := range t.rows {
		id := t.rows[row][key]
		switch {
		case take(row) == 0:
			others = append(others, id)
		case id == "" || math.IsNaN(x[row]) || math.IsNaN(y[row]):
			lost = append(lost, fmt.Sprintf("row %d", row+1))
		default:
			o := object{id: f.Prefix + id, x: f.begin(x[row]), y: f.begin(y[row])}
			for _, column := range values {
				o.values = append(o.values, column[row])
			}
			f.objects = append(f.objects, o)
		}
	}
	c.note("objects that are not as where says, not taken", others)
	c.note("rows of the catalogue without a position or a name, left out", lost)
	// From the first row of the field to the last: tiles are decoded once.
	slices.SortStableFunc(f.objects, func(a, b object) int { return cmp.Or(cmp.Compare(a.y, b.y), cmp.Compare(a.x, b.x)) })
	return c.notices, nil
}

// begin is the first pixel of a stamp that has its middle at a position.
func (f *field) begin(position float64) int {
	at := math.Floor(position - f.Origin - float64(f.Size-1)/2 + 0.5)
	return int(max(math.MinInt32, min(math.MaxInt32, at)))
}

// takeColumns gives the values of the columns that objects have, and says in fields what they are.
func (f *field) takeColumns(c *catalogue) (values [][]any, err error) {
	for i, name := range f.Columns {
		at, err := c.find(fmt.Sprintf("columns.%d", i), name)
		if err != nil {
			return nil, err
		}
		column, numbers, bad := c.table.column(at)
		field := &sdk.Field{Name: name, Type: sdk.String}
		if numbers {
			field.Type = sdk.Number
		}
		f.fields, values = append(f.fields, field), append(values, column)
		var examples []string
		for _, row := range bad {
			examples = append(examples, fmt.Sprintf("%s: %s", c.table.rows[row][c.key], clip(c.table.rows[row][at])))
		}
		c.note(fmt.Sprintf("cells that are no numbers in the column %q, taken as missing", name), examples)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Derived)) {
		at := "derived." + name
		compute, err := parseFormula(f.Derived[name], c.columns(at))
		if err != nil {
			return nil, formulaError(at, f.Derived[name], err)
		}
		f.fields = append(f.fields, &sdk.Field{Name: name, Type: sdk.Number})
		column := make([]any, len(c.table.rows))
		var none []string
		for row := range column {
			if v := compute(row); math.IsNaN(v) || math.IsInf(v, 0) {
				none = append(none, c.table.rows[row][c.key])
			} else {
				column[row] = v
			}
		}
		values = append(values, column)
		c.note(fmt.Sprintf("objects for which the column %q = %s has no value", name, f.Derived[name]), none)
	}
	return values, nil
}

func formulaError(at, text string, err error) error {
	if e, ok := errors.AsType[sdk.FieldError](err); ok {
		return e
	}
	return sdk.FieldError{Field: at, What: fmt.Sprintf("%q: %v", clip(text), err), Advice: "`asterism schema show images.field` says what can be written here"}
}

// catalogue is a table of objects, and what a user should know of it.
type catalogue struct {
	table   *table
	name    string
	key     int // the column of names
	notices []*sdk.Notice
}

func (c *catalogue) note(what string, examples []string) {
	if len(examples) > 0 {
		c.notices = append(c.notices, &sdk.Notice{What: what, Count: uint64(len(examples)), Examples: examples[:min(3, len(examples))]})
	}
}

// find gives the place of a column that a field of the configuration names.
func (c *catalogue) find(at, name string) (int, error) {
	i := slices.Index(c.table.names, name)
	if i < 0 {
		what, advice := c.table.noColumn(name)
		return 0, sdk.FieldError{Field: at, What: fmt.Sprintf("the catalogue %s %s", c.name, what), Advice: advice}
	}
	return i, nil
}

// numbers gives a column of numbers, NaN where it has no value.
func (c *catalogue) numbers(at, name string) ([]float64, error) {
	i, err := c.find(at, name)
	if err != nil {
		return nil, err
	}
	values, numbers, _ := c.table.column(i)
	if !numbers {
		return nil, sdk.FieldError{Field: at, What: fmt.Sprintf("the column %q of the catalogue %s holds no numbers", name, c.name), Advice: "name a column of numbers"}
	}
	out := make([]float64, len(values))
	for row, v := range values {
		var ok bool
		if out[row], ok = v.(float64); !ok {
			out[row] = math.NaN()
		}
	}
	return out, nil
}

// columns gives the columns of numbers to a formula that stands in a field of the configuration.
func (c *catalogue) columns(at string) columns {
	return func(name string) ([]float64, error) { return c.numbers(at, name) }
}

// fingerprint digests everything that records depend on: the configuration, and the files' places, sizes and times.
func (f *field) fingerprint() string {
	h := sha256.New()
	c := f.fieldConfig
	c.Bands = slices.Clone(c.Bands)
	paths := []*string{&c.Catalogue}
	if c.Mask != nil {
		c.Mask = new(*c.Mask)
		paths = append(paths, &c.Mask.File)
	}
	for i := range c.Bands {
		paths = append(paths, &c.Bands[i].File)
	}
	for _, path := range paths {
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

// Read cuts the stamp of object i.
func (f *field) Read(i int, r *sdk.Record) error {
	if i < 0 || i >= len(f.objects) {
		return fmt.Errorf("images: there is no record %d of %d", i, len(f.objects))
	}
	o := f.objects[i]
	*r = sdk.Record{ID: o.id, Shape: []int{f.Size, f.Size, len(f.planes)}, Values: o.values}
	if p := f.planes[0]; o.x < 0 || o.y < 0 || o.x > p.width-f.Size || o.y > p.height-f.Size {
		r.Bad = o.id + ": its stamp leaves the field"
		return nil
	}
	r.F32 = make([]float32, f.Size*f.Size*len(f.planes))
	for b, p := range f.planes {
		pixels, err := p.cut(o.x, o.y, f.Size)
		if err != nil {
			r.Bad = fmt.Sprintf("%s: %v", filepath.Base(p.path), err)
			return nil
		}
		for k, v := range pixels {
			r.F32[k*len(f.planes)+b] = float32(v)
		}
	}
	if f.mask == nil {
		return nil
	}
	marks, err := f.mask.cut(o.x, o.y, f.Size)
	if err != nil {
		r.Bad = fmt.Sprintf("%s: %v", filepath.Base(f.mask.path), err)
		return nil
	}
	for k, v := range marks {
		if math.IsNaN(v) || f.Mask.Bits == 0 && v != 0 || int64(v)&f.Mask.Bits != 0 {
			for b := range f.planes {
				r.F32[k*len(f.planes)+b] = float32(math.NaN())
			}
		}
	}
	return nil
}
