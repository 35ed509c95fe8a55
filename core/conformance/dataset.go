package conformance

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
)

var datasetChecks = []check{
	{"open", []string{"2.1", "2.2"}, opens, true},
	{"records", []string{"2.3"}, records, false},
	{"ids", []string{"2.4"}, ids, false},
	{"values", []string{"2.5", "2.6"}, values, false},
	{"files", []string{"2.7"}, singly, false},
	{"nofile", []string{"2.8"}, noFile, false},
	{"slot", []string{"2.9"}, slots, false},
}

// manyRecords is how many records of a dataset are read: the first, and as many of the last.
const manyRecords = 300

// dataset configures and opens the component.
func (t *trial) dataset(h *home) (*plugin.Dataset, *protocol.Catalogue, error) {
	d, err := h.Dataset(t.ctx, t.ref())
	if err != nil {
		return nil, nil, err
	}
	c, err := d.Open(t.ctx)
	return d, c, err
}

// opens looks at the catalogue, twice, and in a second process.
func opens(t *trial) error {
	_, c, err := t.dataset(t.shared())
	if err != nil {
		return err
	}
	wrong := func(expected, format string, a ...any) error {
		return &broken{paragraph: "2.1", expected: expected, seen: fmt.Sprintf(format, a...)}
	}
	shape := c.Facts.Shape
	if len(shape) < 2 || len(shape) > 4 {
		return wrong("samples of one to three dimensions, and bands", "the shape %v", shape)
	}
	if bands := shape[len(shape)-1]; int(bands) != len(c.Facts.Bands) {
		return wrong("as many names of bands as bands, which are the last axis", "%d names for the shape %v", len(c.Facts.Bands), shape)
	}
	if c.Scale <= 0 || math.IsInf(c.Scale, 0) || math.IsNaN(c.Scale) || c.Dtype == protocol.DType_F32 && c.Scale != 1 {
		return wrong("a scale above 0, and 1 for pixels that are floats", "%v", c.Scale)
	}
	seen := map[string]bool{}
	for _, f := range c.Fields {
		if seen[f.Name] {
			return wrong("fields of different names", "two named %q", f.Name)
		}
		seen[f.Name] = true
	}
	if c.Count == 0 {
		return wrong("records to read: with none nothing can be checked", "a count of 0")
	}
	if _, err := hex.DecodeString(c.Fingerprint); err != nil || c.Fingerprint == "" {
		return &broken{paragraph: "2.2", expected: "a fingerprint: a digest in hexadecimal digits of all that the records depend on", seen: fmt.Sprintf("%q", c.Fingerprint),
			advice: "digest the configuration, and the names, sizes and times of the files: without it, changed data would not be read again"}
	}
	for _, h := range []*home{t.shared(), t.fresh()} {
		_, again, err := t.dataset(h)
		if err != nil {
			return err
		}
		if again.Fingerprint != c.Fingerprint {
			return &broken{paragraph: "2.2", expected: "the same fingerprint of the same data", seen: fmt.Sprintf("%q and %q", c.Fingerprint, again.Fingerprint)}
		}
		if !proto.Equal(again, c) {
			return wrong("the same catalogue of the same data", "another the second time")
		}
	}
	return nil
}

// record is a record as it came, with its pixels copied.
type record struct {
	plugin.Record
	pixels []byte
}

// ranges of records that are looked at.
func rangesOf(c *protocol.Catalogue) [][2]int {
	n := int(min(c.Count, math.MaxInt32))
	if n <= 2*manyRecords {
		return [][2]int{{0, n}}
	}
	return [][2]int{{0, manyRecords}, {n - manyRecords, n}}
}

