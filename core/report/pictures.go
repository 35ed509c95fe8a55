package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/png"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/run"
)

// What the report shows of samples: their views, where they lie, and which part of them the encoder sees.

// sheet is what a pipeline makes of samples.
type sheet struct {
	Heads []string // of the columns
	Lines []sheetLine
}

type sheetLine struct {
	ID, Draw string
	Cells    []picture
}

// sheets reads the pictures of every pipeline, by its name.
func (f *files) sheets() map[string]*sheet {
	all := map[string]*sheet{}
	kept := readJSON[[]run.Sheet](f, path.Join(run.PicturesDir, run.SheetsFile))
	if kept == nil {
		return all
	}
	for _, s := range *kept {
		out := &sheet{}
		for _, step := range s.Steps {
			if step == "" {
				step = "as stored"
			}
			out.Heads = append(out.Heads, step)
		}
		for _, l := range s.Lines {
			line := sheetLine{ID: l.ID, Draw: fmt.Sprintf("%s, epoch %d", l.Name, l.Epoch+1)}
			if len(s.Lines) == 0 || l.Name == s.View {
				line.Draw = l.Name
			}
			for i, image := range l.Images {
				p := picture{ID: l.ID, Alt: l.ID}
				if i < len(out.Heads) {
					p.Alt += ", " + out.Heads[i]
				}
				p.Source = f.png(path.Join(run.PicturesDir, path.Clean("/" + filepath.ToSlash(image))[1:]))
				line.Cells = append(line.Cells, p)
			}
			out.Lines = append(out.Lines, line)
		}
		all[s.View] = out
	}
	return all
}

// png reads a picture of the run directory as a data URI. What is not a PNG is said to be missing.
func (f *files) png(name string) template.URL {
	b := f.bytes(name)
	if b == nil {
		return ""
	}
	if _, err := png.DecodeConfig(bytes.NewReader(b)); err != nil {
		f.problems = append(f.problems, name+" is not a PNG picture.")
		return ""
	}
	return template.URL(dataURI(b))
}

// atlas is the map of the representations.
type atlas struct {
	About  string
	Charts []*chart
	Mosaic picture
	W, H   int // of the mosaic, in cells
}

// newAtlas reads the map; nil where there is none.
func newAtlas(f *files) *atlas {
	m := readJSON[run.Map](f, path.Join(run.PicturesDir, run.MapFile))
	if m == nil || len(m.Shown) == 0 {
		return nil
	}
	a := &atlas{W: m.Across, H: m.Down}
	a.About = fmt.Sprintf("%s of %s, each at the coordinates of its representation, of unit length, along the two principal axes of all shown, which hold %s and %s of the variance. Axes have no meaning of their own: what matters is what lies beside what.",
		plural(len(m.Shown), "object", "objects"), count(m.Objects), percent(m.Shares[0]), percent(m.Shares[1]))
	for _, l := range m.Labels {
		if c := mapChart(m, l); c != nil {
			a.Charts = append(a.Charts, c)
		}
	}
	if len(a.Charts) == 0 {
		a.Charts = append(a.Charts, mapChart(m, run.MapLabel{Values: make([]*float64, len(m.Shown))}))
	}
	if m.Mosaic != "" {
		a.Mosaic = picture{ID: "mosaic", Alt: "Pictures of objects over the map of their representations", Source: f.png(path.Join(run.PicturesDir, path.Clean("/" + m.Mosaic)[1:]))}
	}
	return a
}

// hues tell up to eight classes apart, also for eyes that see few colours: Okabe & Ito's set, the yellow darkened for white
// paper.
var hues = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b8860b", "#7a3fa0", "#6b7079"}

// ramp is for numbers, from low to high: even steps of lightness (after viridis).
var ramp = []string{"#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#b5c21f"}

// missing is the colour of objects without a label.
const missing = "#9aa1ac"

