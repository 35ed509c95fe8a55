package report

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/asterism-ssl/asterism/core/curve"
	"github.com/asterism-ssl/asterism/core/run"
)

// equal says of a metric how many times more labels training from scratch needs for the same score.
type equal struct {
	Title, About string
	Arms         []string
	Rows         []equalRow
}

type equalRow struct {
	Labels string
	Cells  []string // an arm each
}

// equals holds a task's arms against training from scratch, where it has that arm at several numbers of labels. It shows
// the task's headline metric, the first that has a better and a worse.
func equals(r *run.TaskResult) []equal {
	all := curve.Equivalences(r, run.Supervised)
	if len(all) == 0 {
		return nil
	}
	metric := all[0].Metric
	e := equal{
		Title: "Labels that " + metric + " is worth",
		About: fmt.Sprintf("How many times the labels an encoder trained from scratch (%s) needs to reach the %s that the others have with so many, and the interval of 95 %% over draws of labels (paired bootstrap).", run.Supervised, metric),
	}
	for _, a := range all {
		if a.Metric != metric {
			continue
		}
		if !slices.Contains(e.Arms, a.Arm) {
			e.Arms = append(e.Arms, a.Arm)
		}
		if !slices.ContainsFunc(e.Rows, func(r equalRow) bool { return r.Labels == a.Labels }) {
			e.Rows = append(e.Rows, equalRow{Labels: a.Labels})
		}
	}
	for i := range e.Rows {
		for _, arm := range e.Arms {
			cell := "–"
			for _, a := range all {
				if a.Metric == metric && a.Arm == arm && a.Labels == e.Rows[i].Labels {
					cell = a.String()
				}
			}
			e.Rows[i].Cells = append(e.Rows[i].Cells, cell)
		}
	}
	return []equal{e}
}

// Equivalence is the text of how many labels each arm is worth, task by task; empty where no encoder was trained from
// scratch.
func Equivalence(results []run.TaskResult) string {
	var b strings.Builder
	for i := range results {
		for _, e := range equals(&results[i]) {
			fmt.Fprintf(&b, "\n%s: how many times the labels %s needs for the same %s (95 %% over draws)\n", results[i].Task, run.Supervised, strings.TrimSuffix(strings.TrimPrefix(e.Title, "Labels that "), " is worth"))
			w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
			fmt.Fprintf(w, "labels\t%s\t\n", strings.Join(e.Arms, "\t"))
			for _, r := range e.Rows {
				fmt.Fprintf(w, "%s\t%s\t\n", r.Labels, strings.Join(r.Cells, "\t"))
			}
			w.Flush()
		}
	}
	return b.String()
}