// stream reads records, so many at a time.
func (t *trial) stream(d *plugin.Dataset, c *protocol.Catalogue, chunk int) ([]record, error) {
	var all []record
	for _, r := range rangesOf(c) {
		for at := r[0]; at < r[1]; {
			some, err := d.Read(t.ctx, at, min(chunk, r[1]-at))
			if err != nil {
				return nil, err
			}
			for _, one := range some {
				all = append(all, copied(one))
			}
			at += len(some)
		}
	}
	return all, nil
}

func copied(r plugin.Record) record {
	c := record{Record: r, pixels: bytes.Clone(r.U8)}
	for _, v := range r.F32 {
		b := math.Float32bits(v)
		c.pixels = append(c.pixels, byte(b), byte(b>>8), byte(b>>16), byte(b>>24))
	}
	c.U8, c.F32 = nil, nil
	return c
}

// differ says in what two readings of a record differ; "" for nothing.
func (r record) differ(o record) string {
	switch {
	case r.Bad != o.Bad:
		return fmt.Sprintf("it is bad for %q, and for %q", r.Bad, o.Bad)
	case r.ID != o.ID:
		return fmt.Sprintf("the ids %q and %q", r.ID, o.ID)
	case !slices.Equal(r.Shape, o.Shape):
		return fmt.Sprintf("the shapes %v and %v", r.Shape, o.Shape)
	case !bytes.Equal(r.pixels, o.pixels):
		return "other pixels"
	}
	for i := range r.Values {
		if !proto.Equal(r.Values[i], o.Values[i]) {
			return fmt.Sprintf("value %d is %v, and %v", i, r.Values[i], o.Values[i])
		}
	}
	return ""
}

// records reads all once, in chunks of other sizes, one by one backwards, and in a second process.
func records(t *trial) error {
	d, c, err := t.dataset(t.shared())
	if err != nil {
		return err
	}
	all, err := t.stream(d, c, math.MaxInt32)
	if err != nil {
		return err
	}
	compare := func(what string, got, want record) error {
		if why := got.differ(want); why != "" {
			return &broken{paragraph: "2.3", expected: "the same record whenever it is read, " + what, seen: fmt.Sprintf("record %d: %s", want.Index, why),
				advice: "a record depends on its index alone: keep nothing from one to the next"}
		}
		return nil
	}
	for _, chunk := range []int{7, 1} {
		again, err := t.stream(d, c, chunk)
		if err != nil {
			return err
		}
		for i := range all {
			if err := compare(fmt.Sprintf("%d at a time", chunk), again[i], all[i]); err != nil {
				return err
			}
		}
	}
	for i := len(all) - 1; i >= max(0, len(all)-50); i-- {
		one, err := d.Read(t.ctx, all[i].Index, 1)
		if err != nil {
			return err
		}
		if err := compare("in any order", copied(one[0]), all[i]); err != nil {
			return err
		}
	}
	other, c2, err := t.dataset(t.fresh(threadsOf(4)...))
	if err != nil {
		return err
	}
	again, err := t.stream(other, c2, 50)
	if err != nil {
		return err
	}
	for i := range all {
		if i >= len(again) {
			break
		}
		if err := compare("by another process", again[i], all[i]); err != nil {
			return err
		}
	}
	if len(again) != len(all) {
		return &broken{paragraph: "2.3", expected: fmt.Sprintf("%d records from another process", len(all)), seen: fmt.Sprint(len(again))}
	}
	return nil
}

// read gives the records that are looked at.
func (t *trial) read(h *home) (*protocol.Catalogue, []record, error) {
	d, c, err := t.dataset(h)
	if err != nil {
		return nil, nil, err
	}
	all, err := t.stream(d, c, math.MaxInt32)
	return c, all, err
}

