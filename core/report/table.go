package report

import (
	"strings"

	"github.com/asterism-ssl/asterism/core/run"
)

// Table is the plain-text table of results that a run ends with: a line for each metric and number of labels, the learned
// representation beside what it is held against. Width is that of the terminal (80 when it is not
// positive); a table that is too wide first gives up the spreads of the baselines, then all spreads, then cuts names, those of arms last, and at the end leaves out the arms that are not always there. The
// text ends with a line break; without results it is empty.
func Table(results []run.TaskResult, width int) string {
	if width <= 0 {
		width = 80
	}
	var all []row
	for i := range results {
		all = append(all, rows(&results[i])...)
	}
	if len(all) == 0 {
		return ""
	}
	text, fits := layout(all, shown(all), width)
	if !fits { // the arms that are always there, then
		text, _ = layout(all, shown(nil), width)
		text += cut("more arms are in the report", width) + "\n"
	}
	return text
}

// layout writes the table with the arms at the given places, and says whether it is narrow enough.
func layout(all []row, places []int, width int) (text string, fits bool) {
	var table [][]string
	for _, spreads := range []int{len(places), 1, 0} {
		table = cells(all, places, spreads)
		if total(widths(table), 2) <= width {
			break
		}
	}
	columns := widths(table)
	for _, c := range []int{0, 1} { // task, metric
		if over := total(columns, 2) - width; over > 0 {
			columns[c] = max(min(columns[c], 6), columns[c]-over)
		}
	}
	gap := 2
	if total(columns, gap) > width {
		gap = 1 // beside the place of a star
	}
	body := widths(table[1:])
	for total(columns, gap) > width { // names of arms, the longest first
		slack := func(c int) int { return columns[c] - max(body[c], 6) }
		c := 3
		for i := range columns[3:] {
			if slack(3+i) > slack(c) {
				c = 3 + i
			}
		}
		if slack(c) <= 0 {
			break
		}
		columns[c]--
	}
	var b strings.Builder
	starred := false
	for i, line := range table {
		var text strings.Builder
		for c, cell := range line {
			if i == 0 && c > 2 {
				cell = cut(strings.TrimSpace(cell), columns[c]-1) + " " // numbers have a place for a star there
			} else {
				cell = cut(cell, columns[c])
			}
			pad := strings.Repeat(" ", columns[c]-run.DisplayWidth(cell))
			if c > 0 {
				text.WriteString(strings.Repeat(" ", gap))
			}
			if c < 2 {
				text.WriteString(cell + pad)
			} else {
				text.WriteString(pad + cell)
			}
			starred = starred || i > 0 && c > 2 && strings.HasSuffix(cell, "*")
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
		if i == 0 {
			b.WriteString(strings.Repeat("─", total(columns, gap)) + "\n")
		}
	}
	notes := []string{"↑ higher is better, ↓ lower"}
	if starred {
		notes = append(notes, "* best, beyond the spread")
	}
	if strings.Contains(b.String(), "±") {
		notes = append(notes, "± over draws of labels")
	}
	b.WriteString(cut(strings.Join(notes, "; "), width) + "\n")
	return b.String(), total(columns, gap) <= width
}

// cells lays out the lines with the arms at the given places; spreads is how many of them, from the left, show theirs.
func cells(all []row, columns []int, spreads int) [][]string {
	head := []string{"task", "metric", "labels"}
	for _, a := range columns {
		head = append(head, arms[a]+" ")
	}
	table := [][]string{head}
	task, metric := "", ""
	for _, r := range all {
		line := []string{"", "", r.labels}
		if r.result.Task != task {
			task, metric = r.result.Task, ""
			line[0] = task
		}
		if name := strings.TrimSpace(r.metric + " " + arrow(r.better)); name != metric {
			metric = name
			line[1] = name
		}
		d := decimals(ofMetric(all, r.metric, r.result))
		for i, a := range columns {
			s := r.arm[a]
			if s == nil {
				line = append(line, "– ")
				continue
			}
			text := fixed(s.Mean, d)
			if i < spreads && s.Std > 0 {
				text += " ± " + fixed(s.Std, d)
			}
			mark := " "
			if r.best == a {
				mark = "*"
			}
			line = append(line, text+mark)
		}
		table = append(table, line)
	}
	return table
}

func widths(table [][]string) []int {
	w := make([]int, len(table[0]))
	for _, line := range table {
		for c, cell := range line {
			w[c] = max(w[c], run.DisplayWidth(cell))
		}
	}
	return w
}

// total is the width of a line with gap blanks between columns.
func total(widths []int, gap int) int {
	n := gap * (len(widths) - 1)
	for _, w := range widths {
		n += w
	}
	return n
}

// cut shortens s to columns, with an ellipsis.
func cut(s string, columns int) string {
	if run.DisplayWidth(s) <= columns {
		return s
	}
	for s != "" && run.DisplayWidth(s) > columns-1 {
		r := []rune(s)
		s = string(r[:len(r)-1])
	}
	return s + "…"
}
