package sdk

import "math"

// UnitRows gives the rows of x [rows, width] divided by their Euclidean length, so that their products are cosines. A row
// of zeros, or one that is not finite, becomes zeros: it is like nothing.
func UnitRows(x []float32, width int) []float32 {
	unit := make([]float32, len(x))
	for i := 0; i+width <= len(x) && width > 0; i += width {
		square := 0.0
		for _, v := range x[i : i+width] {
			square += float64(v) * float64(v)
		}
		length := math.Sqrt(square)
		if !(length > 0) || math.IsInf(length, 1) {
			continue
		}
		for j, v := range x[i : i+width] {
			unit[i+j] = float32(float64(v) / length)
		}
	}
	return unit
}
