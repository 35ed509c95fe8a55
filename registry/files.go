package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/asterism-ssl/asterism/core/fault"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sys/unix"
)

// sumsFile lists the SHA-256 of every other file of a packed or installed plugin, as sha256sum does.
const sumsFile = "SHA256SUMS"

func unwritable(path string, err error) error {
	return &fault.Error{Kind: fault.Resource, What: "cannot write " + path, Err: err, Do: "see that the disk has room and that you may write there"}
}

// copyTree copies the files of a folder that belong. A link inside the folder becomes the file that it leads to; a
// special file, or a link that leads out of the folder, is refused.
func copyTree(from, to string, belongs func(path string, e fs.DirEntry) bool) error {
	root, err := os.OpenRoot(from)
	if err != nil {
		return &fault.Error{Kind: fault.Config, What: "cannot read the folder " + from, Err: err}
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		odd := func(format string, a ...any) error {
			return &fault.Error{Kind: fault.Config, Where: filepath.Join(from, path), What: fmt.Sprintf(format, a...), Do: "a plugin's folder holds plain files and folders: take it out"}
		}
		if err != nil {
			return odd("cannot be read: %v", err)
		}
		if path == "." {
			return nil
		}
		if !belongs(path, e) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		target := filepath.Join(to, filepath.FromSlash(path))
		if e.IsDir() {
			if err := os.Mkdir(target, 0o777); err != nil {
				return unwritable(target, err)
			}
			return nil
		}
		info, err := root.Stat(path) // of what a link leads to
		switch {
		case err != nil:
			return odd("cannot be read: %v", err)
		case info.IsDir():
			return odd("is a link to a folder")
		case !info.Mode().IsRegular():
			return odd("is not a file")
		}
		in, err := root.Open(path)
		if err != nil {
			return odd("cannot be read: %v", err)
		}
		defer in.Close()
		return writeFrom(in, target, mode(info.Mode()))
	})
}

// copyFS copies the files of what is no folder of the disk.
func copyFS(from fs.FS, to string) error {
	return fs.WalkDir(from, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, filepath.FromSlash(path))
		if e.IsDir() {
			if err := os.MkdirAll(target, 0o777); err != nil {
				return unwritable(target, err)
			}
			return nil
		}
		in, err := from.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		return writeFrom(in, target, 0o644)
	})
}

// maxText is the size of what describes a plugin: far more than any needs.
const maxText = 16 << 20

// readPlain reads a file of at most so many bytes. A pipe or a device, which may never end, is refused.
func readPlain(file string, most int64) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", file)
	case info.Size() > most:
		return nil, fmt.Errorf("%s has %d bytes, and no such file has more than %d", file, info.Size(), most)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// mode keeps of a file's mode whether it can be executed, and nothing else.
func mode(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeFrom(in, to, mode)
}

// writeFrom writes a new file and sees to it that it is on the disk.
func writeFrom(in io.Reader, to string, mode fs.FileMode) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return unwritable(to, err)
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return unwritable(to, err)
	}
	return nil
}

// complete adds the schemas and the sums to a folder that holds a plugin.
func complete(p *Plugin) error {
	dir := filepath.Join(p.Dir, "schema")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return unwritable(dir, err)
	}
	for _, c := range p.Manifest.Components {
		file := filepath.Join(dir, c.Name+".cue")
		if err := os.WriteFile(file, []byte(c.Schema), 0o666); err != nil {
			return unwritable(file, err)
		}
	}
	sums, err := sumsOf(p.Dir)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, name := range sums.names() {
		fmt.Fprintf(&b, "%s  %s\n", sums[name], name)
	}
	if err := os.WriteFile(filepath.Join(p.Dir, sumsFile), []byte(b.String()), 0o666); err != nil {
		return unwritable(p.Dir, err)
	}
	return nil
}

// sums are the SHA-256 of a folder's files, by slash-separated path.
type sums map[string]string

