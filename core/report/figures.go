package report

import (
	"bytes"
	_ "embed" // the figure
	"encoding/csv"
	"html/template"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/run"
)

// What a report leaves beside its page, for papers and for other programs.
const (
	FiguresDir = "figures"     // every chart of the page as SVG and PNG
	NumbersCSV = "results.csv" // every score
)

//go:embed figure.svg.tmpl
var figureText string

var figureTemplate = template.Must(template.New("figure").Funcs(template.FuncMap{
	"url": func(s string) template.URL { return template.URL(s) }, // data URIs made here
	"add": func(a, b float64) float64 { return a + b },
}).Parse(figureText))

// writeFigures writes the charts of a page as files of their own, in place of those of an earlier report.
func writeFigures(runDir string, p *page) error {
	failed := func(err error) error {
		return &fault.Error{Op: "report", Kind: fault.Resource, Where: filepath.Join(runDir, FiguresDir), What: "cannot write the figures", Err: err}
	}
	dir := filepath.Join(runDir, FiguresDir)
	if err := os.RemoveAll(dir); err != nil {
		return failed(err)
	}
	used := map[string]bool{}
	write := func(of string, c *chart) error {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return failed(err)
		}
		name := slug(of + " " + c.Title)
		for used[name] {
			name += "-again"
		}
		used[name] = true
		var b bytes.Buffer
		b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
		if err := figureTemplate.Execute(&b, c); err != nil {
			return &fault.Error{Op: "report", Kind: fault.Internal, Where: runDir, What: "cannot lay out the figure " + c.Title, Err: err}
		}
		if err := run.WriteFile(filepath.Join(dir, name+".svg"), b.Bytes()); err != nil {
			return err
		}
		dots, err := rasterise(c)
		if err != nil {
			return &fault.Error{Op: "report", Kind: fault.Internal, Where: runDir, What: "cannot draw the figure " + c.Title, Err: err}
		}
		return run.WriteFile(filepath.Join(dir, name+".png"), dots)
	}
	for _, t := range p.Tasks {
		for _, c := range t.Charts {
			if err := write(t.Name, c); err != nil {
				return err
			}
		}
	}
	if p.Atlas != nil {
		for _, c := range p.Atlas.Charts {
			if err := write("", c); err != nil {
				return err
			}
		}
	}
	for _, c := range p.Curves {
		if err := write("training", c); err != nil {
			return err
		}
	}
	return nil
}

// slug makes a file's name of words.
func slug(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), "-")
}

// writeNumbers writes every score, a line each; draws are divided by blanks.
func writeNumbers(runDir string, results []run.TaskResult) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"task", "component", "metric", "better", "labels", "arm", "mean", "std", "draws"})
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	for _, r := range results {
		for _, s := range r.Scores {
			var draws []string
			for _, d := range s.Draws {
				draws = append(draws, number(d))
			}
			w.Write([]string{r.Task, r.Component, s.Metric, s.Better, s.Labels, s.Arm, number(s.Mean), number(s.Std), strings.Join(draws, " ")})
		}
	}
	w.Flush() // to memory
	return run.WriteFile(filepath.Join(runDir, NumbersCSV), b.Bytes())
}
