package predict_test

import (
	"os"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/predict"
)

// A prediction as predict.Run hands it on, written as CSV.
func ExampleNewCSV() {
	w := predict.NewCSV(os.Stdout)
	w.Write(&predict.Batch{
		IDs: []string{"NGC 1300"}, Width: 2, Representations: []float32{0.6, 0.8},
		Columns: []plugin.Tensor{
			{Name: "morphology.kind", Shape: []int64{1}, I64: []int64{1}, Categories: []string{"elliptical", "spiral"}},
			{Name: "morphology.probability", Shape: []int64{1, 2}, F64: []float64{0.125, 0.875}, Categories: []string{"elliptical", "spiral"}},
		},
		Nearest: []string{"NGC 1365"}, Distance: []float32{0.25},
	})
	w.Close()
	// Output:
	// id,morphology.kind,morphology.probability.elliptical,morphology.probability.spiral,nearest.1,distance.1
	// NGC 1300,spiral,0.125,0.875,NGC 1365,0.25
}
