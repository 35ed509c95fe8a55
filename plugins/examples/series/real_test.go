package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The archives' own files are what NumPy makes of them.
func TestRealFiles(t *testing.T) {
	root := filepath.Join(os.Getenv("ASTERISM_DATA"), "ucr_timeseries")
	if _, err := os.Stat(root); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set and the data are not there: %v", err)
		}
		t.Skip("needs ucr_timeseries of the test data: set ASTERISM_DATA")
	}
	text, err := os.ReadFile("testdata/real.json")
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]struct {
		Shape       [3]int
		Means, Last []float64
		Labels      map[string]int
	}
	if err := json.Unmarshal(text, &files); err != nil || len(files) != 8 {
		t.Fatal(err, len(files))
	}
	for name, want := range files {
		r, c := open(t, fmt.Sprintf("{files: [%q]}", filepath.Join(root, name)))
		cases, dimensions, length := want.Shape[0], want.Shape[1], want.Shape[2]
		if int(c.Count) != cases || !slices.Equal(c.Facts.Shape, []int64{int64(length), int64(dimensions)}) {
			t.Fatalf("%s: %v", name, c)
		}
		means, labels := make([]float64, dimensions), map[string]int{}
		for i := range cases {
			one := record(t, r, i)
			labels[one.Values[0].(string)]++
			for k, v := range one.F32 {
				means[k%dimensions] += float64(v) / float64(cases*length)
				if want := want.Last[k%dimensions]; i == cases-1 && k >= (length-1)*dimensions && v != float32(want) {
					t.Errorf("%s ends with %v, not %v", name, v, want)
				}
			}
		}
		for d := range means {
			if math.Abs(means[d]-want.Means[d]) > 1e-6 {
				t.Errorf("%s: dimension %d has the mean %v, not %v", name, d, means[d], want.Means[d])
			}
		}
		if !maps.Equal(labels, want.Labels) {
			t.Errorf("%s: classes %v, not %v", name, labels, want.Labels)
		}
	}
}
