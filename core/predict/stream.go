package predict

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/train"
)

// Visitor is told what is predicted as it comes.
type Visitor struct {
	Batch func(*Batch) error // its slices are the visitor's to keep
	Bad   func(Bad) error    // may be nil
}

// Bad is a record of which nothing can be predicted.
type Bad struct {
	Where  string `json:"where"` // the source
	Index  int    `json:"index"` // of the record in it
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

// Objects that are worked on together: so many, or so many bytes of them.
const (
	chunkObjects = 4096
	chunkBytes   = 128 << 20
)

// Run predicts for every object of the sources. What cannot be used is left out and told; it is an error when nothing can.
func (p *Predictor) Run(ctx context.Context, sources []experiment.Component, v Visitor) error {
	s := &stream{Predictor: p, v: v, seen: map[string]bool{}}
	for _, c := range sources {
		if err := s.source(ctx, c); err != nil {
			return err
		}
	}
	return s.end()
}

// end says that nothing was predicted for.
func (s *stream) end() error {
	if s.kept == 0 {
		what := "there is no object to predict for"
		if s.last != "" {
			what = "nothing can be predicted: no record can be used; the last: " + s.last
		}
		return &fault.Error{Op: "predict", Kind: fault.Data, What: what, Do: "look at the files named: is this the right folder, and are they whole?"}
	}
	return nil
}

// stream is one Run.
type stream struct {
	*Predictor
	v          Visitor
	seen       map[string]bool // ids
	read, kept int
	last       string // why a record was left out
}

// source goes through one source, a chunk at a time: each is framed as the run's own data were, in a folder for the while.
func (s *stream) source(ctx context.Context, c experiment.Component) error {
	d, err := s.Host.Dataset(ctx, flow.Ref(c))
	if err != nil {
		return err
	}
	defer d.Close()
	catalogue, err := d.Open(ctx)
	if err != nil {
		return err
	}
	if err := s.fits(c, catalogue); err != nil {
		return err
	}
	for _, n := range catalogue.Notices {
		s.note(fmt.Sprintf("%s: %d %s: %s", c.Name, n.Count, n.What, strings.Join(n.Examples, ", ")))
	}
	return s.records(ctx, c, catalogue, d, int(catalogue.Count))
}

// reader gives records of a source, or of files.
type reader interface {
	Read(ctx context.Context, first, count int) ([]plugin.Record, error)
}

// records goes through so many records.
func (s *stream) records(ctx context.Context, c experiment.Component, catalogue *protocol.Catalogue, r reader, count int) error {
	each := int(max(1, min(chunkObjects, chunkBytes/(4*model.Size(s.inputs.Facts.Shape)))))
	for first := 0; first < count; first += each {
		n := min(each, count-first)
		if err := s.chunk(ctx, c, window{r, catalogue, first, n}); err != nil {
			return err
		}
		s.read += n
		if s.Each != nil {
			s.Each(s.read)
		}
	}
	return nil
}

// fits refuses data of another kind than the run's, and notes what is odd.
func (s *stream) fits(c experiment.Component, catalogue *protocol.Catalogue) error {
	have, want := catalogue.GetFacts(), s.inputs.Facts
	const unknown = protocol.Flux_FLUX_UNSPECIFIED
	if a, b := have.GetFlux(), want.GetFlux(); a != b && a != unknown && b != unknown {
		return &fault.Error{Op: "predict", Kind: fault.Data, Plugin: c.Name, Path: c.Path, Where: c.Where,
			What: fmt.Sprintf("its pixels are %s, and those that were learned from %s", strings.ToLower(a.String()), strings.ToLower(b.String())), Do: "predict from data of the kind that was learned from"}
	}
	if a, b := have.GetUnit(), want.GetUnit(); a != b {
		s.note(fmt.Sprintf("the unit of %s is %q and that of the data learned from %q: values are taken as they are", c.Name, a, b))
	}
	if a, b := have.GetPixelScale(), want.GetPixelScale(); a != b {
		s.note(fmt.Sprintf("the pixel scale of %s is %g arcsec and that of the data learned from %g: images are taken as they are", c.Name, a, b))
	}
	return nil
}

func (s *stream) note(text string) {
	if s.Note != nil {
		s.Note(text)
	}
}

// chunk predicts for the records of a window.
func (s *stream) chunk(ctx context.Context, c experiment.Component, w window) error {
	dir, err := os.MkdirTemp("", "asterism-predict-")
	if err != nil {
		return &fault.Error{Op: "predict", Kind: fault.Resource, What: "no temporary folder", Err: err, Do: "set TMPDIR to a folder that can be written"}
	}
	defer os.RemoveAll(dir)
	facts := s.inputs.Facts
	frame := data.Frame{Bands: facts.Bands}
	for _, n := range facts.Shape[:len(facts.Shape)-1] {
		frame.Size = append(frame.Size, int(n))
	}
	if len(w.catalogue.GetFacts().GetBands()) == 0 { // bands without names count as those of the run, in their order
		w.catalogue.Facts.Bands = facts.Bands
	}
	report, err := data.Ingest(ctx, dir, []data.Source{w}, frame, data.Options{From: []plugin.Ref{flow.Ref(c)}, MayBeEmpty: true})
	if err != nil {
		return s.interrupted(ctx, err)
	}
	if err := s.bad(dir, w.first); err != nil {
		return err
	}
	for _, n := range report.Notices {
		if !strings.HasPrefix(n.What, "left out") { // each of those is told
			s.note(fmt.Sprintf("%s: %d %s: %s", n.Where, n.Count, n.What, strings.Join(n.Examples, ", ")))
		}
	}
	if report.Kept == 0 {
		return nil
	}
	store, err := data.Open(dir)
	if err != nil {
		return err
	}
	defer store.Close()
	var rows []int
	for i := range store.Len() {
		id := store.ID(i)
		if s.seen[id] {
			if err := s.leaveOut(Bad{Where: c.Path + " " + c.Name, Index: w.first + i, ID: id, Reason: "has the id of an object before it"}); err != nil {
				return err
			}
			continue
		}
		s.seen[strings.Clone(id)] = true // the store goes
		rows = append(rows, i)
	}
	if len(rows) == 0 {
		return nil
	}
	b := &Batch{Width: s.Width, Representations: make([]float32, len(rows)*s.Width)}
	for _, r := range rows {
		b.IDs = append(b.IDs, strings.Clone(store.ID(r)))
	}
	for first := 0; first < len(rows); first += s.batch {
		part := rows[first:min(first+s.batch, len(rows))]
		if err := train.View(ctx, store, s.views, s.slot, part, s.x.Seed, 0); err != nil {
			return s.interrupted(ctx, err)
		}
		if err := s.inference.Represent(s.slot.Out, len(part), b.Representations[first*s.Width:]); err != nil {
			return err
		}
	}
	if s.Picture {
		pictures := newPictures(store)
		for _, r := range rows {
			picture, err := pictures.PNG(r)
			if err != nil {
				return err
			}
			b.Pictures = append(b.Pictures, picture)
		}
	}
	if err := s.ask(ctx, b); err != nil {
		return s.interrupted(ctx, err)
	}
	s.compare(b)
	s.kept += len(rows)
	return s.v.Batch(b)
}

// interrupted names a request to stop.
func (s *stream) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &fault.Error{Op: "predict", Kind: fault.Cancelled, What: fmt.Sprintf("stopped after %d records", s.read)}
	}
	return err
}

