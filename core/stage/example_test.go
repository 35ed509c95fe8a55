package stage_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/stage"
)

// A stage is built the first time and found the second.
func Example() {
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	cache, err := stage.Open(dir)
	if err != nil {
		panic(err)
	}
	defer cache.Close()

	parts := map[string]any{"learning rate": 0.06, "data": "5f1e…"}
	for range 2 {
		r, err := cache.Do(context.Background(), stage.Key("train", parts), stage.Describe("train", parts),
			func(_ context.Context, dir string) error {
				return os.WriteFile(filepath.Join(dir, "weights"), []byte("…"), 0o644)
			})
		if err != nil {
			panic(err)
		}
		fmt.Println(len(filepath.Base(r.Dir)), r.Reused)
	}
	// Output:
	// 32 false
	// 32 true
}
