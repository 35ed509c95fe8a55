package stage

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Garbage is what GC removed, or would remove.
type Garbage struct {
	Bytes int64  `json:"bytes"` // given back to the disk; files that a run directory also links to give nothing
	Items []Item `json:"items"`
}

// Item is one stage, or what is left of one.
type Item struct {
	Key        string          `json:"key"`
	Describe   json.RawMessage `json:"describe"`   // nil when it was not complete
	Bytes      int64           `json:"bytes"`      // given back
	Used       time.Time       `json:"used"`       // when it was last used
	Unfinished bool            `json:"unfinished"` // left by a crash
}

// GC removes the stages that keep does not want, that nobody has used for longer than olderThan and that no process is
// using, and what crashes have left. With dryRun it only says what it would remove. A nil keep wants nothing.
func (c *Cache) GC(keep func(key string) bool, olderThan time.Duration, dryRun bool) (Garbage, error) {
	g := Garbage{Items: []Item{}}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return g, refused("list the stages", c.dir, err)
	}
	for _, e := range entries {
		name := e.Name()
		var item Item
		var gone bool
		switch key, _, unfinished := strings.Cut(name, building); {
		case unfinished && check(key) == nil && e.IsDir():
			item, gone, err = c.collect(key, name, true, 0, dryRun)
		case check(name) == nil && e.IsDir():
			if keep != nil && keep(name) {
				continue
			}
			item, gone, err = c.collect(name, name, false, olderThan, dryRun)
		case strings.HasSuffix(name, ".lock"):
			if l, ok, err := tryLock(filepath.Join(c.dir, name)); err == nil && ok && !dryRun {
				unlock(l)
			} else if ok {
				l.Close()
			}
			continue
		default: // none of ours
			continue
		}
		if err != nil {
			return g, refused("remove a stage", c.dir, err)
		}
		if gone {
			g.Bytes += item.Bytes
			g.Items = append(g.Items, item)
		}
	}
	c.forget(olderThan, dryRun)
	return g, nil
}

// collect removes one directory of the cache if it is old enough and nobody uses or builds it.
func (c *Cache) collect(key, name string, unfinished bool, olderThan time.Duration, dryRun bool) (item Item, gone bool, err error) {
	l, ok, err := tryLock(filepath.Join(c.dir, key+".lock"))
	if err != nil || !ok {
		return item, false, err // somebody is building it
	}
	defer unlock(l)
	dir := filepath.Join(c.dir, name)
	item = Item{Key: key, Unfinished: unfinished}
	if st, err := os.Stat(dir); err == nil {
		item.Used = st.ModTime()
	}
	if f, err := os.Open(filepath.Join(dir, file)); err == nil {
		defer f.Close() // keeps it locked until it is gone
		if ok, err := flock(f, syscall.LOCK_EX); err == nil && !ok {
			return item, false, nil // in use
		}
		if st, err := f.Stat(); err == nil {
			item.Used = st.ModTime()
		}
		if s, err := parse(f); err == nil {
			item.Describe = s.Describe
		}
	}
	if olderThan > 0 && time.Since(item.Used) < olderThan { // a clock may be ahead of ours
		return item, false, nil
	}
	item.Bytes = weight(dir)
	if dryRun {
		return item, true, nil
	}
	if !unfinished { // out of the way first: whoever looks sees all of it or nothing
		aside, err := os.MkdirTemp(c.dir, key+building)
		if err != nil {
			return item, false, err
		}
		if err := os.Rename(dir, filepath.Join(aside, "old")); err != nil {
			os.Remove(aside)
			return item, false, err
		}
		dir = aside
	}
	if err := os.RemoveAll(dir); err != nil {
		return item, false, err
	}
	return item, true, nil
}

// weight is what removing a directory gives back.
func weight(dir string) (bytes int64) {
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		st, err := e.Info()
		if err != nil {
			return nil
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Nlink > 1 {
			return nil
		}
		bytes += st.Size()
		return nil
	})
	return bytes
}

// forget removes remembered digests that nobody asked for in a long time.
func (c *Cache) forget(olderThan time.Duration, dryRun bool) {
	dir := filepath.Join(c.dir, ".digests")
	entries, err := os.ReadDir(dir)
	if err != nil || dryRun {
		return
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil && time.Since(st.ModTime()) > max(olderThan, 24*time.Hour) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
