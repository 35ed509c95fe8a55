package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// put writes a checkpoint whose files hold a text.
func put(t *testing.T, c *Checkpoints, step int, text string) {
	t.Helper()
	err := c.write(&checkpointState{Job: c.Job, Training: c.Training, Step: step, Marks: map[string]int64{"metrics": int64(step)}}, func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, networkFile), []byte(text), 0o666), os.WriteFile(filepath.Join(dir, objectiveFile), nil, 0o666))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func there(t *testing.T, c *Checkpoints) []int {
	t.Helper()
	steps, err := c.steps()
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func newest(t *testing.T, c *Checkpoints) int {
	t.Helper()
	s, _, err := c.latest()
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return -1
	}
	return s.Step
}

// The two newest are kept, and a damaged one is passed over for the one before.
func TestTheLastGoodCheckpointIsFound(t *testing.T) {
	c := &Checkpoints{Dir: filepath.Join(t.TempDir(), "checkpoints"), Job: "a"}
	if n := newest(t, c); n != -1 {
		t.Fatalf("step %d where there is none", n)
	}
	for _, step := range []int{10, 20, 30} {
		put(t, c, step, "weights")
	}
	if got := there(t, c); !slices.Equal(got, []int{20, 30}) {
		t.Errorf("kept %v", got)
	}
	if n := newest(t, c); n != 30 {
		t.Errorf("the newest is %d", n)
	}
	if err := os.WriteFile(filepath.Join(c.path(30), networkFile), []byte("weighty"), 0o666); err != nil {
		t.Fatal(err)
	}
	if n := newest(t, c); n != 20 {
		t.Errorf("with 30 damaged the newest is %d", n)
	}
	put(t, c, 25, "weights") // after continuing from 20
	if got := there(t, c); !slices.Equal(got, []int{20, 25}) {
		t.Errorf("kept %v beside a damaged one", got)
	}
	for _, damage := range []func() error{
		func() error { return os.Remove(filepath.Join(c.path(25), objectiveFile)) },
		func() error { return os.WriteFile(filepath.Join(c.path(20), stateFile), []byte(`{"job": "a"}`), 0o666) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
	}
	if n := newest(t, c); n != -1 {
		t.Errorf("step %d is found though all are damaged", n)
	}
}

// What another training left, further on, is neither taken nor kept in place of this one's.
func TestCheckpointsOfAnotherTrainingMakeRoom(t *testing.T) {
	old := &Checkpoints{Dir: t.TempDir(), Job: "old"}
	put(t, old, 900, "weights")
	put(t, old, 1000, "weights")
	c := &Checkpoints{Dir: old.Dir, Job: "new"}
	if n := newest(t, c); n != -1 {
		t.Fatalf("step %d of another training is taken", n)
	}
	put(t, c, 10, "weights")
	if n := newest(t, c); n != 10 {
		t.Errorf("the newest is %d after step 10 was written", n)
	}
	if got := there(t, c); !slices.Equal(got, []int{10}) {
		t.Errorf("kept %v", got)
	}
}

// A process that is killed in the middle of a checkpoint, or a full disk, leaves the last good one and no rubbish.
func TestAnUnfinishedCheckpointLeavesNothing(t *testing.T) {
	c := &Checkpoints{Dir: t.TempDir(), Job: "a"}
	put(t, c, 10, "weights")
	if err := os.Mkdir(filepath.Join(c.Dir, writing+"1"), 0o777); err != nil {
		t.Fatal(err)
	}
	err := c.write(&checkpointState{Job: "a", Step: 20}, func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, networkFile), []byte("wei"), 0o666), syscall.ENOSPC)
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk gave %v", err)
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || newest(t, c) != 10 {
		t.Errorf("%d entries are left and the newest is %d", len(entries), newest(t, c))
	}
}

// A training that begins again says so and why, once it has begun before.
func TestBeginningAgainIsSaid(t *testing.T) {
	var notes []string
	c := &Checkpoints{Dir: filepath.Join(t.TempDir(), "checkpoints"), Job: "a"}
	j := &Job{Checkpoints: c, CheckpointEvery: 90 * time.Second, Note: func(format string, a ...any) { notes = append(notes, fmt.Sprintf(format, a...)) }}
	begin := func() string {
		t.Helper()
		notes = nil
		if err := j.beginAnew(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(notes, "\n")
	}
	if said := begin(); said != "" {
		t.Errorf("at the first beginning: %q", said)
	}
	if said := begin(); said != "the training begins again at step 1: it was stopped before its first checkpoint, and one is written every 1.5 minutes (train.checkpoint_minutes)" {
		t.Errorf("at the second: %q", said)
	}
	put(t, c, 10, "weights")
	if err := os.Remove(filepath.Join(c.path(10), networkFile)); err != nil {
		t.Fatal(err)
	}
	if said := begin(); said != "the training begins again at step 1: no checkpoint of it is whole" {
		t.Errorf("with a damaged checkpoint: %q", said)
	}
	c.Job = "b"
	if said := begin(); said != "" {
		t.Errorf("another training: %q", said)
	}
}

// A checkpoint of the same training is gone on from, whatever computed it; of two, the further one.
func TestCheckpointOfAnotherEngineIsGoneOnFrom(t *testing.T) {
	theirs := &Checkpoints{Dir: filepath.Join(t.TempDir(), "theirs"), Job: "native", Training: "same"}
	put(t, theirs, 10, "weights")
	put(t, theirs, 20, "weights")
	here := &Checkpoints{Dir: theirs.Dir, Job: "torch", Training: "same"}
	if n := newest(t, here); n != 20 {
		t.Errorf("the newest is %d", n)
	}
	put(t, here, 30, "weights")
	if got := there(t, here); !slices.Equal(got, []int{20, 30}) {
		t.Errorf("kept %v", got)
	}
	if n := newest(t, &Checkpoints{Dir: theirs.Dir, Job: "torch", Training: "other"}); n != 30 {
		t.Errorf("by its own key the newest is %d", n)
	}
	if n := newest(t, &Checkpoints{Dir: theirs.Dir, Job: "jax", Training: "other"}); n != -1 {
		t.Errorf("step %d of another training is taken", n)
	}
	own := &Checkpoints{Dir: filepath.Join(t.TempDir(), "own"), Job: "jax", Training: "same"}
	if err := own.Take(theirs); err != nil {
		t.Fatal(err)
	}
	if n := newest(t, &Checkpoints{Dir: own.Dir, Job: "jax"}); n != 30 {
		t.Errorf("what was taken over is step %d", n)
	}
}
