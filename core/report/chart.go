package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/asterism-ssl/asterism/core/run"
)

// chart is a line chart, laid out in the units of its own SVG: page.html draws it. Charts are small, so that their text
// can be read on a telephone, where they shrink least.
type chart struct {
	Title   string
	Alt     string // what a reader who cannot see it is told
	Note    string // how it was measured
	W, H    float64
	Plot    box
	X, Y    []tick
	XLabel  string
	YLabel  string
	Series  []series
	Legend  bool
	Diag    string // path of y = x
	Image   string // data URI of a rasterised cloud of points, over Plot
	Dots    string // path of points
	Clouds  []cloud
	Clipped int
}

// cloud is points of one colour.
type cloud struct{ Name, Colour, Path string }

type box struct{ X, Y, W, H float64 }

// Right and Bottom are the far edges.
func (b box) Right() float64  { return b.X + b.W }
func (b box) Bottom() float64 { return b.Y + b.H }

type tick struct {
	At    float64
	Label string
}

type series struct {
	Name  string
	Class string // "learned", "untrained", "constant", "raw": colours are the page's
	Path  string
	Marks []mark
	Bars  string // path of the error bars
}

type mark struct {
	X, Y  float64
	Title string
}

// axis maps values to places.
type axis struct {
	low, high, from, to float64
	log                 bool
}

func (a axis) at(v float64) float64 {
	l, h := a.low, a.high
	if a.log {
		v, l, h = math.Log(v), math.Log(l), math.Log(h)
	}
	if !(h > l) {
		return (a.from + a.to) / 2
	}
	return a.from + (v-l)/(h-l)*(a.to-a.from)
}

// rounded widens [low, high] to whole steps of 1, 2 or 5 times a power of ten, and gives about n ticks.
func rounded(low, high float64, n int) (float64, float64, []float64) {
	if !finite(low) || !finite(high) {
		low, high = 0, 1
	}
	if !(high > low) {
		d := max(math.Abs(low)*0.1, 1e-3)
		low, high = low-d, high+d
	}
	step := niceStep(low, high, n)
	first, last := math.Floor(low/step+1e-9), math.Ceil(high/step-1e-9)
	var at []float64
	for k := first; k <= last && len(at) < 50; k++ {
		at = append(at, k*step)
	}
	return first * step, last * step, at
}

func niceStep(low, high float64, n int) float64 {
	rough := (high - low) / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= rough*0.999 {
			return m * power
		}
	}
	return 10 * power
}

// tickLabels writes ticks with the decimals that their step needs.
func tickLabels(at []float64, a axis) []tick {
	ticks := make([]tick, len(at))
	d := 0
	if len(at) > 1 {
		d = clamp(-int(math.Floor(math.Log10(at[1]-at[0])+1e-9)), 0, 8)
	}
	for i, v := range at {
		label := fixed(v, d)
		switch {
		case d == 0 && math.Abs(v) >= 1e6:
			label = strconv.FormatFloat(v/1e6, 'g', -1, 64) + "M"
		case d == 0 && math.Abs(v) >= 1000:
			label = count(int64(v))
		}
		ticks[i] = tick{round1(a.at(v)), label}
	}
	return ticks
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }

// line gives an SVG path through the points; values that are not finite interrupt it.
func line(x, y []float64, ax, ay axis) string {
	var b strings.Builder
	pen := byte('M')
	for i := range x {
		if !finite(x[i]) || !finite(y[i]) {
			pen = 'M'
			continue
		}
		fmt.Fprintf(&b, "%c%.1f %.1f", pen, ax.at(x[i]), ay.at(y[i]))
		pen = 'L'
	}
	return b.String()
}

const (
	chartW, chartH = 440.0, 250.0
)

func plotBox(h float64) box { return box{54, 12, chartW - 54 - 14, h - 12 - 44} }