// ids looks whether every record has its own.
func ids(t *trial) error {
	_, all, err := t.read(t.shared())
	if err != nil {
		return err
	}
	at := map[string]int{}
	for _, r := range all {
		if r.Bad != "" {
			continue
		}
		if first, ok := at[r.ID]; ok {
			return &broken{paragraph: "2.4", expected: "an id of its own for each record", seen: fmt.Sprintf("records %d and %d are both %q", first, r.Index, r.ID),
				advice: "parts, views and predictions go by the id: give what names the object, such as the file's name or the catalogue's number"}
		}
		at[r.ID] = r.Index
	}
	if len(at) == 0 {
		return &broken{paragraph: "2.4", expected: "at least one good record", seen: fmt.Sprintf("%d that are all bad; the first: %s", len(all), all[0].Bad), advice: "give a case whose configuration leads to good data"}
	}
	return nil
}

// values looks whether records are what the catalogue says.
func values(t *trial) error {
	c, all, err := t.read(t.shared())
	if err != nil {
		return err
	}
	wrong := func(r record, expected, format string, a ...any) error {
		return &broken{paragraph: "2.5", expected: expected, seen: fmt.Sprintf("record %d (%s): ", r.Index, r.ID) + fmt.Sprintf(format, a...)}
	}
	rank, bands := len(c.Facts.Shape), int(c.Facts.Shape[len(c.Facts.Shape)-1])
	for _, r := range all {
		if r.Bad != "" {
			if len(strings.Fields(r.Bad)) < 2 {
				return &broken{paragraph: "2.6", expected: "a bad record to say which file is wrong, and what is wrong with it", seen: fmt.Sprintf("record %d says %q", r.Index, r.Bad)}
			}
			continue
		}
		if len(r.Shape) != rank || r.Shape[rank-1] != bands {
			return wrong(r, fmt.Sprintf("pixels of %d dimensions and %d bands, as the catalogue says", rank-1, bands), "the shape %v", r.Shape)
		}
		for i, v := range r.Values {
			f := c.Fields[i]
			switch is := v.GetIs().(type) {
			case *protocol.Value_Missing:
			case *protocol.Value_Number:
				if f.Type != protocol.Field_NUMBER {
					return wrong(r, f.Name+" to be text, as the catalogue says", "a number")
				}
				if math.IsNaN(is.Number) || math.IsInf(is.Number, 0) {
					return wrong(r, "a finite number for "+f.Name+", or that it is missing", "%v", is.Number)
				}
			case *protocol.Value_Text:
				if f.Type != protocol.Field_STRING {
					return wrong(r, f.Name+" to be a number, as the catalogue says", "the text %q", is.Text)
				}
			default:
				return wrong(r, "a value for "+f.Name+", or that it is missing", "neither")
			}
		}
	}
	return nil
}

// singly reads the files that the case names, and looks whether they are what the stream has.
func singly(t *trial) error {
	d, err := t.shared().Dataset(t.ctx, t.ref())
	if err != nil {
		return err
	}
	reads := d.ReadsFiles(t.ctx)
	c, err := d.Open(t.ctx)
	if err != nil {
		return err
	}
	switch {
	case d.ReadsFiles(t.ctx) != reads:
		return &broken{paragraph: "2.7", expected: "to read single files or not, opened or not", seen: fmt.Sprintf("UNIMPLEMENTED before Open: %v, and after it: %v", !reads, reads),
			advice: "what reads the files that are asked about is looked for before data are opened"}
	case !reads && len(t.given.Files) > 0:
		return &broken{paragraph: "2.7", expected: "ReadFile to read the files that the case names", seen: "UNIMPLEMENTED", advice: "give the dataset ReadFile, in Python read_file, or take the files out of " + t.given.Where}
	case !reads:
		return noSingles
	case len(t.given.Files) == 0:
		return notApplicable("the case names no files to be read singly")
	}
	all, err := t.stream(d, c, math.MaxInt32)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(t.given.Files)) {
		i := slices.IndexFunc(all, func(r record) bool { return r.ID == id })
		if i < 0 {
			return &broken{paragraph: "2.7", expected: fmt.Sprintf("a record %q, which the case names", id), seen: "none among those that are read", advice: "correct files in " + t.given.Where}
		}
		one, err := d.ReadFile(t.ctx, t.given.Files[id])
		if err != nil {
			return err
		}
		got, want := copied(one), all[i]
		seen := ""
		switch {
		case got.Bad != "":
			seen = "it is bad: " + got.Bad
		case !slices.Equal(got.Shape, want.Shape):
			seen = fmt.Sprintf("the shape %v instead of %v", got.Shape, want.Shape)
		case !bytes.Equal(got.pixels, want.pixels):
			seen = "other pixels"
		default:
			continue
		}
		return &broken{paragraph: "2.7", expected: fmt.Sprintf("the same pixels of the file %s as of the record %q", t.given.Files[id], id), seen: seen,
			advice: "a prediction is asked for with ReadFile and was learned from the stream: both must read alike"}
	}
	return nil
}

