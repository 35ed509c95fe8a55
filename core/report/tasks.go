package report

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
)

// tasks lays out what each task has to show, and which have not been answered.
func (p *page) tasks(f *files) {
	planned := map[string]run.PlanTask{}
	if f.plan != nil {
		for _, t := range f.plan.Tasks {
			planned[t.Name] = t
		}
	}
	for i := range f.tasks {
		r := &f.tasks[i]
		delete(planned, r.Task)
		t := task{Name: r.Task, ID: taskID(r.Task), About: sentence(taskAbout(r))}
		list := rows(r)
		var seen []string
		for _, l := range list {
			if slices.Contains(seen, l.metric) {
				continue
			}
			seen = append(seen, l.metric)
			if c := efficiency(list, l.metric, r.FitRows); c != nil && len(t.Charts) < 6 {
				t.Charts = append(t.Charts, c)
			}
		}
		t.Equal = equals(r)
		for _, fig := range r.Figures {
			t.figure(f, r, fig)
		}
		if len(t.Matrices)+len(t.Charts)+len(t.Panels)+len(t.Problems) == 0 {
			t.Missing = "This task draws nothing; its numbers are in the table of results."
			if len(list) == 0 {
				t.Missing = "This task has neither numbers nor figures."
			}
		}
		p.Tasks = append(p.Tasks, t)
	}
	for _, name := range slices.Sorted(maps.Keys(planned)) {
		p.Tasks = append(p.Tasks, task{Name: name, ID: taskID(name), About: planned[name].Component + ".",
			Missing: "Not answered yet: there is no tasks/" + name + "/result.json."})
	}
	slices.SortStableFunc(p.Tasks, func(a, b task) int { return strings.Compare(a.Name, b.Name) })
}

func taskID(name string) string { return "task-" + name }

func (t *task) figure(f *files, r *run.TaskResult, fig run.FigureAs) {
	if len(fig.Lines) > 0 || len(fig.Data) > 0 {
		data := &protocol.Figure{}
		if len(fig.Data) > 0 {
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(fig.Data, data); err != nil {
				t.Problems = append(t.Problems, "A figure is damaged: "+err.Error()+".")
				return
			}
		}
		switch is := data.Is.(type) {
		case *protocol.Figure_Matrix:
			m, err := newMatrix(data.Title, is.Matrix)
			if err != nil {
				t.Problems = append(t.Problems, "A matrix is damaged: "+err.Error()+".")
				return
			}
			t.Matrices = append(t.Matrices, m)
			return
		case *protocol.Figure_Scatter:
			t.Charts = append(t.Charts, scatter(data.Title, is.Scatter))
			return
		}
		if len(fig.Lines) == 0 {
			t.Problems = append(t.Problems, fmt.Sprintf("The figure %q holds nothing that can be drawn.", data.Title))
			return
		}
		value := "similarity"
		if data.GetPanels().GetValueLabel() != "" {
			value = data.GetPanels().GetValueLabel()
		}
		seen := newOutline(f.plan)
		out := &panels{Title: data.Title, Value: value, Seen: seen != nil}
		for _, l := range fig.Lines {
			line := panelLine{Query: f.picture(r.Task, l.Query, "query")}
			line.Query.Seen = seen
			for _, a := range l.Answers {
				shown := f.picture(r.Task, a, "answer")
				shown.Value, shown.Seen = fixed(a.Value, 3), seen
				shown.Alt += ", " + value + " " + shown.Value
				line.Answers = append(line.Answers, shown)
			}
			out.Lines = append(out.Lines, line)
		}
		t.Panels = append(t.Panels, out)
	}
}

// picture reads a PNG of a task. What is not a PNG inside the run directory is said to be missing.
func (f *files) picture(task string, o run.PanelObject, role string) picture {
	p := picture{ID: o.ID, Label: o.Label, Alt: role + " " + o.ID}
	if o.Label != "" {
		p.Alt += ", " + o.Label
	}
	if o.Image == "" {
		return p
	}
	p.Source = f.png(path.Join("tasks", task, path.Clean("/" + filepath.ToSlash(o.Image))[1:]))
	return p
}
