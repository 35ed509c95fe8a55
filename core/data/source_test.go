package data

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// records is a dataset in memory. Like a plugin's, its pixels are good until the next Read only.
type records struct {
	catalogue *protocol.Catalogue
	all       []plugin.Record
	atOnce    int // records given at once; 0: as asked
	lent      []plugin.Record
	err       error
	onRead    func(first int)
}

func (r *records) Open(context.Context) (*protocol.Catalogue, error) { return r.catalogue, r.err }

func (r *records) Read(_ context.Context, first, count int) ([]plugin.Record, error) {
	if r.onRead != nil {
		r.onRead(first)
	}
	for _, old := range r.lent {
		for i := range old.U8 {
			old.U8[i] = 0xee
		}
		for i := range old.F32 {
			old.F32[i] = -1e30
		}
	}
	if r.atOnce > 0 {
		count = min(count, r.atOnce)
	}
	r.lent = nil
	for i, rec := range r.all[first : first+count] {
		rec.Index = first + i
		rec.U8, rec.F32 = slices.Clone(rec.U8), slices.Clone(rec.F32)
		r.lent = append(r.lent, rec)
	}
	return r.lent, nil
}

func (r *records) add(id string, values []*protocol.Value, pixels ...float32) *records {
	rec := plugin.Record{ID: id, Values: values}
	for _, n := range r.catalogue.Facts.Shape {
		rec.Shape = append(rec.Shape, int(n))
	}
	if r.catalogue.Dtype == protocol.DType_U8 {
		for _, v := range pixels {
			rec.U8 = append(rec.U8, byte(v))
		}
	} else {
		rec.F32 = pixels
	}
	r.all = append(r.all, rec)
	r.catalogue.Count++
	return r
}

func (r *records) bad(id, why string) *records {
	r.all = append(r.all, plugin.Record{ID: id, Bad: why})
	r.catalogue.Count++
	return r
}

// dataset makes an empty dataset.
func dataset(dtype protocol.DType, scale float64, bands string, shape ...int64) *records {
	return &records{catalogue: &protocol.Catalogue{Dtype: dtype, Scale: scale, Facts: &protocol.SampleFacts{
		Shape: append(shape, int64(len(bands))), Bands: strings.Split(bands, ""), Flux: protocol.Flux_LINEAR, Unit: "nanomaggy", PixelScale: 0.4}}}
}

func (r *records) field(name string, t protocol.Field_Type, unit string) *records {
	r.catalogue.Fields = append(r.catalogue.Fields, &protocol.Field{Name: name, Type: t, Unit: unit})
	return r
}

func num(v float64) *protocol.Value {
	return &protocol.Value{Is: &protocol.Value_Number{Number: v}}
}
func txt(v string) *protocol.Value { return &protocol.Value{Is: &protocol.Value_Text{Text: v}} }
func missing() *protocol.Value     { return &protocol.Value{Is: &protocol.Value_Missing{Missing: true}} }

var refs = []plugin.Ref{
	{Name: "images.folder", Path: "data.sources.0", Where: "efigi.cue:8:4"},
	{Name: "skysim.galaxies", Path: "data.sources.1", Where: "efigi.cue:9:4"},
}

func ingest(t testing.TB, f Frame, o Options, sources ...*records) (string, *Report, error) {
	t.Helper()
	dir := t.TempDir()
	var list []Source
	for _, s := range sources {
		list = append(list, s)
	}
	o.From = refs
	r, err := Ingest(context.Background(), dir, list, f, o)
	return dir, r, err
}

// stored ingests and opens.
func stored(t testing.TB, f Frame, o Options, sources ...*records) (*Store, *Report) {
	t.Helper()
	dir, r, err := ingest(t, f, o, sources...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, r
}

func gathered(t testing.TB, s *Store, rows ...int) []float32 {
	t.Helper()
	dst := make([]float32, len(rows)*s.length)
	if err := s.Gather(dst, rows); err != nil {
		t.Fatal(err)
	}
	return dst
}

// wantFault checks kind and words of a fault.
func wantFault(t testing.TB, err error, kind fault.Kind, words ...string) *fault.Error {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("error %v is no fault", err)
	}
	if fault.KindOf(err) != kind {
		t.Errorf("the fault is of kind %v, not %v: %v", fault.KindOf(err), kind, err)
	}
	all := fmt.Sprint(err, " ", f.Do)
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("the fault does not say %q: %s", w, all)
		}
	}
	if f.Do == "" && kind != fault.Internal && kind != fault.Cancelled {
		t.Errorf("the fault gives no advice: %v", err)
	}
	return f
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func equal(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
