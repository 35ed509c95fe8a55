package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// mostDots is how many points are drawn one by one; more become a picture of their density.
const mostDots = 3000

// scatter draws points, as predicted against true values are, with lines over them, or lines alone.
func scatter(title string, s *protocol.Scatter) *chart {
	x, y := finitePairs(s.X, s.Y)
	const side = 440.0
	c := &chart{Title: title, XLabel: s.XLabel, YLabel: s.YLabel, W: side, H: side - 20, Plot: box{58, 12, side - 58 - 16, side - 20 - 12 - 46}}
	var lineX, lineY []float64
	for _, l := range s.Series {
		lx, ly := finitePairs(l.X, l.Y)
		lineX, lineY = append(lineX, lx...), append(lineY, ly...)
	}
	if len(x)+len(lineX) == 0 {
		c.Alt, c.Note = title+": no points.", "There are no points to draw."
		return c
	}
	xLow, xHigh, yLow, yHigh := frame(s, x, y, lineX, lineY)
	xl, xh, xAt := rounded(xLow, xHigh, 5)
	yl, yh, yAt := rounded(yLow, yHigh, 5)
	ax, ay := axis{xl, xh, c.Plot.X, c.Plot.Right(), false}, axis{yl, yh, c.Plot.Bottom(), c.Plot.Y, false}
	c.X, c.Y = tickLabels(xAt, ax), tickLabels(yAt, ay)
	var in [][2]float64
	for i := range x {
		if x[i] < xl || x[i] > xh || y[i] < yl || y[i] > yh {
			c.Clipped++
			continue
		}
		in = append(in, [2]float64{ax.at(x[i]), ay.at(y[i])})
	}
	switch {
	case s.Identity:
		c.Diag = fmt.Sprintf("M%.1f %.1fL%.1f %.1f", ax.at(xl), ay.at(xl), ax.at(xh), ay.at(xh))
	case s.Zero:
		c.Diag = fmt.Sprintf("M%.1f %.1fH%.1f", c.Plot.X, ay.at(0), c.Plot.Right())
	}
	if len(in) > mostDots {
		c.Image = density(in, c.Plot)
	} else {
		var b strings.Builder
		for _, p := range in {
			fmt.Fprintf(&b, "M%.1f %.1fh0", p[0], p[1])
		}
		c.Dots = b.String()
	}
	said := c.lines(s, len(x) > 0, ax, ay)
	c.Note = scatterNote(s, c, len(x))
	if len(x) > 0 {
		said = append([]string{strings.TrimSpace(fmt.Sprintf("%s against %s for %s. %s", s.YLabel, s.XLabel, plural(len(x), "object", "objects"), agreement(x, y, s)))}, said...)
	}
	c.Alt = title + ": " + strings.Join(said, " ")
	return c
}

// frame is what the axes must hold: all lines, the range of the truth and the bulk of the predictions where few may lie
// far from a perfect answer.
func frame(s *protocol.Scatter, x, y, lineX, lineY []float64) (xLow, xHigh, yLow, yHigh float64) {
	xLow, xHigh = extremes(slices.Concat(x, lineX))
	yLow, yHigh = extremes(lineY)
	if len(y) > 0 {
		low, high := extremes(y)
		if s.Identity || s.Zero {
			low, high = quantile(y, 0.002), quantile(y, 0.998)
		}
		yLow, yHigh = min(yLow, low), max(yHigh, high)
	}
	switch {
	case s.Identity: // one range for both axes
		xLow, xHigh = min(xLow, yLow), max(xHigh, yHigh)
		yLow, yHigh = xLow, xHigh
	case s.Zero:
		yLow, yHigh = min(yLow, 0), max(yHigh, 0)
	}
	return xLow, xHigh, yLow, yHigh
}

// Classes of lines in their order: the page's colours that can be told from the points', which are those of "learned", and
// from that of the line of perfect answers. Without points the first line is the figure, and takes theirs.
var (
	overPoints = []string{"supervised", "constant", "finetuned", "pixels"}
	alone      = []string{"learned", "constant", "finetuned", "pixels"}
)

// mostMarks is up to how many places of a line alone are marked; more are a curve.
const mostMarks = 40

