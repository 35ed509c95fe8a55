package run

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
)

const (
	manifestFile = "manifest.json"
	lockFile     = ".lock"
	writing      = ".writing-" // begins the names of files that are not complete
)

// ResolvedFile is the experiment with every default filled in, in a run directory.
const ResolvedFile = "resolved.json"

// Dir is an open run directory: locked, so that no other run writes it.
type Dir struct {
	Path     string
	Manifest Manifest
	lock     *os.File
}

// ID names a run: the experiment's name and eight hex digits of the hash of its resolved form, so that the same
// experiment comes back to its directory and a changed one gets another.
func ID(name string, resolved []byte) string {
	sum := sha256.Sum256(resolved)
	return name + "-" + hex.EncodeToString(sum[:4])
}

// OpenDir makes or opens root/id for writing and locks it until Close.
func OpenDir(root, id string) (*Dir, error) {
	path := filepath.Join(root, id)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, &fault.Error{Op: "run", Kind: fault.Resource, What: "cannot make the run directory " + path, Err: err,
			Do: "choose another folder with --runs"}
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, &fault.Error{Op: "run", Kind: fault.Resource, What: "cannot write to the run directory " + path, Err: err,
			Do: "choose another folder with --runs"}
	}
	free, err := tryLock(lock, syscall.LOCK_EX)
	for tries := 0; tries < 5 && !free && err == nil; tries++ { // InUse may look just now
		time.Sleep(10 * time.Millisecond)
		free, err = tryLock(lock, syscall.LOCK_EX)
	}
	if err != nil {
		lock.Close()
		return nil, &fault.Error{Op: "run", Kind: fault.Resource, What: "cannot lock the run directory " + path, Err: err,
			Do: "choose a folder on a local disk with --runs"}
	}
	if !free {
		lock.Close()
		return nil, &fault.Error{Op: "run", Kind: fault.Resource, What: "the run directory " + path + " is in use by another run",
			Do: "wait for it to end, or choose another folder with --runs"}
	}
	d := &Dir{Path: path, lock: lock}
	d.sweep()
	return d, nil
}

// tryLock tries a lock of a file; free is false when another holds it.
func tryLock(f *os.File, how int) (free bool, err error) {
	for {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return err == nil, err
		}
	}
}

// sweep removes what a killed process was writing. A report may be written without the lock: it is given time.
func (d *Dir) sweep() {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), writing) && time.Since(st.ModTime()) > time.Minute {
			os.Remove(d.File(e.Name()))
		}
	}
}

// InUse says whether a process has the run directory open.
func InUse(path string) bool {
	lock, err := os.Open(filepath.Join(path, lockFile))
	if err != nil {
		return false
	}
	defer lock.Close()
	free, err := tryLock(lock, syscall.LOCK_SH)
	return err == nil && !free
}

// Close unlocks the directory.
func (d *Dir) Close() error { return d.lock.Close() }

// File gives the path of a file of the run.
func (d *Dir) File(names ...string) string {
	return filepath.Join(append([]string{d.Path}, names...)...)
}

// Save writes the manifest.
func (d *Dir) Save() error { return WriteJSON(d.File(manifestFile), d.Manifest) }

// WriteJSON writes v to path, indented, atomically.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(text, '\n'))
}

// WriteFile writes a file atomically: aside, synced, renamed.
func WriteFile(path string, text []byte) error {
	return WriteTo(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// WriteTo has a file written atomically: it is there when it is complete, and not before. An error of write that is not
// one of the file's comes back as it is.
func WriteTo(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), writing+"*")
	if err != nil {
		return unwritten(path, err)
	}
	out := &aside{f: f, path: path}
	if err = write(out); out.failed != nil { // whatever was made of it on the way
		err = out.failed
	}
	if end := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err == nil && end != nil {
		err = unwritten(path, end)
	}
	if err == nil {
		if moved := os.Rename(f.Name(), path); moved != nil {
			err = unwritten(path, moved)
		}
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// aside is a file on its way to its name.
type aside struct {
	f      *os.File
	path   string
	failed error
}

// Write writes, and remembers what went wrong.
func (a *aside) Write(b []byte) (int, error) {
	n, err := a.f.Write(b)
	if err != nil {
		a.failed = unwritten(a.path, err)
		err = a.failed
	}
	return n, err
}

func unwritten(path string, err error) error {
	return &fault.Error{Op: "run", Kind: fault.Resource, What: "cannot write " + path, Err: err, Do: "check that its folder is there, has room and may be written"}
}

// Continue opens a file that grows during a run, to be written from offset on; what was there beyond is lost. It is a
// new file in place of the old one, which may be a stage's by another name: what a stage holds must not change.
func Continue(path string, offset int64) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), writing+"*")
	if err != nil {
		return nil, unwritten(path, err)
	}
	if offset != 0 {
		err = copyFirst(f, path, offset)
	}
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Sync()) // a checkpoint counts on what is there
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, unwritten(path, err)
	}
	return f, nil
}

