package fault

import "strings"

// Nearest gives the name that was most likely meant, or "": a similar one, one that is its beginning (max for maximum),
// or its initials (lr for learning_rate).
func Nearest(name string, names []string) string {
	var initials string
	for _, word := range strings.Split(name, "_") {
		initials += word[:min(1, len(word))]
	}
	for _, n := range names {
		if len(n) > 1 && n == initials || len(n) > 2 && strings.HasPrefix(name, n) || len(name) > 2 && strings.HasPrefix(n, name) {
			return n
		}
	}
	best, bestDistance := "", len(name)/3+2
	for _, n := range names {
		if d := distance(name, n); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and exchanges of neighbours between two words.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return 1 << 20
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
