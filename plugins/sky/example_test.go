package sky_test

import (
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sky"
)

// A component is found by name, built from JSON, planned for the samples that enter it, and applied to one.
func Example() {
	for _, c := range sky.Plugin().Components {
		if c.Name != "center_crop" {
			continue
		}
		instance, err := c.Build([]byte(`{"size": 2}`))
		if err != nil {
			panic(err)
		}
		crop := instance.(sdk.Augmenter)
		facts := &sdk.SampleFacts{Shape: []int64{6, 1}, Bands: []string{"flux"}}
		plan, err := crop.Plan(facts)
		if err != nil {
			panic(err)
		}
		s := &sdk.Sample{In: []float32{0, 1, 2, 3, 4, 5}, Out: make([]float32, 2), Facts: facts, OutShape: plan.Leaves.Shape}
		if err := crop.Apply(s); err != nil {
			panic(err)
		}
		fmt.Println(plan.Leaves.Shape, s.Out)
	}
	// Output: [2 1] [2 3]
}
