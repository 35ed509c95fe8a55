package data

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

const (
	numbers = protocol.Field_NUMBER
	strs    = protocol.Field_STRING
)

func TestBytesStayBytes(t *testing.T) {
	a := dataset(u8, 1./256, "gr", 2).add("a", nil, 0, 1, 128, 255).add("b", nil, 2, 3, 4, 5)
	b := dataset(u8, 1./256, "rg", 2).add("c", nil, 10, 20, 30, 40)
	s, r := stored(t, Frame{}, Options{}, a, b)
	if !s.u8 || r.Kept != 3 || r.Bad != 0 || len(r.Notices) != 0 {
		t.Fatalf("u8 %v, report %+v", s.u8, r)
	}
	equal(t, "values", gathered(t, s, 2, 0), []float32{20. / 256, 10. / 256, 40. / 256, 30. / 256, 0, 1. / 256, .5, 255. / 256})
	if got := s.Facts().String(); got != (&protocol.SampleFacts{Shape: []int64{2, 2}, Bands: []string{"g", "r"}, Flux: protocol.Flux_LINEAR, Unit: "nanomaggy", PixelScale: 0.4}).String() {
		t.Errorf("facts %s", got)
	}
	for i, id := range []string{"a", "b", "c"} {
		if s.ID(i) != id || s.Sample(i) != key.Sample(id) || s.Source(i) != i/2 {
			t.Errorf("row %d is %q, sample %d, of source %d", i, s.ID(i), s.Sample(i), s.Source(i))
		}
	}
}

func TestMixedSourcesBecomeNumbers(t *testing.T) {
	a := dataset(u8, 0.5, "gr", 1).add("a", nil, 3, 5)
	b := dataset(f32, 1, "gr", 1).add("b", nil, 7.25, -1)
	s, _ := stored(t, Frame{Bands: []string{"r"}}, Options{}, a, b)
	if s.u8 {
		t.Fatal("the store is of bytes")
	}
	equal(t, "values", gathered(t, s, 0, 1), []float32{2.5, -1})
	s, _ = stored(t, Frame{}, Options{}, dataset(u8, 0.5, "g", 1).add("a", nil, 3), dataset(u8, 0.25, "g", 1).add("b", nil, 3))
	equal(t, "values of two scales", gathered(t, s, 0, 1), []float32{1.5, 0.75})
}

func TestColumnsMerge(t *testing.T) {
	a := dataset(u8, 1, "g", 1).field("z", numbers, "").field("type", strs, "").
		add("a", []*protocol.Value{num(0.1), txt("Sb")}, 1).
		add("b", []*protocol.Value{txt("0.25"), num(3)}, 1).
		add("c", []*protocol.Value{txt("n/a"), missing()}, 1).
		add("d", []*protocol.Value{num(math.Inf(1)), txt("")}, 1)
	b := dataset(u8, 1, "g", 1).field("mag", numbers, "mag").field("type", strs, "").
		add("e", []*protocol.Value{num(17), txt("E")}, 1)
	s, r := stored(t, Frame{}, Options{batchBytes: 2}, a, b)
	if got := s.Columns(); !reflect.DeepEqual(got, []string{"z", "type", "mag"}) {
		t.Fatalf("columns %v", got)
	}
	text := func(name string) string {
		c, ok := s.Column(name)
		if !ok {
			t.Fatalf("no column %s", name)
		}
		return fmt.Sprint(c.Values, c.Categories, c.Unit)
	}
	for name, want := range map[string]string{
		"z":    "[0.1 0.25 NaN NaN NaN] []",
		"type": "[2 0 NaN NaN 1] [3 E Sb]",
		"mag":  "[NaN NaN NaN NaN 17] []mag",
	} {
		if got := text(name); strings.TrimSpace(got) != strings.TrimSpace(want) && got != strings.Replace(want, "]mag", "] mag", 1) {
			t.Errorf("column %s is %s, not %s", name, got, want)
		}
	}
	if _, ok := s.Column("nothing"); ok {
		t.Error("there is a column that is not there")
	}
	if len(r.Notices) != 1 || r.Notices[0].Count != 2 || !strings.Contains(r.Notices[0].What, `"z"`) || !reflect.DeepEqual(r.Notices[0].Examples, []string{"c", "d"}) {
		t.Errorf("notices %+v", r.Notices)
	}
}