// trainingCurve draws one measurement against the training step. With zero the vertical axis begins there. Long series are averaged
// into at most 600 points; from 80 points on a running mean is drawn over them.
func trainingCurve(title, yLabel, note string, steps, values []float64, zero bool) *chart {
	x, y := finitePairs(steps, values)
	if len(x) < 2 {
		return nil
	}
	firstY, lastY := y[0], y[len(y)-1]
	points := len(x)
	x, y = binned(x, y, 600)
	c := &chart{Title: title, YLabel: yLabel, XLabel: "training step", Note: note, W: chartW, H: chartH, Plot: plotBox(chartH)}
	low, high := extremes(y)
	if len(y) > 20 { // one outlier shall not flatten the rest
		if q := quantile(y, 0.99); high > q+2*(q-low) {
			high = q + 0.2*(q-low)
		}
		if q := quantile(y, 0.01); low < q-2*(high-q) {
			low = q - 0.2*(high-q)
		}
	}
	if zero {
		low = min(0, low)
	}
	yLow, yHigh, yAt := rounded(low, high, 5)
	ay := axis{yLow, yHigh, c.Plot.Bottom(), c.Plot.Y, false}
	ax := axis{x[0], x[len(x)-1], c.Plot.X, c.Plot.Right(), false}
	c.Y = tickLabels(yAt, ay)
	_, _, xAt := rounded(ax.low, ax.high, 4)
	var inside []float64
	for _, v := range xAt {
		if v >= ax.low-1e-9 && v <= ax.high+1e-9 {
			inside = append(inside, v)
		}
	}
	c.X = tickLabels(inside, ax)
	shown := make([]float64, len(y))
	for i, v := range y {
		shown[i] = min(max(v, yLow), yHigh)
	}
	if len(x) >= 80 {
		window := len(x) / 20
		c.Series = []series{{Class: "raw", Path: line(x, shown, ax, ay)}, {Class: "learned", Path: line(x, runningMean(shown, window), ax, ay)}}
		c.Note = strings.TrimSpace(c.Note + fmt.Sprintf(" Thin: as recorded; thick: mean over up to %d neighbouring points.", 2*(window/2)+1))
	} else {
		c.Series = []series{{Class: "learned", Path: line(x, shown, ax, ay)}}
	}
	if points > len(x) {
		c.Note += fmt.Sprintf(" %s recorded values are averaged into %d points.", count(points), len(x))
	}
	lowest, highest := extremes(y)
	c.Alt = fmt.Sprintf("%s against training step, from %s at step %s to %s at step %s; lowest %s, highest %s.", title,
		short(firstY), short(steps[0]), short(lastY), short(steps[len(steps)-1]), short(lowest), short(highest))
	return c
}

// binned averages consecutive points so that at most n remain.
func binned(x, y []float64, n int) (bx, by []float64) {
	if len(x) <= n {
		return x, y
	}
	for k := range n {
		from, to := k*len(x)/n, (k+1)*len(x)/n
		var sx, sy float64
		for i := from; i < to; i++ {
			sx, sy = sx+x[i], sy+y[i]
		}
		bx, by = append(bx, sx/float64(to-from)), append(by, sy/float64(to-from))
	}
	return bx, by
}

func runningMean(y []float64, window int) []float64 {
	sum := make([]float64, len(y)+1)
	for i, v := range y {
		sum[i+1] = sum[i] + v
	}
	out := make([]float64, len(y))
	for i := range y {
		from, to := max(0, i-window/2), min(len(y), i+window/2+1)
		out[i] = (sum[to] - sum[from]) / float64(to-from)
	}
	return out
}

// efficiency draws a metric against the number of labels, an arm a line; nil when fewer than two numbers were tried.
func efficiency(all []row, metric string, fitRows int) *chart {
	var list []row
	for _, r := range all {
		if r.metric == metric {
			list = append(list, r)
		}
	}
	most := fitRows
	for _, r := range list {
		most = max(most, labelCount(r.labels, 0))
	}
	if len(list) < 2 || most < 1 {
		return nil
	}
	c := &chart{Title: metric + " by number of labels", XLabel: "labelled objects", YLabel: metric,
		W: chartW, H: chartH + 20, Plot: plotBox(chartH + 20), Legend: true}
	low, high := math.Inf(1), math.Inf(-1)
	xLow, xHigh := math.Inf(1), math.Inf(-1)
	if better := list[0].better; better != "" {
		c.YLabel += ", " + better + " is better"
	}
	spread := false
	for _, r := range list {
		n := float64(labelCount(r.labels, most))
		if n < 1 {
			return nil
		}
		xLow, xHigh = min(xLow, n), max(xHigh, n)
		for _, s := range r.arm {
			if s != nil && finite(s.Mean) {
				low, high = min(low, s.Mean-s.Std), max(high, s.Mean+s.Std)
				spread = spread || s.Std > 0
			}
		}
	}
	if !(xHigh > xLow) {
		return nil
	}
	yLow, yHigh, yAt := rounded(low, high, 5)
	ay := axis{yLow, yHigh, c.Plot.Bottom(), c.Plot.Y, false}
	ax := axis{xLow, xHigh, c.Plot.X + 14, c.Plot.Right() - 14, true}
	c.Y = tickLabels(yAt, ay)
	last := math.Inf(-1)
	for i := len(list) - 1; i >= 0; i-- { // from the right: the label of all objects is kept where two would touch
		r := list[i]
		n := labelCount(r.labels, most)
		at := round1(ax.at(float64(n)))
		t := tick{at, count(n)}
		if r.labels == "all" {
			t.Label = "all " + count(n)
			t.At = at
		}
		if !math.IsInf(last, -1) && last-at < 40 {
			continue
		}
		last = at
		c.X = append(c.X, t)
	}
	var said []string
	for a, name := range arms {
		s := series{Name: name, Class: name}
		var x, y []float64
		var bars strings.Builder
		for _, r := range list {
			score := r.arm[a]
			if score == nil || !finite(score.Mean) {
				continue
			}
			n := float64(labelCount(r.labels, most))
			x, y = append(x, n), append(y, score.Mean)
			d := decimals(ofMetric(list, metric, r.result))
			text := fixed(score.Mean, d)
			if score.Std > 0 {
				fmt.Fprintf(&bars, "M%.1f %.1fV%.1f", ax.at(n), ay.at(score.Mean-score.Std), ay.at(score.Mean+score.Std))
				text += " ± " + fixed(score.Std, d)
			}
			s.Marks = append(s.Marks, mark{round1(ax.at(n)), round1(ay.at(score.Mean)), fmt.Sprintf("%s, %s labels: %s", name, r.labels, text)})
		}
		if len(x) == 0 {
			continue
		}
		s.Path, s.Bars = line(x, y, ax, ay), bars.String()
		c.Series = append(c.Series, s)
		said = append(said, fmt.Sprintf("%s from %s to %s", name, short(y[0]), short(y[len(y)-1])))
	}
	c.Alt = fmt.Sprintf("%s against the number of labelled objects, %s to %s: %s.", metric, count(int64(xLow)), count(int64(xHigh)), strings.Join(said, "; "))
	c.Note = list[0].doc
	if spread {
		c.Note = strings.TrimSpace(sentence(c.Note) + " Bars: one standard deviation over draws of the labelled objects.")
	}
	return c
}

