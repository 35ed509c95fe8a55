package registry

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
)

// ArchiveName is what the archive of a plugin is called: acme-1.2.0-linux-amd64.tar.gz, or acme-1.2.0.tar.gz where it runs
// on any machine.
func (p *Plugin) ArchiveName() string {
	name := p.Name + "-" + p.Version
	if p.Platform != "" {
		name += "-" + strings.ReplaceAll(p.Platform, "/", "-")
	}
	return name + ".tar.gz"
}

// Pack writes the archive of a plugin that Build has made. Equal plugins give equal bytes. What Install would refuse is
// an error.
func Pack(p *Plugin, to io.Writer) error {
	f, err := os.CreateTemp("", "asterism-pack-")
	if err != nil {
		return unwritable(os.TempDir(), err)
	}
	os.Remove(f.Name()) // it is kept as long as it is open, however this ends
	defer f.Close()
	if err := pack(p, f); err != nil {
		if f, ok := errors.AsType[*fault.Error](err); ok {
			return f
		}
		return unwritable(f.Name(), err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return unwritable(f.Name(), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return unwritable(f.Name(), err)
	}
	if err := walk(f, size, func(file) error { return nil }); err != nil {
		return &fault.Error{Kind: fault.Plugin, Plugin: p.Name, What: "asterism plugin install would not take the archive", Err: err, Do: "change that in the plugin's folder"}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return unwritable(f.Name(), err)
	}
	_, err = io.Copy(to, f)
	return err
}

func pack(p *Plugin, to io.Writer) error {
	names, err := filesOf(p.Dir)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(to, gzip.BestCompression) // its header has neither name nor time
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, name := range names {
		if err := packFile(t, filepath.Join(p.Dir, filepath.FromSlash(name)), path.Join(p.Name+"-"+p.Version, name)); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

func packFile(t *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &fault.Error{Kind: fault.Plugin, Where: file, What: "is not a plain file"}
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(mode(info.Mode())), ModTime: time.Unix(0, 0)}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}
