package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Simulated makes a store of so many random images in an empty folder, with the facts of the Sloan survey's images and
// every column that the views read, for views that are timed without an experiment.
func Simulated(ctx context.Context, o ViewsOptions, views map[string][]plugin.Ref, count, size, bands int, dir string) (*flow.Samples, error) {
	for _, s := range []struct {
		flag         string
		value, limit int
	}{{"--count", count, 1 << 32}, {"--size", size, 1 << 16}, {"--bands", bands, 1 << 16}} {
		if err := within(s.flag, s.value, s.limit); err != nil {
			return nil, err
		}
	}
	if err := o.check(count, "lower --batch, or raise --count"); err != nil {
		return nil, err
	}
	// The loader is ahead with four batches of each of two views, which it holds as they come and as they leave.
	if err := fits("the simulated images and the batches of them", 4*float64(count+4*2*2*o.Batch)*float64(size)*float64(size)*float64(bands), "lower --batch, --count, --size or --bands"); err != nil {
		return nil, err
	}
	facts := &protocol.SampleFacts{Shape: []int64{int64(size), int64(size), int64(bands)}, Flux: protocol.Flux_LINEAR, Unit: "nanomaggy", PixelScale: 0.396}
	names := []string{"u", "g", "r", "i", "z"}
	switch bands {
	case 1, 2:
		names = []string{"r", "g"}
	case 3:
		names = []string{"g", "r", "i"}
	case 4:
		names = []string{"g", "r", "i", "z"}
	}
	for b := range bands {
		if b < len(names) {
			facts.Bands = append(facts.Bands, names[b])
		} else {
			facts.Bands = append(facts.Bands, "band"+strconv.Itoa(b+1))
		}
	}
	source := &noise{catalogue: &protocol.Catalogue{Count: uint64(count), Facts: facts, Dtype: protocol.DType_F32, Scale: 1}}
	for name, refs := range views {
		p, err := o.Host.Pipeline(ctx, refs, name, facts)
		if err != nil {
			return nil, err
		}
		for _, column := range p.Columns() {
			if !slices.Contains(source.columns, column) {
				source.columns = append(source.columns, column)
				source.catalogue.Fields = append(source.catalogue.Fields, &protocol.Field{Name: column, Type: protocol.Field_NUMBER})
			}
		}
		if err := p.Close(); err != nil {
			return nil, err
		}
	}
	if _, err := data.Ingest(ctx, dir, []data.Source{source}, data.Frame{}, data.Options{}); err != nil {
		return nil, err
	}
	store, err := data.Open(dir)
	if err != nil {
		return nil, err
	}
	s := &flow.Samples{Store: store, Facts: facts, Views: views}
	for r := range store.Len() {
		s.Rows = append(s.Rows, r)
	}
	return s, nil
}

// noise is a dataset of standard normal pixels and of columns between 0 and 1.
type noise struct {
	catalogue *protocol.Catalogue
	columns   []string
}

// Open says what there is.
func (n *noise) Open(context.Context) (*protocol.Catalogue, error) { return n.catalogue, nil }

// Read draws images.
func (n *noise) Read(_ context.Context, first, count int) ([]plugin.Record, error) {
	shape := n.catalogue.Facts.Shape
	width := int(model.Size(shape))
	pixels := make([]float32, count*width)
	normal(pixels, width, key.New(0, "bench", "views"), uint64(first))
	records := make([]plugin.Record, count)
	for i := range records {
		draw := key.New(0, "bench", "columns").At(0, uint64(first+i))
		records[i] = plugin.Record{Index: first + i, ID: fmt.Sprintf("image %d", first+i), Shape: ints(shape), F32: pixels[i*width : (i+1)*width]}
		for range n.columns {
			records[i].Values = append(records[i].Values, &protocol.Value{Is: &protocol.Value_Number{Number: draw.Uniform()}})
		}
	}
	return records, nil
}