func TestBadRecordsAreCountedAndNamed(t *testing.T) {
	d := dataset(u8, 1, "g", 2, 2)
	for i := range 7 {
		d.bad(fmt.Sprint("x", i), fmt.Sprintf("images/x%d.jpg: unexpected EOF", i))
	}
	d.add("a", nil, 1, 2, 3, 4).add("a", nil, 5, 6, 7, 8).add("", nil, 1, 2, 3, 4).bad("", "not a FITS image")
	d.add("short", nil, 1, 2, 3)
	d.add("rank", nil, 1, 2, 3, 4)
	d.all[len(d.all)-1].Shape = []int{4, 1}
	d.add("small", nil, 9)
	d.all[len(d.all)-1].Shape = []int{1, 1, 1}
	d.catalogue.Notices = []*protocol.Notice{{What: "rows without an image", Count: 3, Examples: []string{"PGC1"}}}
	dir, r, err := ingest(t, Frame{}, Options{}, d)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range r.Notices {
		if n.Where != "data.sources.0 images.folder" {
			t.Errorf("the notice is about %q", n.Where)
		}
		got = append(got, fmt.Sprint(n.What, " ", n.Count, " ", n.Examples))
	}
	want := []string{
		"rows without an image 3 [PGC1]",
		"left out: unexpected EOF 7 [images/x0.jpg images/x1.jpg images/x2.jpg images/x3.jpg images/x4.jpg]",
		"left out: has the id of an object before it 1 [a]",
		"left out: has no id 1 [record 9]",
		"left out: not a FITS image 1 [record 10]",
		"left out: has 3 values for the shape [2 2 1] 1 [short]",
		"left out: has 1 spatial axes instead of 2 1 [rank]",
		"smaller than the frame, padded with zeros 1 [small]",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("notices:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r.Kept != 2 || r.Bad != 12 {
		t.Errorf("kept %d, left out %d", r.Kept, r.Bad)
	}
	lines := strings.Split(strings.TrimSpace(read(t, filepath.Join(dir, "bad.jsonl"))), "\n")
	if len(lines) != 12 || lines[6] != `{"source":0,"where":"data.sources.0 images.folder","index":6,"id":"x6","reason":"images/x6.jpg: unexpected EOF"}` {
		t.Errorf("bad.jsonl has %d lines; the seventh is %s", len(lines), lines[6])
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	equal(t, "the first of two with one id, and the small one", gathered(t, s, 0, 1), []float32{1, 2, 3, 4, 0, 0, 0, 9})
	if !reflect.DeepEqual(s.Report(), r) {
		t.Errorf("the store remembers %+v", s.Report())
	}
}

func TestManyReasonsStayFew(t *testing.T) {
	d := dataset(u8, 1, "g", 1).add("a", nil, 1)
	for i := range 100 {
		d.bad(fmt.Sprint(i), fmt.Sprintf("strange number %d", i))
	}
	_, r, err := ingest(t, Frame{}, Options{}, d)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Notices[len(r.Notices)-1]; len(r.Notices) != 21 || n.Count != 80 || n.What != "left out for other reasons" {
		t.Errorf("%d notices, the last %+v", len(r.Notices), n)
	}
}

func TestDataThatCannotBeUsed(t *testing.T) {
	ok := func() *records { return dataset(f32, 1, "gr", 4, 4).add("a", nil, make([]float32, 32)...) }
	with := func(f func(r *records)) *records { r := ok(); f(r); return r }
	allBad := dataset(u8, 1, "g", 1)
	for i := range 9 {
		allBad.bad("", fmt.Sprintf("img/%d.png: not a PNG", i))
	}
	for name, c := range map[string]struct {
		frame   Frame
		sources []*records
		kind    fault.Kind
		words   []string
	}{
		"no source":        {Frame{}, nil, fault.Config, []string{"no source"}},
		"empty":            {Frame{}, []*records{dataset(u8, 1, "g", 1)}, fault.Data, []string{"empty", "efigi.cue:8:4", "images.folder"}},
		"all bad":          {Frame{}, []*records{allBad}, fault.Data, []string{"none of 9", "9 × not a PNG", "img/0.png", "img/4.png, …"}},
		"unknown band":     {Frame{Bands: []string{"g", "Z"}}, []*records{ok()}, fault.Config, []string{`no band "Z"`, "g, r", "data.frame.bands"}},
		"band twice":       {Frame{Bands: []string{"g", "g"}}, []*records{ok()}, fault.Config, []string{`"g" is named twice`}},
		"no bands":         {Frame{Bands: []string{}}, []*records{ok()}, fault.Config, []string{"g, r"}},
		"band of one only": {Frame{}, []*records{ok(), dataset(f32, 1, "gi", 4, 4)}, fault.Config, []string{`no band "r"`, "g, i", "efigi.cue:9:4"}},
		"more bands":       {Frame{}, []*records{ok(), dataset(f32, 1, "gri", 4, 4)}, fault.Config, []string{"g, r, i", "data.frame.bands"}},
		"flux":             {Frame{}, []*records{ok(), with(func(r *records) { r.catalogue.Facts.Flux = protocol.Flux_STRETCHED })}, fault.Config, []string{"stretched", "linear", "skysim.galaxies"}},
		"rank":             {Frame{}, []*records{ok(), dataset(f32, 1, "gr", 4)}, fault.Config, []string{"1 spatial axes", "2"}},
		"sizes":            {Frame{Size: []int{1, 2, 3}}, []*records{ok()}, fault.Config, []string{"3 numbers", "2 spatial axes"}},
		"size 0":           {Frame{Size: []int{0}}, []*records{ok()}, fault.Config, []string{"0 is no size"}},
		"huge":             {Frame{Size: []int{1 << 20}}, []*records{ok()}, fault.Config, []string{"smaller frame"}},
		"column types":     {Frame{}, []*records{ok().field("z", numbers, ""), ok().field("z", strs, "")}, fault.Config, []string{`column "z"`, "string", "number"}},
		"column units":     {Frame{}, []*records{ok().field("r", numbers, "kpc"), ok().field("r", numbers, "arcsec")}, fault.Config, []string{"kpc", "arcsec"}},
		"catalogue":        {Frame{}, []*records{with(func(r *records) { r.catalogue.Facts = nil })}, fault.Plugin, []string{"no facts"}},
		"names for bands":  {Frame{}, []*records{with(func(r *records) { r.catalogue.Facts.Bands = []string{"g"} })}, fault.Plugin, []string{"1 names for 2 bands"}},
		"too many records": {Frame{}, []*records{with(func(r *records) { r.catalogue.Count = 1e12 })}, fault.Resource, []string{"GB", "free"}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "too many records" { // more than any disk here holds, and no more than a catalogue may say
				c.frame.Size = []int{4096}
			}
			dir, _, err := ingest(t, c.frame, Options{}, c.sources...)
			wantFault(t, err, c.kind, c.words...)
			if _, err := Open(dir); err == nil {
				t.Error("what is left opens as a store")
			}
		})
	}
}

func TestUnnamedBandsAndOtherUnits(t *testing.T) {
	b := dataset(f32, 1, "gr", 1).add("b", nil, 3, 4)
	b.catalogue.Facts.Bands, b.catalogue.Facts.Unit, b.catalogue.Facts.PixelScale, b.catalogue.Facts.Flux = nil, "1", 0.2, 0
	s, r := stored(t, Frame{}, Options{}, dataset(f32, 1, "gr", 1).add("a", nil, 1, 2), b)
	equal(t, "values", gathered(t, s, 1), []float32{3, 4})
	if f := s.Facts(); f.Unit != "" || f.PixelScale != 0 || f.Flux != 0 {
		t.Errorf("facts of mixed sources: %v", f)
	}
	if len(r.Notices) != 2 || !strings.Contains(r.Notices[0].What, "nanomaggy") || !strings.Contains(r.Notices[1].What, "0.2 arcsec") {
		t.Errorf("notices %+v", r.Notices)
	}
}

func TestPluginsThatMisbehave(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		read func(first, count int) ([]plugin.Record, error)
		want string
	}{
		"nothing":     {func(int, int) ([]plugin.Record, error) { return nil, nil }, "gave 0 records"},
		"too many":    {func(_, n int) ([]plugin.Record, error) { return make([]plugin.Record, n+1), nil }, "gave 4 records where 3"},
		"wrong place": {func(int, int) ([]plugin.Record, error) { return []plugin.Record{{Index: 2, Bad: "x"}}, nil }, "record 2 where 0"},
	} {
		_, err := Ingest(context.Background(), t.TempDir(), []Source{liar{c.read}}, Frame{}, Options{})
		t.Log(name)
		wantFault(t, err, fault.Plugin, c.want)
	}
	_, err := Ingest(context.Background(), t.TempDir(), []Source{liar{func(int, int) ([]plugin.Record, error) { return nil, boom }}}, Frame{}, Options{})
	if !errors.Is(err, boom) {
		t.Errorf("the source's own error is lost: %v", err)
	}
	d := dataset(u8, 1, "g", 1)
	d.err = boom
	if _, _, err := ingest(t, Frame{}, Options{}, d); !errors.Is(err, boom) {
		t.Errorf("the error of Open is lost: %v", err)
	}
}

