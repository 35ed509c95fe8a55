package data

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Source delivers the records of a dataset; *plugin.Dataset does.
type Source interface {
	// Open says what there is to read.
	Open(ctx context.Context) (*protocol.Catalogue, error)
	// Read gives records from first on, up to count; their pixels are valid until the next Read.
	Read(ctx context.Context, first, count int) ([]plugin.Record, error)
}

var _ Source = (*plugin.Dataset)(nil)

// Options are what Ingest can do without.
type Options struct {
	// Progress is told how many records have been read, of how many.
	Progress func(done, total int)
	// From names the sources in errors and notices, in their order.
	From []plugin.Ref
	// MayBeEmpty makes it no error that nothing can be used: then dir holds no store, and the report says so.
	MayBeEmpty bool

	batchBytes, shardBytes int64 // 0: 4 MiB, 1 GiB
}

// perRead is how many records are asked for at once; a plugin gives fewer when its memory is full.
const perRead = 256

// Ingest streams the records of the sources through the frame into dir, which must be empty and is left half-filled
// when it fails: it is meant to be a stage under construction. Memory stays bounded but for some 40 bytes an object.
//
// What cannot be used does not stop it: bad records and second ones of an id are left out, counted and written to
// bad.jsonl. Up to 1 % of pixels that are not finite are set to the record's median of the band; with more of them in the
// frame a record is left out. That nothing at all can be used is an error.
func Ingest(ctx context.Context, dir string, sources []Source, f Frame, o Options) (*Report, error) {
	catalogues := make([]*protocol.Catalogue, len(sources))
	total := 0
	for i, s := range sources {
		c, err := s.Open(ctx)
		if err != nil {
			return nil, err
		}
		catalogues[i] = c
		total += int(c.GetCount())
	}
	l, err := plan(catalogues, f, o.From)
	if err != nil {
		return nil, err
	}
	if total == 0 {
		return nil, at(o.From, 0, fault.Data, "the dataset is empty", "check its folder and its table: nothing there is an object")
	}
	wide := int64(l.length())
	if l.dtype == protocol.DType_F32 {
		wide *= 4
	}
	if err := roomFor(dir, int64(total), wide); err != nil {
		return nil, err
	}
	if o.batchBytes == 0 {
		o.batchBytes = 4 << 20
	}
	if o.shardBytes == 0 {
		o.shardBytes = 1 << 30
	}
	rows := int(max(1, min(o.batchBytes/wide, int64(total), 1<<16)))
	w, err := newWriter(dir, l, rows, o.shardBytes)
	if err != nil {
		return nil, unwritten(dir, err)
	}
	defer w.abandon()

	in := &intake{l: l, o: o, tally: newTally(dir, o.From, len(sources)), ids: map[[16]byte]struct{}{}, total: total,
		full: make(chan *batch), empty: make(chan *batch, 2), failed: make(chan error, 1)}
	defer in.tally.close()
	for range cap(in.empty) { // one is filled while the other is hashed and written
		in.empty <- newBatch(l, rows)
	}
	in.now = <-in.empty
	written := make(chan struct{})
	go func() {
		defer close(written)
		for b := range in.full {
			if err := w.write(b); err != nil {
				in.failed <- err
				return
			}
			b.rows = 0
			in.empty <- b
		}
	}()
	for i, s := range sources {
		if err = in.source(ctx, i, s, catalogues[i]); err != nil {
			break
		}
	}
	if err == nil && in.now.rows > 0 {
		err = in.send(in.now)
	}
	close(in.full)
	<-written
	if err == nil {
		select {
		case err = <-in.failed:
		default:
		}
	}
	if e := in.tally.close(); err == nil {
		err = e
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, &fault.Error{Op: "ingest", Kind: fault.Cancelled, What: "reading the data was stopped", Err: ctx.Err()}
		}
		if in.theirs != nil {
			return nil, in.theirs
		}
		return nil, unwritten(dir, err)
	}
	report := &Report{Kept: in.kept, Bad: in.tally.total}
	for i, c := range catalogues {
		for _, n := range c.Notices {
			report.Notices = append(report.Notices, Notice{Where: where(o.From, i), What: n.What, Count: int(n.Count), Examples: n.Examples})
		}
		if c.Count == 0 {
			report.Notices = append(report.Notices, Notice{Where: where(o.From, i), What: "the dataset is empty", Count: 1})
		}
	}
	report.Notices = append(report.Notices, l.notices...)
	for _, n := range in.tally.notices {
		report.Notices = append(report.Notices, *n)
	}
	if in.kept == 0 && o.MayBeEmpty {
		return report, nil
	}
	if in.kept == 0 {
		return nil, &fault.Error{Op: "ingest", Kind: fault.Data, Path: "data.sources", What: fmt.Sprintf("none of %d records can be used: %s", total, in.tally.sum()),
			Do: "look at the objects named: is this the right folder, and are the files whole?"}
	}
	if err := w.end(report); err != nil {
		return nil, unwritten(dir, err)
	}
	return report, nil
}

// intake takes records in.
type intake struct {
	l      *layout
	o      Options
	tally  *tally
	ids    map[[16]byte]struct{} // of the objects kept: the beginning of the SHA-256 of their ids
	now    *batch                // being filled
	kept   int
	done   int
	total  int
	full   chan *batch
	empty  chan *batch
	failed chan error // of the writer, once
	theirs error      // what a source answered instead of records
}

// send hands a batch to the writer.
func (in *intake) send(b *batch) error {
	select {
	case in.full <- b:
		return nil
	case err := <-in.failed:
		return err
	}
}

