package sdk

import (
	"fmt"
	"strings"
)

// SpaceOf gives the spatial axes of samples of the shape input, or why network ("a residual network"), which wants one to
// three of them, cannot be had.
func SpaceOf(network string, input []int64) ([]int64, error) {
	rank := len(input) - 1
	if rank < 1 || rank > 3 {
		return nil, ConfigError{What: fmt.Sprintf("%s wants one to three spatial axes and bands, not the shape %v", network, input)}
	}
	return input[:rank], nil
}

// SizeText writes the sizes of axes as people do: 64×64.
func SizeText(axes []int64) string {
	text := make([]string, len(axes))
	for i, n := range axes {
		text[i] = fmt.Sprint(n)
	}
	return strings.Join(text, "×")
}
