// Acme is a plugin for Asterism with one dataset.
package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed schema.cue
var schema string

func main() {
	sdk.Serve(sdk.Plugin{Name: "acme", Version: "0.1.0", Components: []sdk.Component{
		// 1 is the revision: raise it whenever results change for the same configuration.
		sdk.Dataset("folder", 1, "Reads a folder of CSV files, one object each.", schema, newFolder),
	}})
}

// folder holds the configuration, with the names of the schema's fields, and what Open has found.
type folder struct {
	Root  string   `json:"root"`
	Bands []string `json:"bands"`
	files []string
}

func newFolder(f folder) (sdk.Reader, error) { return &f, nil }

// Open looks at the data without reading it all. A mistake of the user is an error that says what to do: a FieldError
// is shown at the line of the experiment where the field stands.
func (f *folder) Open() (*sdk.Catalogue, error) {
	entries, err := os.ReadDir(f.Root)
	if err != nil {
		return nil, sdk.FieldError{Field: "root", What: err.Error(), Advice: "give the folder of the CSV files"}
	}
	digest := sha256.New()
	for _, e := range entries { // sorted: record i is the same one every time
		if info, err := e.Info(); err == nil && filepath.Ext(e.Name()) == ".csv" {
			f.files = append(f.files, filepath.Join(f.Root, e.Name()))
			fmt.Fprintln(digest, f.files[len(f.files)-1], info.Size(), info.ModTime().UnixNano())
		}
	}
	if len(f.files) == 0 {
		return nil, sdk.DataError{What: "no file in " + f.Root + " ends in .csv", Advice: "check root"}
	}
	first, err := f.read(f.files[0])
	if err != nil {
		return nil, sdk.DataError{What: err.Error(), Advice: "correct the file, or take it out"}
	}
	return &sdk.Catalogue{
		Count:  uint64(len(f.files)),
		Fields: []*sdk.Field{{Name: "class", Type: sdk.String, Doc: "the file's name up to the first -"}},
		// Shape is the common one; a record may have another.
		Facts: &sdk.SampleFacts{Shape: []int64{int64(len(first) / len(f.Bands)), int64(len(f.Bands))}, Bands: f.Bands, Flux: sdk.Linear},
		Dtype: sdk.F32,
		// Stored data are used again as long as the fingerprint is the same: it covers all that records depend on.
		Fingerprint: hex.EncodeToString(digest.Sum(nil)),
	}, nil
}

// Read reads record i. It is called from several goroutines. A record that cannot be had is Bad, and named with the
// file and the reason; an error would end the run.
func (f *folder) Read(i int, r *sdk.Record) error { return f.ReadFile(f.files[i], r) }

// ReadFile reads one file that the user names, for predictions, exactly as Read reads it.
func (f *folder) ReadFile(path string, r *sdk.Record) error {
	values, err := f.read(path)
	if err != nil {
		r.Bad = err.Error()
		return nil
	}
	r.ID = strings.TrimSuffix(filepath.Base(path), ".csv") // what draws and splits depend on: no two objects share it
	r.Shape, r.F32 = []int{len(values) / len(f.Bands), len(f.Bands)}, values
	class, _, named := strings.Cut(r.ID, "-")
	r.Values = []any{nil} // one for each field of the catalogue: float64, string, or nil where it is missing
	if named {
		r.Values[0] = class
	}
	return nil
}

// read gives the numbers of a file, line after line: along the one spatial axis, the bands side by side.
func (f *folder) read(path string) ([]float32, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := csv.NewReader(file)
	lines.FieldsPerRecord = len(f.Bands)
	rows, err := lines.ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("%s: no lines of %d numbers: %w", path, len(f.Bands), err)
	}
	var values []float32
	for i, row := range rows {
		for _, text := range row {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 32)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %q is no number", path, i+1, text)
			}
			values = append(values, float32(v))
		}
	}
	return values, nil
}
