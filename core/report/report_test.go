package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/report/reporttest"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
	"github.com/asterism-ssl/asterism/core/run"
)

var once struct {
	sync.Once
	dir string
}

// madeOnce is a made-up run that all tests copy: its pictures take a moment to make.
func madeOnce(t *testing.T) string {
	t.Helper()
	once.Do(func() {
		dir, err := os.MkdirTemp("", "report")
		if err != nil {
			t.Fatal(err)
		}
		once.dir = dir
		makeRun(t, dir)
	})
	return once.dir
}

func TestCommandsAreQuotedForAShell(t *testing.T) {
	got := commandText([]string{"asterism", "run", "my file.cue", "--set", `a={"b.c":"it's"}`, ""})
	if want := `asterism run 'my file.cue' --set 'a={"b.c":"it'\''s"}' ''`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(once.dir)
	os.Exit(code)
}

// made writes the report of a made-up run, after change has spoilt its directory, and gives the page.
func made(t *testing.T, change func(dir string)) (path, page string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "quickstart-1f00a9c3")
	if err := os.CopyFS(dir, os.DirFS(madeOnce(t))); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(dir)
	}
	path, err := Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if loads := reporttest.Loads(b); len(loads) > 0 {
		t.Errorf("the page loads %q", loads)
	}
	return path, string(b)
}

var (
	tags   = regexp.MustCompile(`(?s)<style.*?</style>|<[^>]*>`)
	blanks = regexp.MustCompile(`\s+`)
)

// words is a page as read: without tags, one blank between words.
func words(page string) string {
	s := tags.ReplaceAllString(page, " ")
	for from, to := range map[string]string{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&#34;": `"`, "&#39;": "'", "&#43;": "+"} {
		s = strings.ReplaceAll(s, from, to)
	}
	return blanks.ReplaceAllString(s, " ")
}

func shows(t *testing.T, page string, want ...string) {
	t.Helper()
	text := words(page)
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("the page does not show %q", w)
		}
	}
}

func TestReportShowsTheRun(t *testing.T) {
	path, page := made(t, nil)
	shows(t, page,
		"13,802 objects of 64 × 64 × 5", "30 August 2026, 14:03 UTC", "1 min 23 s", "native: AVX-512, 2 threads", "Seed 7",
		"morphology classify.linear, measured on 1,920 test objects, which training never saw",
		"accuracy ↑ higher is better 50 0.803 ± 0.018 0.512 ± 0.023 0.284",
		"σ_MAD ↓ lower is better all 6,720 0.0114 0.0287 0.0871",
		"Share of the test objects whose most probable class is the true one.",
		"530 97 % 12 2 % 3 <1 % 0 0 %", "1,763 of 1,920 are on the diagonal",
		"Upwards: Δz. 2 objects. The dashed straight line is y = 0", "Upwards: share below. The dashed straight line is y = x: a perfect answer lies on it. PIT is a probability.",
		"1 object lies outside the frame.", "1 object has no value and cannot be drawn.",
		"3 undecodable files which strip/0412.jpg: unexpected end",
		"sky.jitter_crop 48 × 48 × 5", "11.2 million 1.25 billion 512", "negatives per query 4,096",
		"encoder: {\"resnet.r18\": {}} // <script>alert(1)</script> stays text",
		"train 0000000000", "reused 0.1 s", "computed 1 min 01 s", "contrast 0.1.0", "1 line of metrics.jsonl is left out",
	)
	if strings.Contains(words(page), "2 undecodable") {
		t.Error("a notice of the plan is shown beside the later one that replaces it")
	}
	for _, class := range []string{`<td class="num best" title="3 draws: 0.785, 0.803, 0.821">0.803`, `<td class="num" title="3 draws: 0.542, 0.560, 0.578">0.560`} {
		if !strings.Contains(page, class) {
			t.Errorf("the page lacks %s", class)
		}
	}
	if n := strings.Count(page, "<img "); n != 17 { // 3 queries and 15 answers, one of which names a file outside its task
		t.Errorf("%d pictures, want 17", n)
	}
	if strings.Contains(page, "<script>") {
		t.Error("text of a file became a script")
	}
	reporttest.CheckInBrowser(t, path, "quickstart", "morphology", "redshift", "similar", "Networks", "Stages")
}

