package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/run"
)

// count writes an integer with groups of three digits: "9,600".
func count[T ~int | ~int64 | ~uint64](n T) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// large writes a count for reading: "11.2 million".
func large(n int64) string {
	switch v := float64(n); {
	case v >= 1e12:
		return fmt.Sprintf("%.3g × 10¹²", v/1e12)
	case v >= 1e9:
		return fmt.Sprintf("%.3g billion", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.3g million", v/1e6)
	}
	return count(n)
}

// shapeText writes a shape: "64 × 64 × 5".
func shapeText(shape []int64) string {
	parts := make([]string, len(shape))
	for i, s := range shape {
		parts[i] = fmt.Sprint(s)
	}
	return strings.Join(parts, " × ")
}

func clockText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006, 15:04 UTC")
}

func spanText(seconds float64) string {
	if !(seconds >= 0) || seconds > 1e9 {
		return "unknown"
	}
	return run.Duration(time.Duration(seconds * float64(time.Second)))
}

// decimals is how many decimals the numbers of a metric get: two digits of the largest spread, else three of the largest value.
func decimals(scores []*run.Score) int {
	var spread, value float64
	whole := true
	for _, s := range scores {
		if s == nil {
			continue
		}
		if s.Std > 0 && !math.IsInf(s.Std, 0) {
			spread = max(spread, s.Std)
		}
		if a := math.Abs(s.Mean); a > 0 && !math.IsInf(a, 0) {
			value = max(value, a)
		}
		whole = whole && s.Mean == math.Trunc(s.Mean)
	}
	switch {
	case spread > 0:
		return clamp(1-int(math.Floor(math.Log10(spread))), 0, 5)
	case value == 0:
		return 3
	case whole && value >= 2:
		return 0
	}
	return clamp(2-int(math.Floor(math.Log10(value))), 0, 6)
}

// fixed writes a number with that many decimals and a minus sign that is one.
func fixed(v float64, decimals int) string {
	switch {
	case math.IsNaN(v):
		return "undefined"
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	case math.Abs(v) >= 1e7:
		return strings.Replace(strconv.FormatFloat(v, 'g', 4, 64), "-", "−", 1)
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.HasPrefix(s, "-") && strings.Trim(s, "-0.") == "" {
		s = s[1:] // no −0.000
	}
	return strings.Replace(s, "-", "−", 1)
}

// short writes a number with three digits.
func short(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0) || v == math.Trunc(v) && a < 1e6:
		return fixed(v, 0)
	case a >= 1e6 || a < 1e-3:
		return strings.Replace(strconv.FormatFloat(v, 'g', 3, 64), "-", "−", 1)
	}
	return fixed(v, clamp(2-int(math.Floor(math.Log10(a))), 0, 6))
}

func clamp(v, low, high int) int { return min(max(v, low), high) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
