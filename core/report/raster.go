package report

import (
	"bytes"
	"encoding/base64"
	"image/color"
	"image/png"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

// A chart as PNG, for papers and slides: what figure.svg.tmpl writes as SVG, in dots.

const (
	rasterDPI   = 300
	rasterWidth = 10 * vg.Centimeter // a little more than a column of a journal
	rasterHead  = 24.0               // units of the chart above it, for title and legend, as in the SVG
)

// inks are the colours of the classes of lines, those of the page on white.
var inks = map[string]color.NRGBA{
	"learned": {31, 95, 168, 255}, "finetuned": {122, 63, 160, 255}, "supervised": {31, 122, 77, 255}, "untrained": {169, 87, 15, 255},
	"pixels": {162, 58, 82, 255}, "constant": {107, 112, 121, 255}, "raw": {31, 95, 168, 97},
}

var (
	inkText = color.NRGBA{51, 58, 69, 255}
	inkAxis = color.NRGBA{86, 93, 105, 255}
	inkGrid = color.NRGBA{221, 223, 224, 255}
	inkDots = color.NRGBA{31, 95, 168, 140}
	inkDiag = color.NRGBA{169, 87, 15, 255}

	faces = font.NewCache(liberation.Collection())
)

// raster draws charts.
type raster struct {
	canvas *vgimg.Canvas
	unit   vg.Length // of the chart
	height float64   // of the chart with its head, in its units
}

// rasterise draws a chart as a PNG of 300 dots an inch on white.
func rasterise(c *chart) ([]byte, error) {
	unit := rasterWidth / vg.Length(c.W)
	r := &raster{vgimg.NewWith(vgimg.UseWH(rasterWidth, unit*vg.Length(c.H+rasterHead)), vgimg.UseDPI(rasterDPI), vgimg.UseBackgroundColor(color.White)), unit, c.H + rasterHead}
	for _, t := range c.Y {
		r.line(inkGrid, 1, nil, [][2]float64{{c.Plot.X, t.At}, {c.Plot.Right(), t.At}})
		r.text(t.Label, c.Plot.X-7, t.At+4, 1, inkText)
	}
	r.line(inkAxis, 1, nil, [][2]float64{{c.Plot.X, c.Plot.Bottom()}, {c.Plot.Right(), c.Plot.Bottom()}})
	for _, t := range c.X {
		r.line(inkAxis, 1, nil, [][2]float64{{t.At, c.Plot.Bottom()}, {t.At, c.Plot.Bottom() + 5}})
		r.text(t.Label, t.At, c.Plot.Bottom()+19, 0.5, inkText)
	}
	r.text(c.XLabel, c.Plot.Right(), c.H-5, 1, inkText)
	r.text(c.YLabel, c.Plot.X, 2, 0, inkText)
	if data, ok := strings.CutPrefix(c.Image, "data:image/png;base64,"); ok {
		text, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, err
		}
		picture, err := png.Decode(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		low, high := r.at(c.Plot.X, c.Plot.Bottom()), r.at(c.Plot.Right(), c.Plot.Y)
		r.canvas.DrawImage(vg.Rectangle{Min: low, Max: high}, picture)
	}
	for _, cloud := range c.Clouds {
		r.dots(hex(cloud.Colour, 190), 2, cloud.Path)
	}
	r.dots(inkDots, 1.7, c.Dots)
	for _, l := range lines(c.Diag) {
		r.line(inkDiag, 1.4, []float64{6, 4}, l)
	}
	for _, s := range c.Series {
		ink, dashes, width := inks[s.Class], []float64(nil), 2.0
		switch s.Class {
		case "constant":
			dashes = []float64{5, 4}
		case "raw":
			width = 1.1
		}
		for _, l := range lines(s.Bars) {
			r.line(ink, 1.5, nil, l)
		}
		for _, l := range lines(s.Path) {
			r.line(ink, width, dashes, l)
		}
		for _, m := range s.Marks {
			r.disc(color.NRGBA{255, 255, 255, 255}, m.X, m.Y, 3.6, true)
			r.disc(ink, m.X, m.Y, 3.6, false)
		}
	}
	// The legend, from the right.
	x := c.Plot.Right()
	name := func(text string, ink color.NRGBA) {
		r.text(text, x, -10, 1, ink)
		x -= r.width(text) + 10
	}
	for i := len(c.Clouds) - 1; i >= 0; i-- {
		name(c.Clouds[i].Name, hex(c.Clouds[i].Colour, 255))
	}
	for i := len(c.Series) - 1; i >= 0 && c.Legend; i-- {
		name(c.Series[i].Name, inks[c.Series[i].Class])
	}
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: r.canvas}.WriteTo(&b)
	return b.Bytes(), err
}