// Every picture has a text, every table headers, every id is one; tags are balanced.
func TestReportIsWellFormedAndAccessible(t *testing.T) {
	_, page := made(t, nil)
	page = strings.Replace(page, "<!doctype html>", "", 1)
	page = regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(page, "")
	page = regexp.MustCompile(`<(meta|link|img)([^>]*)>`).ReplaceAllString(page, "<$1$2/>") // HTML does not close these, XML must
	d := xml.NewDecoder(strings.NewReader(page))
	ids, links := map[string]int{}, map[string]bool{}
	level := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attr := map[string]string{}
		for _, a := range start.Attr {
			attr[a.Name.Local] = a.Value
		}
		if id := attr["id"]; id != "" {
			ids[id]++
		}
		switch name := start.Name.Local; name {
		case "a":
			links[strings.TrimPrefix(attr["href"], "#")] = true
		case "img":
			if attr["alt"] == "" || !strings.HasPrefix(attr["src"], "data:image/png;base64,") {
				t.Errorf("a picture without text or data: alt %q", attr["alt"])
			}
		case "svg":
			if attr["aria-hidden"] == "" && (attr["role"] != "img" || len(attr["aria-label"]) < 20) {
				t.Errorf("a drawing is described as %q", attr["aria-label"])
			}
		case "h1", "h2", "h3", "h4":
			if next := int(name[1] - '0'); next > level+1 {
				t.Errorf("heading %s follows one of level %d", name, level)
			} else {
				level = next
			}
		case "path":
			if strings.Contains(attr["d"], "NaN") || strings.Contains(attr["d"], "Inf") {
				t.Errorf("a path holds what is no number: %.60s", attr["d"])
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q is given %d times", id, n)
		}
	}
	for link := range links {
		if ids[link] == 0 {
			t.Errorf("a link leads to #%s, which is not there", link)
		}
	}
}

func TestSameFilesSameBytes(t *testing.T) {
	dir := t.TempDir()
	makeRun(t, dir)
	path, err := Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(path)
	if _, err := Write(dir); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(path); !bytes.Equal(first, second) {
		t.Error("a report made again from the same files differs")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".report-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func edit(t *testing.T, path string, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), from) {
		t.Fatalf("%s does not hold %q", path, from)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), from, to)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptedRunIsReported(t *testing.T) {
	path, page := made(t, func(dir string) {
		os.RemoveAll(filepath.Join(dir, "tasks"))
		edit(t, filepath.Join(dir, "manifest.json"), `"status": "done"`, `"status": "interrupted"`)
	})
	shows(t, page, "This run was interrupted after training step 1,196.", "again to continue.",
		"No task has been answered yet, so there are no results.", "Not answered yet: there is no tasks/morphology/result.json.")
	reporttest.CheckInBrowser(t, path, "morphology")
}

func TestFailedRunSaysWhy(t *testing.T) {
	_, page := made(t, func(dir string) {
		edit(t, filepath.Join(dir, "manifest.json"), `"status": "done"`, `"status": "failed", "error": "sky.psf: <the plugin> ended"`)
	})
	shows(t, page, "This run failed: sky.psf: <the plugin> ended. What it had made is below.")
}

// Whatever single file is missing or damaged, there is a report, and it says so.
func TestMissingAndDamagedFilesAreSaid(t *testing.T) {
	for name, say := range map[string]string{
		"manifest.json":                "The run's record, manifest.json, is missing",
		"plan.json":                    "The plan is missing",
		"metrics.jsonl":                "Training has recorded nothing yet",
		"experiment.cue":               "The experiment's text is missing",
		"resolved.json":                "",
		"tasks/morphology/result.json": "Not answered yet: there is no tasks/morphology/result.json.",
		"tasks/similar/figures":        "no picture",
	} {
		_, page := made(t, func(dir string) { os.RemoveAll(filepath.Join(dir, name)) })
		shows(t, page, say)
	}
	for name, say := range map[string]string{
		"manifest.json":                 "manifest.json is damaged",
		"plan.json":                     "plan.json is damaged",
		"metrics.jsonl":                 "1 line of metrics.jsonl is left out",
		"tasks/morphology/result.json":  "tasks/morphology/result.json is damaged",
		"tasks/similar/figures/0-1.png": "tasks/similar/figures/0-1.png is not a PNG picture.",
		"experiment.cue":                "{\"half",
	} {
		_, page := made(t, func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("{\"half\xff"), 0o644); err != nil {
				t.Fatal(err)
			}
		})
		shows(t, page, say)
	}
}

func TestDamagedFiguresAreSaid(t *testing.T) {
	_, page := made(t, func(dir string) {
		edit(t, filepath.Join(dir, "tasks/morphology/result.json"), `530,`, `530, 1,`)
		edit(t, filepath.Join(dir, "tasks/redshift/result.json"), `"scatter"`, `"sctter"`)
	})
	shows(t, page, "A matrix is damaged: 26 values for 5 rows and 5 columns.", `The figure "Redshift answered against true" holds nothing that can be drawn.`)
}

