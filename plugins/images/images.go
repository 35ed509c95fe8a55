// Package images reads folders of pictures, JPEG, PNG and FITS cutouts joined to a table, IDX files, and fields of the sky.
//
// images.folder takes every picture of a folder and of the folders in it. What cannot be decoded is reported and left
// out; pictures without a row in the table and rows without a picture are counted. FITS arrays, tile-compressed ones too,
// keep their values, their row order (the first row is the first stored) and their NaN; pictures are delivered as bytes
// whose value is the byte over 255.
//
// images.idx takes arrays of bytes in the format of MNIST, with their labels.
//
// images.field cuts stamps about the objects of a catalogue from large FITS images, one for each band.
package images

import (
	_ "embed"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed folder.cue
var schema string

// Plugin gives the components of the plugin "images".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "images", Version: "0.1.0", Components: []sdk.Component{
		sdk.Dataset("folder", 2, "JPEG, PNG or FITS pictures of a folder, joined to a table", schema, newFolder),
		sdk.Dataset("idx", 1, "samples and labels in IDX files, as MNIST's", idxSchema, newIDX),
		sdk.Dataset("field", 1, "stamps about the objects of a catalogue, from images of a field", fieldSchema, newField),
	}}
}

type config struct {
	Root, Table, ID, File string
	Columns, Bands        []string
	Extensions            []string
	Unit, Flux, Cube      string
	PixelScale            float64 `json:"pixel_scale"`
	HDUs                  []int   `json:"hdus"`
}
