package sdk_test

import "github.com/asterism-ssl/asterism/plugins/sdk"

// brighten is an augmentation: its configuration is its own fields.
type brighten struct {
	By float64 `json:"by"`
}

// Plan says that samples stay what they are, and refuses those whose pixels are no flux.
func (b brighten) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if facts.Flux == sdk.Stretched {
		return nil, sdk.ConfigError{What: "brightens fluxes, and these pixels were stretched", Advice: "use the linear images"}
	}
	return &sdk.AugmentationPlan{Leaves: facts, Ranks: []uint32{1, 2, 3}}, nil
}

// Apply multiplies by a factor that is drawn for each sample.
func (b brighten) Apply(s *sdk.Sample) error {
	factor := float32(s.Random.Between(1, b.By))
	for i, v := range s.In {
		s.Out[i] = factor * v
	}
	return nil
}

// A whole plugin: an experiment writes {"acme.brighten": {by: 1.5}}.
func ExampleServe() {
	main := func() {
		sdk.Serve(sdk.Plugin{Name: "acme", Version: "1.0.0", Components: []sdk.Component{
			sdk.Augmentation("brighten", 1, "Multiplies all pixels by a factor between 1 and by.", `
				// Multiplies all pixels of a sample by one factor.
				#Config: {
					// the largest factor
					by: number & >=1 | *1.2
				}`, func(b brighten) (sdk.Augmenter, error) { return b, nil }),
		}})
	}
	_ = main // asterism starts it
}
