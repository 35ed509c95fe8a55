package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
)

// file is the name of the description inside a stage.
const file = "stage.json"

// building stands between the key and a random text in the name of a stage that is not complete.
const building = ".building-"

// Stage is stage.json: what a stage is, what it was made from and what it holds.
type Stage struct {
	Format   int             `json:"format"` // 1
	Key      string          `json:"key"`
	Describe json.RawMessage `json:"describe"` // what the key was made from: JSON as Describe writes it, or a JSON string
	Made     time.Time       `json:"made"`
	Seconds  float64         `json:"seconds"` // that building took
	Files    []File          `json:"files"`   // in the order of their names
}

// File is one file of a stage.
type File struct {
	Name   string `json:"name"` // relative to the stage, with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Result is a stage that is there.
type Result struct {
	Dir     string
	Reused  bool
	Seconds float64 // that building took, now or then
	Why     string  // why a stage that was there was built again: "weights.safetensors is 0 bytes long, not 44"; or empty
}

// Cache is a directory of stages. It is safe for concurrent use, also by several processes.
type Cache struct {
	dir string

	// Waiting, when set, is told once that another process is building the stage that Do wants.
	Waiting func(key, describe string)

	mu   sync.Mutex
	held map[string]*os.File // stage.json of the stages in use, share-locked
}

// Root gives the folder for caches: $ASTERISM_CACHE, or "asterism" in the user's cache folder.
func Root() (string, error) {
	if dir := os.Getenv("ASTERISM_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", &fault.Error{Op: "stage", Kind: fault.Resource, What: "there is no folder for the cache", Err: err,
			Do: "set ASTERISM_CACHE to a folder with room for data and results"}
	}
	return filepath.Join(dir, "asterism"), nil
}

// Open opens the cache in a directory, and makes it when it is not there.
func Open(dir string) (*Cache, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, refused("open the cache", dir, err)
	}
	return &Cache{dir: dir, held: map[string]*os.File{}}, nil
}

// Dir is the cache's directory.
func (c *Cache) Dir() string { return c.dir }

// Close lets go of the stages in use, so that GC may remove them. The cache may be used again.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, f := range c.held {
		f.Close()
		delete(c.held, key)
	}
	return nil
}

// Lookup finds a complete stage: its stage.json is in order and its files are there in their sizes. A stage that is
// found is in use until Close.
func (c *Cache) Lookup(key string) (Result, bool) {
	s, why := c.lookup(key)
	if s == nil {
		return Result{Why: why}, false
	}
	return Result{Dir: filepath.Join(c.dir, key), Reused: true, Seconds: s.Seconds}, true
}

// Read gives the description of a complete stage.
func (c *Cache) Read(key string) (*Stage, error) {
	s, why := c.lookup(key)
	if s == nil {
		if why == "" {
			why = "it is not there"
		}
		return nil, &fault.Error{Op: "stage", Kind: fault.Data, What: fmt.Sprintf("stage %s cannot be used: %s", key, why),
			Do: "run the experiment again: what is missing is built"}
	}
	return s, nil
}

