package stage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
)

func open(t testing.TB, dir string) *Cache {
	t.Helper()
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// writes builds a stage of some files.
func writes(files map[string]string) func(context.Context, string) error {
	return func(_ context.Context, dir string) error {
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}

var two = writes(map[string]string{"weights.safetensors": "the weights", "figures/a.png": "a picture"})

func fails(context.Context, string) error { return errors.New("built again") }

// left lists what lies in a cache directory beside complete stages.
func left(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

func wantFault(t testing.TB, err error, kind fault.Kind, words ...string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || fault.KindOf(err) != kind {
		t.Errorf("error %v is no fault of kind %v", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(fmt.Sprint(err, " ", f.Do), w) {
			t.Errorf("the fault does not say %q: %v → %s", w, err, f.Do)
		}
	}
}

func TestBuiltOnceAndReused(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	c := open(t, dir)
	parts := map[string]any{"lr": 0.1, "say": "<é & b>"}
	key := Key("train", parts)
	if _, ok := c.Lookup(key); ok {
		t.Fatal("an empty cache has a stage")
	}
	r, err := c.Do(ctx, key, Describe("train", parts), two)
	if err != nil || r.Reused || r.Seconds <= 0 || r.Why != "" {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, again := range []*Cache{c, open(t, dir)} { // in this process, and as if in another
		r2, err := again.Do(ctx, key, "", fails)
		if err != nil || !r2.Reused || r2.Dir != r.Dir || r2.Seconds != r.Seconds {
			t.Errorf("%+v, %v", r2, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(r.Dir, "figures/a.png"))
	if err != nil || string(text) != "a picture" {
		t.Errorf("%q, %v", text, err)
	}
	s, err := c.Read(key)
	if err != nil || string(s.Describe) != Describe("train", parts) || len(s.Files) != 2 || s.Files[1].Name != "weights.safetensors" || s.Files[1].Size != 11 {
		t.Errorf("%+v, %v", s, err)
	}
	if names := left(t, dir); len(names) != 0 {
		t.Errorf("the cache also holds %v", names)
	}
	if err := c.Verify(ctx, key); err != nil {
		t.Error(err)
	}
	_, err = c.Read(Key("other", nil))
	wantFault(t, err, fault.Data, "not there")
}

func TestFailureLeavesNothing(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	c := open(t, dir)
	boom := errors.New("boom")
	for name, build := range map[string]func(ctx context.Context, dir string) error{
		"error": func(ctx context.Context, dir string) error { two(ctx, dir); return boom },
		"link":  func(_ context.Context, dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "x")) },
		"own":   writes(map[string]string{"stage.json": "{}"}),
		"full":  func(context.Context, string) error { return fmt.Errorf("writing: %w", syscall.ENOSPC) },
	} {
		_, err := c.Do(ctx, "k", "", build)
		switch name {
		case "error":
			if err != boom {
				t.Errorf("%s: %v", name, err)
			}
		case "full":
			wantFault(t, err, fault.Resource, "store gc", "ASTERISM_CACHE", dir)
		default:
			wantFault(t, err, fault.Internal, "files and folders")
		}
		if names, _ := os.ReadDir(dir); len(names) != 0 {
			t.Errorf("%s leaves %v", name, names)
		}
	}
	func() {
		defer func() { recover() }()
		c.Do(ctx, "k", "", func(ctx context.Context, dir string) error { two(ctx, dir); panic("at the disco") })
	}()
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("a panic leaves %v", names)
	}
	if _, err := c.Do(ctx, "../k", "", two); err == nil {
		t.Error("a key may lead out of the cache")
	}
	elsewhere := &fs.PathError{Op: "open", Path: "/runs/efigi/metrics.jsonl", Err: syscall.EACCES}
	if _, err := c.Do(ctx, "k", "", func(context.Context, string) error { return elsewhere }); err != error(elsewhere) {
		t.Errorf("a file outside is said to be the cache's: %v", err)
	}
	wrapped := fault.List{{Kind: fault.Data, What: "bad", Err: syscall.ENOSPC}}
	if _, err := c.Do(ctx, "k", "", func(context.Context, string) error { return wrapped }); err.Error() != wrapped.Error() {
		t.Errorf("the build's own faults become %v", err)
	}
}

func TestSpoiltStagesAreBuiltAgain(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		spoil func(stage string) error
		why   string
	}{
		"file gone":      {func(s string) error { return os.Remove(filepath.Join(s, "weights.safetensors")) }, "weights.safetensors is missing"},
		"file cut":       {func(s string) error { return os.Truncate(filepath.Join(s, "figures/a.png"), 3) }, "figures/a.png is 3 bytes long, not 9"},
		"no stage.json":  {func(s string) error { return os.Remove(filepath.Join(s, "stage.json")) }, "stage.json cannot be read"},
		"cut stage.json": {func(s string) error { return os.Truncate(filepath.Join(s, "stage.json"), 20) }, "not in order"},
		"of another": {func(s string) error {
			return os.WriteFile(filepath.Join(s, "stage.json"), []byte(`{"format":1,"key":"x"}`), 0o644)
		}, `key "x"`},
		"leads outside": {func(s string) error {
			return os.WriteFile(filepath.Join(s, "stage.json"), []byte(`{"format":1,"key":"k","files":[{"name":"../../x"}]}`), 0o644)
		}, "../../x"},
	} {
		dir := t.TempDir()
		cache := open(t, dir)
		r, err := cache.Do(ctx, "k", "", two)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(r.Dir); err != nil {
			t.Fatal(err)
		}
		if _, ok := cache.Lookup("k"); ok {
			t.Errorf("%s: it is still found", name)
		}
		r, err = cache.Do(ctx, "k", "", two)
		if err != nil || r.Reused || !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if r, ok := cache.Lookup("k"); !ok || r.Why != "" {
			t.Errorf("%s: %+v", name, r)
		}
		if names := left(t, dir); len(names) != 0 {
			t.Errorf("%s leaves %v", name, names)
		}
	}
}

func TestVerifyFindsAChangedFile(t *testing.T) {
	c := open(t, t.TempDir())
	r, err := c.Do(context.Background(), "k", "", two)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(r.Dir, "weights.safetensors")); err != nil || st.Mode().Perm() != 0o444 {
		t.Errorf("a stage's file may be written to: %v, %v", st.Mode(), err)
	}
	os.Chmod(filepath.Join(r.Dir, "weights.safetensors"), 0o644)
	if err := os.WriteFile(filepath.Join(r.Dir, "weights.safetensors"), []byte("The weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantFault(t, c.Verify(context.Background(), "k"), fault.Data, "weights.safetensors", "SHA-256", r.Dir)
}

func TestManyWantOne(t *testing.T) {
	dir := t.TempDir()
	var built, reused atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			r, err := open(t, dir).Do(context.Background(), "k", "", func(ctx context.Context, dir string) error {
				built.Add(1)
				time.Sleep(30 * time.Millisecond)
				return two(ctx, dir)
			})
			if err != nil {
				t.Error(err)
			} else if r.Reused {
				reused.Add(1)
			}
		}()
	}
	wait.Wait()
	if built.Load() != 1 || reused.Load() != 7 {
		t.Errorf("built %d times, reused %d times", built.Load(), reused.Load())
	}
}

// TestMain lets the test binary be another process: it builds or uses a stage, says so, and does so until its input ends.
func TestMain(m *testing.M) {
	dir, how, _ := strings.Cut(os.Getenv("STAGE_TEST_CHILD"), "|")
	if dir == "" {
		os.Exit(m.Run())
	}
	c, err := Open(dir)
	if err != nil {
		panic(err)
	}
	hold := func() {
		fmt.Println("holding")
		io.Copy(io.Discard, os.Stdin)
	}
	_, err = c.Do(context.Background(), "k", "", func(ctx context.Context, dir string) error {
		if err := two(ctx, dir); err != nil {
			return err
		}
		if how == "build" {
			hold()
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	if how == "use" {
		hold()
	}
	fmt.Println("done")
	os.Exit(0)
}

// child starts another process and waits until it holds.
func child(t *testing.T, dir, how string) (end func(kill bool)) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STAGE_TEST_CHILD="+dir+"|"+how)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "holding\n" {
		t.Fatal(line, err)
	}
	return func(kill bool) {
		if kill {
			cmd.Process.Kill()
		}
		in.Close()
		cmd.Wait()
	}
}

func TestWaitForAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	end := child(t, dir, "build")
	c := open(t, dir)
	told := make(chan string, 1)
	c.Waiting = func(key, describe string) { told <- key + " " + describe }

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	_, err := c.Do(ctx, "k", "a stage", fails)
	if !errors.Is(err, context.DeadlineExceeded) || <-told != "k a stage" {
		t.Errorf("an impatient one gets %v", err)
	}
	if g, err := c.GC(nil, 0, false); err != nil || len(g.Items) != 0 {
		t.Errorf("what another process is building is garbage: %+v, %v", g, err)
	}
	got := make(chan error)
	go func() {
		r, err := c.Do(context.Background(), "k", "a stage", fails)
		if err == nil && !r.Reused {
			err = errors.New("not reused")
		}
		got <- err
	}()
	<-told
	end(false)
	if err := <-got; err != nil {
		t.Errorf("a patient one gets %v", err)
	}
}

func TestCrashWhileBuilding(t *testing.T) {
	dir := t.TempDir()
	child(t, dir, "build")(true)
	if names := left(t, dir); len(names) != 2 {
		t.Fatalf("a killed process leaves %v", names)
	}
	r, err := open(t, dir).Do(context.Background(), "k", "", two)
	if err != nil || r.Reused {
		t.Errorf("%+v, %v", r, err)
	}
	if names := left(t, dir); len(names) != 0 {
		t.Errorf("after building again there are %v", names)
	}

	dir = t.TempDir()
	child(t, dir, "build")(true)
	c := open(t, dir)
	g, err := c.GC(func(string) bool { return true }, time.Hour, true)
	if err != nil || len(g.Items) != 1 || !g.Items[0].Unfinished || g.Bytes != 20 || len(left(t, dir)) == 0 {
		t.Errorf("dry run: %+v, %v, left %v", g, err, left(t, dir))
	}
	g, err = c.GC(func(string) bool { return true }, time.Hour, false)
	if names := left(t, dir); err != nil || len(g.Items) != 1 || g.Bytes != 20 || len(names) != 0 {
		t.Errorf("%+v, %v, left %v", g, err, names)
	}
}

func TestGC(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	maker, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"k", "kept", "old", "new", "linked"} {
		if _, err := maker.Do(ctx, key, `{"name":"`+key+`"}`, two); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, dir)
	if g, err := c.GC(nil, 0, false); err != nil || len(g.Items) != 0 {
		t.Fatalf("stages in use are garbage: %+v, %v", g, err)
	}
	maker.Close()
	end := child(t, dir, "use")
	if err := c.Link("linked", filepath.Join(t.TempDir(), "run")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	past := time.Now().Add(-48 * time.Hour)
	for _, key := range []string{"k", "kept", "old", "linked"} {
		if err := os.Chtimes(filepath.Join(dir, key, "stage.json"), past, past); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(key string) bool { return key == "kept" }
	for _, dry := range []bool{true, false} {
		g, err := c.GC(keep, 24*time.Hour, dry)
		if err != nil || len(g.Items) != 2 || g.Items[0].Key != "linked" || g.Items[1].Key != "old" || string(g.Items[1].Describe) != `{"name":"old"}` || g.Items[1].Unfinished {
			t.Fatalf("dry %v: %+v, %v", dry, g, err)
		}
		// what a run directory links to gives nothing back but its stage.json
		if linked, old := g.Items[0].Bytes, g.Items[1].Bytes; g.Bytes != linked+old || old < linked+5 || old > linked+25 {
			t.Errorf("%d and %d bytes of %d", linked, old, g.Bytes)
		}
		_, there := os.Stat(filepath.Join(dir, "old"))
		if (there == nil) != dry {
			t.Errorf("dry %v: %v", dry, there)
		}
	}
	end(false)
	g, err := c.GC(keep, 0, false)
	if err != nil || len(g.Items) != 2 || g.Items[0].Key != "k" || g.Items[1].Key != "new" {
		t.Errorf("after the other process ended: %+v, %v", g, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left: %v", names)
	}
	if _, err := os.Stat(filepath.Join(dir, "kept", "weights.safetensors")); err != nil {
		t.Error(err)
	}
}

func TestGarbageIsListedInJSON(t *testing.T) {
	g, err := open(t, t.TempDir()).GC(nil, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(g); err != nil || string(text) != `{"bytes":0,"items":[]}` {
		t.Errorf("%s, %v", text, err)
	}
}

// A stage is removed by whoever holds it, but not under another's hands, whatever the clocks say.
func TestRemove(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	c, other := open(t, dir), open(t, dir)
	if err := c.Remove("k"); err != nil {
		t.Errorf("one that is not there: %v", err)
	}
	if _, err := c.Do(ctx, "k", "", two); err != nil {
		t.Fatal(err)
	}
	if _, ok := other.Lookup("k"); !ok {
		t.Fatal("it is not found")
	}
	wantFault(t, c.Remove("k"), fault.Resource, "in use")
	other.Close()
	ahead := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "k", "stage.json"), ahead, ahead); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove("k"); err != nil {
		t.Error(err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	if r, err := c.Do(ctx, "k", "", two); err != nil || r.Reused {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
	wantFault(t, c.Remove("../k"), fault.Internal)
}

func TestCacheThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(file, "cache"))
	wantFault(t, err, fault.Resource, "ASTERISM_CACHE", file)
}

func TestRoot(t *testing.T) {
	t.Setenv("ASTERISM_CACHE", "/big/cache")
	if dir, err := Root(); err != nil || dir != "/big/cache" {
		t.Error(dir, err)
	}
	t.Setenv("ASTERISM_CACHE", "")
	t.Setenv("HOME", "/home/ada")
	t.Setenv("XDG_CACHE_HOME", "")
	if dir, err := Root(); err != nil || !strings.HasPrefix(dir, "/home/ada/") || filepath.Base(dir) != "asterism" {
		t.Error(dir, err)
	}
	t.Setenv("HOME", "")
	_, err := Root()
	wantFault(t, err, fault.Resource, "ASTERISM_CACHE")
}
