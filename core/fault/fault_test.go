package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
)

func ExamplePrint() {
	Print(os.Stdout, List{
		{Kind: Config, Where: "efigi.cue:12:9", Path: "views.train.1", Plugin: "sky.jitter_crop", What: "a crop of 100 is larger than the frame 88×88", Do: "lower size, or raise data.frame.size"},
		{Kind: Plugin, Plugin: "acme.stretch", What: "the plugin ended in the middle of a call", Err: errors.New("exit status 3"), Log: "loading tables\nno such table\n"},
	})
	// Output:
	// error: efigi.cue:12:9: views.train.1: sky.jitter_crop: a crop of 100 is larger than the frame 88×88
	//   → lower size, or raise data.frame.size
	// error: acme.stretch: the plugin ended in the middle of a call: exit status 3
	//   last output of the plugin:
	//   | loading tables
	//   | no such table
}

// Scripts rely on these numbers.
func TestExitCodes(t *testing.T) {
	for want, errs := range map[int][]error{
		1:   {errors.New("odd"), &Error{Kind: Resource}, fmt.Errorf("write: %w", syscall.ENOSPC), &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}},
		2:   {&Error{Kind: Config}, List{{Kind: Config}, {Kind: Config}}, fmt.Errorf("vet: %w", &Error{Kind: Config})},
		3:   {&Error{Kind: Data}},
		4:   {&Error{Kind: Plugin}},
		5:   {&Error{Kind: Diverged}},
		6:   {&Error{Kind: Claim}},
		75:  {&Error{Kind: Interrupted}},
		130: {context.Canceled, &Error{Kind: Cancelled}},
	} {
		for _, err := range errs {
			if got := KindOf(err).ExitCode(); got != want {
				t.Errorf("%v (%T) exits with %d, not %d", err, err, got, want)
			}
		}
	}
}

// A full disk is the machine's matter wherever it shows, and a fault wrapped in other text keeps its facts.
func TestWrappedFaultsKeepTheirFacts(t *testing.T) {
	if k := KindOf(&Error{Kind: Plugin, Err: syscall.ENOSPC}); k != Resource {
		t.Errorf("a full disk in a plugin is of kind %v", k)
	}
	var b bytes.Buffer
	Print(&b, fmt.Errorf("while reading: %w", &Error{Kind: Data, Where: "a.cue:1:2", What: "no such folder", Do: "check root"}))
	if want := "error: a.cue:1:2: while reading: no such folder\n  → check root\n"; b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
	b.Reset()
	PrintJSON(&b, &Error{Kind: Data, Path: "data.sources.0", What: "no such folder", Err: errors.New("not there")})
	for _, want := range []string{`"kind": "data"`, `"path": "data.sources.0"`, `"what": "no such folder: not there"`, `"exit": 3`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}

// Two things that go wrong at once are two faults, each with its facts, for a person as for a program.
func TestJoinedFaultsAreSaidOneByOne(t *testing.T) {
	full := &Error{Kind: Plugin, Plugin: "contrast.moco", What: "cannot keep its queue", Err: syscall.ENOSPC}
	err := errors.Join(fmt.Errorf("step 3: %w", full), errors.New("close: bad file"), nil)
	var b bytes.Buffer
	Print(&b, err)
	if want := "error: contrast.moco: step 3: cannot keep its queue: no space left on device\nerror: close: bad file\n"; b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
	all := All(err)
	if len(all) != 2 || all[0].Plugin != "contrast.moco" || all[0].Kind != Resource || all[1].Kind != Internal {
		t.Errorf("the faults are %+v", all)
	}
	b.Reset()
	PrintJSON(&b, full)
	if !strings.Contains(b.String(), `"kind": "resource"`) || !strings.Contains(b.String(), `"exit": 1`) {
		t.Errorf("the kind and the exit status differ: %s", b.String())
	}
	if got := All(errors.Join(full)); len(got) != 1 || got[0] != full {
		t.Errorf("a fault alone became %+v", got)
	}
}