// lookup gives nil and, when something is there that cannot be used, why.
func (c *Cache) lookup(key string) (s *Stage, why string) {
	if err := check(key); err != nil {
		return nil, err.Error()
	}
	dir := filepath.Join(c.dir, key)
	name := filepath.Join(dir, file)
	f, err := os.Open(name)
	if err != nil {
		if _, missing := os.Lstat(dir); missing == nil {
			why = "stage.json cannot be read: " + err.Error()
		}
		return nil, why
	}
	keep := false
	defer func() {
		if !keep {
			f.Close()
		}
	}()
	// A stage that GC has locked is on its way out. Where locks are not to be had the stage is used without.
	if ok, err := flock(f, syscall.LOCK_SH); err == nil && (!ok || !sameFile(f, name)) {
		return nil, ""
	}
	s, err = parse(f)
	if err != nil {
		return nil, "stage.json is not in order: " + err.Error()
	}
	if s.Format != 1 || s.Key != key {
		return nil, fmt.Sprintf("stage.json is of format %d and key %q", s.Format, s.Key)
	}
	for _, want := range s.Files {
		if !filepath.IsLocal(filepath.FromSlash(want.Name)) {
			return nil, fmt.Sprintf("stage.json names the file %q", want.Name)
		}
		st, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(want.Name)))
		switch {
		case err != nil:
			return nil, want.Name + " is missing"
		case !st.Mode().IsRegular():
			return nil, want.Name + " is not a file"
		case st.Size() != want.Size:
			return nil, fmt.Sprintf("%s is %d bytes long, not %d", want.Name, st.Size(), want.Size)
		}
	}
	now := time.Now()
	os.Chtimes(name, now, now) // GC goes by it; a cache that may not be written to is still good to read
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.held[key]; old == nil {
		c.held[key], keep = f, true
	} else if !sameFile(old, name) { // it was built anew meanwhile
		old.Close()
		c.held[key], keep = f, true
	}
	return s, ""
}

// Do gives the stage of a key, and builds it when it is not there. The description says what the key was made from,
// best by Describe; it is kept for a reader.
//
// Build fills the directory it is given with files. If it fails nothing is left. If another process builds the same
// stage, Do waits for it, until the context ends.
func (c *Cache) Do(ctx context.Context, key, describe string, build func(ctx context.Context, dir string) error) (Result, error) {
	if err := check(key); err != nil {
		return Result{}, err
	}
	if r, ok := c.Lookup(key); ok {
		return r, nil
	}
	l, err := lock(ctx, filepath.Join(c.dir, key+".lock"), func() {
		if c.Waiting != nil {
			c.Waiting(key, describe)
		}
	})
	if err != nil {
		if ctx.Err() != nil {
			return Result{}, fmt.Errorf("waiting for another process to build stage %s: %w", key, ctx.Err())
		}
		return Result{}, refused("lock the stage", c.dir, err)
	}
	defer unlock(l)
	r, ok := c.Lookup(key) // another may have built it meanwhile
	if ok {
		return r, nil
	}
	why := r.Why
	if err := c.clear(key); err != nil {
		return Result{}, refused("remove an unfinished stage", c.dir, err)
	}
	dir, err := os.MkdirTemp(c.dir, key+building)
	if err != nil {
		return Result{}, refused("make a folder for a stage", c.dir, err)
	}
	done := false
	defer func() { // also when build panics
		if !done {
			os.RemoveAll(dir)
		}
	}()
	began := time.Now()
	if err := build(ctx, dir); err != nil {
		var f *fault.Error
		var l fault.List
		if errors.As(err, &f) || errors.As(err, &l) || fault.KindOf(err) != fault.Resource || !c.inside(err) {
			return Result{}, err
		}
		return Result{}, refused("write a stage", c.dir, err)
	}
	s := Stage{Format: 1, Key: key, Describe: raw(describe), Made: began.UTC().Round(0), Seconds: time.Since(began).Seconds()}
	if err := c.finish(ctx, dir, &s); err != nil {
		return Result{}, err
	}
	final := filepath.Join(c.dir, key)
	if err := os.Rename(dir, final); err != nil {
		return Result{}, refused("put a stage into place", c.dir, err)
	}
	done = true
	if err := syncDir(c.dir); err != nil {
		return Result{}, refused("put a stage into place", c.dir, err)
	}
	if _, ok := c.Lookup(key); !ok { // takes the shared lock
		return Result{}, &fault.Error{Op: "stage", Kind: fault.Resource, What: fmt.Sprintf("stage %s vanished from %s as soon as it was built", key, c.dir),
			Do: "check that nothing else removes files there"}
	}
	return Result{Dir: final, Seconds: s.Seconds, Why: why}, nil
}

