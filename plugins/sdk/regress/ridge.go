package regress

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// Ridge is a fitted regression of numbers: a prediction is Weight·(x−Mean)/Scale + Bias.
type Ridge struct {
	Mean    []float64 // [width]
	Scale   []float64 // [width]; infinite where the feature is constant
	Weight  []float64 // [width]
	Bias    float64
	Penalty float64 // λ of λ‖Weight‖² beside the sum of squared residuals, the weights of rows having the mean 1
}

// Penalties are the λ that suit most questions: from a millionth to ten thousand times the number of rows, each √10 times
// the one before it.
func Penalties(rows int) (p []float64) {
	for k := range 21 {
		p = append(p, float64(rows)*math.Pow(10, float64(k)/2-6))
	}
	return p
}

// FitRidge fits y ~ x by least squares with a penalty, in float64. x is [rows, width], weights are positive or nil for all
// one. Of several penalties it takes the one with the least weighted mean of squared errors when each row is predicted by
// the others, the greatest of equals; the features' means and deviations are those of all rows. That takes one
// decomposition: the error without a row is its residual over one minus its leverage (Allen's PRESS).
func FitRidge(x []float32, width int, y, weights, penalties []float64) (*Ridge, error) {
	rows := len(y)
	weights, total, err := weigh(x, rows, width, weights)
	if err != nil {
		return nil, err
	}
	if len(penalties) == 0 {
		return nil, fmt.Errorf("regress: there is no penalty to fit with")
	}
	for i, v := range y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, sdk.DataError{What: fmt.Sprintf("row %d has the value %v", i, v), Advice: "correct the table, or leave the object out"}
		}
	}
	r := &Ridge{Weight: make([]float64, width), Penalty: penalties[0]}
	if r.Mean, r.Scale, err = standardise(x, width, weights, total); err != nil {
		return nil, err
	}
	// The target goes without its mean and in its own unit, so that neither tiny fluxes nor large numbers lose digits.
	for i, w := range weights {
		r.Bias += w / total * y[i]
	}
	unit := 0.0
	for i, w := range weights {
		unit += w / total * (y[i] - r.Bias) * (y[i] - r.Bias)
	}
	if unit = math.Sqrt(unit); unit == 0 || math.IsInf(unit, 1) {
		return r, nil // nothing to explain
	}
	p := &leastSquares{ridge: r, x: x, y: make([]float64, rows), root: make([]float64, rows)}
	for i, w := range weights {
		p.root[i] = math.Sqrt(w / total * float64(rows))
		p.y[i] = p.root[i] * (y[i] - r.Bias) / unit
	}
	if err := p.decompose(); err != nil {
		return nil, err
	}
	least := math.Inf(1)
	for k, e := range p.errors(penalties) {
		if e < least || e == least && penalties[k] > r.Penalty {
			least, r.Penalty = e, penalties[k]
		}
	}
	p.solve(r.Penalty)
	for j := range r.Weight {
		r.Weight[j] *= unit
	}
	return r, nil
}

// Predict gives a number for each row of x [rows, width].
func (r *Ridge) Predict(x []float32) []float64 {
	width := len(r.Mean)
	out := make([]float64, len(x)/max(width, 1))
	for i := range out {
		out[i] = r.Bias
		for j, v := range x[i*width : (i+1)*width] {
			out[i] += r.Weight[j] * ((float64(v) - r.Mean[j]) / r.Scale[j])
		}
	}
	return out
}

// leastSquares is the problem min ‖y − A·w‖² + λ‖w‖², where row i of A and y is scaled by root[i].
type leastSquares struct {
	ridge   *Ridge
	x       []float32
	y, root []float64

	// A = U·S·Vᵀ: squares holds S², vectors holds V of a tall A and U of a wide one, target holds S·Uᵀ·y.
	wide    bool
	squares []float64
	vectors mat.Dense
	target  []float64
}

const ridgeRows = 1024 // rows that are standardised at a time

// blocks gives the rows of A, some at a time.
func (p *leastSquares) blocks(take func(first int, a *mat.Dense)) {
	width := len(p.ridge.Mean)
	for first := 0; first < len(p.y); first += ridgeRows {
		n := min(ridgeRows, len(p.y)-first)
		a := mat.NewDense(n, width, nil)
		for i := range n {
			row, root := a.RawRowView(i), p.root[first+i]
			for j, v := range p.x[(first+i)*width : (first+i+1)*width] {
				row[j] = root * ((float64(v) - p.ridge.Mean[j]) / p.ridge.Scale[j])
			}
		}
		take(first, a)
	}
}

