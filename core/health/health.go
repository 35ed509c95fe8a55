// Package health measures what representations are like without asking for labels: whether two views of an object are
// close, whether objects fill the space, and in how many directions. A training whose loss falls while these collapse
// learns nothing that is of use.
//
// All take representations [n, width] row by row. Directions alone count in contrastive learning, so that all but
// EffectiveRank look at the rows scaled to unit length; a row of zeros stays one.
package health

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Alignment is the mean squared distance between the unit vectors of pairs, row i of x with row i of y: 0 when both views
// of every object are the same, 2 when they are as far apart as by chance. NaN without rows. Wang & Isola 2020
// (arXiv:2005.10242), equation 5 with α = 2.
func Alignment(x, y []float32, width int) float64 {
	a, b := unit(x, width), unit(y, width)
	sum := 0.0
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return sum / float64(len(a)/width)
}

// Uniformity is the logarithm of the mean over pairs of rows of exp(−2 d²), d being the distance of their unit vectors: 0
// when all point one way, towards −4 when they are spread over a sphere of many dimensions. NaN with fewer than two rows.
// Wang & Isola 2020 (arXiv:2005.10242), equation 6 with t = 2.
func Uniformity(x []float32, width int) float64 {
	u := unit(x, width)
	n := len(u) / width
	sum := 0.0
	for i := range n {
		for j := range i {
			d := 0.0
			for k := range width {
				v := u[i*width+k] - u[j*width+k]
				d += v * v
			}
			sum += math.Exp(-2 * d)
		}
	}
	return math.Log(sum / float64(n*(n-1)/2))
}

// EffectiveRank is the number of directions that the rows use about their mean: the exponential of the entropy of the
// shares that the singular values have in their sum. It is at most the smaller of n−1 and width, and 0 when all rows are
// equal. Roy & Vetterli 2007 (EUSIPCO, definition 1); that it foretells how useful representations are is from Garrido et
// al. 2023 (arXiv:2210.02885), who do not take the mean off.
func EffectiveRank(x []float32, width int) float64 {
	n := len(x) / width
	if n < 2 {
		return 0
	}
	centred, size := mat.NewDense(n, width, nil), 0.0
	for k := range width {
		mean := 0.0
		for i := range n {
			mean += float64(x[i*width+k])
			size += float64(x[i*width+k]) * float64(x[i*width+k])
		}
		mean /= float64(n)
		for i := range n {
			centred.Set(i, k, float64(x[i*width+k])-mean)
		}
	}
	if math.IsNaN(size) || math.IsInf(size, 0) {
		return math.NaN()
	}
	// The squares of the singular values are the eigenvalues of the smaller of the two products of the matrix with itself.
	var product mat.Dense
	if n < width {
		product.Mul(centred, centred.T())
	} else {
		product.Mul(centred.T(), centred)
	}
	side, _ := product.Dims()
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(side, product.RawMatrix().Data), false) {
		return math.NaN() // the iteration did not come to an end
	}
	values := eigen.Values(nil)
	sum := 0.0
	for i, v := range values {
		if values[i] = 0; v > 1e-14*size { // below is what rounding leaves of zero
			values[i] = math.Sqrt(v)
		}
		sum += values[i]
	}
	if !(sum > 0) {
		return 0
	}
	entropy := 0.0
	for _, v := range values {
		if p := v / sum; p > 0 {
			entropy -= p * math.Log(p)
		}
	}
	return math.Exp(entropy)
}

// Spread is √width times the mean over dimensions of the unit vectors' standard deviation: near 1 when spread over the
// sphere, 0 when collapsed to a point. Chen & He 2021 (arXiv:2011.10566, §4.1) watch 1/√width for it.
func Spread(x []float32, width int) float64 {
	u := unit(x, width)
	n := len(u) / width
	sum := 0.0
	for k := range width {
		mean, square := 0.0, 0.0
		for i := range n {
			mean += u[i*width+k] / float64(n)
		}
		for i := range n {
			d := u[i*width+k] - mean
			square += d * d / float64(n)
		}
		sum += math.Sqrt(square)
	}
	return sum / math.Sqrt(float64(width))
}

// unit scales every row to length 1.
func unit(x []float32, width int) []float64 {
	u := make([]float64, len(x))
	for i := 0; i < len(x); i += width {
		square := 0.0
		for _, v := range x[i : i+width] {
			square += float64(v) * float64(v)
		}
		if square == 0 {
			continue
		}
		scale := 1 / math.Sqrt(square)
		for k, v := range x[i : i+width] {
			u[i+k] = float64(v) * scale
		}
	}
	return u
}