// bad tells of the records that ingest left out.
func (s *stream) bad(dir string, first int) error {
	text, err := os.ReadFile(filepath.Join(dir, data.BadFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var b Bad
		if err := json.Unmarshal(lines.Bytes(), &b); err != nil {
			return err
		}
		b.Index += first
		if err := s.leaveOut(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) leaveOut(b Bad) error {
	s.last = b.Reason
	if b.ID != "" && !strings.Contains(b.Reason, b.ID) {
		s.last = b.ID + ": " + b.Reason
	}
	if s.v.Bad == nil {
		return nil
	}
	return s.v.Bad(b)
}

// window is some records that follow each other, as a source of its own.
type window struct {
	reader
	catalogue    *protocol.Catalogue
	first, count int
}

// Open gives the catalogue of the window.
func (w window) Open(context.Context) (*protocol.Catalogue, error) {
	c := w.catalogue
	return &protocol.Catalogue{Facts: c.Facts, Dtype: c.Dtype, Scale: c.Scale, Count: uint64(w.count), Fields: c.Fields}, nil
}

// Read gives records of the window, counted from its first.
func (w window) Read(ctx context.Context, first, count int) ([]plugin.Record, error) {
	records, err := w.reader.Read(ctx, w.first+first, count)
	records = slices.Clone(records)
	for i := range records {
		records[i].Index -= w.first
	}
	return records, err
}
