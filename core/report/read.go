package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"sort"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/run"
)

// files is what was found in a run directory. A nil or empty part is one that is missing.
type files struct {
	dir        string
	root       *os.Root // reads stay inside the run directory, whatever a file names
	manifest   *run.Manifest
	plan       *run.Plan
	metrics    []run.MetricLine
	badLines   int // of metrics.jsonl
	resolved   []byte
	experiment []byte
	tasks      []run.TaskResult
	problems   []string // damaged files, for the page to say
}

// The largest file that is read whole: a report of more is of no use to anyone.
const mostBytes = 256 << 20

func read(dir string) (*files, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, &fault.Error{Op: "report", Kind: fault.Data, What: "cannot find the run directory", Err: err}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &fault.Error{Op: "report", Kind: fault.Data, Where: dir, What: "cannot open the run directory", Err: err,
			Do: "asterism runs list shows the runs that there are"}
	}
	f := &files{dir: dir, root: root}
	if f.manifest = readJSON[run.Manifest](f, "manifest.json"); f.manifest != nil {
		f.manifest.Settle(dir)
	}
	f.plan = readJSON[run.Plan](f, "plan.json")
	f.resolved = f.bytes("resolved.json")
	f.experiment = f.bytes("experiment.cue")
	f.readMetrics()
	f.readTasks()
	if f.manifest == nil && f.plan == nil && f.resolved == nil && f.experiment == nil && f.metrics == nil && f.tasks == nil && f.problems == nil {
		return nil, &fault.Error{Op: "report", Kind: fault.Data, Where: dir, What: "not a run directory: it holds none of a run's files",
			Do: "asterism runs list shows the runs that there are"}
	}
	return f, nil
}

// bytes reads a file of the run directory; nil when it is missing. What else goes wrong is kept for the page.
func (f *files) bytes(name string) []byte {
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var b []byte
	if err == nil {
		defer file.Close()
		b, err = io.ReadAll(io.LimitReader(file, mostBytes+1))
	}
	if err == nil && len(b) > mostBytes {
		err = fmt.Errorf("larger than %d MB", mostBytes>>20)
	}
	if err != nil {
		f.problems = append(f.problems, fmt.Sprintf("%s cannot be read: %v.", name, err))
		return nil
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

func readJSON[T any](f *files, name string) *T {
	b := f.bytes(name)
	if b == nil {
		return nil
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		f.problems = append(f.problems, fmt.Sprintf("%s is damaged: %v.", name, err))
		return nil
	}
	return v
}

// readMetrics reads line by line: a run that was killed may leave half a line at the end.
func (f *files) readMetrics() {
	lines := bufio.NewScanner(bytes.NewReader(f.bytes("metrics.jsonl")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		line := run.MetricLine{Loss: math.NaN()}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			f.badLines++
			continue
		}
		f.metrics = append(f.metrics, line)
	}
	if lines.Err() != nil {
		f.badLines++
	}
}

func (f *files) readTasks() {
	entries, err := fs.ReadDir(f.root.FS(), "tasks")
	if err != nil {
		return // none yet
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if r := readJSON[run.TaskResult](f, path.Join("tasks", e.Name(), "result.json")); r != nil {
			r.Task = e.Name() // where its pictures are
			f.tasks = append(f.tasks, *r)
		}
	}
	sort.Slice(f.tasks, func(i, j int) bool { return f.tasks[i].Task < f.tasks[j].Task })
}