const noSingles = notApplicable("it reads no single files")

// noFile asks for a file that is not there, and for others that nobody wrote on purpose.
func noFile(t *trial) error {
	d, _, err := t.dataset(t.shared())
	if err != nil {
		return err
	}
	if !d.ReadsFiles(t.ctx) {
		return noSingles
	}
	const nowhere = "/asterism/no/such/file.fits"
	r, err := d.ReadFile(t.ctx, nowhere)
	if err == nil && r.Bad == "" {
		return &broken{paragraph: "2.8", expected: "a file that is not there to be bad, or an error", seen: fmt.Sprintf("a record %q", r.ID)}
	}
	if err != nil && !refusal(err) {
		return &broken{paragraph: "2.8", expected: "a file that is not there to be bad, or an error of the data that says so", seen: words(err), log: logOf(err), advice: "set Bad to what is wrong with the file, or give a DataError"}
	}
	odd, remove, err := t.oddFiles()
	if err != nil {
		return err
	}
	defer remove()
	for _, what := range slices.Sorted(maps.Keys(odd)) {
		if _, err := d.ReadFile(t.ctx, odd[what]); err != nil && !refusal(err) {
			return &broken{paragraph: "2.8", expected: what + " to be bad, or an error of the data that says so", seen: words(err), log: logOf(err), advice: "set Bad to what is wrong with the file, or give a DataError"}
		}
	}
	return nil
}

// oddFiles makes files that cannot be read, or are all that is left of good ones, by what they are.
func (t *trial) oddFiles() (files map[string]string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "asterism-files-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	ending := ".fits"
	contents := map[string][]byte{"an empty file": nil, "a file of noise": bytes.Repeat([]byte{0x93, 0, 0xff, '\n', ',', 'x', '7', 0x80}, 500)}
	for _, id := range slices.Sorted(maps.Keys(t.given.Files)) {
		file := t.given.Files[id]
		if !filepath.IsAbs(file) {
			file = filepath.Join(t.Work, file)
		}
		ending = filepath.Ext(file)
		if text, err := os.ReadFile(file); err == nil {
			contents["the first half of the file "+t.given.Files[id]] = text[:len(text)/2]
		}
	}
	files = map[string]string{"a folder": dir}
	for what, text := range contents {
		files[what] = filepath.Join(dir, fmt.Sprint("odd", len(files), ending))
		if err := os.WriteFile(files[what], text, 0o666); err != nil {
			remove()
			return nil, nil, err
		}
	}
	return files, remove, nil
}