func (s sums) names() []string {
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sumsOf reads every file of a folder but the list of sums itself. What is no plain file has no sum.
func sumsOf(dir string) (sums, error) {
	s := sums{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == sumsFile && e.Type().IsRegular() {
			return err
		}
		if !e.Type().IsRegular() {
			s[filepath.ToSlash(name)] = ""
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		s[filepath.ToSlash(name)] = hex.EncodeToString(h.Sum(nil))
		return nil
	})
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "a plugin's folder cannot be read", Err: err}
	}
	return s, nil
}

// written reads the list of sums of a folder.
func written(dir string) (sums, error) {
	file := filepath.Join(dir, sumsFile)
	odd := func(format string, a ...any) error {
		return &fault.Error{Kind: fault.Plugin, Where: file, What: fmt.Sprintf(format, a...), Do: "get the plugin again: asterism plugin pack writes the file"}
	}
	text, err := readPlain(file, maxText)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, odd("is missing: it lists the digests of all files")
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "the digests of a plugin cannot be read", Err: err}
	}
	s := sums{}
	for line := range strings.Lines(string(text)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || !sumForm.MatchString(sum) || s[name] != "" || strings.ContainsFunc(name, unicode.IsControl) {
			return nil, odd("holds the line %q, where a digest and a name must be", strings.TrimSpace(line))
		}
		s[name] = sum
	}
	return s, nil
}

var sumForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// changed names the files of a folder that are not as its list of sums says, each with what is wrong.
func changed(dir string) (map[string]string, error) {
	told, err := written(dir)
	if err != nil {
		return nil, err
	}
	is, err := sumsOf(dir)
	if err != nil {
		return nil, err
	}
	wrong := map[string]string{}
	for name, sum := range is {
		switch {
		case sum == "":
			wrong[name] = "is not a plain file"
		case told[name] == "":
			wrong[name] = "is surplus: it is not in " + sumsFile
		case told[name] != sum:
			wrong[name] = "is not what it was: its digest differs from that in " + sumsFile
		}
	}
	for name := range told {
		if _, ok := is[name]; !ok {
			wrong[name] = "is missing"
		}
	}
	return wrong, nil
}

// filesOf lists the files of a folder, by slash-separated path, sorted.
func filesOf(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "a plugin's folder cannot be read", Err: err}
	}
	slices.Sort(names)
	return names, nil
}

// stampOf is another whenever a file of a folder was written, replaced, added or removed: the system itself keeps when a
// file changed last.
func stampOf(dir string) (string, error) {
	names, err := filesOf(dir + string(filepath.Separator)) // of what a link leads to
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range names {
		var s unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, filepath.FromSlash(name)), &s); err != nil {
			fmt.Fprintf(&b, "%q %v\n", name, err) // a link that leads nowhere: the digest refuses it
			continue
		}
		fmt.Fprintf(&b, "%q %d %d %d %d %d\n", name, s.Dev, s.Ino, s.Size, s.Mtim, s.Ctim)
	}
	return b.String(), nil
}

// digestOf is the digest of a plugin's folder: names and contents of all files, in the form of Go's module sums.
func digestOf(dir, name string) (string, error) {
	unreadable := func(err error) error {
		return &fault.Error{Kind: fault.Resource, Plugin: name, What: "the plugin's folder cannot be read", Err: err}
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", unreadable(err)
	}
	names, err := filesOf(dir)
	if err != nil {
		return "", err
	}
	file := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	for _, n := range names {
		if info, err := os.Stat(file(n)); err != nil || !info.Mode().IsRegular() { // of what a link leads to
			return "", &fault.Error{Kind: fault.Plugin, Plugin: name, Where: file(n), What: "is not a file", Err: err, Do: "a plugin's folder holds plain files and folders: take it out"}
		}
	}
	digest, err := dirhash.Hash1(names, func(n string) (io.ReadCloser, error) { return os.Open(file(n)) })
	if err != nil {
		return "", unreadable(err)
	}
	return digest, nil
}
