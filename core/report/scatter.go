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

// scatter draws predicted against true values.
func scatter(title string, s *protocol.Scatter) *chart {
	x, y := finitePairs(s.X, s.Y)
	const side = 440.0
	c := &chart{Title: title, XLabel: s.XLabel, YLabel: s.YLabel, W: side, H: side - 20, Plot: box{58, 12, side - 58 - 16, side - 20 - 12 - 46}}
	if len(x) == 0 {
		c.Alt, c.Note = title+": no points.", "There are no points to draw."
		return c
	}
	xLow, xHigh := extremes(x)
	yLow, yHigh := extremes(y)
	if s.Identity {
		// One range for both axes, that of the truth with the bulk of the predictions.
		lowY, highY := quantile(y, 0.002), quantile(y, 0.998)
		xLow, xHigh = min(xLow, lowY), max(xHigh, highY)
		yLow, yHigh = xLow, xHigh
	}
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
	if s.Identity {
		c.Diag = fmt.Sprintf("M%.1f %.1fL%.1f %.1f", ax.at(xl), ay.at(xl), ax.at(xh), ay.at(xh))
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
	notes := []string{plural(len(x), "object", "objects") + "."}
	if c.Image != "" {
		notes = append(notes, "The colour is stronger where more objects fall on one place.")
	}
	if s.Identity {
		notes = append(notes, "The line is y = x: a perfect answer lies on it.")
	}
	if c.Clipped > 0 {
		notes = append(notes, plural(c.Clipped, "object lies", "objects lie")+" outside the frame.")
	}
	if missing := max(len(s.X), len(s.Y)) - len(x); missing > 0 {
		notes = append(notes, plural(missing, "object has", "objects have")+" no value and cannot be drawn.")
	}
	c.Note = strings.Join(notes, " ")
	c.Alt = fmt.Sprintf("%s: %s against %s for %s. %s", title, s.YLabel, s.XLabel, plural(len(x), "object", "objects"), agreement(x, y, s.Identity))
	return c
}

// agreement says in words what the picture shows.
func agreement(x, y []float64, identity bool) string {
	if !identity {
		return ""
	}
	d := make([]float64, len(x))
	for i := range x {
		d[i] = math.Abs(y[i] - x[i])
	}
	return "Half of the objects lie within " + short(quantile(d, 0.5)) + " of the line y = x."
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