// decompose finds the singular values of A and the vectors on its shorter side, by the eigenvalues of AᵀA or AAᵀ.
func (p *leastSquares) decompose() error {
	rows, width := len(p.y), len(p.ridge.Mean)
	p.wide = rows < width
	n := min(rows, width)
	gram := mat.NewSymDense(n, nil)
	product := mat.NewVecDense(width, nil) // Aᵀy
	if p.wide {
		all := mat.NewDense(rows, width, nil)
		p.blocks(func(first int, a *mat.Dense) {
			all.Slice(first, first+a.RawMatrix().Rows, 0, width).(*mat.Dense).Copy(a)
		})
		gram.SymOuterK(1, all)
	} else {
		p.blocks(func(first int, a *mat.Dense) {
			gram.SymRankK(gram, 1, a.T())
			var part mat.VecDense
			part.MulVec(a.T(), mat.NewVecDense(a.RawMatrix().Rows, p.y[first:first+a.RawMatrix().Rows]))
			product.AddVec(product, &part)
		})
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, true) {
		return fmt.Errorf("regress: the representations' covariances have no eigenvalues")
	}
	p.squares = eigen.Values(nil)
	eigen.VectorsTo(&p.vectors)
	for k, v := range p.squares {
		p.squares[k] = max(0, v) // below zero by rounding only
	}
	p.target = make([]float64, n)
	into := mat.NewVecDense(n, p.target)
	if p.wide {
		into.MulVec(p.vectors.T(), mat.NewVecDense(rows, p.y))
		for k := range p.target {
			p.target[k] *= math.Sqrt(p.squares[k])
		}
	} else {
		into.MulVec(p.vectors.T(), product)
	}
	return nil
}

// scores gives U·S, some rows at a time.
func (p *leastSquares) scores(take func(first int, z *mat.Dense)) {
	if !p.wide {
		p.blocks(func(first int, a *mat.Dense) {
			var z mat.Dense
			z.Mul(a, &p.vectors)
			take(first, &z)
		})
		return
	}
	z := mat.DenseCopyOf(&p.vectors)
	for i := range len(p.y) {
		for k, row := 0, z.RawRowView(i); k < len(row); k++ {
			row[k] *= math.Sqrt(p.squares[k])
		}
	}
	take(0, z)
}

// errors gives, for each penalty, the sum of squared errors of rows that are predicted by the others.
func (p *leastSquares) errors(penalties []float64) []float64 {
	sums := make([]float64, len(penalties))
	inverse := make([][]float64, len(penalties)) // (S² + λ)⁻¹
	for l, penalty := range penalties {
		for _, square := range p.squares {
			inverse[l] = append(inverse[l], invert(square+penalty))
		}
	}
	p.scores(func(first int, z *mat.Dense) {
		for i := range z.RawMatrix().Rows {
			row, root := z.RawRowView(i), p.root[first+i]
			for l, inverse := range inverse {
				residual, leverage := p.y[first+i], root*root/float64(len(p.y)) // the mean's own
				for k, v := range row {
					residual -= v * p.target[k] * inverse[k]
					leverage += v * v * inverse[k]
				}
				e := residual / max(1-leverage, 1e-12)
				sums[l] += e * e
			}
		}
	})
	return sums
}

// solve sets the weights.
func (p *leastSquares) solve(penalty float64) {
	shrunk := mat.NewVecDense(len(p.squares), nil)
	for k, t := range p.target {
		shrunk.SetVec(k, t*invert(p.squares[k]+penalty))
	}
	into := mat.NewVecDense(len(p.ridge.Weight), p.ridge.Weight)
	if !p.wide {
		into.MulVec(&p.vectors, shrunk)
		return
	}
	// w = Aᵀ·U·(S² + λ)⁻¹·Uᵀ·y: shrunk is S·(S² + λ)⁻¹·Uᵀ·y.
	for k := range p.squares {
		shrunk.SetVec(k, shrunk.AtVec(k)*invert(math.Sqrt(p.squares[k])))
	}
	var dual mat.VecDense
	dual.MulVec(&p.vectors, shrunk)
	p.blocks(func(first int, a *mat.Dense) {
		var part mat.VecDense
		part.MulVec(a.T(), dual.SliceVec(first, first+a.RawMatrix().Rows))
		into.AddVec(into, &part)
	})
}

// invert gives 1/v, and 0 for 0: a direction in which nothing varies has no weight.
func invert(v float64) float64 {
	if v == 0 {
		return 0
	}
	return 1 / v
}

// State gives the regression as tensors, for a task's state.
func (r *Ridge) State() []sdk.Tensor {
	width := len(r.Mean)
	return []sdk.Tensor{
		{Name: "mean", Shape: []int{width}, F64: r.Mean},
		{Name: "scale", Shape: []int{width}, F64: r.Scale},
		{Name: "weight", Shape: []int{width}, F64: r.Weight},
		{Name: "bias", Shape: []int{1}, F64: []float64{r.Bias}},
		{Name: "penalty", Shape: []int{1}, F64: []float64{r.Penalty}},
	}
}

// RidgeStateBytes is what a Ridge's State takes at most, for TaskNeeds.
func RidgeStateBytes(width int) uint64 {
	const room = 64 // each tensor starts at a multiple of 64 bytes
	return uint64(8*(3*width+2) + 5*room)
}

// RidgeFromState puts a regression together from State's tensors; others among them are passed over.
func RidgeFromState(state []sdk.Tensor) (*Ridge, error) {
	r := &Ridge{}
	var bias, penalty []float64
	for _, t := range state {
		switch t.Name {
		case "mean":
			r.Mean = t.F64
		case "scale":
			r.Scale = t.F64
		case "weight":
			r.Weight = t.F64
		case "bias":
			bias = t.F64
		case "penalty":
			penalty = t.F64
		}
	}
	if width := len(r.Mean); len(bias) != 1 || len(penalty) != 1 || len(r.Scale) != width || len(r.Weight) != width {
		return nil, sdk.DataError{What: "the stored regression is damaged", Advice: "run the task again with --fresh"}
	}
	r.Bias, r.Penalty = bias[0], penalty[0]
	return r, nil
}
