//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/asterism-ssl/asterism/core/kernel"
)

// TestFashionIsLearnedAlikeInBothPrecisions trains on Fashion-MNIST in float32 and in bfloat16 with three seeds: the mean accuracies of a vote
// of neighbours are within one point of each other.
func TestFashionIsLearnedAlikeInBothPrecisions(t *testing.T) {
	if os.Getenv("ASTERISM_LONG") == "" {
		t.Skip("set ASTERISM_LONG=1 for six trainings")
	}
	if _, err := os.Stat("/usr/share/datasets/fashion-mnist"); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip("needs Debian's dataset-fashion-mnist")
	}
	if !kernel.HasBFloat16() {
		t.Skip("needs a processor with AVX-512 BF16")
	}
	file, err := filepath.Abs(filepath.Join("testdata", "fashion.cue"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	accuracy := func(precision string, seed int) float64 {
		out, err := command(t, dir, "--json", "--progress", "none", "run", file, "-t", "precision="+precision, "--set", fmt.Sprintf("seed=%d", seed)).Output()
		if err != nil {
			t.Fatalf("%s, seed %d: %v", precision, seed, err)
		}
		var run struct {
			Results []struct {
				Scores []struct {
					Arm, Metric string
					Mean        float64
				}
			}
		}
		if err := json.Unmarshal(out, &run); err != nil {
			t.Fatal(err)
		}
		for _, r := range run.Results {
			for _, s := range r.Scores {
				if s.Arm == "learned" && s.Metric == "accuracy" {
					t.Logf("%s, seed %d: %.4f", precision, seed, s.Mean)
					return s.Mean
				}
			}
		}
		t.Fatalf("there is no accuracy in %s", out)
		return 0
	}
	const seeds = 3
	mean := map[string]float64{}
	for seed := range seeds {
		for _, precision := range []string{"float32", "bfloat16"} {
			mean[precision] += accuracy(precision, seed+1) / seeds
		}
	}
	t.Logf("mean accuracies: %.4f and %.4f", mean["float32"], mean["bfloat16"])
	if d := math.Abs(mean["bfloat16"] - mean["float32"]); !(d <= 0.01) || mean["float32"] < 0.7 {
		t.Errorf("the mean accuracies differ by %.2g", d)
	}
}