// inside says whether an error is of a file in the cache, as far as it says of which.
func (c *Cache) inside(err error) bool {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return true
	}
	path, err := filepath.Abs(p.Path)
	return err != nil || strings.HasPrefix(path, c.dir+string(filepath.Separator))
}

// clear removes what stands in the way of building: a spoilt stage and what crashes left. The caller holds the lock.
func (c *Cache) clear(key string) error {
	final := filepath.Join(c.dir, key)
	if _, err := os.Lstat(final); err == nil {
		aside, err := os.MkdirTemp(c.dir, key+building)
		if err != nil {
			return err
		}
		if err := os.Rename(final, filepath.Join(aside, "spoilt")); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), key+building) {
			if err := os.RemoveAll(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish syncs and digests the files of a built stage and writes its stage.json.
func (c *Cache) finish(ctx context.Context, dir string, s *Stage) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.IsDir() {
			dirs = append(dirs, path)
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if !e.Type().IsRegular() || name == file {
			return &fault.Error{Op: "stage", Kind: fault.Internal, What: fmt.Sprintf("a stage may hold files and folders, and no stage.json of its own; it holds %s (%s)", name, e.Type())}
		}
		size, sum, err := seal(path)
		if err != nil {
			return err
		}
		s.Files = append(s.Files, File{Name: name, Size: size, SHA256: sum})
		return nil
	})
	var f *fault.Error
	if errors.As(err, &f) || ctx.Err() != nil {
		return err
	}
	if err == nil {
		err = writeFile(filepath.Join(dir, file), s)
	}
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = syncDir(dirs[i])
	}
	if err != nil {
		return refused("write a stage", c.dir, err)
	}
	return nil
}

// Verify reads every file of a stage and compares it with its digest.
func (c *Cache) Verify(ctx context.Context, key string) error {
	s, err := c.Read(key)
	if err != nil {
		return err
	}
	for _, f := range s.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, sum, err := digest(filepath.Join(c.dir, key, filepath.FromSlash(f.Name)))
		if err != nil {
			return refused("read a stage", c.dir, err)
		}
		if sum != f.SHA256 {
			return &fault.Error{Op: "stage", Kind: fault.Data, What: fmt.Sprintf("%s of stage %s is not what was written: its SHA-256 is %s, not %s", f.Name, key, sum, f.SHA256),
				Do: "remove " + filepath.Join(c.dir, key) + " and run the experiment again"}
		}
	}
	return nil
}

// parse reads a stage.json; the description comes out as it went in.
func parse(r io.Reader) (*Stage, error) {
	s := new(Stage)
	if err := json.NewDecoder(r).Decode(s); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if len(s.Describe) > 0 {
		if err := json.Compact(&b, s.Describe); err != nil {
			return nil, err
		}
		s.Describe = b.Bytes()
	}
	return s, nil
}

// check refuses keys that are no plain file names.
func check(key string) error {
	for _, r := range key {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-' && r != '_' {
			key = ""
			break
		}
	}
	if key == "" || len(key) > 128 {
		return &fault.Error{Op: "stage", Kind: fault.Internal, What: "a stage's key must be 1 to 128 of the characters 0-9 a-z - _"}
	}
	return nil
}

// raw keeps a description as it is if it is JSON, and as a string if not.
func raw(describe string) json.RawMessage {
	if json.Valid([]byte(describe)) {
		return json.RawMessage(describe)
	}
	text, _ := json.Marshal(describe)
	return text
}

// refused says that the machine would not let us do something in the cache, and what may help.
func refused(what, dir string, err error) error {
	f := &fault.Error{Op: "stage", Kind: fault.Resource, What: "cannot " + what + " in " + dir, Err: err,
		Do: "check the folder, or set ASTERISM_CACHE to another one"}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.Do = "free space on that disk (asterism store gc removes unused results), or set ASTERISM_CACHE to a folder on a larger one"
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
		f.Do = "set ASTERISM_CACHE to a folder on a local disk: this file system has no locks"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		f.Do = "set ASTERISM_CACHE to a folder that you may write to"
	}
	return f
}
