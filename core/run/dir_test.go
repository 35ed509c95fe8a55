package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
)

// A run directory is opened, written and found again.
func Example() {
	root, err := os.MkdirTemp("", "runs")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(root)
	dir, err := OpenDir(root, ID("efigi", []byte(`{"name":"efigi"}`)))
	if err != nil {
		panic(err)
	}
	dir.Manifest = Manifest{Name: "efigi", ID: filepath.Base(dir.Path), Status: Running}
	if err := dir.Save(); err != nil {
		panic(err)
	}
	dir.Close() // killed before it could say how it ended

	path, err := Find(root, "efigi")
	if err != nil {
		panic(err)
	}
	m, err := ReadManifest(path)
	if err != nil {
		panic(err)
	}
	fmt.Println(m.ID, m.Status)
	// Output: efigi-d5c88077 interrupted
}

func open(t *testing.T, root, id, status string) *Dir {
	t.Helper()
	d, err := OpenDir(root, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	d.Manifest = Manifest{ID: id, Status: status, Started: at(1e9)}
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	return d
}

// While a run is open nobody else writes its directory, and it is running; afterwards it is what it said last, but not running.
func TestARunDirectoryHasOneWriter(t *testing.T) {
	root := t.TempDir()
	d := open(t, root, "a-1", Running)
	if _, err := OpenDir(root, "a-1"); fault.KindOf(err) != fault.Resource || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("a second writer got %v", err)
	}
	open(t, root, "b-1", Done).Close()
	status := func() (s string) {
		t.Helper()
		runs, err := List(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range runs {
			s += m.ID + " " + m.Status + ";"
		}
		return s
	}
	if got := status(); got != "a-1 running;b-1 done;" {
		t.Errorf("while a runs: %s", got)
	}
	d.Close()
	if got := status(); got != "a-1 interrupted;b-1 done;" {
		t.Errorf("after a was killed: %s", got)
	}
	open(t, root, "a-1", Running)
}

// Whoever lists runs looks at the locks; a run that begins at that moment is not turned away.
func TestListingRunsDisturbsNone(t *testing.T) {
	root := t.TempDir()
	open(t, root, "a-1", Running).Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				InUse(filepath.Join(root, "a-1"))
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	for range 200 {
		d, err := OpenDir(root, "a-1")
		if err != nil {
			t.Error(err)
			break
		}
		d.Close()
	}
	close(stop)
	<-stopped
}

// What a killed process was writing is removed, what another may just be writing is not.
func TestLeftoversAreSwept(t *testing.T) {
	root := t.TempDir()
	d := open(t, root, "a-1", Done)
	for _, name := range []string{writing + "old", writing + "new"} {
		if err := os.WriteFile(d.File(name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-time.Hour)
	if err := os.Chtimes(d.File(writing+"old"), before, before); err != nil {
		t.Fatal(err)
	}
	d.Close()
	open(t, root, "a-1", Done)
	left, _ := filepath.Glob(d.File(writing + "*"))
	if len(left) != 1 || filepath.Base(left[0]) != writing+"new" {
		t.Errorf("left are %v", left)
	}
}

// A file that a stage also holds is continued without a change to the stage's.
func TestContinuingAFileLeavesItsOtherName(t *testing.T) {
	dir := t.TempDir()
	stage, path := filepath.Join(dir, "stage"), filepath.Join(dir, "metrics.jsonl")
	if err := os.WriteFile(stage, []byte("one\ntwo\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(stage, path); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		offset int64
		want   string
	}{{4, "one\nthree\n"}, {0, "three\n"}} {
		f, err := Continue(path, c.offset)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("three\n"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got, _ := os.ReadFile(path); string(got) != c.want {
			t.Errorf("from %d on: %q, want %q", c.offset, got, c.want)
		}
	}
	if got, _ := os.ReadFile(stage); string(got) != "one\ntwo\n" {
		t.Errorf("the stage's file became %q", got)
	}
	for _, name := range []string{"metrics.jsonl", "none"} {
		if _, err := Continue(filepath.Join(dir, name), 100); fault.KindOf(err) != fault.Resource || !strings.Contains(err.Error(), name) {
			t.Errorf("an offset beyond %s gave %v", name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, writing+"*")); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// A file that cannot be written whole leaves the old one and no rubbish.
func TestAFileIsWrittenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "manifest.json")
	if err := WriteJSON(path, Manifest{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = 100
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Skip(err)
	}
	err := WriteFile(path, make([]byte, 1000))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if fault.KindOf(err) != fault.Resource || !strings.Contains(err.Error(), path) {
		t.Errorf("1000 bytes where 100 may be written gave %v", err)
	}
	var m Manifest
	if err := ReadJSON(path, &m); err != nil || m.ID != "a" {
		t.Errorf("the old file became %+v, %v", m, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
}

// Runs are found by path, by name and by the beginning of exactly one name; results wherever the folder lies.
func TestRunsAreFound(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a[b]*")
	for _, id := range []string{"deep-1", "deep-2", "wide-1"} {
		open(t, root, id, Done)
	}
	if err := os.Mkdir(filepath.Join(root, "no run"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"wide": "wide-1", "deep-2": "deep-2", filepath.Join(root, "deep-1"): "deep-1"} {
		if got, err := Find(root, name); err != nil || got != filepath.Join(root, want) {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
	for _, name := range []string{"deep", "high", "no run"} {
		if _, err := Find(root, name); fault.KindOf(err) != fault.Config {
			t.Errorf("%s gives %v", name, err)
		}
	}
	dir, err := OpenDir(root, "results")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, task := range []string{"b", "a"} {
		if err := os.MkdirAll(dir.File("tasks", task), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := WriteJSON(dir.File("tasks", task, "result.json"), TaskResult{Task: task}); err != nil {
			t.Fatal(err)
		}
	}
	results, err := Results(dir.Path)
	if err != nil || len(results) != 2 || results[0].Task != "a" {
		t.Errorf("the results are %+v, %v", results, err)
	}
	if runs, err := List(filepath.Join(root, "nowhere")); err != nil || runs != nil {
		t.Errorf("no folder gives %v, %v", runs, err)
	}
}
