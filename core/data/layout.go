package data

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Frame is what every record is brought to: cropped around the centre, padded with zeros around the centre where it is
// smaller, never stretched. The middle pixel n/2 of an axis stays the middle pixel.
type Frame struct {
	Size  []int    // one number for every axis, or one for each; nil: the shape of the first source
	Bands []string // the bands to keep, in this order; nil: those of the first source
}

// layout says how the records of several sources come together in one store.
type layout struct {
	facts   *protocol.SampleFacts
	dtype   protocol.DType // U8 or F32
	scale   float64        // value = scale × pixel
	fields  []*protocol.Field
	sources []mapping
	notices []Notice
}

// mapping says how the records of one source get into the store.
type mapping struct {
	rank  int
	bands []int // for each band of the store, that of the record; nil when they are the same
	count int   // bands of a record
	scale float64
	u8    bool
	field []int // for each field of the source, the column of the store
}

// length is the number of values in a sample.
func (l *layout) length() int {
	n := 1
	for _, d := range l.facts.Shape {
		n *= int(d)
	}
	return n
}

// Layout gives the facts of the samples and the columns that a store made from these catalogues will have, without
// reading a record. From names the sources in errors, in the order of the catalogues; it may be shorter.
func Layout(catalogues []*protocol.Catalogue, f Frame, from []plugin.Ref) (*protocol.SampleFacts, []*protocol.Field, error) {
	l, err := plan(catalogues, f, from)
	if err != nil {
		return nil, nil, err
	}
	return l.facts, l.fields, nil
}

// most is the largest number of values that a sample may have.
const most = 1 << 28

func plan(catalogues []*protocol.Catalogue, f Frame, from []plugin.Ref) (*layout, error) {
	if len(catalogues) == 0 {
		return nil, &fault.Error{Op: "ingest", Kind: fault.Config, Path: "data.sources", What: "there is no source", Do: "name at least one dataset"}
	}
	for i, c := range catalogues {
		if err := describes(c); err != "" {
			return nil, at(from, i, fault.Plugin, "the dataset's catalogue is not usable: "+err, "report this to the plugin's author")
		}
	}
	first := catalogues[0].Facts
	l := &layout{dtype: protocol.DType_U8, scale: scaleOf(catalogues[0])}
	rank := len(first.Shape) - 1
	size, err := f.spatial(first.Shape[:rank])
	if err != nil {
		return nil, err
	}
	l.facts = &protocol.SampleFacts{Flux: first.Flux, Unit: first.Unit, PixelScale: first.PixelScale}
	l.facts.Bands = slices.Clone(f.Bands)
	if f.Bands == nil {
		l.facts.Bands = slices.Clone(names(first))
	}
	if len(l.facts.Bands) == 0 {
		return nil, &fault.Error{Op: "ingest", Kind: fault.Config, Path: "data.frame.bands", What: "the list of bands is empty",
			Do: "name some of: " + strings.Join(names(first), ", ") + "; or leave bands out to keep all"}
	}
	for i, b := range l.facts.Bands {
		if slices.Contains(l.facts.Bands[:i], b) {
			return nil, &fault.Error{Op: "ingest", Kind: fault.Config, Path: "data.frame.bands", What: fmt.Sprintf("band %q is named twice", b), Do: "name each band once"}
		}
	}
	l.facts.Shape = append(size, int64(len(l.facts.Bands)))
	total := 1
	for _, d := range l.facts.Shape {
		if d > most || total*int(d) > most {
			return nil, &fault.Error{Op: "ingest", Kind: fault.Config, Path: "data.frame.size", What: fmt.Sprintf("a sample of %v values is larger than %d", l.facts.Shape, most), Do: "choose a smaller frame"}
		}
		total *= int(d)
	}
	for i, c := range catalogues {
		if c.Dtype != protocol.DType_U8 || scaleOf(c) != l.scale {
			l.dtype, l.scale = protocol.DType_F32, 1
		}
		m, err := l.admit(c, i, f, from)
		if err != nil {
			return nil, err
		}
		l.sources = append(l.sources, m)
	}
	return l, nil
}

