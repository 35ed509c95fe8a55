package run

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Summary says in a few lines what a run is going to do.
func Summary(p *Plan, name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", name)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	var sources []string
	for _, s := range p.Sources {
		sources = append(sources, fmt.Sprintf("%d objects of %s", s.Count, s.Component))
	}
	fmt.Fprintf(w, "  data\t%s, brought to %s\n", strings.Join(sources, ", "), p.Frame)
	learner := p.Encoder.Component
	if p.Encoder.Weights != nil {
		learner += " from " + p.Encoder.Weights.From
	}
	if p.Epochs == 0 { // as only an encoder with given weights may
		fmt.Fprintf(w, "  take\t%s as it is, without learning\n", learner)
	} else {
		fmt.Fprintf(w, "  learn\t%s with %s: %s", learner, p.Objective, p.fact("trained parameters"))
		fmt.Fprintf(w, " parameters in %s, %s steps, %s each\n", p.fact("precision"), p.fact("steps"), p.fact("work of a step"))
	}
	if p.Engine != "" {
		fmt.Fprintf(w, "  on\t%s\n", p.Engine)
	}
	for _, t := range p.Tasks {
		fmt.Fprintf(w, "  answer\t%s by %s, with %s labels\n", t.Name, t.Component, strings.Join(t.Labels, ", "))
	}
	w.Flush()
	return b.String()
}

// fact is the value of one line of the plan.
func (p *Plan) fact(name string) string {
	for _, f := range p.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return "?"
}

// String writes a shape as "64×64×5 (u g r i z)".
func (s Shape) String() string {
	text := dimensions(s.Shape)
	if len(s.Bands) > 0 {
		text += " (" + strings.Join(s.Bands, " ") + ")"
	}
	return text
}

func dimensions(shape []int64) string {
	parts := make([]string, len(shape))
	for i, n := range shape {
		parts[i] = fmt.Sprint(n)
	}
	return strings.Join(parts, "×")
}

// Details is the whole plan as text.
func Details(p *Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", p.Name)
	section := func(title string, body func(w *tabwriter.Writer)) {
		fmt.Fprintf(&b, "\n%s\n", title)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		body(w)
		w.Flush()
	}
	section("data", func(w *tabwriter.Writer) {
		for _, s := range p.Sources {
			columns := "no columns"
			if len(s.Columns) > 0 {
				columns = "columns " + strings.Join(s.Columns, ", ")
			}
			fmt.Fprintf(w, "  %s\t%d objects\t%s\t%s\n", s.Component, s.Count, s.Sample, columns)
			for _, n := range s.Notices {
				fmt.Fprintf(w, "    note: %d %s\n", n.Count, n.What)
			}
		}
		fmt.Fprintf(w, "  frame\t\t%s\t%s\n", p.Frame, p.Frame.Flux)
	})
	for _, v := range p.Views {
		section("view "+v.Name, func(w *tabwriter.Writer) {
			for _, l := range v.Links {
				fmt.Fprintf(w, "  %s\t%s\t%s\n", l.Component, dimensions(l.Leaves.Shape), l.Leaves.Flux)
			}
			if len(v.Links) == 0 {
				fmt.Fprintf(w, "  the frame as it is\n")
			}
		})
	}
	section("encoder "+p.Encoder.Component, func(w *tabwriter.Writer) {
		for _, r := range fold(p.Encoder.Layers) {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", r.name(), r.ops(), dimensions(r.layers[len(r.layers)-1].Shape), r.work())
		}
		fmt.Fprintf(w, "  in all\t%d parameters\t%s\t%.2f MFLOP a sample\n", p.Encoder.Parameters, dimensions(p.Encoder.Output), float64(p.Encoder.FLOPs)/1e6)
	})
	section("objective "+p.Objective, func(w *tabwriter.Writer) {
		for _, h := range p.Heads {
			fmt.Fprintf(w, "  head %s\t%d parameters, leaves %s\n", h.Name, h.Parameters, dimensions(h.Output))
		}
		for _, f := range p.Facts {
			fmt.Fprintf(w, "  %s\t%s\n", f.Name, f.Value)
		}
	})
	section("tasks", func(w *tabwriter.Writer) {
		for _, t := range p.Tasks {
			fmt.Fprintf(w, "  %s\t%s\twith %s labels\n", t.Name, t.Component, strings.Join(t.Labels, ", "))
		}
	})
	return b.String()
}
