package skysim_test

import (
	"encoding/json"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/skysim"
)

// An experiment writes {"skysim.galaxies": {count: 2, size: 48}} and the host completes the defaults. Here the survey is
// made directly.
func Example() {
	config, _ := json.Marshal(skysim.Config{Count: 2, Size: 48, PixelScale: 0.396, Seed: 1,
		Fractions: map[string]float64{"spiral": 1}, RedshiftMin: 0.01, RedshiftMax: 0.4, MagnitudeLimit: 18.2, Seeing: 1.43,
		Depth: map[string]float64{"u": 22.1, "g": 23.1, "r": 22.7, "i": 22.2, "z": 20.7}})
	instance, err := skysim.Plugin().Components[0].Build(config)
	if err != nil {
		panic(err)
	}
	survey := instance.(sdk.Reader)
	catalogue, err := survey.Open()
	if err != nil {
		panic(err)
	}
	var r sdk.Record
	for i := range int(catalogue.Count) {
		if err := survey.Read(i, &r); err != nil {
			panic(err)
		}
		fmt.Println(r.ID, r.Shape, r.Values[0])
	}
	// Output:
	// sim-000000 [48 48 5] spiral
	// sim-000001 [48 48 5] spiral
}
