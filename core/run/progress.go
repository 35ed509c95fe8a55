package run

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"github.com/asterism-ssl/asterism/core/fault"
)

// The modes of Progress.
const (
	ProgressAuto  = "auto"  // a bar on a terminal, plain lines elsewhere
	ProgressBar   = "bar"   // one line, drawn over
	ProgressPlain = "plain" // a line at once, then one every five seconds
	ProgressJSON  = "json"  // one JSON object a line: event, stage, done, total, eta_seconds, fields
	ProgressNone  = "none"  // notes only
)

// CheckProgressMode is nil for a mode that NewProgress knows.
func CheckProgressMode(mode string) error {
	switch mode {
	case "", ProgressAuto, ProgressBar, ProgressPlain, ProgressJSON, ProgressNone:
		return nil
	}
	return &fault.Error{Op: "run", Kind: fault.Config, What: fmt.Sprintf("no progress mode %q", mode),
		Do: "choose auto, bar, plain, json or none"}
}

// Field is a measured value beside the count: loss, images/s.
type Field struct {
	Name  string // "loss"; empty when the value speaks for itself ("1240 images/s")
	Value string
}

// Progress shows how far a run is. All methods may be called from any goroutine, and on a nil Progress, which is silent.
//
//	p.Stage("train", "50 epochs of 9600 images")
//	p.Update(12, 3750, run.Field{Name: "loss", Value: "7.91"}, run.Field{Value: "1240 images/s"})
//	p.Done("loss 5.02")
type Progress struct {
	mu      sync.Mutex
	w       io.Writer
	mode    string
	now     func() time.Time
	columns func() int // of the terminal
	colour  bool
	ascii   bool

	stage, what string
	started     time.Time
	open        bool // a stage is running
	updated     bool // Update was called in this stage
	done, total int
	fields      []Field
	shown       time.Time // when the last line or bar was written
	drawn       bool      // a bar stands on the current line
	pace        pace
	partial     []byte // of a line given to Write
}

// NewProgress makes a display that writes to w (os.Stderr when nil). Mode is one of the constants; an empty or unknown one
// is auto. Colours are used on a terminal unless NO_COLOR is set; a dumb terminal gets plain lines.
func NewProgress(w io.Writer, mode string) *Progress {
	if w == nil {
		w = os.Stderr
	}
	p := &Progress{w: w, mode: mode, now: time.Now, columns: func() int { return 80 }}
	file, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb"
	if terminal {
		p.columns = func() int {
			if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
				return columns
			}
			return 80
		}
	}
	p.colour = terminal && os.Getenv("NO_COLOR") == ""
	p.ascii = !unicodeLocale(os.Getenv)
	switch mode {
	case ProgressBar, ProgressPlain, ProgressJSON, ProgressNone:
	default:
		p.mode = ProgressPlain
		if terminal {
			p.mode = ProgressBar
		}
	}
	return p
}

// unicodeLocale says whether the terminal shows more than ASCII, by the rules of POSIX for LC_CTYPE.
func unicodeLocale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// Stage begins a stage and says what it is going to do. A stage still open is ended first.
func (p *Progress) Stage(name, what string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		p.finish("")
	}
	now := p.now()
	p.stage, p.what = printable(name), printable(what)
	p.started, p.open, p.updated, p.done, p.total, p.fields = now, true, false, 0, 0, p.fields[:0]
	p.pace = pace{}
	p.shown = time.Time{}
	switch p.mode {
	case ProgressBar:
		p.draw(now)
	case ProgressPlain:
		fmt.Fprintf(p.w, "%s\n", joined(": ", p.stage, p.what))
	case ProgressJSON:
		p.json(record{Event: "stage", Stage: p.stage, What: p.what})
	}
}