// copyFirst copies the first n bytes of a file.
func copyFirst(to *os.File, path string, n int64) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	st, err := from.Stat()
	if err != nil {
		return err
	}
	if n < 0 || n > st.Size() {
		return fmt.Errorf("the checkpoint continues at byte %d of a file of %d bytes: remove the folder checkpoints of the run, to train from the beginning", n, st.Size())
	}
	_, err = io.CopyN(to, from, n)
	return err
}

// ReadJSON reads path into v.
func ReadJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return &fault.Error{Op: "read", Kind: fault.Data, What: path + " is damaged", Err: err}
	}
	return nil
}

// ReadManifest reads the manifest of a run directory, settled.
func ReadManifest(path string) (*Manifest, error) {
	m := new(Manifest)
	if err := ReadJSON(filepath.Join(path, manifestFile), m); err != nil {
		return nil, err
	}
	m.Settle(path)
	return m, nil
}

// Settle corrects the status of a run that could not: one that was killed says that it is running, and can be continued
// as one that was interrupted.
func (m *Manifest) Settle(path string) {
	if m.Status == Running && !InUse(path) {
		m.Status = Interrupted
	}
}

// List gives the manifests of the runs in root, newest first. A folder without a manifest is none.
func List(root string) ([]Manifest, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []Manifest
	for _, e := range entries {
		if m, err := ReadManifest(filepath.Join(root, e.Name())); err == nil {
			runs = append(runs, *m)
		}
	}
	sort.SliceStable(runs, func(i, j int) bool { return runs[i].Started.After(runs[j].Started) })
	return runs, nil
}

// Find gives the directory of the run that a user names: a path, an id in root, the name of an
// experiment (its newest run), or the beginning or end of an id that no other run has.
func Find(root, name string) (string, error) {
	for _, path := range []string{name, filepath.Join(root, name)} {
		if _, err := os.Stat(filepath.Join(path, manifestFile)); err == nil {
			return path, nil
		}
	}
	runs, err := List(root)
	if err != nil {
		return "", err
	}
	var matches []string
	for _, m := range runs { // newest first
		if m.Name == name {
			return filepath.Join(root, m.ID), nil
		}
		if strings.HasPrefix(m.ID, name) || strings.HasSuffix(m.ID, "-"+name) {
			matches = append(matches, m.ID)
		}
	}
	switch len(matches) {
	case 1:
		return filepath.Join(root, matches[0]), nil
	case 0:
		return "", &fault.Error{Op: "runs", Kind: fault.Config, What: fmt.Sprintf("no run %q in %s", name, root), Do: "asterism runs list shows the runs there are; --runs names another folder"}
	}
	return "", &fault.Error{Op: "runs", Kind: fault.Config, What: fmt.Sprintf("%q could be any of %s", name, strings.Join(matches, ", ")), Do: "give more of the name"}
}

// Results reads the results of every task of a run, by name.
func Results(path string) ([]TaskResult, error) {
	tasks, err := os.ReadDir(filepath.Join(path, "tasks")) // sorted
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var results []TaskResult
	for _, t := range tasks {
		var r TaskResult
		switch err := ReadJSON(filepath.Join(path, "tasks", t.Name(), "result.json"), &r); {
		case err == nil:
			results = append(results, r)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return results, nil
}