// mapChart draws the map coloured by one label.
func mapChart(m *run.Map, label run.MapLabel) *chart {
	if len(label.Values) != len(m.Shown) {
		return nil
	}
	names, of := groups(label)
	colours := ramp
	if len(label.Categories) > 0 {
		colours = hues
	}
	title := "Map of the representations"
	if label.Name != "" {
		title += ", by " + label.Name
	}
	const side = 440.0
	c := &chart{Title: title, XLabel: "first principal axis", YLabel: "second principal axis", W: side, H: side - 20, Plot: box{58, 12, side - 58 - 16, side - 20 - 12 - 46}}
	xl, xh, xAt := rounded(m.Low[0], m.High[0], 5)
	yl, yh, yAt := rounded(m.Low[1], m.High[1], 5)
	ax, ay := axis{xl, xh, c.Plot.X, c.Plot.Right(), false}, axis{yl, yh, c.Plot.Bottom(), c.Plot.Y, false}
	c.X, c.Y = tickLabels(xAt, ax), tickLabels(yAt, ay)
	paths, counts := make([]strings.Builder, len(names)+1), make([]int, len(names)+1)
	for i, d := range m.Shown {
		if !(d.X >= xl && d.X <= xh && d.Y >= yl && d.Y <= yh) {
			c.Clipped++
			continue
		}
		fmt.Fprintf(&paths[of[i]], "M%.1f %.1fh0", ax.at(d.X), ay.at(d.Y))
		counts[of[i]]++
	}
	var said []string
	for g := range paths {
		if counts[g] == 0 {
			continue
		}
		cloud := cloud{Name: "no value", Colour: missing, Path: paths[g].String()}
		if g < len(names) {
			cloud.Name, cloud.Colour = names[g], colours[g%len(colours)]
		}
		if label.Name == "" {
			cloud.Name = ""
		}
		c.Clouds = append(c.Clouds, cloud)
		said = append(said, fmt.Sprintf("%s %s", count(counts[g]), cloud.Name))
	}
	if c.Clipped > 0 {
		c.Note = plural(c.Clipped, "object lies", "objects lie") + " outside the frame."
	}
	c.Alt = title + ": " + strings.Join(said, ", ") + "."
	return c
}

// groups parts objects by a label: by its names, or numbers into parts of equal counts. Those without a value come last.
func groups(label run.MapLabel) (names []string, of []int) {
	of = make([]int, len(label.Values))
	if len(label.Categories) > 0 {
		names = label.Categories
		if len(names) > len(hues) {
			names = append(slices.Clone(names[:len(hues)-1]), "others")
		}
		for i, v := range label.Values {
			of[i] = len(names)
			if v != nil && *v >= 0 {
				of[i] = min(int(*v), len(names)-1)
			}
		}
		return names, of
	}
	var sorted []float64
	for _, v := range label.Values {
		if v != nil {
			sorted = append(sorted, *v)
		}
	}
	slices.Sort(sorted)
	var edges []float64 // lower ends of the groups
	for g := range ramp {
		if len(sorted) == 0 {
			break
		}
		if e := sorted[g*len(sorted)/len(ramp)]; len(edges) == 0 || e > edges[len(edges)-1] {
			edges = append(edges, e)
		}
	}
	for _, e := range edges {
		names = append(names, "≥ "+short(e))
	}
	for i, v := range label.Values {
		of[i] = len(names)
		if v != nil {
			at, found := slices.BinarySearch(edges, *v)
			if !found {
				at--
			}
			of[i] = max(at, 0)
		}
	}
	return names, of
}

// outline is the part of a picture that the encoder sees, in percent of its sides.
type outline struct{ Left, Top, Width, Height float64 }

// newOutline is what the eval views keep of pictures of the frame; nil where that is all, or not known.
func newOutline(p *run.Plan) *outline {
	if p == nil {
		return nil
	}
	for _, v := range p.Views {
		rank := len(p.Frame.Shape) - 1
		if v.Name != "eval" || v.Seen == nil || rank < 2 || len(v.Seen.From) != rank || len(v.Seen.Size) != rank {
			continue
		}
		share := func(n int64, axis int) float64 { return round1(100 * float64(n) / float64(p.Frame.Shape[axis])) }
		y, x := rank-2, rank-1 // pictures of volumes are seen along the first axis
		o := &outline{share(v.Seen.From[x], x), share(v.Seen.From[y], y), share(v.Seen.Size[x], x), share(v.Seen.Size[y], y)}
		if o.Width >= 100 && o.Height >= 100 {
			return nil
		}
		return o
	}
	return nil
}
