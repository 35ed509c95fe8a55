// Package report makes what people look at: the page of a run, the table that it ends with, the pictures of samples.
//
// Everything is made from the plain files of a run directory, so that a report can be made again at any time, from a copy
// on another machine as well; a missing or damaged file is said on the page.
package report

import (
	"bytes"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/run"
)

// File is the name of the page in a run directory.
const File = "report.html"

// Write writes report.html into a run directory from the plain files that are there, and returns its path. The page is one
// file that loads nothing: it can be mailed. The same files give the same bytes. It appears whole or not at all. Beside it
// are its charts as SVG and its numbers as CSV.
func Write(runDir string) (path string, err error) {
	f, err := read(runDir)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	p := newPage(f)
	if err := pageTemplate.Execute(&b, p); err != nil {
		return "", &fault.Error{Op: "report", Kind: fault.Internal, Where: runDir, What: "cannot lay out the report", Err: err}
	}
	if err := writeFigures(runDir, p); err != nil {
		return "", err
	}
	if err := writeNumbers(runDir, f.tasks); err != nil {
		return "", err
	}
	path = filepath.Join(runDir, File)
	return path, run.WriteFile(path, b.Bytes())
}