// admit finds the way of one source into the store, and says what does not fit.
func (l *layout) admit(c *protocol.Catalogue, i int, f Frame, from []plugin.Ref) (mapping, error) {
	facts := c.Facts
	m := mapping{rank: len(facts.Shape) - 1, count: int(facts.Shape[len(facts.Shape)-1]), scale: scaleOf(c), u8: c.Dtype == protocol.DType_U8}
	if m.rank != len(l.facts.Shape)-1 {
		return m, at(from, i, fault.Config, fmt.Sprintf("its samples have %d spatial axes and those of the first source %d", m.rank, len(l.facts.Shape)-1),
			"learn from sources of one kind")
	}
	have := names(facts)
	if len(facts.Bands) == 0 && f.Bands == nil && m.count == len(l.facts.Bands) {
		have = l.facts.Bands // bands without names count as those of the first source
	}
	same := len(have) == len(l.facts.Bands)
	for k, b := range l.facts.Bands {
		j := slices.Index(have, b)
		if j < 0 {
			e := at(from, i, fault.Config, fmt.Sprintf("there is no band %q; there are %s", b, strings.Join(have, ", ")), "name bands that every source has in data.frame.bands")
			if f.Bands != nil && i == 0 {
				e.Path, e.Where = "data.frame.bands", ""
			}
			return m, e
		}
		same = same && j == k
		m.bands = append(m.bands, j)
	}
	if f.Bands == nil && len(have) != len(l.facts.Bands) {
		return m, at(from, i, fault.Config, fmt.Sprintf("it has the bands %s and the first source %s", strings.Join(have, ", "), strings.Join(l.facts.Bands, ", ")),
			"name the bands to keep in data.frame.bands")
	}
	if same {
		m.bands = nil
	}
	const unknown = protocol.Flux_FLUX_UNSPECIFIED
	if a, b := l.facts.Flux, facts.Flux; a != b {
		if a != unknown && b != unknown {
			return m, at(from, i, fault.Config, fmt.Sprintf("its pixels are %s and those of the sources before it %s", strings.ToLower(b.String()), strings.ToLower(a.String())),
				"learn from sources of one kind: linear and stretched fluxes do not mix")
		}
		l.facts.Flux = unknown
	}
	if i > 0 && l.facts.Unit != facts.Unit {
		l.notices = append(l.notices, Notice{Where: where(from, i), What: fmt.Sprintf("the pixels' unit is %q and before it %q: values are mixed as they are", facts.Unit, l.facts.Unit), Count: 1})
		l.facts.Unit = ""
	}
	if i > 0 && l.facts.PixelScale != facts.PixelScale {
		l.notices = append(l.notices, Notice{Where: where(from, i), What: fmt.Sprintf("the pixel scale is %g arcsec and before it %g: images are mixed as they are", facts.PixelScale, l.facts.PixelScale), Count: 1})
		l.facts.PixelScale = 0
	}
	for k, field := range c.Fields {
		if slices.ContainsFunc(c.Fields[:k], func(o *protocol.Field) bool { return o.Name == field.Name }) {
			return m, at(from, i, fault.Plugin, fmt.Sprintf("it has two columns %q", field.Name), "rename one")
		}
		kind := field.Type
		if kind == protocol.Field_TYPE_UNSPECIFIED {
			kind = protocol.Field_NUMBER
		}
		j := slices.IndexFunc(l.fields, func(o *protocol.Field) bool { return o.Name == field.Name })
		if j < 0 {
			j = len(l.fields)
			l.fields = append(l.fields, &protocol.Field{Name: field.Name, Type: kind, Unit: field.Unit, Doc: field.Doc})
		}
		there := l.fields[j]
		if there.Type != kind {
			return m, at(from, i, fault.Config, fmt.Sprintf("column %q is a %s and in a source before it a %s", field.Name, strings.ToLower(kind.String()), strings.ToLower(there.Type.String())),
				"rename or leave out the column in one of them; a column without any value is not needed")
		}
		switch {
		case there.Unit == "":
			there.Unit = field.Unit
		case field.Unit != "" && field.Unit != there.Unit:
			return m, at(from, i, fault.Config, fmt.Sprintf("column %q is in %s and in a source before it in %s", field.Name, field.Unit, there.Unit),
				"rename or leave out the column in one of them")
		}
		if there.Doc == "" {
			there.Doc = field.Doc
		}
		m.field = append(m.field, j)
	}
	return m, nil
}

