package report

import (
	"bytes"
	_ "embed" // the page and its style
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/asterism-ssl/asterism/core/run"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	style string

	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(style) },
		"url":   func(s string) template.URL { return template.URL(s) }, // data URIs made here
	}).Parse(pageText))
)

// page is everything that page.html shows, in words: the template only places it.
type page struct {
	Name     string
	Lead     string
	Banner   string   // what a run that is not done says
	Problems []string // damaged files
	Facts    []fact
	Sources  []source
	Notices  []notice
	Arms     []arm
	Span     int // columns of the table of results
	Results  []resultTask
	Rule     string
	Curves   []*chart
	CurvesNo string // why there are none

	CurvesNote string
	Waits      string // for which plugins training waited
	Plan       *plan
	Tasks      []task
	Atlas      *atlas
	Stages     []stage
	Experiment,
	Resolved string
	Provenance []fact
}

type fact struct {
	Name, Value string
	Code        bool
}

type source struct{ Component, Count, Shape, Bands, Flux, Columns string }

type notice struct {
	Where, What, Count string
	Examples           []string
	More               string
}

// arm is a column of the table of results.
type arm struct {
	run.Arm
	Title string
	Last  bool
}

type resultTask struct {
	Name, About string
	ID          string
	Rows        []resultRow
	Docs        []fact
}

type resultRow struct {
	Metric, Arrow, Direction string
	Span                     int // lines that the metric's name covers; 0: covered by the one above
	Labels                   string
	Arms                     []resultCell
}

type resultCell struct {
	Mean, Std string
	Best      bool
	Reader    string // every draw
}

type plan struct {
	Objective string
	Facts     []fact
	Views     []planView
	Networks  []network
	Layers    []run.PlanLayer
}

type planView struct {
	Name, Frame string
	Links       []planLink
	Sheet       *sheet // may be nil
}

type planLink struct{ Number, Component, Shape, Bands string }

type network struct {
	Role, Name, Component, Parameters, FLOPs, Output string
	Layers                                           []layer
}

type layer struct{ Name, Op, Shape, FLOPs string }

type task struct {
	Name, ID, About, Missing string
	Matrices                 []*matrix
	Charts                   []*chart
	Equal                    []equal
	Panels                   []*panels
	Problems                 []string
}

type panels struct {
	Title, Value string
	Seen         bool // pictures show what part of them the encoder sees
	Lines        []panelLine
}

type panelLine struct {
	Query   picture
	Answers []picture
}

type picture struct {
	ID, Label, Value, Alt string
	Source                template.URL // empty: the file is missing
	Seen                  *outline     // nil: all of it, or not known
}

type stage struct {
	Name, Key, Short, State, Took string
	Share                         float64
}

func newPage(f *files) *page {
	defer f.root.Close()
	p := &page{Name: filepath.Base(f.dir), Rule: bestRule}
	m := f.manifest
	switch {
	case m != nil && m.Name != "":
		p.Name = m.Name
	case f.plan != nil && f.plan.Name != "":
		p.Name = f.plan.Name
	}
	p.data(f)
	p.results(f)
	p.head(f)
	p.Curves = curves(f.metrics, metricNames(f.metrics))
	switch {
	case len(p.Curves) > 0:
	case len(f.metrics) > 0:
		p.CurvesNo = "Too few steps were recorded to draw."
	case f.plan != nil && f.plan.Encoder.Weights != nil && f.plan.Epochs == 0:
		p.CurvesNo = "Nothing was trained: the encoder is that of " + f.plan.Encoder.Weights.From + "."
	case m != nil && trainReused(m):
		p.CurvesNo = "The encoder was taken over from an earlier run whose record of training is not in this directory."
	default:
		p.CurvesNo = "Training has recorded nothing yet: metrics.jsonl is missing or empty."
	}
	if n := len(f.metrics); n > 0 && len(f.metrics[n-1].Waits) > 0 {
		p.Waits = "Of the time of training the network waited for plugins: " + run.WaitText(f.metrics[n-1].Waits, 0) + "."
	}
	if f.badLines > 0 {
		p.CurvesNote = plural(f.badLines, "line of metrics.jsonl is", "lines of metrics.jsonl are") + " left out: not whole."
	}
	p.Plan = newPlan(f)
	p.Atlas = newAtlas(f)
	p.tasks(f)
	p.stages(m)
	p.Experiment = text(f.experiment)
	var pretty bytes.Buffer
	if json.Indent(&pretty, f.resolved, "", "  ") == nil {
		p.Resolved = pretty.String()
	}
	p.provenance(f)
	p.Problems = append(p.Problems, f.problems...) // last: reading pictures may have added some
	return p
}