// at is a place of the chart, whose y runs downwards, on the canvas.
func (r *raster) at(x, y float64) vg.Point {
	return vg.Point{X: r.unit * vg.Length(x), Y: r.unit * vg.Length(r.height-rasterHead-y)}
}

func (r *raster) line(ink color.NRGBA, width float64, dashes []float64, points [][2]float64) {
	var p vg.Path
	for i, at := range points {
		if i == 0 {
			p.Move(r.at(at[0], at[1]))
		} else {
			p.Line(r.at(at[0], at[1]))
		}
	}
	pattern := make([]vg.Length, len(dashes))
	for i, d := range dashes {
		pattern[i] = r.unit * vg.Length(d)
	}
	r.canvas.SetColor(ink)
	r.canvas.SetLineWidth(r.unit * vg.Length(width))
	r.canvas.SetLineDash(pattern, 0)
	r.canvas.Stroke(p)
}

// dots fills a disc at the beginning of every line of a path.
func (r *raster) dots(ink color.NRGBA, radius float64, path string) {
	for _, l := range lines(path) {
		r.disc(ink, l[0][0], l[0][1], radius, true)
	}
}

func (r *raster) disc(ink color.NRGBA, x, y, radius float64, full bool) {
	var p vg.Path
	p.Move(r.at(x+radius, y))
	p.Arc(r.at(x, y), r.unit*vg.Length(radius), 0, 2*math.Pi)
	p.Close()
	r.canvas.SetColor(ink)
	if full {
		r.canvas.Fill(p)
		return
	}
	r.canvas.SetLineWidth(r.unit * 2)
	r.canvas.SetLineDash(nil, 0)
	r.canvas.Stroke(p)
}

func (r *raster) face() font.Face {
	return faces.Lookup(font.Font{Typeface: "Liberation", Variant: "Sans"}, r.unit*12.5)
}

func (r *raster) width(text string) float64 {
	face := r.face()
	return float64(face.Width(text) / r.unit)
}

// text writes from x on, or so that the given share of it lies left of x.
func (r *raster) text(text string, x, y, share float64, ink color.NRGBA) {
	if text == "" {
		return
	}
	r.canvas.SetColor(ink)
	r.canvas.FillString(r.face(), r.at(x-share*r.width(text), y), text)
}

// hex reads "#rrggbb".
func hex(text string, alpha uint8) color.NRGBA {
	v, _ := strconv.ParseUint(strings.TrimPrefix(text, "#"), 16, 32) // of this package's own tables
	return color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), alpha}
}

// lines reads what this package writes as the path of an SVG: M and L with two numbers, V with one, and h0, which makes a
// dot of a point.
func lines(path string) [][][2]float64 {
	var all [][][2]float64
	for len(path) > 0 {
		verb := path[0]
		end := strings.IndexAny(path[1:], "MLVHh")
		if end < 0 {
			end = len(path) - 1
		}
		fields := strings.Fields(path[1 : end+1])
		path = path[end+1:]
		number := func(i int) float64 {
			v, _ := strconv.ParseFloat(fields[i], 64) // written by this package
			return v
		}
		last := func() *[][2]float64 { return &all[len(all)-1] }
		switch {
		case verb == 'M' && len(fields) == 2:
			all = append(all, [][2]float64{{number(0), number(1)}})
		case verb == 'L' && len(fields) == 2 && len(all) > 0:
			*last() = append(*last(), [2]float64{number(0), number(1)})
		case verb == 'V' && len(fields) == 1 && len(all) > 0:
			l := *last()
			*last() = append(l, [2]float64{l[len(l)-1][0], number(0)})
		}
	}
	return all
}
