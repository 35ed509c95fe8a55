package report

import (
	"math"
	"slices"
	"sort"
	"strconv"

	"github.com/asterism-ssl/asterism/core/run"
)

// arms in the order of the table's columns.
var arms = func() (names []string) {
	for _, a := range run.Arms {
		names = append(names, a.Name)
	}
	return names
}()

// shown are the places in arms of those that any of the rows has; learned, untrained and constant are always shown.
func shown(all []row) (places []int) {
	for a, name := range arms {
		if slices.Contains([]string{run.Learned, run.Untrained, run.Constant}, name) || slices.ContainsFunc(all, func(r row) bool { return r.arm[a] != nil }) {
			places = append(places, a)
		}
	}
	return places
}

// row is one line of the table of results: a metric with one number of labels, in all arms.
type row struct {
	result *run.TaskResult
	metric string
	better string
	doc    string
	labels string
	arm    []*run.Score // by arms; nil: not measured
	best   int          // index of the arm that is better than every other beyond the spread; -1: none
}

// rows puts the scores of a task into lines: metrics in the task's own order, within each the numbers of labels ascending.
func rows(r *run.TaskResult) []row {
	var list []row
	metrics := map[string]int{}
	for i := range r.Scores {
		s := &r.Scores[i]
		a := slices.Index(arms, s.Arm)
		if a < 0 {
			continue
		}
		if _, seen := metrics[s.Metric]; !seen {
			metrics[s.Metric] = len(metrics)
		}
		at := slices.IndexFunc(list, func(l row) bool { return l.metric == s.Metric && l.labels == s.Labels })
		if at < 0 {
			at = len(list)
			list = append(list, row{result: r, metric: s.Metric, better: s.Better, doc: s.Doc, labels: s.Labels, arm: make([]*run.Score, len(arms))})
		}
		list[at].arm[a] = s
		if list[at].doc == "" {
			list[at].doc = s.Doc
		}
	}
	sort.SliceStable(list, func(i, j int) bool {
		if a, b := metrics[list[i].metric], metrics[list[j].metric]; a != b {
			return a < b
		}
		return labelCount(list[i].labels, math.MaxInt) < labelCount(list[j].labels, math.MaxInt)
	})
	for i := range list {
		list[i].best = best(list[i])
	}
	return list
}

// labelCount is the number that labels names, or all for "all".
func labelCount(labels string, all int) int {
	if n, err := strconv.Atoi(labels); err == nil {
		return n
	}
	return all
}

// bestRule says what best does, for the reader of a table.
const bestRule = "better than each of the others by more than the spread: the two standard deviations added in quadrature, " +
	"and at least the larger value divided by the square root of the number of scored objects, " +
	"a rough allowance for what another choice of test objects would change"

// best finds the arm that is truly better; -1 where none is or where nothing says which direction is better.
func best(r row) int {
	sign := map[string]float64{"higher": 1, "lower": -1}[r.better]
	if sign == 0 {
		return -1
	}
	winner, others := -1, 0
	for i, s := range r.arm {
		if s == nil {
			continue
		}
		others++
		if finite(s.Mean) && (winner < 0 || sign*s.Mean > sign*r.arm[winner].Mean) {
			winner = i
		}
	}
	if winner < 0 || others < 2 {
		return -1
	}
	w := r.arm[winner]
	for i, s := range r.arm {
		if s == nil || i == winner || !finite(s.Mean) { // an undefined score is no rival
			continue
		}
		spread := math.Hypot(w.Std, s.Std)
		if n := r.result.ScoreRows; n > 0 {
			spread = max(spread, max(math.Abs(w.Mean), math.Abs(s.Mean))/math.Sqrt(float64(n)))
		}
		if !(sign*(w.Mean-s.Mean) > spread) {
			return -1
		}
	}
	return winner
}

// arrow points to where a metric is better.
func arrow(better string) string {
	switch better {
	case "higher":
		return "↑"
	case "lower":
		return "↓"
	}
	return ""
}

// ofMetric is every score of one metric of a task: they are written with the same number of decimals.
func ofMetric(all []row, metric string, result *run.TaskResult) []*run.Score {
	var scores []*run.Score
	for _, r := range all {
		if r.metric == metric && r.result == result {
			scores = append(scores, r.arm...)
		}
	}
	return scores
}
