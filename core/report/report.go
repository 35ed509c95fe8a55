// Package report makes what people look at: the page of a run, its table, the pictures of samples.
package report

import (
	"image"

	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
	"github.com/asterism-ssl/asterism/core/run"
)

// Write writes report.html into a run directory from the plain files that are there, and returns its path.
func Write(runDir string) (path string, err error) { return "", nil }

// Table is the plain-text table of results.
func Table(results []run.TaskResult, width int) string { return "" }

// Thumbnail is the picture of a sample; see package thumbnail.
func Thumbnail(pixels []float32, shape []int, bands []string, flux protocol.Flux) image.Image {
	return thumbnail.Of(pixels, shape, bands, flux)
}

// WriteThumbnail writes the picture of a sample as PNG; see package thumbnail.
func WriteThumbnail(path string, pixels []float32, shape []int, bands []string, flux protocol.Flux) error {
	return thumbnail.Write(path, pixels, shape, bands, flux)
}
