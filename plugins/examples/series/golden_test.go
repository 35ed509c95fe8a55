package main

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// Windows and warps read where NumPy and SciPy read.
func TestAgainstSciPy(t *testing.T) {
	text, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	type golden struct {
		Length, Dimensions int
		Start, Span        float64
		Speeds, Out        []float64
	}
	var all struct{ Slice, Warp []golden }
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	check := func(g golden, from func(t int) float64) {
		t.Helper()
		in := make([]float32, g.Length*g.Dimensions)
		for i := range in {
			in[i] = float32(math.Sin(0.37*float64(i) + 0.1))
		}
		out := make([]float32, len(in))
		resample(out, in, g.Length, from)
		for i := range out {
			if math.Abs(float64(out[i])-g.Out[i]) > 1e-6 {
				t.Fatalf("%+v: value %d is %v", g, i, out[i])
			}
		}
	}
	for _, g := range all.Slice {
		check(g, window(g.Start, g.Span, g.Length))
	}
	for _, g := range all.Warp {
		check(g, warped(g.Speeds, g.Length))
	}
	if len(all.Slice) < 3 || len(all.Warp) < 3 {
		t.Fatal("there are no goldens")
	}
}
