package report

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/asterism-ssl/asterism/core/run"
)

func ExampleTable() {
	score := func(arm, labels string, mean, std float64) run.Score {
		return run.Score{Arm: arm, Labels: labels, Metric: "accuracy", Better: "higher", Mean: mean, Std: std}
	}
	fmt.Print(Table([]run.TaskResult{
		{Task: "morphology", ScoreRows: 1920, Scores: []run.Score{
			score(run.Learned, "all", 0.934, 0), score(run.Learned, "50", 0.803, 0.018),
			score(run.Untrained, "all", 0.716, 0), score(run.Untrained, "50", 0.512, 0.023),
			score(run.Constant, "all", 0.284, 0), score(run.Constant, "50", 0.284, 0),
		}},
		{Task: "redshift", ScoreRows: 1920, Scores: []run.Score{
			{Arm: run.Learned, Labels: "all", Metric: "σ_MAD", Better: "lower", Mean: 0.0284},
			{Arm: run.Untrained, Labels: "all", Metric: "σ_MAD", Better: "lower", Mean: 0.0287},
			{Arm: run.Learned, Labels: "all", Metric: "bias", Mean: -0.0004},
		}},
	}, 80))
	// Output:
	// task        metric      labels        learned       untrained   constant
	// ─────────────────────────────────────────────────────────────────────────
	// morphology  accuracy ↑      50  0.803 ± 0.018*  0.512 ± 0.023      0.284
	//                            all          0.934*          0.716      0.284
	// redshift    σ_MAD ↓        all         0.0284          0.0287          –
	//             bias           all      −0.000400               –          –
	// ↑ higher is better, ↓ lower; * best, beyond the spread; ± over draws of labels
}

func TestTableOfNothingIsEmpty(t *testing.T) {
	if s := Table(nil, 80) + Table([]run.TaskResult{{Task: "x"}}, 80); s != "" {
		t.Errorf("%q", s)
	}
}

// In any width from 70 up, with names in any script, lines end within the width and numbers stay whole and aligned.
func TestTableFitsItsWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(70, 160).Draw(t, "width")
		name := rapid.StringMatching(`[a-zσ星é]{1,30}`)
		var results []run.TaskResult
		for i := range rapid.IntRange(1, 3).Draw(t, "tasks") {
			r := run.TaskResult{Task: fmt.Sprint(name.Draw(t, "task"), i), ScoreRows: rapid.IntRange(0, 5000).Draw(t, "rows")}
			metric := name.Draw(t, "metric")
			for _, arm := range arms {
				for _, labels := range []string{"50", "all"} {
					r.Scores = append(r.Scores, run.Score{Arm: arm, Labels: labels, Metric: metric, Better: "lower",
						Mean: rapid.Float64Range(0, 1).Draw(t, "mean"), Std: rapid.Float64Range(0, 0.1).Draw(t, "std")})
				}
			}
			results = append(results, r)
		}
		table := Table(results, width)
		lines := strings.Split(strings.TrimRight(table, "\n"), "\n")
		if lines[len(lines)-1] == "more arms are in the report" {
			if width > 90 {
				t.Fatalf("six arms have room in %d columns", width)
			}
			lines = lines[:len(lines)-1]
		}
		if want := 2 + 2*len(results) + 1; len(lines) != want {
			t.Fatalf("%d lines, want %d:\n%s", len(lines), want, table)
		}
		for _, line := range lines {
			if w := run.DisplayWidth(line); w > width {
				t.Fatalf("a line of %d columns in %d:\n%s", w, width, table)
			}
		}
		// Numbers of a column end at one place: a space or a star stands there in every line.
		end := run.DisplayWidth(lines[0])
		for _, line := range lines[2 : len(lines)-1] {
			if w := run.DisplayWidth(strings.TrimSuffix(line, "*")); w != end {
				t.Fatalf("the last column ends at %d and %d:\n%s", w, end, table)
			}
		}
	})
}

func TestBestIsTrulyBetter(t *testing.T) {
	type arm struct{ mean, std float64 }
	for _, c := range []struct {
		better string
		rows   int
		arms   []arm
		want   int
		why    string
	}{
		{"higher", 2000, []arm{{0.9, 0.01}, {0.8, 0.01}, {0.2, 0}}, 0, "clearly higher"},
		{"lower", 2000, []arm{{0.02, 0}, {0.01, 0}, {0.05, 0}}, 1, "clearly lower, and untrained"},
		{"higher", 2000, []arm{{0.9, 0.08}, {0.8, 0.08}, {0.2, 0}}, -1, "within the spread over draws"},
		{"higher", 25, []arm{{0.9, 0}, {0.8, 0}, {0.2, 0}}, -1, "25 objects cannot tell 0.9 from 0.8"},
		{"", 2000, []arm{{0.9, 0}, {0.8, 0}, {0.2, 0}}, -1, "no direction is better"},
		{"higher", 2000, []arm{{0.9, 0}}, -1, "nothing to compare with"},
		{"higher", 2000, []arm{{math.NaN(), 0}, {0.8, 0}, {0.2, 0}}, 1, "an undefined score is no rival"},
		{"higher", 2000, []arm{{0.5, 0}, {0.5, 0}, {0.2, 0}}, -1, "a tie"},
	} {
		r := run.TaskResult{ScoreRows: c.rows}
		for i, a := range c.arms {
			r.Scores = append(r.Scores, run.Score{Arm: arms[i], Labels: "all", Metric: "m", Better: c.better, Mean: a.mean, Std: a.std})
		}
		if got := rows(&r)[0].best; got != c.want {
			t.Errorf("%s: best is %d, want %d", c.why, got, c.want)
		}
	}
}
