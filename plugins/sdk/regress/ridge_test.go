package regress_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/regress"
	"pgregory.net/rapid"
)

func ExampleFitRidge() {
	x := []float32{0, 1, 2, 3} // four rows of one feature
	model, _ := regress.FitRidge(x, 1, []float64{1, 3, 5, 7}, nil, regress.Penalties(4))
	fmt.Printf("%.3f\n", model.Predict([]float32{10})[0])
	// Output: 21.000
}

// target repeats the formula of testdata/ridge.py.
func target(x []float32, width int, unit float64) []float64 {
	y := make([]float64, len(x)/width)
	for i := range y {
		y[i] = unit * (5 + 2*float64(x[i*width]) - float64(x[i*width+1]) + math.Cos(3.1*float64(i)))
	}
	return y
}

// Predictions agree with scikit-learn's, and the penalty is the one that really leaving each row out chooses.
func TestRidgeAgreesWithScikitLearn(t *testing.T) {
	text, err := os.ReadFile("testdata/ridge.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Rows, Width, Best int
		Unit              float64
		Weighted          bool
		Fits              []struct {
			Penalty   float64
			Predicted []float64
		}
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		x := rows(c.Rows, c.Width)
		y := target(x, c.Width, c.Unit)
		var weights []float64
		if c.Weighted {
			for i := range c.Rows {
				weights = append(weights, 1+float64(i%3))
			}
		}
		for i, want := range c.Fits {
			penalties := []float64{want.Penalty}
			if i == 0 {
				penalties = regress.Penalties(c.Rows)
			}
			model, err := regress.FitRidge(x, c.Width, y, weights, penalties)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(model.Penalty/want.Penalty-1) > 1e-12 {
				t.Errorf("%d rows × %d: λ %g, not %g", c.Rows, c.Width, model.Penalty, want.Penalty)
				continue
			}
			worst := 0.0
			for k, v := range model.Predict(x) {
				worst = max(worst, math.Abs(v/c.Unit-want.Predicted[k]))
			}
			t.Logf("%d rows × %d, λ %.3g: predictions differ by at most %.1e", c.Rows, c.Width, model.Penalty, worst)
			if worst > 1e-9 {
				t.Errorf("%d rows × %d, λ %g: predictions differ by %.2g", c.Rows, c.Width, model.Penalty, worst)
			}
		}
	}
}

// Features without information, and a target that is the same for all, give the weighted mean.
func TestRidgeOfConstantsIsTheMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, width := rapid.IntRange(1, 30).Draw(t, "n"), rapid.IntRange(1, 40).Draw(t, "width")
		constant := rapid.Bool().Draw(t, "constant features")
		x, y, weights := make([]float32, n*width), make([]float64, n), make([]float64, n)
		mean, total := 0.0, 0.0
		for i := range y {
			y[i] = 7
			if constant {
				y[i] = rapid.Float64Range(-1e3, 1e3).Draw(t, "y")
			}
			weights[i] = rapid.Float64Range(0.1, 5).Draw(t, "w")
			mean, total = mean+weights[i]*y[i], total+weights[i]
			for j := range width {
				x[i*width+j] = float32(3 + j)
				if !constant {
					x[i*width+j] = float32(rapid.Float64Range(-1e3, 1e3).Draw(t, "x"))
				}
			}
		}
		model, err := regress.FitRidge(x, width, y, weights, regress.Penalties(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range model.Predict(x) {
			if math.Abs(v-mean/total) > 1e-9*1e3 {
				t.Fatalf("%g, the mean is %g", v, mean/total)
			}
		}
	})
}