// spatial gives the frame's size on each axis.
func (f Frame) spatial(first []int64) ([]int64, error) {
	size := slices.Clone(first)
	bad := func(what string) error {
		return &fault.Error{Op: "ingest", Kind: fault.Config, Path: "data.frame.size", What: what,
			Do: fmt.Sprintf("give one number for every axis, or one for each; the first source is %v", first)}
	}
	switch {
	case f.Size == nil:
	case len(f.Size) == 1:
		for i := range size {
			size[i] = int64(f.Size[0])
		}
	case len(f.Size) == len(first):
		for i, n := range f.Size {
			size[i] = int64(n)
		}
	default:
		return nil, bad(fmt.Sprintf("%d numbers for samples with %d spatial axes", len(f.Size), len(first)))
	}
	for _, n := range size {
		if n < 1 {
			return nil, bad(fmt.Sprintf("%d is no size", n))
		}
	}
	return size, nil
}

// describes says what is wrong with a catalogue, or nothing.
func describes(c *protocol.Catalogue) string {
	switch {
	case c == nil || c.Facts == nil:
		return "there are no facts"
	case len(c.Facts.Shape) == 0:
		return "there is no shape"
	case slices.ContainsFunc(c.Facts.Shape, func(n int64) bool { return n < 1 || n > most }):
		return fmt.Sprintf("the shape is %v", c.Facts.Shape)
	case c.Dtype != protocol.DType_U8 && c.Dtype != protocol.DType_F32:
		return "pixels are " + c.Dtype.String()
	case math.IsNaN(c.Scale) || math.IsInf(c.Scale, 0):
		return fmt.Sprintf("the scale is %g", c.Scale)
	case c.Count > math.MaxInt32*1024:
		return fmt.Sprintf("there are %d records", c.Count)
	}
	n := int(c.Facts.Shape[len(c.Facts.Shape)-1])
	if len(c.Facts.Bands) != 0 && len(c.Facts.Bands) != n {
		return fmt.Sprintf("there are %d names for %d bands", len(c.Facts.Bands), n)
	}
	for i, b := range c.Facts.Bands {
		if slices.Contains(c.Facts.Bands[:i], b) {
			return fmt.Sprintf("two bands are called %q", b)
		}
	}
	for _, f := range c.Fields {
		if f == nil || f.Name == "" {
			return "a column has no name"
		}
	}
	return ""
}

// names gives the names of the bands; those without one are called by their place.
func names(f *protocol.SampleFacts) []string {
	if len(f.Bands) != 0 {
		return f.Bands
	}
	var b []string
	for i := range f.Shape[len(f.Shape)-1] {
		b = append(b, fmt.Sprintf("band%d", i))
	}
	return b
}

// scaleOf gives the scale of a catalogue; none is 1.
func scaleOf(c *protocol.Catalogue) float64 {
	if c.Scale == 0 {
		return 1
	}
	return c.Scale
}

// at makes a fault of a source.
func at(from []plugin.Ref, i int, kind fault.Kind, what, do string) *fault.Error {
	e := &fault.Error{Op: "ingest", Kind: kind, Path: fmt.Sprintf("data.sources.%d", i), What: what, Do: do}
	if i < len(from) {
		e.Plugin, e.Where = from[i].Name, from[i].Where
		if from[i].Path != "" {
			e.Path = from[i].Path
		}
	}
	return e
}

// where names a source in a notice.
func where(from []plugin.Ref, i int) string {
	e := at(from, i, 0, "", "")
	return strings.TrimSpace(e.Path + " " + e.Plugin)
}
