package registry

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/asterism-ssl/asterism/core/fault"
)

// What an archive may hold: far more than any plugin that is known, and less than would fill a disk unnoticed.
const (
	maxFiles     = 20_000
	maxFileBytes = 2 << 30
	maxBytes     = 4 << 30
	maxRatio     = 100      // bytes unpacked for one packed,
	freeBytes    = 64 << 20 // beyond so many
	maxName      = 512      // bytes of a path
)

// unpack writes the files of an archive into a new folder, without the folder that encloses them all. An archive that
// holds anything but plain files under plain names is refused before anything is written.
func unpack(archive, into string) error {
	f, err := os.Open(archive)
	if err != nil {
		return &fault.Error{Kind: fault.Config, What: "cannot read the archive " + archive, Err: err, Do: "name an archive that asterism plugin pack has made, or a plugin's folder"}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	visit := func(file) error { return nil }
	for range 2 { // look, then write
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := walk(f, info.Size(), visit); err != nil {
			if e, ok := errors.AsType[*fault.Error](err); ok && e.Where == "" && e.Kind == fault.Plugin {
				e.Where = archive
			}
			return err
		}
		visit = func(x file) error {
			to := filepath.Join(into, filepath.FromSlash(x.name))
			if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
				return unwritable(to, err)
			}
			return writeFrom(x, to, x.mode)
		}
	}
	return nil
}

// file is a file in an archive.
type file struct {
	name string // below the folder that encloses all
	mode fs.FileMode
	io.Reader
}

// refused says why an archive is not unpacked.
func refused(format string, a ...any) error {
	return &fault.Error{Kind: fault.Plugin, What: "this archive is refused: " + fmt.Sprintf(format, a...), Do: "get it again, or ask its author for one that asterism plugin pack has made"}
}

// walk goes over the files of an archive of so many bytes and checks everything but their content.
func walk(archive io.Reader, size int64, visit func(file) error) error {
	in := bufio.NewReader(archive) // so that what is compressed ends where it ends
	z, err := gzip.NewReader(in)
	if err != nil {
		return refused("it is not compressed with gzip: %v", err)
	}
	z.Multistream(false)
	t := tar.NewReader(z)
	names := map[string]string{} // in lower case → as written
	isFile := map[string]bool{}
	top, files, bytes := "", 0, int64(0)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return refused("it is broken: %v", err)
		}
		name := h.Name
		if h.Typeflag == tar.TypeDir {
			name = strings.TrimSuffix(name, "/")
		} else if h.Typeflag != tar.TypeReg {
			return refused("%q is neither a file nor a folder", h.Name)
		}
		if why := oddName(name); why != "" {
			return refused("the name %q %s", h.Name, why)
		}
		if h.Mode&^0o777 != 0 {
			return refused("%q has special rights: mode %o", h.Name, h.Mode)
		}
		if files++; files > maxFiles {
			return refused("it holds more than %d files", maxFiles)
		}
		bytes += h.Size
		switch {
		case h.Size > maxFileBytes:
			return refused("%q has %d bytes, and no file may have more than %d", h.Name, h.Size, int64(maxFileBytes))
		case bytes > maxBytes:
			return refused("it holds more than %d bytes", int64(maxBytes))
		case bytes-freeBytes > maxRatio*size:
			return refused("its %d bytes unfold to %d and more", size, bytes)
		}
		first, rest, below := strings.Cut(name, "/")
		if top == "" {
			top = first
		}
		if first != top || !below && h.Typeflag == tar.TypeReg {
			return refused("%q is not in the one folder that encloses all, %q", h.Name, top)
		}
		for i := 0; i <= len(name); i++ { // every folder on the way, and the name itself
			if i < len(name) && name[i] != '/' {
				continue
			}
			part, lower := name[:i], strings.ToLower(name[:i])
			whole := i == len(name)
			known, seen := names[lower]
			switch {
			case seen && known != part:
				return refused("it holds %q and %q, which are the same on some machines", known, part)
			case seen && (isFile[part] || whole && h.Typeflag == tar.TypeReg):
				return refused("it holds %q twice", part)
			}
			names[lower] = part
			isFile[part] = whole && h.Typeflag == tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			x := file{name: rest, mode: mode(fs.FileMode(h.Mode)), Reader: t}
			if err := visit(x); err != nil {
				return err
			}
		}
	}
	// What comes after the end belongs to no file, and no digest covers it.
	rest := make([]byte, 32<<10)
	for padding := 0; ; {
		n, err := z.Read(rest)
		for _, b := range rest[:n] {
			if b != 0 {
				return refused("something follows its end")
			}
		}
		if padding += n; padding > 1<<20 {
			return refused("something follows its end")
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return refused("it is broken: %v", err)
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return refused("something follows its end")
	}
	if files == 0 {
		return refused("it is empty")
	}
	return nil
}

// oddName says what is wrong with a name in an archive.
func oddName(name string) string {
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("has more than %d bytes", maxName)
	case !fs.ValidPath(name) || name == ".":
		return "leads out of the folder, or is not written plainly"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '\\' || r == ':' }):
		return "has characters that names do not have on all machines"
	}
	if staysBehind(name) {
		return "is hidden, or what Python caches"
	}
	return ""
}
