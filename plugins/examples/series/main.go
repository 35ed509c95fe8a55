// Series is a plugin for time series: a dataset of the archives' .ts files, and augmentations for one axis of time.
//
// Plugins are independent of each other: sky.noise, sky.flip, sky.jitter_crop and sky.normalise work on series too and
// are not made again here.
package main

import (
	"embed"
	"fmt"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed *.cue
var schemas embed.FS

func schema(name string) string {
	text, err := schemas.ReadFile(name + ".cue")
	if err != nil {
		panic(err) // embedded at build time
	}
	return string(text)
}

func plugin() sdk.Plugin {
	return sdk.Plugin{Name: "series", Version: "1.0.0", Components: []sdk.Component{
		sdk.Dataset("ts", 1, "time series in .ts files, with their classes", schema("ts"), newArchive),
		sdk.Augmentation("jitter", 1, "adds Gaussian noise in units of the series' own scatter", schema("jitter"), newJitter),
		sdk.Augmentation("scale", 1, "multiplies each dimension by a random factor", schema("scale"), newScale),
		sdk.Augmentation("slice", 1, "cuts out a random window and stretches it to the whole length", schema("slice"), newSlice),
		sdk.Augmentation("warp", 1, "lets time run faster and slower along a smooth random curve", schema("warp"), newWarp),
		sdk.Augmentation("permute", 1, "cuts the series into segments and puts them in random order", schema("permute"), newPermute),
	}}
}

func main() { sdk.Serve(plugin()) }

// series gives the length and the dimensions of a sample, which has one axis of time.
func series(component string, facts *sdk.SampleFacts) (length, dimensions int, err error) {
	if len(facts.Shape) != 2 {
		return 0, 0, sdk.ConfigError{What: fmt.Sprintf("cannot work on %dD samples", len(facts.Shape)-1),
			Advice: fmt.Sprintf("it works on series, which have one axis; leave series.%s out of this view", component)}
	}
	return int(facts.Shape[0]), int(facts.Shape[1]), nil
}

// same is the plan of an augmentation that leaves samples of the shape that it gets.
func same(facts *sdk.SampleFacts) *sdk.AugmentationPlan {
	return &sdk.AugmentationPlan{Leaves: facts, Ranks: []uint32{1}}
}