func TestWhatIsNoRunIsRefused(t *testing.T) {
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "none")} {
		_, err := Write(dir)
		if fault.KindOf(err) != fault.Data {
			t.Errorf("Write(%s): %v, want a data fault", dir, err)
		}
	}
	if left, _ := os.ReadDir(empty); len(left) != 0 {
		t.Errorf("a folder that is no run got %v", left)
	}
}

// A picture's name cannot lead out of its task, by its path or by a link.
func TestPicturesStayInsideTheRun(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.png")
	if err := thumbnail.Write(outside, []float32{1}, []int{1, 1, 1}, nil, 0); err != nil {
		t.Fatal(err)
	}
	_, page := made(t, func(dir string) {
		link := filepath.Join(dir, "tasks/similar/figures/0-1.png")
		os.Remove(link)
		if err := os.Symlink(outside, link); err != nil {
			t.Skip("links cannot be made here")
		}
	})
	shows(t, page, "tasks/similar/figures/0-1.png cannot be read")
}

func TestManyPointsBecomeOnePicture(t *testing.T) {
	s := &protocol.Scatter{XLabel: "x", YLabel: "y", Identity: true}
	for i := range 20000 {
		s.X, s.Y = append(s.X, float64(i%100)), append(s.Y, float64(i%100)+math.Sin(float64(i)))
	}
	c := scatter("cloud", s)
	if c.Dots != "" || !strings.HasPrefix(c.Image, "data:image/png;base64,") {
		t.Error("20,000 points are drawn one by one")
	}
	if len(c.Image) > 200_000 {
		t.Errorf("the picture takes %d bytes", len(c.Image))
	}
}

// Whatever a task plots, nothing is drawn that is no number, no object is lost without a word, and no line leaves the frame.
func TestAnyScatterCanBeDrawn(t *testing.T) {
	value := rapid.OneOf(rapid.Float64Range(-1, 1), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), 1e300, -1e300, 1e-300, 5}))
	values := rapid.SliceOfN(value, 0, 30)
	rapid.Check(t, func(t *rapid.T) {
		s := &protocol.Scatter{X: values.Draw(t, "x"), Y: values.Draw(t, "y"), Identity: rapid.Bool().Draw(t, "identity"), Zero: rapid.Bool().Draw(t, "zero")}
		for range rapid.IntRange(0, 6).Draw(t, "series") {
			s.Series = append(s.Series, &protocol.Scatter_Series{Name: rapid.SampledFrom([]string{"", "a"}).Draw(t, "name"), X: values.Draw(t, "series x"), Y: values.Draw(t, "series y")})
		}
		c := scatter("any", s)
		if strings.ContainsAny(c.Dots+c.Diag, "NI") {
			t.Fatalf("drawn: %s %s", c.Dots, c.Diag)
		}
		for _, l := range c.Series {
			if strings.ContainsAny(l.Path, "NI") || l.Path == "" || l.Name == "" && s.YLabel != "" || l.Class == "" {
				t.Fatalf("the line %q of class %q is drawn as %q", l.Name, l.Class, l.Path)
			}
			for _, at := range regexp.MustCompile(`[ML]([-\d.]+) ([-\d.]+)`).FindAllStringSubmatch(l.Path, -1) {
				x, _ := strconv.ParseFloat(at[1], 64)
				y, _ := strconv.ParseFloat(at[2], 64)
				if x < c.Plot.X-0.1 || x > c.Plot.Right()+0.1 || y < c.Plot.Y-0.1 || y > c.Plot.Bottom()+0.1 {
					t.Fatalf("the line goes to %g, %g outside the frame", x, y)
				}
			}
		}
		drawable := 0
		for i := range min(len(s.X), len(s.Y)) {
			if finite(s.X[i]) && finite(s.Y[i]) {
				drawable++
			}
		}
		if n := strings.Count(c.Dots, "M"); n+c.Clipped != drawable {
			t.Fatalf("%d points drawn and %d said to be outside, of %d", n, c.Clipped, drawable)
		}
	})
}