type liar struct {
	read func(first, count int) ([]plugin.Record, error)
}

func (l liar) Open(context.Context) (*protocol.Catalogue, error) {
	return &protocol.Catalogue{Count: 3, Dtype: u8, Facts: &protocol.SampleFacts{Shape: []int64{1}}}, nil
}
func (l liar) Read(_ context.Context, first, count int) ([]plugin.Record, error) {
	return l.read(first, count)
}

func TestIngestStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d := many(1000)
	d.onRead = func(first int) {
		if first >= 256 {
			cancel()
		}
	}
	last := 0
	_, err := Ingest(ctx, t.TempDir(), []Source{d}, Frame{}, Options{Progress: func(done, total int) { last = done }})
	wantFault(t, err, fault.Cancelled)
	if !errors.Is(err, context.Canceled) || last != 512 {
		t.Errorf("stopped after %d records with %v", last, err)
	}
}

// many makes a dataset of bytes with columns.
func many(n int) *records {
	d := dataset(u8, 0.5, "gr", 4, 4).field("z", numbers, "").field("tile", strs, "")
	for i := range n {
		px := make([]float32, 32)
		for k := range px {
			px[k] = float32((i*31 + k*7) % 256)
		}
		v := []*protocol.Value{num(float64(i) / 7), txt(fmt.Sprint("tile", i%13))}
		if i%5 == 0 {
			v[0] = missing()
		}
		d.add(fmt.Sprint("obj", i), v, px...)
	}
	return d
}