// Update says that done of total are done (total 0: unknown) and what was measured on the way. It may be called after every
// step: the display takes what it needs.
func (p *Progress) Update(done, total int, fields ...Field) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if !p.open {
		p.open, p.started = true, now
	}
	first := !p.updated
	if total != p.total { // something else is counted now
		p.pace = pace{}
	}
	p.updated, p.done, p.total = true, done, total
	p.fields = append(p.fields[:0], fields...)
	p.pace.add(now, done)
	every := 5 * time.Second
	switch p.mode {
	case ProgressBar:
		every = 100 * time.Millisecond
	case ProgressJSON:
		every = time.Second
	}
	last := total > 0 && done >= total
	if !first && !(last && p.mode != ProgressPlain) && now.Sub(p.shown) < every {
		return
	}
	switch p.mode {
	case ProgressBar:
		p.draw(now)
	case ProgressPlain:
		p.shown = now
		fmt.Fprintf(p.w, "%s\n", joined("  ", append([]string{joined(" ", p.stage, p.count())}, p.measured(now)...)...))
	case ProgressJSON:
		p.shown = now
		r := record{Event: "progress", Stage: p.stage, Done: &p.done, Total: p.total, Seconds: seconds(now.Sub(p.started))}
		if left, ok := p.pace.left(now, p.total); ok {
			r.ETA = seconds(left)
		}
		if len(p.fields) > 0 {
			r.Fields = map[string]string{}
			for _, f := range p.fields {
				name := f.Name
				if name == "" { // "1240 images/s"
					_, name, _ = strings.Cut(f.Value, " ")
				}
				r.Fields[name] = f.Value
			}
		}
		p.json(r)
	}
}

// Done ends the stage; the summary says what came of it and may be empty.
func (p *Progress) Done(summary string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		p.finish(printable(summary))
	}
}

// Note writes a line of its own, above the bar when there is one. It is written in every mode.
func (p *Progress) Note(line string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(line)
}

// Write lets a Progress stand where an io.Writer for log lines is wanted: every complete line becomes a note.
func (p *Progress) Write(b []byte) (int, error) {
	if p == nil {
		return len(b), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, b...)
	for {
		line, rest, found := strings.Cut(string(p.partial), "\n")
		if !found {
			return len(b), nil
		}
		p.partial = append(p.partial[:0], rest...)
		p.note(strings.TrimRight(line, "\r"))
	}
}

// Close leaves the terminal ready for other output: a bar that stands is ended with a new line. The display may be used
// again afterwards.
func (p *Progress) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.partial) > 0 {
		rest := string(p.partial)
		p.partial = p.partial[:0]
		p.note(rest)
	}
	if p.drawn {
		io.WriteString(p.w, "\n")
		p.drawn = false
	}
	p.open = false
}

func (p *Progress) note(line string) {
	if p.mode == ProgressJSON {
		p.json(record{Event: "note", Note: printable(line)})
		return
	}
	p.clear()
	fmt.Fprintf(p.w, "%s\n", printable(line))
	if p.mode == ProgressBar && p.open {
		p.draw(p.now())
	}
}

func (p *Progress) finish(summary string) {
	now := p.now()
	took := now.Sub(p.started)
	switch p.mode {
	case ProgressBar:
		p.clear()
		mark := "✓"
		if p.ascii {
			mark = "ok"
		}
		if summary == "" && p.updated {
			summary = joined("  ", append([]string{p.count()}, p.shownFields()...)...)
		}
		if summary == "" {
			summary = p.what
		}
		line := fit(joined("  ", mark+" "+p.stage, summary, Duration(took)), p.columns()-1)
		if p.colour {
			line = strings.Replace(line, mark, "\x1b[32m"+mark+"\x1b[0m", 1)
		}
		fmt.Fprintf(p.w, "%s\n", line)
	case ProgressPlain:
		fmt.Fprintf(p.w, "%s\n", joined(": ", joined(" ", p.stage, "done in", Duration(took)), summary))
	case ProgressJSON:
		p.json(record{Event: "done", Stage: p.stage, Seconds: seconds(took), Summary: summary})
	}
	p.open = false
}

