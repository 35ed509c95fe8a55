package stage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// digest gives the size and the SHA-256 of a file.
func digest(path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	return digestOf(f)
}

func digestOf(f *os.File) (int64, string, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// seal digests a file, brings it to the disk and takes the right to write it away, since it may come to lie in several
// run directories as one file.
func seal(path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	n, sum, err := digestOf(f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Chmod(0o444)
	}
	return n, sum, err
}

// syncDir brings a directory's names to the disk.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems know no sync of directories
		return err
	}
	return nil
}

// writeFile writes v as JSON and syncs it.
func writeFile(path string, v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(v); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// Link puts the files of a stage into a directory, folders and all, by hard links, or by copies where links cannot be
// made. Each file appears whole or not at all and replaces one of its name. stage.json stays behind.
func (c *Cache) Link(key, dst string) error {
	s, err := c.Read(key)
	if err != nil {
		return err
	}
	for _, f := range s.Files {
		name := filepath.FromSlash(f.Name)
		if err := link(filepath.Join(c.dir, key, name), filepath.Join(dst, name)); err != nil {
			return refused("link results to "+dst+" from a stage", c.dir, err)
		}
	}
	return nil
}

// link makes dst the same file as src, or a copy.
func link(src, dst string) error {
	from, err := os.Lstat(src)
	if err != nil {
		return err
	}
	if to, err := os.Lstat(dst); err == nil && os.SameFile(from, to) {
		return nil // renaming one link of a file to another does nothing and would leave both
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	for try := 0; ; try++ {
		aside := filepath.Join(filepath.Dir(dst), fmt.Sprintf(".writing-%d-%d", os.Getpid(), time.Now().UnixNano()))
		err := os.Link(src, aside)
		if errors.Is(err, fs.ErrExist) && try < 100 {
			continue
		}
		if err != nil {
			err = duplicate(src, aside)
		}
		if err == nil {
			err = os.Rename(aside, dst)
		}
		if err != nil {
			os.Remove(aside)
			return err
		}
		return syncDir(filepath.Dir(dst))
	}
}

// duplicate copies and syncs a file.
func duplicate(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}
