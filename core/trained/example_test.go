package trained_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/trained"
)

// A run that has not learned to its end has no encoder yet, and says so.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	manifest := `{"id": "efigi-1a2b3c4d", "status": "interrupted", "experiment": "efigi.cue"}`
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(manifest), 0o666); err != nil {
		panic(err)
	}
	_, err = trained.Open(context.Background(), nil, dir)
	fmt.Println(err)
	// Output: the run efigi-1a2b3c4d has no weights: it is interrupted
}
