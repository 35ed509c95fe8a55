package regress_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/regress"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

func Example() {
	x := []float32{0, 1, 0, 2, 1, 1, 1, 2} // four rows of two features
	model, _ := regress.Fit(x, 2, []int{0, 0, 1, 1}, 2, nil, regress.Options{L2: 0.02})
	p := model.Probabilities([]float32{1, 5})
	fmt.Printf("class 1 with probability above 0.9: %v\n", p[1] > 0.9)
	// Output: class 1 with probability above 0.9: true
}

// rows repeats the formula of testdata/golden.py.
func rows(n, d int) []float32 {
	x := make([]float32, n*d)
	for i := range n {
		for j := range d {
			a, b := float64(i), float64(j)
			x[i*d+j] = float32(math.Sin(1.7*a+2.3*b+0.11*a*b) + 0.2*b + 0.05*float64(i%7))
			if j == 2 {
				x[i*d+j] = 3
			}
		}
	}
	return x
}

// The probabilities of the minimum agree with scipy's in float64.
func TestAgreesWithScipy(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Rows, Width, Classes int
		L2                   float64
		Weighted             bool
		Y                    []int
		Loss                 float64
		P                    []float64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		x := rows(c.Rows, c.Width)
		var weights []float64
		if c.Weighted {
			for i := range c.Rows {
				weights = append(weights, 1+float64(i%3))
			}
		}
		model, err := regress.Fit(x, c.Width, c.Y, c.Classes, weights, regress.Options{L2: c.L2})
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i, p := range model.Probabilities(x) {
			worst = max(worst, math.Abs(p-c.P[i]))
		}
		t.Logf("%d rows × %d, %d classes, λ %g: probabilities differ by at most %.1e", c.Rows, c.Width, c.Classes, c.L2, worst)
		if worst > 5e-4 {
			t.Errorf("%d rows × %d, %d classes: probabilities differ by %.2g", c.Rows, c.Width, c.Classes, worst)
		}
	}
}

// Features without information give the weighted frequencies of the classes, and classes that never occurred nothing.
func TestConstantFeaturesGiveFrequencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, width, classes := rapid.IntRange(1, 30).Draw(t, "n"), rapid.IntRange(1, 4).Draw(t, "width"), rapid.IntRange(1, 6).Draw(t, "classes")
		value := float32(rapid.Float64Range(-1e3, 1e3).Draw(t, "value"))
		x := make([]float32, n*width)
		for i := range x {
			x[i] = value
		}
		y, weights, want, total := make([]int, n), make([]float64, n), make([]float64, classes), 0.0
		for i := range y {
			y[i] = rapid.IntRange(0, classes-1).Draw(t, "y")
			weights[i] = rapid.Float64Range(0.1, 5).Draw(t, "w")
			want[y[i]] += weights[i]
			total += weights[i]
		}
		model, err := regress.Fit(x, width, y, classes, weights, regress.Options{L2: 0.02})
		if err != nil {
			t.Fatal(err)
		}
		for c, p := range model.Probabilities(x[:width]) {
			if math.Abs(p-want[c]/total) > 1e-6 {
				t.Fatalf("class %d has probability %g, its frequency is %g", c, p, want[c]/total)
			}
		}
	})
}

// A row of weight two is the same as the row twice, and the order of rows does not matter beyond rounding.
func TestWeightIsRepetition(t *testing.T) {
	const n, width, classes = 30, 5, 3
	x := rows(n, width)
	y := make([]int, n)
	weights := make([]float64, n)
	var twiceX []float32
	var twiceY []int
	for i := range y {
		y[i], weights[i] = (i*i/3)%classes, 1+float64(i%2)
		for range 1 + i%2 {
			twiceX = append([]float32(x[i*width:(i+1)*width:(i+1)*width]), twiceX...)
			twiceY = append([]int{y[i]}, twiceY...)
		}
	}
	a, err := regress.Fit(x, width, y, classes, weights, regress.Options{L2: 0.02})
	if err != nil {
		t.Fatal(err)
	}
	b, err := regress.Fit(twiceX, width, twiceY, classes, nil, regress.Options{L2: 0.02})
	if err != nil {
		t.Fatal(err)
	}
	p, q := a.Probabilities(x), b.Probabilities(x)
	for i := range p {
		if math.Abs(p[i]-q[i]) > 2e-3 {
			t.Fatalf("row %d: %g weighted, %g repeated", i/classes, p[i], q[i])
		}
	}
}

// Fitting twice gives the same bits, and the state carries the whole regression.
func TestDeterministicAndStored(t *testing.T) {
	const n, width, classes = 200, 16, 5
	x, y := rows(n, width), make([]int, n)
	for i := range y {
		y[i] = (i / 3) % classes
	}
	a, _ := regress.Fit(x, width, y, classes, nil, regress.Options{L2: 0.02})
	b, _ := regress.Fit(x, width, y, classes, nil, regress.Options{L2: 0.02})
	state := b.State()
	bytes := 0
	for _, s := range state {
		bytes += 8*(len(s.F64)+len(s.I64)) + 63
	}
	if limit := regress.StateBytes(width, classes); uint64(bytes) > limit {
		t.Errorf("the state takes up to %d bytes, StateBytes promises %d", bytes, limit)
	}
	c, err := regress.FromState(state)
	if err != nil {
		t.Fatal(err)
	}
	p, q := a.Probabilities(x), c.Probabilities(x)
	for i := range p {
		if p[i] != q[i] {
			t.Fatalf("value %d: %v and %v", i, p[i], q[i])
		}
	}
	if _, err := regress.FromState(state[:3]); err == nil {
		t.Error("half a state is accepted")
	}
}

func TestRefusals(t *testing.T) {
	nan := float32(math.NaN())
	for name, fit := range map[string]func() (*regress.Softmax, error){
		"no rows": func() (*regress.Softmax, error) { return regress.Fit(nil, 2, nil, 2, nil, regress.Options{}) },
		"not finite": func() (*regress.Softmax, error) {
			return regress.Fit([]float32{1, nan}, 1, []int{0, 1}, 2, nil, regress.Options{})
		},
		"weights zero": func() (*regress.Softmax, error) {
			return regress.Fit([]float32{1, 2}, 1, []int{0, 1}, 2, []float64{0, 0}, regress.Options{})
		},
		"negative weight": func() (*regress.Softmax, error) {
			return regress.Fit([]float32{1, 2}, 1, []int{0, 1}, 2, []float64{1, -1}, regress.Options{})
		},
	} {
		_, err := fit()
		if _, ok := err.(sdk.DataError); !ok {
			t.Errorf("%s: %v is no data error", name, err)
		}
	}
}

func BenchmarkPhotozSize(b *testing.B) {
	const n, width, classes = 2000, 512, 180
	x, y := rows(n, width), make([]int, n)
	for i := range y {
		y[i] = (i * i / 7) % classes
	}
	for b.Loop() {
		if _, err := regress.Fit(x, width, y, classes, nil, regress.Options{L2: 0.02}); err != nil {
			b.Fatal(err)
		}
	}
}
