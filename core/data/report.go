package data

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/asterism-ssl/asterism/core/plugin"
)

// BadFile names every record that was left out: a line of JSON with source, where, index, id and reason.
const BadFile = "bad.jsonl"

// Report says what Ingest kept and what a user should know of.
type Report struct {
	Kept    int      `json:"kept"`
	Bad     int      `json:"bad"` // records left out; bad.jsonl names every one
	Notices []Notice `json:"notices,omitempty"`
}

// Notice counts things that a user should know of and that stopped nothing.
type Notice struct {
	Where    string   `json:"where"` // "data.sources.1 images.folder"
	What     string   `json:"what"`  // "left out: unexpected EOF"
	Count    int      `json:"count"`
	Examples []string `json:"examples,omitempty"` // up to five
}

// examples is how many examples a notice has, kinds how many reasons are told apart in one source.
const (
	examples = 5
	kinds    = 20
)

// tally counts what happens to the records, by source and by what it is.
type tally struct {
	dir     string
	from    []plugin.Ref
	notices []*Notice
	kinds   []int // reasons told apart, by source
	bad     []int // records left out, by source
	total   int
	list    *os.File
}

func newTally(dir string, from []plugin.Ref, sources int) *tally {
	return &tally{dir: dir, from: from, kinds: make([]int, sources), bad: make([]int, sources)}
}

// count adds one to the notice (source, what).
func (t *tally) count(source int, what, example string) {
	w := where(t.from, source)
	for _, n := range t.notices {
		if n.Where == w && n.What == what {
			if n.Count++; len(n.Examples) < examples {
				n.Examples = append(n.Examples, example)
			}
			return
		}
	}
	t.notices = append(t.notices, &Notice{Where: w, What: what, Count: 1, Examples: []string{example}})
}

// known says whether a notice (source, what) is there.
func (t *tally) known(source int, what string) bool {
	w := where(t.from, source)
	for _, n := range t.notices {
		if n.Where == w && n.What == what {
			return true
		}
	}
	return false
}

// leaveOut counts a record that is left out and writes it down.
func (t *tally) leaveOut(source, index int, id, reason string) error {
	what, example := split(reason, id, index)
	what = "left out: " + what
	if !t.known(source, what) {
		if t.kinds[source]++; t.kinds[source] > kinds {
			what, example = "left out for other reasons", example+": "+reason
		}
	}
	t.count(source, what, example)
	t.bad[source]++
	t.total++
	if t.list == nil {
		f, err := os.Create(filepath.Join(t.dir, BadFile))
		if err != nil {
			return err
		}
		t.list = f
	}
	line, err := json.Marshal(struct {
		Source int    `json:"source"`
		Where  string `json:"where"`
		Index  int    `json:"index"`
		ID     string `json:"id,omitempty"`
		Reason string `json:"reason"`
	}{source, where(t.from, source), index, id, reason})
	if err != nil {
		return err
	}
	_, err = t.list.Write(append(line, '\n'))
	return err
}

// split parts a reason into what is wrong and the object that it is wrong with: a reason names the file before the
// first colon, and what is counted must not.
func split(reason, id string, index int) (what, example string) {
	example = id
	if example == "" {
		example = fmt.Sprintf("record %d", index)
	}
	if file, rest, ok := strings.Cut(reason, ": "); ok && rest != "" && (file == id || strings.ContainsAny(file, "./\\")) {
		return rest, file
	}
	return reason, example
}

func (t *tally) close() error {
	if t.list == nil {
		return nil
	}
	f := t.list
	t.list = nil
	return f.Close()
}

// sum says in one line what was left out, for an error.
func (t *tally) sum() string {
	var parts []string
	for _, n := range t.notices {
		if what, ok := strings.CutPrefix(n.What, "left out"); ok {
			more := ""
			if n.Count > len(n.Examples) {
				more = ", …"
			}
			parts = append(parts, fmt.Sprintf("%d × %s (%s%s)", n.Count, strings.TrimPrefix(what, ": "), strings.Join(n.Examples, ", "), more))
		}
	}
	return strings.Join(parts, "; ")
}