func TestDigestIsOfTheContentAlone(t *testing.T) {
	whole, _ := stored(t, Frame{}, Options{}, many(300))
	d := many(300)
	d.atOnce = 7
	var progress []int
	cut, _ := stored(t, Frame{}, Options{batchBytes: 100, shardBytes: 1000, Progress: func(done, total int) { progress = append(progress, done, total) }}, d)
	if n := len(cut.index.Pixels); n < 5 {
		t.Fatalf("%d files of pixels", n)
	}
	if len(progress) != 2*43 || progress[0] != 7 || progress[len(progress)-2] != 300 || progress[1] != 300 {
		t.Errorf("progress %v", progress)
	}
	if len(whole.Digest()) != 64 || whole.Digest() != cut.Digest() {
		t.Errorf("digests %s and %s", whole.Digest(), cut.Digest())
	}
	rows := make([]int, 300)
	for i := range rows {
		rows[i] = (i * 7) % 300
	}
	equal(t, "pixels", gathered(t, cut, rows...), gathered(t, whole, rows...))
	for _, s := range []*Store{whole, cut} {
		if err := s.Verify(context.Background()); err != nil {
			t.Error(err)
		}
	}
	for what, change := range map[string]func(*records){
		"pixel":  func(r *records) { r.all[299].U8[31]++ },
		"id":     func(r *records) { r.all[3].ID += "x" },
		"number": func(r *records) { r.all[1].Values[0] = num(8) },
		"text":   func(r *records) { r.all[1].Values[1] = txt("tile9") },
		"order":  func(r *records) { r.all[1], r.all[2] = r.all[2], r.all[1] },
		"scale":  func(r *records) { r.catalogue.Scale = 0.25 },
		"unit":   func(r *records) { r.catalogue.Facts.Unit = "Jy" },
		"column": func(r *records) { r.catalogue.Fields[0].Name = "zed" },
	} {
		d := many(300)
		change(d)
		if s, _ := stored(t, Frame{}, Options{}, d); s.Digest() == whole.Digest() {
			t.Errorf("another %s gives the same digest", what)
		}
	}
}

func TestLayoutWithoutReading(t *testing.T) {
	facts, fields, err := Layout([]*protocol.Catalogue{many(0).catalogue}, Frame{Size: []int{3}, Bands: []string{"r"}}, nil)
	if err != nil || !reflect.DeepEqual(facts.Shape, []int64{3, 3, 1}) || len(fields) != 2 || fields[1].Name != "tile" {
		t.Errorf("facts %v, fields %v, error %v", facts, fields, err)
	}
}