// source takes in the records of one source.
func (in *intake) source(ctx context.Context, i int, s Source, c *protocol.Catalogue) error {
	f := newFramer(in.l, i)
	for first, count := 0, int(c.Count); first < count; {
		if err := ctx.Err(); err != nil {
			return err
		}
		ask := min(perRead, count-first)
		records, err := s.Read(ctx, first, ask)
		if err != nil {
			in.theirs = err
			return err
		}
		if len(records) == 0 || len(records) > ask {
			return at(in.o.From, i, fault.Plugin, fmt.Sprintf("it gave %d records where %d from %d on were asked for", len(records), ask, first), "report this to the plugin's author")
		}
		for k := range records {
			r := &records[k]
			if r.Index != first+k {
				return at(in.o.From, i, fault.Plugin, fmt.Sprintf("it gave record %d where %d was asked for", r.Index, first+k), "report this to the plugin's author")
			}
			if err := in.record(i, f, r, c); err != nil {
				return err
			}
		}
		first += len(records)
		in.done += len(records)
		if in.o.Progress != nil {
			in.o.Progress(in.done, in.total)
		}
	}
	return nil
}

// record takes in one record, or leaves it out.
func (in *intake) record(i int, f *framer, r *plugin.Record, c *protocol.Catalogue) error {
	out := func(why string) error { return in.tally.leaveOut(i, r.Index, r.ID, why) }
	length := len(r.F32)
	if f.u8 {
		length = len(r.U8)
	}
	sum := sha256.Sum256([]byte(r.ID))
	name := [16]byte(sum[:16])
	_, twice := in.ids[name]
	switch {
	case r.Bad != "":
		return out(r.Bad)
	case r.ID == "":
		return out("has no id")
	case twice:
		return out("has the id of an object before it")
	case len(r.Values) != len(c.Fields):
		return out(fmt.Sprintf("has %d values for %d columns", len(r.Values), len(c.Fields)))
	}
	padded, bad := f.place(r.Shape, length)
	if bad != "" {
		return out(bad)
	}
	b, n := in.now, in.l.length()
	mend := 0
	switch row := b.rows * n; {
	case b.u8 != nil:
		f.bytes(b.u8[row:][:n], r.U8, r.Shape, padded)
	case f.u8:
		f.widen(b.f32[row:][:n], r.U8, r.Shape, padded)
	default:
		if mend, bad = f.numbers(b.f32[row:][:n], r.F32, r.Shape, padded); bad != "" {
			return out(bad)
		}
	}
	if padded {
		in.tally.count(i, "smaller than the frame, padded with zeros", r.ID)
	}
	if mend > 0 {
		in.tally.count(i, "objects with a few pixels that are not finite, set to the median of their band", r.ID)
	}
	for c := range in.l.fields { // what this source does not have is missing
		if b.texts[c] != nil {
			b.texts[c][b.rows] = ""
		} else {
			b.numbers[c][b.rows] = math.NaN()
		}
	}
	for k, v := range r.Values {
		j := f.field[k]
		if b.texts[j] != nil {
			b.texts[j][b.rows] = text(v)
			continue
		}
		x, ok := number(v)
		if !ok {
			in.tally.count(i, fmt.Sprintf("values of column %q that are no finite numbers, taken as missing", in.l.fields[j].Name), r.ID)
		}
		b.numbers[j][b.rows] = x
	}
	b.ids[b.rows], b.source[b.rows] = r.ID, i
	in.ids[name] = struct{}{}
	in.kept++
	if b.rows++; b.rows < len(b.ids) {
		return nil
	}
	if err := in.send(b); err != nil {
		return err
	}
	select {
	case in.now = <-in.empty:
		return nil
	case err := <-in.failed:
		return err
	}
}

// number reads a value of a column of numbers; NaN is missing, and ok unless something else stood there.
func number(v *protocol.Value) (x float64, ok bool) {
	switch v := v.GetIs().(type) {
	case *protocol.Value_Number:
		if math.IsInf(v.Number, 0) {
			return math.NaN(), false
		}
		return v.Number, true
	case *protocol.Value_Text:
		x, err := strconv.ParseFloat(v.Text, 64)
		if v.Text != "" && (err != nil || math.IsInf(x, 0)) {
			return math.NaN(), false
		}
		if v.Text == "" {
			return math.NaN(), true
		}
		return x, true
	}
	return math.NaN(), true
}

// text reads a value of a column of text; empty is missing.
func text(v *protocol.Value) string {
	switch v := v.GetIs().(type) {
	case *protocol.Value_Number:
		if math.IsNaN(v.Number) {
			return ""
		}
		return strconv.FormatFloat(v.Number, 'g', -1, 64)
	case *protocol.Value_Text:
		return v.Text
	}
	return ""
}

// roomFor checks before hours of reading that the disk can hold what will come.
func roomFor(dir string, count, wide int64) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		if _, e := os.Stat(dir); e != nil {
			return unwritten(dir, e)
		}
		return nil // not known
	}
	free := uint64(st.Bavail) * uint64(st.Bsize)
	if need := uint64(count) * uint64(wide); count > 0 && (need/uint64(count) != uint64(wide) || need > free) {
		return &fault.Error{Op: "ingest", Kind: fault.Resource, What: fmt.Sprintf("the data need %s in %s and %s are free", size(need), dir, size(free)),
			Do: "free space on that disk (asterism store gc removes unused results), set ASTERISM_CACHE to a folder on a larger one, or choose a smaller frame"}
	}
	return nil
}

// size writes a number of bytes for a person.
func size(bytes uint64) string {
	if bytes < 1e9 {
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}
