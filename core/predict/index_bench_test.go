package predict

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/run"
)

// BenchmarkIndex searches a million representations of 128 values in an Arrow file, once it is open: for one object, and
// for 64 at once.
func BenchmarkIndex(b *testing.B) {
	const rows, width, each = 1_000_000, 128, 4000
	dir := b.TempDir()
	f, err := os.Create(filepath.Join(dir, representationsFile))
	if err != nil {
		b.Fatal(err)
	}
	w := NewArrow(f)
	objects := &run.Objects{Parts: make([]run.Part, rows)}
	source := key.New(1, "bench").At(0, 0)
	for first := 0; first < rows; first += each {
		batch := &Batch{Width: width, Representations: make([]float32, each*width)}
		for i := range each {
			batch.IDs = append(batch.IDs, fmt.Sprint(first+i))
		}
		for i := range batch.Representations {
			batch.Representations[i] = float32(source.Uniform()) - 0.5
		}
		objects.IDs = append(objects.IDs, batch.IDs...)
		if err := w.Write(batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	f.Close()
	if err := objects.Write(filepath.Join(dir, run.ObjectsFile)); err != nil {
		b.Fatal(err)
	}
	x, err := OpenIndex(dir, 0, false)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	for _, queries := range []int{1, 64} {
		var q []float32
		for i := range queries {
			q = append(q, x.Representation(i*1000)...)
		}
		b.Run(fmt.Sprint(queries), func(b *testing.B) {
			for b.Loop() {
				if found := x.like(q, 20); found[0][0].Row != 0 {
					b.Fatalf("the first finds %v", found[0][0])
				}
			}
		})
	}
}
