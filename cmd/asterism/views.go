package main

import (
	_ "embed" // the page
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
	"github.com/asterism-ssl/asterism/core/run"
)

func (a *app) viewsCommand() *cobra.Command {
	f := new(experimentFlags)
	var view, out string
	var samples, draws int
	var open bool
	c := &cobra.Command{
		Use: "views FILE", Short: "Draw samples and what the views make of them, step by step",
		Long: `Views reads the data of an experiment and draws some training samples, spread over all, with what a pipeline of
augmentations makes of each after every step: the very draws that training compares in its first epoch, and in the next. Look
at them before a long training: what two views of one object share is what the encoder learns, and what they do not share it
learns to ignore.
Pictures have a stretch of their own, but for pixels that were stretched already.`,
		Example: "  asterism views experiments/quickstart.cue --open\n  asterism views experiments/efigi.cue --view eval --out eval.png",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			for flag, n := range map[string]int{"samples": samples, "draws": draws} {
				if n < 1 || n > 1000 {
					return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--%s %d is not a number from 1 to 1000", flag, n), Do: "give a few, such as --" + flag + " 4"}
				}
			}
			ending := strings.ToLower(filepath.Ext(out))
			if out != "" && ending != ".png" && ending != ".html" {
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--out %s is neither a picture nor a page", out), Do: "end it in .png or .html"}
			}
			fl, x, end, err := a.flow(c, args[0], f)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			if out == "" {
				out = x.Name + "-views.html"
				if open {
					out = filepath.Join(os.TempDir(), fmt.Sprintf("asterism-%d-%s", os.Getpid(), out))
				}
			}
			steps, err := fl.DrawViews(c.Context(), view, samples, draws)
			if err != nil {
				return interrupted(c, err)
			}
			sheet := newSheet(x.Name, steps)
			err = run.WriteTo(out, func(w io.Writer) error {
				if strings.HasSuffix(strings.ToLower(out), ".png") {
					return png.Encode(w, sheet.picture())
				}
				return sheetTemplate.Execute(w, sheet)
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]any{"file": out, "view": view, "steps": sheet.Steps, "lines": len(sheet.Lines)})
			}
			fmt.Fprintf(a.out, "%s: %d views of %d samples, %s\n", out, len(sheet.Lines), sheet.samples(), strings.Join(sheet.Steps, " → "))
			if open {
				return openInBrowser(out)
			}
			return nil
		},
	}
	f.addTo(c)
	c.Flags().StringVar(&view, "view", "train", "the pipeline, a field of the experiment's views")
	c.Flags().IntVar(&samples, "samples", 6, "samples to draw")
	c.Flags().IntVar(&draws, "draws", 2, "views of each")
	c.Flags().StringVar(&out, "out", "", "file to write, .html or .png (default: NAME-views.html)")
	c.Flags().BoolVar(&open, "open", false, "open it in the browser")
	c.Flags().IntVar(&f.threads, "threads", 0, "processors to use (0: all)")
	return c
}

// sheet is views as pictures.
type sheet struct {
	Name, View string
	Steps      []string // "stored", "sky.rotate", …
	Shapes     []string // of what leaves each
	Lines      []sheetLine
}

type sheetLine struct {
	ID      string
	Draw    string // "query, epoch 1"
	First   bool   // of its sample
	Cutouts []image.Image
}

func newSheet(name string, v *flow.ViewSteps) *sheet {
	s := &sheet{Name: name, View: v.View}
	for _, step := range v.Steps {
		title := step.Component
		if title == "" {
			title = "stored"
		}
		var shape []string
		for _, n := range step.Facts.Shape {
			shape = append(shape, fmt.Sprint(n))
		}
		s.Steps, s.Shapes = append(s.Steps, title), append(s.Shapes, strings.Join(shape, "×"))
	}
	for i, l := range v.Lines {
		line := sheetLine{ID: l.ID, Draw: fmt.Sprintf("%s, epoch %d", l.Name, l.Epoch+1), First: i == 0 || v.Lines[i-1].ID != l.ID}
		for k, pixels := range l.Pixels {
			facts := v.Steps[k].Facts
			shape := make([]int, len(facts.Shape))
			for i, n := range facts.Shape {
				shape[i] = int(n)
			}
			line.Cutouts = append(line.Cutouts, thumbnail.Of(pixels, shape, facts.Bands, facts.Flux))
		}
		s.Lines = append(s.Lines, line)
	}
	return s
}

// samples is how many samples the lines are of.
func (s *sheet) samples() int {
	n := 0
	for _, l := range s.Lines {
		if l.First {
			n++
		}
	}
	return n
}

// picture draws the sheet: a line a view, a column a step.
func (s *sheet) picture() image.Image {
	const side, gap = 112, 6
	sheet := image.NewRGBA(image.Rect(0, 0, len(s.Steps)*(side+gap)+gap, len(s.Lines)*(side+gap)+gap))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	for y, l := range s.Lines {
		for x, m := range l.Cutouts {
			at := image.Pt(gap+x*(side+gap), gap+y*(side+gap))
			draw.Draw(sheet, image.Rectangle{at, at.Add(image.Pt(side, side))}, thumbnail.Scaled(m, side, side), image.Point{}, draw.Src)
		}
	}
	return sheet
}

//go:embed views.html
var sheetPage string

var sheetTemplate = template.Must(template.New("views").Funcs(template.FuncMap{
	"picture": func(m image.Image) (template.URL, error) {
		var b strings.Builder
		b.WriteString("data:image/png;base64,")
		w := base64.NewEncoder(base64.StdEncoding, &b)
		err := png.Encode(w, m)
		return template.URL(b.String()), errors.Join(err, w.Close())
	},
}).Parse(sheetPage))
