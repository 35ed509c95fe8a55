package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time       { return c.t }
func (c *clock) pass(d time.Duration) { c.t = c.t.Add(d) }

func testProgress(mode string, columns int) (*Progress, *bytes.Buffer, *clock) {
	var b bytes.Buffer
	c := &clock{time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
	p := NewProgress(&b, mode)
	p.now, p.columns, p.ascii = c.now, func() int { return columns }, false
	return p, &b, c
}

func TestPlainProgressSpeaksAtOnceAndEveryFiveSeconds(t *testing.T) {
	p, b, c := testProgress("auto", 80) // a buffer is no terminal
	p.Stage("train", "2 epochs of 1000 images")
	for step := 1; step <= 120; step++ {
		c.pass(100 * time.Millisecond)
		p.Update(step, 120, Field{"loss", fmt.Sprintf("%.2f", 8-float64(step)/100)}, Field{"", "1280 images/s"})
	}
	p.Done("loss 6.80")
	want := `train: 2 epochs of 1000 images
train 1/120  loss 7.99  1280 images/s
train 51/120  loss 7.49  1280 images/s  6.9 s left
train 101/120  loss 6.99  1280 images/s  1.9 s left
train done in 12 s: loss 6.80
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestBarStaysOnOneLineAndLeavesASummary(t *testing.T) {
	p, b, c := testProgress("bar", 60)
	p.Stage("data", "reading")
	c.pass(time.Second)
	p.Update(50, 100)
	p.Note("2 files could not be decoded")
	c.pass(time.Second)
	p.Update(100, 100)
	p.Done("98 images kept")
	screen := terminal(b.String(), 60)
	want := []string{"2 files could not be decoded", "✓ data  98 images kept  2.0 s"}
	if strings.Join(screen, "\n") != strings.Join(want, "\n") {
		t.Errorf("the screen shows %q, want %q", screen, want)
	}
	if strings.Contains(b.String(), "\x1b[3") {
		t.Error("colours were used without a terminal")
	}
}

func TestBarKeepsStageAndCountInEveryWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 200).Draw(t, "columns")
		p, b, c := testProgress("bar", columns)
		p.colour, p.ascii = rapid.Bool().Draw(t, "colour"), rapid.Bool().Draw(t, "ascii")
		stage := rapid.StringMatching(`[a-zé星]{1,8}`).Draw(t, "stage")
		p.Stage(stage, rapid.String().Draw(t, "what"))
		total := rapid.IntRange(0, 5000).Draw(t, "total")
		count := ""
		for range rapid.IntRange(1, 6).Draw(t, "updates") {
			c.pass(time.Second)
			done := rapid.IntRange(0, 5000).Draw(t, "done")
			p.Update(done, total, Field{"loss", rapid.StringMatching(`[0-9σ]{1,9}`).Draw(t, "loss")}, Field{"", "99 images/s"})
			count = p.count()
		}
		for _, line := range terminal(b.String(), 1<<30) {
			if w := DisplayWidth(line); w >= max(columns, 1) {
				t.Fatalf("a line of %d columns on a terminal of %d: %q", w, columns, line)
			}
		}
		screen := terminal(b.String(), columns)
		if len(screen) != 1 && columns > 2 {
			t.Fatalf("%d lines, want one drawn over: %q", len(screen), screen)
		}
		if columns > DisplayWidth(stage)+2+len(count) && !(strings.HasPrefix(screen[0], stage) && strings.Contains(screen[0], count)) {
			t.Fatalf("%q does not show %s and %s", screen[0], stage, count)
		}
	})
}

// terminal plays what was written to a terminal of that many columns and gives the lines that stand there.
func terminal(s string, columns int) []string {
	screen, column := [][]rune{nil}, 0
	row := func() *[]rune { return &screen[len(screen)-1] }
	for rest := []rune(s); len(rest) > 0; rest = rest[1:] {
		switch r := rest[0]; r {
		case '\x1b':
			for rest[0] != 'm' && rest[0] != 'K' {
				rest = rest[1:]
			}
			if rest[0] == 'K' {
				*row() = (*row())[:min(column, len(*row()))]
			}
		case '\r':
			column = 0
		case '\n':
			screen, column = append(screen, nil), 0
		default:
			if column+runeWidth(r) > columns {
				screen, column = append(screen, nil), 0
			}
			cell := []rune{r, 0}[:runeWidth(r)] // a wide character takes two cells, a combining one none
			*row() = append((*row())[:column], append(cell, (*row())[min(len(*row()), column+len(cell)):]...)...)
			column += len(cell)
		}
	}
	var lines []string
	for i, line := range screen {
		if text := strings.ReplaceAll(string(line), "\x00", ""); text != "" || i+1 < len(screen) {
			lines = append(lines, text)
		}
	}
	return lines
}

func TestJSONProgressIsOneObjectALine(t *testing.T) {
	p, b, c := testProgress("json", 80)
	p.Stage("train", "1 epoch")
	for step := range 30 {
		c.pass(200 * time.Millisecond)
		p.Update(step+1, 30, Field{"loss", "7.5"}, Field{"", "640 images/s"})
	}
	p.Note("saved \"a\"\x1b[2J checkpoint")
	p.Done("ok")
	var events []string
	var last map[string]any
	for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, o["event"].(string))
		if o["event"] == "progress" {
			last = o
		}
	}
	if got, want := strings.Join(events, " "), "stage progress progress progress progress progress progress progress note done"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	if last["done"] != 30.0 || last["total"] != 30.0 || last["eta_seconds"] != 0.0 || last["fields"].(map[string]any)["images/s"] != "640 images/s" {
		t.Errorf("the last progress line is %v", last)
	}
}

func TestQuietProgressKeepsNotes(t *testing.T) {
	p, b, _ := testProgress("none", 80)
	p.Stage("train", "x")
	p.Update(1, 2)
	p.Note("a note")
	p.Done("y")
	if b.String() != "a note\n" {
		t.Errorf("wrote %q", b.String())
	}
	var nothing *Progress
	nothing.Stage("a", "b")
	nothing.Update(1, 2)
	nothing.Done("")
	nothing.Close()
}

func TestTimeLeftOfAResumedStageCountsThisSittingOnly(t *testing.T) {
	p, b, c := testProgress("plain", 80)
	p.Stage("train", "resumed at step 900")
	for step := 900; step <= 906; step++ {
		p.Update(step, 1000)
		c.pass(time.Second)
	}
	if got := b.String(); !strings.Contains(got, "train 905/1000  1 min 35 s left\n") {
		t.Errorf("95 steps of one second are left, but it says:\n%s", got)
	}
}

// Lines of several goroutines and the bar do not tear each other apart. (With -race this also finds unguarded state.)
func TestProgressWithConcurrentLogLines(t *testing.T) {
	p, b, _ := testProgress("bar", 70)
	p.now = time.Now
	p.Stage("train", "")
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 50 {
				if g == 0 {
					p.Update(i, 50, Field{"loss", "1.0"})
				} else {
					fmt.Fprintf(p, "line %d of writer %d\n", i, g)
				}
			}
		})
	}
	all.Wait()
	p.Done("end")
	count := 0
	for _, line := range terminal(b.String(), 70) {
		var i, g int
		if n, _ := fmt.Sscanf(line, "line %d of writer %d", &i, &g); n == 2 && line == fmt.Sprintf("line %d of writer %d", i, g) {
			count++
		}
	}
	if count != 150 {
		t.Errorf("%d of 150 log lines arrived whole", count)
	}
}

func TestNotesCannotMoveTheCursor(t *testing.T) {
	p, b, _ := testProgress("plain", 80)
	p.Note("a\x1b[2Jb\rc\x07\td")
	if got := b.String(); got != "a[2Jbc d\n" {
		t.Errorf("wrote %q", got)
	}
}

func TestCloseEndsTheBarsLine(t *testing.T) {
	p, b, _ := testProgress("bar", 40)
	p.Stage("train", "x")
	fmt.Fprint(p, "half a line")
	p.Close()
	p.Close()
	if got := terminal(b.String(), 40); len(got) != 2 || got[0] != "half a line" || !strings.HasSuffix(b.String(), "\n") {
		t.Errorf("the screen shows %q", got)
	}
}

func TestProgressModeIsChecked(t *testing.T) {
	if CheckProgressMode("json") != nil || CheckProgressMode("") != nil {
		t.Error("a mode was refused")
	}
	if CheckProgressMode("fancy") == nil {
		t.Error("an unknown mode was accepted")
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0.0 s", 420 * time.Millisecond: "0.4 s", 9960 * time.Millisecond: "10 s",
		59*time.Second + 600*time.Millisecond: "1 min 00 s", 185 * time.Second: "3 min 05 s",
		time.Hour - 200*time.Millisecond: "1 h 00 min", 127 * time.Minute: "2 h 07 min",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}