func trainReused(m *run.Manifest) bool {
	return slices.ContainsFunc(m.Stages, func(s run.StageRecord) bool { return s.Name == "train" && s.Reused })
}

func metricNames(lines []run.MetricLine) []string {
	names := map[string]bool{}
	for _, l := range lines {
		for name := range l.Metrics {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// head says what was run, and how it ended when not well.
func (p *page) head(f *files) {
	m := f.manifest
	learned := 0
	if f.plan != nil {
		for _, s := range f.plan.Sources {
			learned += s.Count
		}
		p.Lead = fmt.Sprintf("Representations learned from the training part of %s", plural(learned, "object", "objects"))
		if len(f.plan.Frame.Shape) > 0 {
			p.Lead += " of " + shapeText(f.plan.Frame.Shape)
			if b := f.plan.Frame.Bands; len(b) > 0 {
				p.Lead += " (the last axis holds the bands " + strings.Join(b, ", ") + ")"
			}
		}
		if f.plan.Objective != "" {
			p.Lead += " by " + f.plan.Objective
		}
		switch n := len(f.plan.Tasks); {
		case n > 0:
			p.Lead += ", then asked " + plural(n, "question", "questions") + "."
		default:
			p.Lead += "."
		}
	}
	if m == nil {
		p.Banner = "The run's record, manifest.json, is missing: how this run ended, when and where it was made are unknown."
		p.seed(f)
		return
	}
	again := m.Experiment
	if again == "" {
		again = "the experiment"
	}
	switch m.Status {
	case "done":
	case "interrupted":
		p.Banner = "This run was interrupted"
		if n := len(f.metrics); n > 0 {
			p.Banner += fmt.Sprintf(" after training step %s", count(f.metrics[n-1].Step))
		}
		p.Banner += ". What it had made is below. Run " + again + " again to continue."
	case "failed":
		p.Banner = "This run failed. What it had made is below."
		if m.Error != "" {
			p.Banner = "This run failed: " + strings.TrimSuffix(m.Error, ".") + ". What it had made is below."
		}
	case "running":
		p.Banner = "This run had not ended when the report was written. What it had made by then is below."
	default:
		p.Banner = fmt.Sprintf("How this run ended is not recorded (status %q).", m.Status)
	}
	add := func(name, value string) {
		if value != "" {
			p.Facts = append(p.Facts, fact{Name: name, Value: value})
		}
	}
	add("Started", clockText(m.Started))
	if !m.Finished.IsZero() && m.Finished.After(m.Started) {
		add("Took", run.Duration(m.Finished.Sub(m.Started)))
	}
	p.seed(f)
	add("Engine", m.Engines())
	add("Machine", machineText(m.Machine))
	if m.Version != "" {
		add("Made with", "Asterism "+m.Version)
	}
}

func (p *page) seed(f *files) {
	var resolved struct {
		Seed *json.Number `json:"seed"`
	}
	if json.Unmarshal(f.resolved, &resolved) == nil && resolved.Seed != nil {
		p.Facts = append(p.Facts, fact{Name: "Seed", Value: resolved.Seed.String()})
	}
}

func machineText(m run.Machine) string {
	parts := []string{}
	if m.CPU != "" {
		parts = append(parts, m.CPU)
	}
	if m.Threads > 0 {
		parts = append(parts, plural(m.Threads, "thread", "threads"))
	}
	if m.OS != "" {
		parts = append(parts, strings.Trim(m.OS+"/"+m.Arch, "/"))
	}
	return strings.Join(parts, ", ")
}

func (p *page) data(f *files) {
	var all []run.Notice
	if f.plan != nil {
		for _, s := range f.plan.Sources {
			p.Sources = append(p.Sources, source{s.Component, count(s.Count), shapeText(s.Sample.Shape), strings.Join(s.Sample.Bands, ", "),
				fluxText(s.Sample.Flux), strings.Join(s.Columns, ", ")})
			all = append(all, s.Notices...)
		}
	}
	if f.manifest != nil { // what was met while the data were read replaces what the headers let expect
		for _, n := range f.manifest.Notices {
			all = slices.DeleteFunc(all, func(o run.Notice) bool { return o.Where == n.Where && o.What == n.What })
			all = append(all, n)
		}
	}
	for _, n := range all {
		const most = 20
		shown := notice{Where: n.Where, What: n.What, Count: count(n.Count), Examples: n.Examples[:min(most, len(n.Examples))]}
		if rest := n.Count - len(shown.Examples); rest > 0 && len(shown.Examples) > 0 {
			shown.More = "and " + plural(rest, "more", "more")
		}
		p.Notices = append(p.Notices, shown)
	}
}

func fluxText(flux string) string {
	switch strings.ToLower(flux) {
	case "linear":
		return "linear: proportional to light"
	case "stretched":
		return "stretched for display"
	case "", "flux_unspecified":
		return "not said"
	}
	return flux
}

func (p *page) results(f *files) {
	var all []row
	for i := range f.tasks {
		all = append(all, rows(&f.tasks[i])...)
	}
	columns := shown(all)
	p.Span = 2 + len(columns)
	for i, a := range columns {
		name := arms[a]
		p.Arms = append(p.Arms, arm{run.Arms[a], strings.ToUpper(name[:1]) + name[1:], i == len(columns)-1})
	}
	for i := range f.tasks {
		r := &f.tasks[i]
		list := rows(r)
		if len(list) == 0 {
			continue
		}
		t := resultTask{Name: r.Task, ID: taskID(r.Task), About: taskAbout(r)}
		for i, l := range list {
			line := resultRow{Metric: l.metric, Arrow: arrow(l.better), Labels: l.labels}
			if l.better == "higher" || l.better == "lower" {
				line.Direction = l.better + " is better"
			}
			if l.labels == "all" && r.FitRows > 0 {
				line.Labels = "all " + count(r.FitRows)
			} else if n := labelCount(l.labels, -1); n >= 0 {
				line.Labels = count(n)
			}
			if i == 0 || list[i-1].metric != l.metric {
				for line.Span = 1; i+line.Span < len(list) && list[i+line.Span].metric == l.metric; line.Span++ {
				}
				if l.doc != "" {
					t.Docs = append(t.Docs, fact{Name: l.metric, Value: sentence(l.doc)})
				}
			}
			d := decimals(ofMetric(list, l.metric, r))
			for _, a := range columns {
				s, c := l.arm[a], resultCell{Mean: "–"}
				if s != nil {
					c.Mean, c.Best = fixed(s.Mean, d), l.best == a
					if s.Std > 0 {
						c.Std = fixed(s.Std, d)
					}
					if len(s.Draws) > 1 {
						draws := make([]string, len(s.Draws))
						for k, v := range s.Draws {
							draws[k] = fixed(v, d)
						}
						c.Reader = fmt.Sprintf("%d draws: %s", len(draws), strings.Join(draws, ", "))
					}
				}
				line.Arms = append(line.Arms, c)
			}
			t.Rows = append(t.Rows, line)
		}
		p.Results = append(p.Results, t)
	}
}

func taskAbout(r *run.TaskResult) string {
	var parts []string
	if r.Component != "" {
		parts = append(parts, r.Component)
	}
	if r.ScoreRows > 0 {
		part := r.Part
		if part == "" {
			part = "scored"
		}
		parts = append(parts, fmt.Sprintf("measured on %s %s, which training never saw", count(r.ScoreRows), plainPart(part, r.ScoreRows)))
		if part == "train" {
			parts[len(parts)-1] = fmt.Sprintf("measured on %s", plural(r.ScoreRows, "training object", "training objects"))
		}
	}
	return strings.Join(parts, ", ")
}

func plainPart(part string, n int) string {
	if n == 1 {
		return part + " object"
	}
	return part + " objects"
}

func newPlan(f *files) *plan {
	p := f.plan
	if p == nil {
		return nil
	}
	sheets := f.sheets()
	out := &plan{Objective: p.Objective}
	for _, f := range p.Facts {
		out.Facts = append(out.Facts, fact{Name: f.Name, Value: f.Value})
	}
	for _, v := range p.Views {
		view := planView{Name: v.Name, Frame: shapeText(p.Frame.Shape), Sheet: sheets[v.Name]}
		before := p.Frame.Bands
		for i, l := range v.Links {
			link := planLink{Number: fmt.Sprint(i + 1), Component: l.Component, Shape: shapeText(l.Leaves.Shape)}
			if !slices.Equal(before, l.Leaves.Bands) {
				link.Bands = strings.Join(l.Leaves.Bands, ", ")
			}
			before = l.Leaves.Bands
			view.Links = append(view.Links, link)
		}
		out.Views = append(out.Views, view)
	}
	if p.Encoder.Name != "" || p.Encoder.Component != "" {
		out.Networks = append(out.Networks, newNetwork("encoder", p.Encoder))
	}
	for _, h := range p.Heads {
		out.Networks = append(out.Networks, newNetwork("head", h))
	}
	return out
}

func newNetwork(role string, n run.PlanNetwork) network {
	out := network{role, n.Name, n.Component, large(n.Parameters), large(n.FLOPs), shapeText(n.Output), nil}
	for _, l := range n.Layers {
		out.Layers = append(out.Layers, layer{l.Name, l.Op, shapeText(l.Shape), large(l.FLOPs)})
	}
	return out
}

func (p *page) stages(m *run.Manifest) {
	if m == nil {
		return
	}
	longest := 0.0
	for _, s := range m.Stages {
		longest = max(longest, s.Seconds)
	}
	for _, s := range m.Stages {
		line := stage{Name: s.Name, Key: s.Key, Short: s.Key[:min(12, len(s.Key))], State: "computed", Took: spanText(s.Seconds)}
		if s.Reused {
			line.State = "reused"
		}
		if by := s.By(); by != "" {
			line.State += ", by " + by
		}
		if text := run.WaitText(s.Waits, 0); text != "" {
			line.State += ", waiting for " + text
		}
		if longest > 0 {
			line.Share = math.Round(1000*s.Seconds/longest) / 10
		}
		p.Stages = append(p.Stages, line)
	}
}

func (p *page) provenance(f *files) {
	add := func(name, value string, code bool) {
		if value != "" {
			p.Provenance = append(p.Provenance, fact{name, value, code})
		}
	}
	if m := f.manifest; m != nil {
		add("Run", m.ID, true)
		add("Experiment file", m.Experiment, true)
		add("Command", commandText(m.Command), true)
		add("Started", clockText(m.Started), false)
		add("Finished", clockText(m.Finished), false)
		add("Asterism", m.Version, false)
		add("SHA-256 of the program", m.Binary, true)
		add("Engine", m.Engines(), false)
		add("Machine", machineText(m.Machine), false)
		var list []string
		for _, name := range slices.Sorted(maps.Keys(m.Plugins)) {
			list = append(list, name+" "+m.Plugins[name])
		}
		add("Plugins", strings.Join(list, ", "), false)
	}
}

// commandText writes a command so that a shell takes it as it was.
func commandText(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; w == "" || strings.ContainsAny(w, " \t\n'\"\\`$&|;<>()*?[]{}~#!") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// text makes file content fit for the page.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }

// sentence gives s a capital and a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	second, _ := utf8.DecodeRuneInString(s[size:])
	if unicode.IsLower(first) && first < 0x250 && unicode.IsLower(second) && !strings.Contains(strings.SplitN(s, " ", 2)[0], ".") {
		s = string(unicode.ToUpper(first)) + s[size:]
	}
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}
