package health

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Principal gives the coordinates [n, 2] of the rows, scaled to unit length, along their two principal axes, about their
// mean, and the share of the variance that each holds. An axis points to where its longest tail is. The work grows with the cube of the smaller of
// n and width: a thousand rows take about a second. Rows that are not finite, or fewer than three, give nil.
func Principal(x []float32, width int) (coordinates []float64, shares [2]float64) {
	n := len(x) / width
	u := unit(x, width)
	if n < 3 {
		return nil, shares
	}
	centred, total := mat.NewDense(n, width, nil), 0.0
	for k := range width {
		mean := 0.0
		for i := range n {
			mean += u[i*width+k]
		}
		mean /= float64(n)
		for i := range n {
			v := u[i*width+k] - mean
			centred.Set(i, k, v)
			total += v * v
		}
	}
	if math.IsNaN(total) || math.IsInf(total, 0) {
		return nil, shares
	}
	coordinates = make([]float64, 2*n)
	if total == 0 {
		return coordinates, shares
	}
	// Of the n×n products of rows an eigenvector times √eigenvalue is the coordinates themselves; of the width×width
	// products of columns it is the axis.
	var product mat.Dense
	byRows := n < width
	if byRows {
		product.Mul(centred, centred.T())
	} else {
		product.Mul(centred.T(), centred)
	}
	side, _ := product.Dims()
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(side, product.RawMatrix().Data), true) {
		return nil, shares
	}
	values := eigen.Values(nil)
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for a := range min(2, side) {
		at := side - 1 - a // the largest are last
		value := max(0, values[at])
		shares[a] = value / total
		tail := 0.0
		for i := range n {
			c := 0.0
			if byRows {
				c = vectors.At(i, at) * math.Sqrt(value)
			} else {
				for k := range width {
					c += centred.At(i, k) * vectors.At(k, at)
				}
			}
			coordinates[2*i+a] = c
			tail += c * c * c
		}
		if tail < 0 {
			for i := range n {
				coordinates[2*i+a] = -coordinates[2*i+a]
			}
		}
	}
	return coordinates, shares
}
