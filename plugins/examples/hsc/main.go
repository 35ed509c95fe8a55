// Hsc is a plugin for scenes of the Hyper Suprime-Cam survey as the deblender scarlet keeps them, in NumPy archives: a
// dataset of stamps about the sources, and an augmentation that degrades each band by what its own noise is.
package main

import (
	"embed"

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
	return sdk.Plugin{Name: "hsc", Version: "1.0.0", Components: []sdk.Component{
		sdk.Dataset("scenes", 1, "stamps about the sources of scenes in NumPy archives", schema("scenes"), newScenes),
		sdk.Augmentation("shallower", 1, "adds noise as if each band had been exposed for less time", schema("shallower"), newShallower),
	}}
}

func main() { sdk.Serve(plugin()) }
