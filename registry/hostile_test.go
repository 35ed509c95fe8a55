package registry_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/registry"
)

// A project's folder may hold what looks like an installation that was killed: it must not lead out of the folder.
func TestWhatIsPutBackStaysInTheFolder(t *testing.T) {
	s := store(t)
	outside := filepath.Join(filepath.Dir(s.Dir), "outside")
	text := strings.Replace(manifest("acme"), "2.1.0", "../../outside", 1)
	install(t, s.Dir, ".aside-1/replaced", text)
	if err := os.Mkdir(filepath.Join(s.Dir, "acme"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Install(t.Context(), archived(t, whole(), ""), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a folder was moved out of where plugins are installed")
	}
}

// within fails a test in which something waits for what never comes.
func within(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it hangs")
	}
}

// pipe puts a named pipe in the place of a file: whoever opens it to read waits for a writer.
func pipe(t *testing.T, file string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPipesAndDevicesAreNotRead(t *testing.T) {
	within(t, func() {
		dir := t.TempDir()
		pipe(t, filepath.Join(dir, "acme", "2.1.0", "plugin.json"))
		r := open(t, registry.Options{Folders: []registry.Folder{{Dir: dir}}})
		_, err := r.Plugin("acme")
		contains(t, err, fault.Config, `there is no plugin "acme"`, "acme/2.1.0/plugin.json is not a file")

		_, err = registry.ReadLock(pipe(t, filepath.Join(dir, registry.LockFile)))
		contains(t, err, fault.Resource, "plugins.lock.cue is not a file", "lock anew")
		endless := filepath.Join(dir, "endless")
		if err := os.Symlink("/dev/zero", endless); err != nil {
			t.Fatal(err)
		}
		_, err = registry.ReadLock(endless)
		contains(t, err, fault.Resource, "endless is not a file")
		large := filepath.Join(dir, "large")
		if err := os.WriteFile(large, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(large, 1<<40); err != nil {
			t.Fatal(err)
		}
		_, err = registry.ReadLock(large)
		contains(t, err, fault.Resource, "has 1099511627776 bytes")

		_, err = store(t).Install(t.Context(), pipe(t, filepath.Join(dir, "acme.tar.gz")), false)
		contains(t, err, fault.Config, "acme.tar.gz is neither a file nor a folder")
	})
}

// An installation that fails after it has made place gives back what was there.
func TestFailedReplacementGivesBack(t *testing.T) {
	s := store(t)
	p, err := s.Install(t.Context(), archived(t, whole(), ""), false)
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, p.Dir)
	if err := os.Remove(s.Trusted); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.Trusted, 0o777); err != nil { // nothing can be recorded
		t.Fatal(err)
	}
	other := install(t, t.TempDir(), "other", strings.Replace(described, "./anything", "sh", 1))
	_, err = s.Install(t.Context(), other, true)
	contains(t, err, fault.Resource, "the record of what you have installed")
	if now := files(t, p.Dir); len(now) != len(before) {
		t.Errorf("there is %v, there was %v", now, before)
	}
}

// Who removes a version while another does is told that there is none.
func TestRemovedWhileWaiting(t *testing.T) {
	s := store(t)
	p, err := s.Install(t.Context(), archived(t, whole(), ""), false)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(filepath.Join(s.Dir, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s.Waiting = func() {
		if err := os.RemoveAll(filepath.Dir(p.Dir)); err != nil {
			t.Error(err)
		}
		lock.Close()
	}
	_, err = s.Remove(t.Context(), "acme", "2.1.0")
	contains(t, err, fault.Config, `there is no plugin "acme"`)
}

// A plugin whose files change between two starts is not started again, also where nothing is locked.
func TestChangedBetweenStarts(t *testing.T) {
	s := store(t)
	p, err := s.Install(t.Context(), archived(t, whole(), ""), false)
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, registry.Options{Folders: []registry.Folder{{Dir: s.Dir}}, Trusted: s.Trusted})
	for range 2 {
		if q, err := r.Start("acme"); err != nil || q.Digest != p.Digest {
			t.Fatalf("%+v, %v", q, err)
		}
	}
	file := filepath.Join(p.Dir, "table.txt")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the clock of the file system ticks
	if err := os.WriteFile(file, []byte("dato"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil { // nothing to be seen but by the system
		t.Fatal(err)
	}
	_, err = r.Start("acme")
	contains(t, err, fault.Plugin, "were changed while it was used", p.Digest, "it is not started")
}

// What an author has in his folder and no user could install is said to the author.
func TestOnlyWhatCanBeInstalledIsPacked(t *testing.T) {
	for name, c := range map[string]struct{ file, says string }{
		"name":  {"a:b.txt", `the name "acme-2.1.0/a:b.txt" has characters that names do not have on all machines`},
		"case":  {"Plugin.json", "which are the same on some machines"},
		"ratio": {"zeros.bin", "unfold to"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := install(t, t.TempDir(), "acme", strings.Replace(described, "./anything", "sh", 1))
			if err := os.WriteFile(filepath.Join(dir, c.file), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if name == "ratio" {
				if err := os.Truncate(filepath.Join(dir, c.file), 80<<20); err != nil {
					t.Fatal(err)
				}
			}
			p, err := build(t, dir)
			if err != nil {
				t.Fatal(err)
			}
			contains(t, registry.Pack(p, io.Discard), fault.Plugin, "asterism plugin install would not take the archive", c.says, "change that in the plugin's folder")
		})
	}
}

// Nobody's description speaks to the terminal, nor is what is wrong with one plugin told of another.
func TestDescriptionsWithControlCharacters(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "acme/2.1.0", strings.Replace(manifest("acme"), "Blurs.", `Blurs.\u001b[2J`, 1))
	install(t, dir, "ac/2.1.0", manifest("ac"))
	r := open(t, registry.Options{Folders: []registry.Folder{{Dir: dir}}})
	_, err := r.Plugin("acme")
	contains(t, err, fault.Config, "what the component acme.blur says of itself has control characters")
	_, err = r.Version("ac", "3.0.0")
	if contains(t, err, fault.Config, "installed are 2.1.0"); strings.Contains(err.Error(), "control characters") {
		t.Errorf("of another plugin: %v", err)
	}
}

// What is not in the list of sums of a folder that is ready is seen whatever its name; what stays behind is no matter.
func TestSurplusInReadyFolder(t *testing.T) {
	p, err := build(t, install(t, t.TempDir(), "acme", strings.Replace(described, "./anything", "sh", 1)))
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(p.Dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.Dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	put(".cache/x")
	put("__pycache__/x.pyc")
	if q, err := store(t).Install(t.Context(), p.Dir, false); err != nil || q.Digest != p.Digest {
		t.Errorf("%+v, %v", q, err)
	}
	put("a:b.txt")
	_, err = store(t).Install(t.Context(), p.Dir, false)
	contains(t, err, fault.Plugin, "a:b.txt: is surplus")
}
