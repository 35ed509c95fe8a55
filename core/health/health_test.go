package health_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/asterism-ssl/asterism/core/health"
)

func Example() {
	// Four objects that point in four directions of a plane, and their second views, which are the same.
	x := []float32{1, 0, 0, 1, -1, 0, 0, -1}
	fmt.Printf("alignment %.1f, effective rank %.1f, spread %.1f\n", health.Alignment(x, x, 2), health.EffectiveRank(x, 2), health.Spread(x, 2))
	// Output: alignment 0.0, effective rank 2.0, spread 1.0
}

func TestAgainstNumPy(t *testing.T) {
	var cases []struct {
		Width                               int
		X, Y                                []float32
		Alignment, Uniformity, Rank, Spread float64
		Coordinates, Shares                 []float64
	}
	text, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatal(err, len(cases))
	}
	for _, c := range cases {
		for _, v := range []struct {
			name      string
			got, want float64
		}{
			{"alignment", health.Alignment(c.X, c.Y, c.Width), c.Alignment}, {"uniformity", health.Uniformity(c.X, c.Width), c.Uniformity},
			{"effective rank", health.EffectiveRank(c.X, c.Width), c.Rank}, {"spread", health.Spread(c.X, c.Width), c.Spread},
		} {
			if !(math.Abs(v.got-v.want) <= 1e-6*max(1, math.Abs(v.want))) {
				t.Errorf("%s of %d values is %v, NumPy has %v", v.name, len(c.X), v.got, v.want)
			}
		}
		if len(c.Coordinates) == 0 {
			continue
		}
		got, shares := health.Principal(c.X, c.Width)
		for i, want := range c.Coordinates {
			if math.Abs(got[i]-want) > 1e-5 {
				t.Errorf("coordinate %d of %d values is %v, NumPy has %v", i, len(c.X), got[i], want)
			}
		}
		for i, want := range c.Shares {
			if math.Abs(shares[i]-want) > 1e-6 {
				t.Errorf("axis %d of %d values holds %v of the variance, NumPy has %v", i, len(c.X), shares[i], want)
			}
		}
	}
}

// Representations that have collapsed show it in every number, and a row of zeros is none that fails.
func TestCollapse(t *testing.T) {
	x := make([]float32, 10*4)
	for i := range x {
		x[i] = float32(i % 4)
	}
	if r := health.EffectiveRank(x, 4); r != 0 {
		t.Errorf("equal rows have the effective rank %v", r)
	}
	if u := health.Uniformity(x, 4); math.Abs(u) > 1e-12 {
		t.Errorf("equal rows have the uniformity %v", u)
	}
	if s := health.Spread(x, 4); s > 1e-7 {
		t.Errorf("equal rows have the spread %v", s)
	}
	zeros := make([]float32, 8)
	if health.Alignment(zeros, zeros, 4) != 0 || health.EffectiveRank(zeros, 4) != 0 || health.Spread(zeros, 4) != 0 {
		t.Error("zeros are not at rest")
	}
	if r := health.EffectiveRank(x[:4], 4); r != 0 {
		t.Errorf("one row has the effective rank %v", r)
	}
	if r := health.EffectiveRank([]float32{1, float32(math.NaN()), 2, 3}, 2); !math.IsNaN(r) {
		t.Errorf("the effective rank of a NaN is %v", r)
	}
}

// Equal rows lie on one point, and what is no number is on no map.
func TestPrincipalOfNothing(t *testing.T) {
	if c, _ := health.Principal(make([]float32, 12), 3); len(c) != 8 || c[0] != 0 {
		t.Errorf("four equal rows lie at %v", c)
	}
	for _, x := range [][]float32{{1, 2, 3, 4}, {1, float32(math.NaN()), 2, 3, 4, 5}} {
		if c, _ := health.Principal(x, 2); c != nil {
			t.Errorf("%v lie at %v", x, c)
		}
	}
}
