// Volumes is a plugin for samples with three axes of space: a dataset of volumes in NumPy archives, as MedMNIST's are, and
// rotations about chosen axes.
//
// sky.flip, sky.jitter_crop, sky.noise and sky.normalise work on volumes too and are not made again here.
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
	return sdk.Plugin{Name: "volumes", Version: "1.0.0", Components: []sdk.Component{
		sdk.Dataset("npz", 1, "volumes with classes in a NumPy archive, as MedMNIST's", schema("npz"), newArchive),
		sdk.Augmentation("rotate", 1, "rotates about chosen axes by random angles, trilinear", schema("rotate"), newRotate),
		sdk.Augmentation("turn", 1, "turns about chosen axes by quarters, exactly", schema("turn"), newTurn),
	}}
}

func main() { sdk.Serve(plugin()) }