// clear takes a standing bar off its line.
func (p *Progress) clear() {
	if p.drawn {
		io.WriteString(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// draw writes the bar over the current line. It is made to fit: first the bar shrinks and goes, then the fields from the
// last on, then the time left; stage and count stay and are cut at the edge.
func (p *Progress) draw(now time.Time) {
	p.shown = now
	room := p.columns() - 1 // the last column stays free: writing there wraps on some terminals
	head := p.stage
	if !p.updated {
		p.put(fit(joined("  ", head, p.what), room), head)
		return
	}
	count := p.count()
	left := p.remaining(now)
	fields := p.shownFields()
	text := func() string { return joined("  ", append(append([]string{count}, fields...), left)...) }
	for len(fields) > 0 && DisplayWidth(head)+2+DisplayWidth(text()) > room {
		fields = fields[:len(fields)-1]
	}
	if DisplayWidth(head)+2+DisplayWidth(text()) > room {
		left = ""
	}
	line := joined("  ", head, text())
	if bar := min(room-DisplayWidth(line)-2, 30); bar >= 8 && p.total > 0 {
		line = joined("  ", head, p.bar(bar), text())
	}
	p.put(fit(line, room), head)
}

// put writes a line of the bar, its head in bold.
func (p *Progress) put(line, head string) {
	if rest, ok := strings.CutPrefix(line, head); ok && p.colour {
		line = "\x1b[1m" + head + "\x1b[0m" + rest
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", line)
	p.drawn = true
}

func (p *Progress) bar(columns int) string {
	full, empty := "━", "─"
	if p.ascii {
		full, empty = "#", "-"
	}
	n := int(math.Round(float64(columns) * min(1, max(0, float64(p.done)/float64(p.total)))))
	return strings.Repeat(full, n) + strings.Repeat(empty, columns-n)
}

func (p *Progress) count() string {
	if p.total > 0 {
		return fmt.Sprintf("%d/%d", p.done, p.total)
	}
	return fmt.Sprint(p.done)
}

func (p *Progress) shownFields() []string {
	fields := make([]string, len(p.fields))
	for i, f := range p.fields {
		fields[i] = printable(joined(" ", f.Name, f.Value))
	}
	return fields
}

func (p *Progress) remaining(now time.Time) string {
	left, ok := p.pace.left(now, p.total)
	if !ok {
		return ""
	}
	return Duration(left) + " left"
}

func (p *Progress) measured(now time.Time) []string {
	return append(p.shownFields(), p.remaining(now))
}

// record is a line of the JSON mode.
type record struct {
	Event   string            `json:"event"` // "stage", "progress", "done", "note"
	Time    time.Time         `json:"time"`
	Stage   string            `json:"stage,omitempty"`
	What    string            `json:"what,omitempty"`
	Done    *int              `json:"done,omitempty"`
	Total   int               `json:"total,omitempty"` // left out when unknown
	Seconds *float64          `json:"seconds,omitempty"`
	ETA     *float64          `json:"eta_seconds,omitempty"`
	Fields  map[string]string `json:"fields,omitempty"`
	Summary string            `json:"summary,omitempty"`
	Note    string            `json:"note,omitempty"`
}

func (p *Progress) json(r record) {
	r.Time = p.now().UTC()
	line, err := json.Marshal(r)
	if err != nil {
		return // strings and finite numbers only: cannot happen
	}
	p.w.Write(append(line, '\n'))
}

func seconds(d time.Duration) *float64 {
	s := math.Round(d.Seconds()*1000) / 1000
	return &s
}

// pace estimates the time left from the recent past of this sitting: a resumed stage starts with a count that it did not
// earn, and early steps are slow.
type pace struct {
	at   [16]time.Time
	done [16]int
	n    int // marks made; the newest is (n-1) mod 16
}

func (e *pace) add(now time.Time, done int) {
	if e.n > 0 && now.Sub(e.at[(e.n-1)%len(e.at)]) < 2*time.Second {
		if e.n > 1 || now.Equal(e.at[0]) {
			return
		}
	}
	e.at[e.n%len(e.at)], e.done[e.n%len(e.at)] = now, done
	e.n++
}

// left is the time until total, from the oldest mark kept to the newest; false while nothing can be said.
func (e *pace) left(now time.Time, total int) (time.Duration, bool) {
	if e.n < 2 || total <= 0 {
		return 0, false
	}
	newest, oldest := (e.n-1)%len(e.at), max(0, e.n-len(e.at))%len(e.at)
	gained, took := e.done[newest]-e.done[oldest], e.at[newest].Sub(e.at[oldest])
	if gained <= 0 || took <= 0 {
		return 0, false
	}
	left := time.Duration(float64(total-e.done[newest])*float64(took)/float64(gained)) - now.Sub(e.at[newest])
	return max(0, left), true
}

// Duration writes a time span as people do: "0.4 s", "58 s", "3 min 05 s", "2 h 07 min".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 59500*time.Millisecond:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour-500*time.Millisecond:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

// DisplayWidth is the number of columns that s takes on a terminal: two for wide characters, none for combining ones.
func DisplayWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x20 || r == 0x7f, unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r < 0x300:
		return 1
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts s to columns.
func fit(s string, columns int) string {
	n := 0
	for i, r := range s {
		if n += runeWidth(r); n > columns {
			return s[:i]
		}
	}
	return s
}

// printable takes control characters out of text that may come from a plugin or a file name: they could move the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
}

// joined is strings.Join without the empty parts.
func joined(by string, parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(by)
		}
		b.WriteString(part)
	}
	return b.String()
}
