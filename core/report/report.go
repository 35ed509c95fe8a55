// Package report makes what people look at: the page of a run, the table that it ends with, the pictures of samples.
//
// Everything is made from the plain files of a run directory, so that a report can be made again at any time, from a copy
// on another machine as well; a missing or damaged file is said on the page.
package report

import (
	"bytes"
	"image"
	"os"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
)

// File is the name of the page in a run directory.
const File = "report.html"

// Write writes report.html into a run directory from the plain files that are there, and returns its path. The page is one
// file that loads nothing: it can be mailed. The same files give the same bytes. It appears whole or not at all.
func Write(runDir string) (path string, err error) {
	f, err := read(runDir)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, newPage(f)); err != nil {
		return "", &fault.Error{Op: "report", Kind: fault.Internal, Where: runDir, What: "cannot lay out the report", Err: err}
	}
	path = filepath.Join(runDir, File)
	if err := writeAtomic(path, b.Bytes()); err != nil {
		return "", &fault.Error{Op: "report", Kind: fault.Resource, Where: path, What: "cannot write the report", Err: err}
	}
	return path, nil
}

func writeAtomic(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// Thumbnail is the picture of a sample; see package thumbnail, which code that core/report imports uses itself.
func Thumbnail(pixels []float32, shape []int, bands []string, flux protocol.Flux) image.Image {
	return thumbnail.Of(pixels, shape, bands, flux)
}

// WriteThumbnail writes the picture of a sample as PNG; see package thumbnail.
func WriteThumbnail(path string, pixels []float32, shape []int, bands []string, flux protocol.Flux) error {
	return thumbnail.Write(path, pixels, shape, bands, flux)
}
