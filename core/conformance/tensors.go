package conformance

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/asterism-ssl/asterism/core/plugin"
)

// sizeOf is how many bytes tensors have.
func sizeOf(tensors []plugin.Tensor) uint64 {
	n := 0
	for _, t := range tensors {
		n += 4*len(t.F32) + 8*len(t.F64) + 8*len(t.I64) + len(t.U8)
	}
	return uint64(n)
}

// throughFile writes tensors as checkpoints and answers keep them, and reads them again.
func throughFile(tensors []plugin.Tensor) ([]plugin.Tensor, error) {
	dir, err := os.MkdirTemp("", "asterism-state-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "state.safetensors")
	if err := plugin.WriteTensors(file, tensors); err != nil {
		return nil, err
	}
	return plugin.ReadTensors(file)
}

// tensorsDiffer says in what two sets of tensors differ, whatever their order; "" for nothing.
func tensorsDiffer(got, want []plugin.Tensor) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d tensors instead of %d", len(got), len(want))
	}
	for _, w := range want {
		i := slices.IndexFunc(got, func(g plugin.Tensor) bool { return g.Name == w.Name })
		if i < 0 {
			return fmt.Sprintf("no tensor %q", w.Name)
		}
		g := got[i]
		if !slices.Equal(g.Shape, w.Shape) {
			return fmt.Sprintf("%q has the shape %v instead of %v", w.Name, g.Shape, w.Shape)
		}
		if !bytes.Equal(raw(g), raw(w)) {
			return fmt.Sprintf("%q has other values", w.Name)
		}
		if !slices.Equal(g.Categories, w.Categories) {
			return fmt.Sprintf("%q has other categories", w.Name)
		}
	}
	return ""
}

// raw gives the bits of a tensor.
func raw(t plugin.Tensor) []byte {
	b := bytes.Clone(t.U8)
	for _, v := range t.F32 {
		b = fmt.Appendf(b, "%08x", math.Float32bits(v))
	}
	for _, v := range t.F64 {
		b = fmt.Appendf(b, "%016x", math.Float64bits(v))
	}
	for _, v := range t.I64 {
		b = fmt.Appendf(b, "%d,", v)
	}
	return b
}
