// Package fault is the one error type of Asterism and the one place that prints it.
//
// A fault says what went wrong, where, why, and what to do next, and carries the exit code that a script sees:
//
//	return &fault.Error{Op: "ingest", Kind: fault.Data, Plugin: "images.folder", Where: "efigi.cue:8:4",
//		Path: "data.sources.0", What: "no such folder: /data/efigi", Do: "check root, or pass -t root=…"}
//
// It imports nothing of ours.
package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
)

// Kind says whose matter a fault is; it decides the exit code.
type Kind int

// The kinds, with the exit codes that scripts rely on.
const (
	Internal    Kind = iota // 1: a defect of ours
	Resource                // 1: the machine refuses: disk, memory, a directory in use
	Config                  // 2: the experiment is invalid
	Data                    // 3: the data are invalid
	Plugin                  // 4: a plugin failed
	Diverged                // 5: training diverged or collapsed
	Claim                   // 6: a claim was not reproduced
	Interrupted             // 75: stopped on request, resumable
	Cancelled               // 130: stopped on request, nothing to resume
)

// ExitCode is the process exit status for the kind.
func (k Kind) ExitCode() int {
	switch k {
	case Config:
		return 2
	case Data:
		return 3
	case Plugin:
		return 4
	case Diverged:
		return 5
	case Claim:
		return 6
	case Interrupted:
		return 75
	case Cancelled:
		return 130
	}
	return 1
}

// String names the kind as JSON output does.
func (k Kind) String() string {
	return [...]string{"internal", "resource", "config", "data", "plugin", "diverged", "claim", "interrupted", "cancelled"}[k]
}

// Error is a fault. What is required; the rest is filled as far as it is known.
type Error struct {
	Op     string // what was being done: "vet", "ingest", "train"
	Kind   Kind
	Where  string // file:line:column
	Path   string // CUE path: "views.train.1"
	Plugin string // plugin or component: "sky.jitter_crop"
	What   string // what is wrong, a clause without a full stop
	Do     string // what to do next, a clause without a full stop
	Log    string // the end of the plugin's own output, when it helps
	Err    error  // the cause
}

// Error gives the fault on one line, without the advice and the log.
func (e *Error) Error() string { return e.place() + e.reason() }

// place says where, for the beginning of a line.
func (e *Error) place() string {
	var b strings.Builder
	for _, part := range []string{e.Where, e.Path, e.Plugin} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	return b.String()
}

// reason says what is wrong, and why.
func (e *Error) reason() string {
	switch {
	case e.Err == nil:
		return e.What
	case e.What == "":
		return e.Err.Error()
	}
	return e.What + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// List is several faults at once, in the order in which the user should read them.
type List []*Error

// Error gives one fault a line.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// All flattens an error into its faults, of joined errors those of each; an error that is none becomes one of the kind
// that KindOf gives. What was said around a fault (by fmt.Errorf) stands in its What; around a List it is left out.
func All(err error) List {
	if err == nil {
		return nil
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		if joined := errors.Join(several.Unwrap()...); joined != nil && joined.Error() == err.Error() {
			var list List
			for _, e := range several.Unwrap() {
				list = append(list, All(e)...)
			}
			return list
		}
	}
	var list List
	if errors.As(err, &list) {
		return list
	}
	var e *Error
	if !errors.As(err, &e) {
		return List{{Kind: KindOf(err), What: err.Error()}}
	}
	if error(e) == err {
		return List{e}
	}
	c := *e
	c.Kind, c.Err = KindOf(err), nil
	before, after, ok := strings.Cut(err.Error(), e.Error())
	c.What = before + e.reason() + after
	if !ok { // said in other words
		c.What, c.Where, c.Path, c.Plugin = err.Error(), "", "", ""
	}
	return List{&c}
}

// KindOf gives the kind of the first fault in err; full disks and exhausted memory are recognised wherever they arise.
func KindOf(err error) Kind {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return Resource
	}
	var list List
	if errors.As(err, &list) && len(list) > 0 {
		return list[0].Kind
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) {
		return Cancelled
	}
	return Internal
}

// Print writes err for a person: what and where on the first line, then why and what to do, indented.
func Print(w io.Writer, err error) {
	for _, e := range All(err) {
		fmt.Fprintf(w, "error: %s\n", e.Error())
		if e.Do != "" {
			fmt.Fprintf(w, "  → %s\n", e.Do)
		}
		if e.Log != "" {
			fmt.Fprintf(w, "  last output of the plugin:\n")
			for _, line := range strings.Split(strings.TrimRight(e.Log, "\n"), "\n") {
				fmt.Fprintf(w, "  | %s\n", line)
			}
		}
	}
}

// PrintJSON writes err for a program: one object with the list of its faults.
func PrintJSON(w io.Writer, err error) {
	type entry struct {
		Kind   string `json:"kind"`
		Op     string `json:"op,omitempty"`
		Where  string `json:"where,omitempty"`
		Path   string `json:"path,omitempty"`
		Plugin string `json:"plugin,omitempty"`
		What   string `json:"what"`
		Do     string `json:"do,omitempty"`
		Log    string `json:"log,omitempty"`
	}
	var out struct {
		Errors []entry `json:"errors"`
		Exit   int     `json:"exit"`
	}
	out.Exit = KindOf(err).ExitCode()
	for _, e := range All(err) {
		out.Errors = append(out.Errors, entry{KindOf(e).String(), e.Op, e.Where, e.Path, e.Plugin, e.reason(), e.Do, e.Log})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(out)
}