// lines draws the series and says in words where the first goes: the others stand around it.
func (c *chart) lines(s *protocol.Scatter, points bool, ax, ay axis) (said []string) {
	classes := alone
	if points {
		classes = overPoints
	}
	for i, l := range s.Series {
		x, y := finitePairs(l.X, l.Y)
		if len(x) == 0 {
			continue
		}
		name := l.Name
		if name == "" {
			name = s.YLabel
		}
		n := min(len(l.X), len(l.Y))
		drawn := series{Name: name, Class: classes[i%len(classes)], Path: line(l.X[:n], l.Y[:n], ax, ay)}
		if len(x) == 1 || i == 0 && !points && len(x) <= mostMarks { // one place alone is no line
			for k := range x {
				drawn.Marks = append(drawn.Marks, mark{round1(ax.at(x[k])), round1(ay.at(y[k])), fmt.Sprintf("%s: %s at %s", name, short(y[k]), short(x[k]))})
			}
		}
		c.Series, c.Legend = append(c.Series, drawn), true
		if i == 0 {
			last := len(x) - 1
			said = append(said, fmt.Sprintf("The line %s goes from %s at %s of %s to %s at %s.", name, short(y[0]), s.XLabel, short(x[0]), short(y[last]), short(x[last])))
		}
	}
	return said
}

// scatterNote says below a figure of n points what is drawn.
func scatterNote(s *protocol.Scatter, c *chart, n int) string {
	var notes []string
	if n > 0 {
		notes = append(notes, plural(n, "object", "objects")+".")
	}
	if c.Image != "" {
		notes = append(notes, "The colour is stronger where more objects fall on one place.")
	}
	perfect := "The line"
	if len(c.Series) > 0 {
		perfect = "The dashed straight line"
	}
	switch {
	case s.Identity:
		notes = append(notes, perfect+" is y = x: a perfect answer lies on it.")
	case s.Zero:
		notes = append(notes, perfect+" is y = 0: a perfect answer lies on it.")
	}
	if s.Note != "" {
		notes = append(notes, s.Note)
	}
	if c.Clipped > 0 {
		notes = append(notes, plural(c.Clipped, "object lies", "objects lie")+" outside the frame.")
	}
	if missing := max(len(s.X), len(s.Y)) - n; missing > 0 {
		notes = append(notes, plural(missing, "object has", "objects have")+" no value and cannot be drawn.")
	}
	return strings.Join(notes, " ")
}

// agreement says in words what the picture shows.
func agreement(x, y []float64, s *protocol.Scatter) string {
	d := make([]float64, len(x))
	perfect := "y = x"
	switch {
	case s.Identity:
		for i := range x {
			d[i] = math.Abs(y[i] - x[i])
		}
	case s.Zero:
		perfect = "y = 0"
		for i := range y {
			d[i] = math.Abs(y[i])
		}
	default:
		return ""
	}
	return "Half of the objects lie within " + short(quantile(d, 0.5)) + " of the line " + perfect + "."
}

// density draws points as a translucent picture in one hue, which reads on light and on dark pages: opacity grows with the
// logarithm of the number of points on a pixel.
func density(points [][2]float64, plot box) string {
	const per = 2.0 // pixels per unit of the drawing; each point is a disc of three pixels' radius
	w, h := int(plot.W*per), int(plot.H*per)
	n := make([]float64, w*h)
	highest := 0.0
	for _, p := range points {
		cx, cy := int((p[0]-plot.X)*per), int((p[1]-plot.Y)*per)
		for dy := -3; dy <= 3; dy++ {
			for dx := -3; dx <= 3; dx++ {
				x, y := cx+dx, cy+dy
				if dx*dx+dy*dy > 10 || x < 0 || y < 0 || x >= w || y >= h {
					continue
				}
				n[y*w+x]++
				highest = max(highest, n[y*w+x])
			}
		}
	}
	m := image.NewPaletted(image.Rect(0, 0, w, h), nil)
	for i := range 64 {
		a := 0.0
		if i > 0 {
			a = 0.25 + 0.75*float64(i)/63
		}
		m.Palette = append(m.Palette, color.NRGBA{58, 124, 196, uint8(255 * a)})
	}
	for i, v := range n {
		if v > 0 {
			m.Pix[i] = uint8(1 + math.Round(62*math.Log1p(v-1)/math.Log1p(max(1, highest-1))))
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		return "" // a paletted picture in memory: cannot fail
	}
	return dataURI(b.Bytes())
}

func dataURI(png []byte) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
}

func extremes(v []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, x := range v {
		if finite(x) {
			low, high = min(low, x), max(high, x)
		}
	}
	return low, high
}

// quantile of values by the nearest rank.
func quantile(v []float64, q float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[clamp(int(math.Round(q*float64(len(s)-1))), 0, len(s)-1)]
}