// A target that is a line of the features is found, also with more features than rows; one that is noise is not.
func TestRidgeFindsWhatIsThere(t *testing.T) {
	r := sdk.NewKey(1, "test").At(0, 0)
	for _, c := range []struct{ n, width int }{{300, 20}, {60, 200}, {2500, 8}} {
		x, line, noise := make([]float32, 2*c.n*c.width), make([]float64, 2*c.n), make([]float64, 2*c.n)
		for i := range line {
			for j := range c.width {
				x[i*c.width+j] = float32(r.Normal())
			}
			for j := range 4 {
				line[i] += float64(x[i*c.width+j]) / 2
			}
			line[i] += 0.05 * r.Normal()
			noise[i] = r.Normal()
		}
		score := func(y []float64) float64 {
			model, err := regress.FitRidge(x[:c.n*c.width], c.width, y[:c.n], nil, regress.Penalties(c.n))
			if err != nil {
				t.Fatal(err)
			}
			rest, spread := 0.0, 0.0
			for i, v := range model.Predict(x[c.n*c.width:]) {
				rest += (y[c.n+i] - v) * (y[c.n+i] - v)
				spread += y[c.n+i] * y[c.n+i]
			}
			return 1 - rest/spread
		}
		found, none := score(line), score(noise)
		t.Logf("%d rows × %d: R² %.3f of a line, %.3f of noise", c.n, c.width, found, none)
		if limit := map[bool]float64{true: 0.99, false: 0.1}[c.n > c.width]; found < limit || none < -0.1 {
			t.Errorf("%d rows × %d: R² %.3f of a line, %.3f of noise", c.n, c.width, found, none)
		}
	}
}

// A row of weight two is the same as the row twice.
func TestRidgeWeightIsRepetition(t *testing.T) {
	const n, width = 30, 5
	x := rows(n, width)
	y := target(x, width, 1)
	weights := make([]float64, n)
	var twiceX []float32
	var twiceY []float64
	for i := range y {
		weights[i] = 1 + float64(i%2)
		for range 1 + i%2 {
			twiceX, twiceY = append(twiceX, x[i*width:(i+1)*width]...), append(twiceY, y[i])
		}
	}
	// The sum of squares is one and a half times as large with the rows twice.
	a, err := regress.FitRidge(x, width, y, weights, []float64{2})
	if err != nil {
		t.Fatal(err)
	}
	b, err := regress.FitRidge(twiceX, width, twiceY, nil, []float64{3})
	if err != nil {
		t.Fatal(err)
	}
	p, q := a.Predict(x), b.Predict(x)
	for i := range p {
		if math.Abs(p[i]-q[i]) > 1e-9 {
			t.Fatalf("row %d: %g weighted, %g repeated", i, p[i], q[i])
		}
	}
}

func TestRidgeDeterministicAndStored(t *testing.T) {
	const n, width = 1500, 16 // more than one block of rows
	x := rows(n, width)
	y := target(x, width, 1)
	a, _ := regress.FitRidge(x, width, y, nil, regress.Penalties(n))
	b, _ := regress.FitRidge(x, width, y, nil, regress.Penalties(n))
	state := b.State()
	bytes := 0
	for _, s := range state {
		bytes += 8*len(s.F64) + 63
	}
	if limit := regress.RidgeStateBytes(width); uint64(bytes) > limit {
		t.Errorf("the state takes up to %d bytes, RidgeStateBytes promises %d", bytes, limit)
	}
	c, err := regress.RidgeFromState(state)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Predict(x), c.Predict(x)) || a.Penalty != c.Penalty {
		t.Error("the stored regression predicts otherwise")
	}
	if _, err := regress.RidgeFromState(state[:3]); err == nil {
		t.Error("half a state is accepted")
	}
}

func TestRidgeRefusals(t *testing.T) {
	nan := math.NaN()
	for name, fit := range map[string]func() (*regress.Ridge, error){
		"no rows": func() (*regress.Ridge, error) { return regress.FitRidge(nil, 2, nil, nil, []float64{1}) },
		"not finite": func() (*regress.Ridge, error) {
			return regress.FitRidge([]float32{1, float32(nan)}, 1, []float64{0, 1}, nil, []float64{1})
		},
		"missing value": func() (*regress.Ridge, error) {
			return regress.FitRidge([]float32{1, 2}, 1, []float64{0, nan}, nil, []float64{1})
		},
		"weights zero": func() (*regress.Ridge, error) {
			return regress.FitRidge([]float32{1, 2}, 1, []float64{0, 1}, []float64{0, 0}, []float64{1})
		},
	} {
		_, err := fit()
		if _, ok := err.(sdk.DataError); !ok {
			t.Errorf("%s: %v is no data error", name, err)
		}
	}
}

func BenchmarkRidge(b *testing.B) {
	for _, n := range []int{500, 20000} {
		b.Run(fmt.Sprintf("%d×512", n), func(b *testing.B) {
			const width = 512
			x := rows(n, width)
			y := target(x, width, 1)
			for b.Loop() {
				if _, err := regress.FitRidge(x, width, y, nil, regress.Penalties(n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