func finitePairs(x, y []float64) (fx, fy []float64) {
	for i := range x {
		if i < len(y) && finite(x[i]) && finite(y[i]) {
			fx, fy = append(fx, x[i]), append(fy, y[i])
		}
	}
	return fx, fy
}

// health is a measurement of the representations while they are learned.
type health struct{ name, title, about string }

// known are those that every training measures.
var known = []health{
	{"alignment", "Alignment", "Mean squared distance between the representations, of unit length, of two views of a training object: falls as views of one object agree (Wang & Isola 2020)."},
	{"uniformity", "Uniformity", "Logarithm of the mean of exp(−2 d²) over pairs of training objects, d the distance of their representations of unit length: falls as they fill the space (Wang & Isola 2020)."},
	{"effective rank", "Effective rank", "How many directions the representations of training objects use: the exponential of the entropy of their singular values (Roy & Vetterli 2007). One that falls to a few shows collapse."},
	{"spread", "Spread of the representations", "√width × mean standard deviation of the representations of unit length: near 1 when they are spread over the sphere, 0 when they have collapsed to a point."},
}

// healths lists what was measured, what the experiment's monitor found first.
func healths(lines []run.MetricLine) []health {
	names := map[string]bool{}
	for _, l := range lines {
		for name := range l.Health {
			names[name] = true
		}
	}
	var list, general []health
	for _, h := range known {
		if names[h.name] {
			general = append(general, h)
			delete(names, h.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r, size := utf8.DecodeRuneInString(name)
		list = append(list, health{name, string(unicode.ToUpper(r)) + name[size:], "The answer of train.monitor about objects of the validation part, after the epochs so far."})
	}
	return append(list, general...)
}

// curves are the charts of training, loss first.
func curves(lines []run.MetricLine, names []string) []*chart {
	steps := make([]float64, len(lines))
	for i, l := range lines {
		steps[i] = float64(l.Step)
	}
	of := func(get func(run.MetricLine) float64) []float64 {
		v := make([]float64, len(lines))
		for i, l := range lines {
			v[i] = get(l)
		}
		return v
	}
	list := []*chart{trainingCurve("Loss", "loss", "What training minimises, on batches of the training objects.", steps, of(func(l run.MetricLine) float64 { return l.Loss }), false)}
	for _, name := range names {
		list = append(list, trainingCurve(name, name, "Reported by the training objective for the same batches.", steps, of(func(l run.MetricLine) float64 {
			if v, ok := l.Metrics[name]; ok {
				return v
			}
			return math.NaN()
		}), false))
	}
	for _, h := range healths(lines) {
		list = append(list, trainingCurve(h.title, h.name, h.about, steps, of(func(l run.MetricLine) float64 {
			if v, ok := l.Health[h.name]; ok {
				return v
			}
			return math.NaN()
		}), false))
	}
	list = append(list,
		trainingCurve("Learning rate", "learning rate", "The step size of the optimiser.", steps, of(func(l run.MetricLine) float64 { return l.LR }), true),
		trainingCurve("Throughput", "images/s", "Images learned from per second, with the making of their views, over the last second or more.", steps, of(func(l run.MetricLine) float64 { return l.ImagesPS }), true))
	var shown []*chart
	for _, c := range list {
		if c != nil {
			shown = append(shown, c)
		}
	}
	return shown
}