// Lines without points, as a calibration is: the first is marked at its places, a place that is no number lifts the pen,
// and the legend names each.
func TestLinesAloneAreDrawn(t *testing.T) {
	c := scatter("Calibration", &protocol.Scatter{XLabel: "mean confidence", YLabel: "fraction correct", Identity: true, Note: "What it is.", Series: []*protocol.Scatter_Series{
		{Name: "fraction correct", X: []float64{0, 0.5, 1}, Y: []float64{0.1, 0.5, 0.9}},
		{Name: "interval", X: []float64{0, 1, math.NaN(), 0, 1}, Y: []float64{0.2, 1, math.NaN(), 0, 0.8}},
		{Name: "nothing", X: []float64{math.NaN()}, Y: []float64{1}},
	}})
	if c.Dots != "" || len(c.Series) != 2 || !c.Legend || c.Series[0].Class == c.Series[1].Class {
		t.Fatalf("drawn: %q, %+v", c.Dots, c.Series)
	}
	if first := c.Series[0]; len(first.Marks) != 3 || strings.Count(first.Path, "L") != 2 || first.Marks[1].Title != "fraction correct: 0.500 at 0.500" {
		t.Errorf("the first line: %+v", first)
	}
	if around := c.Series[1]; len(around.Marks) != 0 || strings.Count(around.Path, "M") != 2 {
		t.Errorf("the second line: %+v", around)
	}
	if c.Series[0].Marks[1].X != c.Plot.X+c.Plot.W/2 || c.Series[0].Marks[1].Y != c.Plot.Y+c.Plot.H/2 {
		t.Errorf("the middle is at %+v", c.Series[0].Marks[1])
	}
	if c.Note != "The dashed straight line is y = x: a perfect answer lies on it. What it is." || strings.Contains(c.Alt, "object") {
		t.Errorf("note %q, alt %q", c.Note, c.Alt)
	}
	// One place is no line, and still seen.
	one := scatter("one", &protocol.Scatter{Series: []*protocol.Scatter_Series{{Name: "a", X: []float64{1}, Y: []float64{1}}, {Name: "b", X: []float64{1}, Y: []float64{0.5}}}})
	if len(one.Series) != 2 || len(one.Series[0].Marks) != 1 || len(one.Series[1].Marks) != 1 {
		t.Errorf("one place: %+v", one.Series)
	}
}

// Residuals stand around y = 0, which is in the frame also where no residual is near it.
func TestZeroLineIsInTheFrame(t *testing.T) {
	c := scatter("residuals", &protocol.Scatter{X: []float64{1, 2}, Y: []float64{5, 6}, Zero: true, Series: []*protocol.Scatter_Series{{Name: "median", X: []float64{1, 2}, Y: []float64{5, 6}}}})
	if want := fmt.Sprintf("M%.1f %.1fH%.1f", c.Plot.X, c.Plot.Bottom(), c.Plot.Right()); c.Diag != want {
		t.Errorf("the zero line is %q, not %q", c.Diag, want)
	}
	if len(c.Series[0].Marks) != 0 || c.Series[0].Class == "learned" {
		t.Errorf("a line over points: %+v", c.Series[0])
	}
	if !strings.Contains(c.Note, "2 objects. The dashed straight line is y = 0") || !strings.Contains(c.Alt, "within 6 of the line y = 0") {
		t.Errorf("note %q, alt %q", c.Note, c.Alt)
	}
}

func TestAxesHoldTheirValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Float64Range(-1e6, 1e6).Draw(t, "low")
		high := low + rapid.Float64Range(1e-3, 1e6).Draw(t, "span")
		n := rapid.IntRange(2, 8).Draw(t, "n")
		l, h, at := rounded(low, high, n)
		slack := 1e-6 * (high - low)
		if l > low+slack || h < high-slack {
			t.Fatalf("axis %g…%g for %g…%g", l, h, low, high)
		}
		if len(at) < 2 || len(at) > n+3 {
			t.Fatalf("%d ticks, asked for about %d: %v", len(at), n, at)
		}
	})
}

func TestAnyMetricsCanBeDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64Range(-10, 10), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(-1), 1e300, -1e300}))
		n := rapid.IntRange(0, 1500).Draw(t, "n")
		loss := rapid.SliceOfN(value, 5, 5).Draw(t, "loss")
		lines := make([]run.MetricLine, n)
		for i := range lines {
			lines[i] = run.MetricLine{Step: uint64(i), Loss: loss[i%5]}
		}
		for _, c := range curves(lines, nil) {
			for _, s := range c.Series {
				if strings.ContainsAny(s.Path, "NI") {
					t.Fatalf("%s draws what is no number", c.Title)
				}
				if strings.Count(s.Path, "L") > 700 {
					t.Fatalf("%s draws %d points", c.Title, strings.Count(s.Path, "L"))
				}
			}
		}
	})
}

func TestATaskAloneIsReported(t *testing.T) {
	// Nothing but one result, in a folder whose name would be markup.
	r := run.TaskResult{Task: "t", Scores: []run.Score{{Arm: run.Learned, Labels: "all", Metric: "m", Better: "higher"}}}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tasks", "t & <u>"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks", "t & <u>", "result.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	path, err := Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := os.ReadFile(path)
	shows(t, string(page), "t & <u>", "0.000 – –")
}
