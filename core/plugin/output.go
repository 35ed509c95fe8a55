package plugin

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	keptLines = 200     // of a plugin's output
	toldLines = 30      // of those, in a fault
	longLine  = 8 << 10 // bytes after which a line is broken
)

// output is what one plugin writes, line by line: kept for faults, and passed on to the host's log. It takes any bytes;
// nothing in them is interpreted.
type output struct {
	name  string
	to    *sink             // of all plugins
	names *strings.Replacer // from the folder that it is started from to its author's

	mu     sync.Mutex
	log    *os.File          // once there is a folder for logs and something to write
	failed bool              // to open it
	dying  bool              // the process is writing why it dies
	lines  [keptLines]string // ring
	count  int
	latest time.Time
}

// sink is the host's log, which several plugins share.
type sink struct {
	mu  sync.Mutex
	w   io.Writer
	dir string // of one file a plugin; empty: none yet
}

// folder is where plugins keep what they write, or "".
func (s *sink) folder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir
}

func newOutput(spec Spec, to *sink) *output {
	o := &output{name: spec.Name, to: to, names: strings.NewReplacer()}
	if spec.Source != "" && spec.Dir != "" {
		o.names = strings.NewReplacer(spec.Dir, spec.Source)
	}
	return o
}

func (o *output) add(line string) {
	line = o.names.Replace(line)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines[o.count%keptLines] = line
	o.count++
	o.latest = time.Now()
	if o.log != nil {
		io.WriteString(o.log, line+"\n")
	} else {
		o.open()
	}
	if o.dying = o.dying || crash(line); !o.dying { // the fault tells the rest
		o.pass(line)
	}
}

// open begins the log, once there is a folder for it, with the lines that were written before.
func (o *output) open() {
	dir := o.to.folder()
	if dir == "" || o.failed || o.log != nil || o.count == 0 {
		return
	}
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		o.log, err = os.OpenFile(filepath.Join(dir, o.name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	}
	if err != nil {
		o.failed = true // the log is a convenience: say so and go on
		o.pass("the log cannot be written: " + err.Error())
		return
	}
	io.WriteString(o.log, o.kept())
}

func (o *output) pass(line string) {
	o.to.mu.Lock()
	defer o.to.mu.Unlock()
	if o.to.w != nil {
		io.WriteString(o.to.w, o.name+": "+line+"\n")
	}
}

// tail gives the last lines, after waiting a moment for those that are on their way.
func (o *output) tail() string {
	for range 20 {
		o.mu.Lock()
		quiet := time.Since(o.latest) > 15*time.Millisecond
		o.mu.Unlock()
		if quiet {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.SplitAfter(strings.TrimSuffix(o.kept(), "\n"), "\n")
	if at := slices.IndexFunc(lines, crash); at >= 0 { // the first goroutine's stack says where; the others say little
		return strings.Join(lines[max(0, at-toldLines/3):min(len(lines), at+toldLines)], "")
	}
	return strings.Join(lines[max(0, len(lines)-toldLines):], "")
}

// trace adds the stack of a component that failed to what its process wrote, and gives the last lines before with it.
func (o *output) trace(stack string) string {
	before := strings.SplitAfter(o.tail(), "\n")
	if n := len(before) - 1 - toldLines/3; n > 0 { // after the last line end there is nothing
		before = before[n:]
	}
	var told strings.Builder
	for i, line := range strings.Split(strings.TrimRight(stack, "\n"), "\n") {
		line = o.names.Replace(clean([]byte(line)))
		o.add(line)
		if i < toldLines {
			told.WriteString(line + "\n")
		}
	}
	return strings.Join(before, "") + told.String()
}

// crash says whether a line begins what the Go runtime writes when a process dies.
func crash(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}

// kept gives the last lines.
func (o *output) kept() string {
	var b strings.Builder
	for i := max(0, o.count-keptLines); i < o.count; i++ {
		b.WriteString(o.lines[i%keptLines])
		b.WriteByte('\n')
	}
	return b.String()
}

// read takes lines from r until it ends. keep, if not nil, sees each line first and returns true for one that is not
// output.
func (o *output) read(r io.Reader, keep func(line string) bool) {
	b := bufio.NewReaderSize(r, longLine)
	for {
		line, _, err := b.ReadLine()
		if err != nil {
			return
		}
		if text := clean(line); keep == nil || !keep(text) {
			o.add(text)
		}
	}
}

// clean makes a line fit for a terminal and a report.
func clean(line []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(line), "�"))
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open()
	if o.log != nil {
		o.log.Close()
		o.log, o.failed = nil, true
	}
}

// lineWriter breaks a stream that comes in pieces into lines.
type lineWriter struct {
	output *output
	mu     sync.Mutex
	rest   []byte
}

// Write takes a piece.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 && len(w.rest) < longLine {
			return len(p), nil
		}
		line := w.rest
		if i >= 0 {
			line, w.rest = line[:i], line[i+1:]
		} else {
			w.rest = nil
		}
		w.output.add(clean(line))
	}
}
