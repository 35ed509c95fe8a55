package data_test

import (
	"context"
	"fmt"
	"os"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// spectra is a dataset of three spectra of four pixels in one band. Datasets are plugins; this one saves starting one.
type spectra struct{}

func (spectra) Open(context.Context) (*protocol.Catalogue, error) {
	return &protocol.Catalogue{Count: 3, Dtype: protocol.DType_F32,
		Facts:  &protocol.SampleFacts{Shape: []int64{4, 1}, Bands: []string{"flux"}, Flux: protocol.Flux_LINEAR},
		Fields: []*protocol.Field{{Name: "z", Type: protocol.Field_NUMBER}}}, nil
}

func (spectra) Read(_ context.Context, first, count int) (records []plugin.Record, err error) {
	for i := first; i < first+count; i++ {
		v := float32(i)
		r := plugin.Record{Index: i, ID: fmt.Sprint("plate-", i), Shape: []int{4, 1}, F32: []float32{v, v + 1, v + 2, v + 3},
			Values: []*protocol.Value{{Is: &protocol.Value_Number{Number: 0.1 * float64(i)}}}}
		if i == 1 {
			r = plugin.Record{Index: i, ID: "plate-1", Bad: "plate-1.fits: unexpected EOF"}
		}
		records = append(records, r)
	}
	return records, nil
}

// Records come into a directory, and are gathered from it.
func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	report, err := data.Ingest(context.Background(), dir, []data.Source{spectra{}}, data.Frame{Size: []int{2}}, data.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Kept, "kept;", report.Notices[0].What, report.Notices[0].Examples)

	store, err := data.Open(dir)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	pixels := make([]float32, 4)
	if err := store.Gather(pixels, []int{1, 0}); err != nil {
		panic(err)
	}
	z, _ := store.Column("z")
	fmt.Println(store.Facts().Shape, store.ID(1), z.Values, pixels)
	// Output:
	// 2 kept; left out: unexpected EOF [plate-1.fits]
	// [2 1] plate-2 [0 0.2] [3 4 1 2]
}