// slots gives room for records in the middle of memory: too little, just enough, and none at all.
func slots(t *trial) error {
	d, id, err := t.instance(t.shared())
	if err != nil {
		return err
	}
	client := protocol.NewDatasetClient(d.Conn())
	c, err := client.Open(t.ctx, &protocol.OpenRequest{Instance: id})
	if err != nil {
		return said(err)
	}
	one, err := (&protocol.Tensor{Dtype: c.Dtype, Shape: c.GetFacts().GetShape()}).Bytes()
	if err != nil {
		return err
	}
	for _, size := range []uint64{protocol.Align, protocol.AlignUp(one) - protocol.Align, protocol.AlignUp(one), 3*protocol.AlignUp(one) + protocol.Align} {
		g := &ground{}
		place, err := g.place("the slot", protocol.DType_U8, int64(size))
		if err == nil {
			err = g.share(t.ctx, d)
		}
		if err != nil {
			return err
		}
		answer, err := client.Read(t.ctx, &protocol.ReadRequest{Instance: id, Count: min(c.Count, 10), Slot: &protocol.Slot{Arena: place.Arena, Offset: place.Offset, Size: size}})
		where, harmed := g.harmed()
		g.close()
		switch {
		case harmed:
			return &broken{paragraph: "2.9", expected: "nothing written outside of the slot", seen: where}
		case err != nil:
			return &broken{paragraph: "2.9", expected: fmt.Sprintf("as many records as fit into %d bytes, or none", size), seen: words(said(err)), log: logOf(said(err)),
				advice: "answer with no record where not even one fits: the host then gives a larger slot"}
		}
		for _, r := range answer.Records {
			if r.Bad != "" {
				continue
			}
			if r.GetPixels().GetArena() != place.Arena {
				return &broken{paragraph: "2.9", expected: "pixels in the slot", seen: "pixels in another arena"}
			}
			if err := r.Pixels.Inside(place.Offset, place.Offset+size); err != nil {
				return &broken{paragraph: "2.9", expected: "pixels in the slot", seen: err.Error()}
			}
		}
	}
	g := &ground{}
	place, err := g.place("the slot", protocol.DType_U8, int64(4*one))
	if err == nil {
		err = g.share(t.ctx, d)
	}
	if err != nil {
		return err
	}
	defer g.close()
	for _, bad := range []struct {
		what string
		r    *protocol.ReadRequest
	}{
		{"records beyond the last", &protocol.ReadRequest{First: c.Count, Count: 1}},
		{"records far beyond the last", &protocol.ReadRequest{First: math.MaxUint64, Count: 2}},
		{"more records than there are", &protocol.ReadRequest{Count: c.Count + 1}},
		{"a slot that ends after its arena", &protocol.ReadRequest{Count: 1, Slot: &protocol.Slot{Arena: place.Arena, Offset: place.Offset, Size: g.Size()}}},
		{"a slot in an arena that is not there", &protocol.ReadRequest{Count: 1, Slot: &protocol.Slot{Arena: place.Arena + 1000, Size: 4096}}},
		{"no slot", &protocol.ReadRequest{Count: 1}},
	} {
		bad.r.Instance = id
		if bad.r.Slot == nil && bad.what != "no slot" {
			bad.r.Slot = &protocol.Slot{Arena: place.Arena, Offset: place.Offset, Size: 4 * one}
		}
		_, err := client.Read(t.ctx, bad.r)
		if where, ok := g.harmed(); ok {
			return &broken{paragraph: "2.9", expected: "nothing written outside of the slot", seen: where + ", given " + bad.what}
		}
		if err == nil {
			return &broken{paragraph: "2.9", expected: "an error for " + bad.what, seen: "an answer as if all were well"}
		}
	}
	return nil
}

// datasetBatches reads on and on.
func datasetBatches(t *trial, h *home) (func(i int) error, int64, error) {
	d, c, err := t.dataset(h)
	if err != nil {
		return nil, 0, err
	}
	one, err := (&protocol.Tensor{Dtype: c.Dtype, Shape: c.Facts.Shape}).Bytes()
	if err != nil {
		return nil, 0, err
	}
	n := int(min(max(1<<18/one, 1), 16, c.Count))
	return func(i int) error {
		_, err := d.Read(t.ctx, i*n%max(1, int(min(c.Count, 1<<20))-n+1), n)
		return err
	}, int64(one) * int64(n), nil
}
