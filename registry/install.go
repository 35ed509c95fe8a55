package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
)

// lockName is locked while plugins are put into a folder or taken out of it, and asideName begins what is on its way:
// while the lock is held, nobody else's.
const (
	lockName     = ".lock"
	asideName    = ".aside-"
	replacedName = "replaced" // in there, what makes place for another
)

// Store is a folder in which plugins are installed.
type Store struct {
	Dir      string
	Trusted  string            // the file in which the user's installations are recorded
	Reserved map[string]string // names that no plugin may have → why
	Python   fs.FS             // the Python SDK
	Waiting  func()            // is told when somebody else installs or removes just now; may be nil
}

// Installed is what came of an installation.
type Installed struct {
	Plugin
	Already bool // it was there
	Instead bool // of another with the same name and version
}

// Install puts a plugin into the folder: an archive, a folder that Build made, or an author's folder, which is built. It
// is there when it is whole, and not before. The same version with other content is an error unless it is forced.
func (s *Store) Install(ctx context.Context, from string, force bool) (*Installed, error) {
	info, err := os.Stat(from)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Config, What: "there is no " + from, Err: errors.Unwrap(err), Do: "name an archive that asterism plugin pack has made, or a plugin's folder"}
	}
	if !info.IsDir() && !info.Mode().IsRegular() { // it might never end
		return nil, &fault.Error{Kind: fault.Config, What: from + " is neither a file nor a folder", Do: "name an archive that asterism plugin pack has made, or a plugin's folder"}
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	aside, err := os.MkdirTemp(s.Dir, asideName)
	if err != nil {
		return nil, unwritable(s.Dir, err)
	}
	defer s.leave(aside)
	p, err := s.prepare(ctx, from, info.IsDir(), filepath.Join(aside, "new"))
	if err != nil {
		return nil, err
	}
	done := &Installed{Plugin: *p}
	done.Dir = filepath.Join(s.Dir, p.Name, p.Version)
	there, err := digestOf(done.Dir, p.Name)
	switch _, gone := os.Lstat(done.Dir); {
	case errors.Is(gone, fs.ErrNotExist):
	case err == nil && there == p.Digest:
		done.Already = true
		return done, trust(s.Trusted, done.Plugin)
	case !force:
		return nil, &fault.Error{Kind: fault.Config, Plugin: p.Name, What: fmt.Sprintf("another %s %s is installed in %s: its digest is %s, that of %s is %s", p.Name, p.Version, done.Dir, cmp.Or(there, "not to be had"), from, p.Digest),
			Do: "a version does not change once it is given to others: ask for a new one; --force takes this one instead"}
	default:
		done.Instead = true
		if err := os.Rename(done.Dir, filepath.Join(aside, replacedName)); err != nil {
			return nil, unwritable(done.Dir, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(done.Dir), 0o777); err != nil {
		return nil, unwritable(done.Dir, err)
	}
	if err := trust(s.Trusted, done.Plugin); err != nil {
		return nil, err
	}
	if err := os.Rename(p.Dir, done.Dir); err != nil {
		return nil, unwritable(done.Dir, err)
	}
	return done, syncFolder(filepath.Dir(done.Dir))
}

// prepare makes a plugin ready aside, and checks it.
func (s *Store) prepare(ctx context.Context, from string, folder bool, into string) (p *Plugin, err error) {
	if folder {
		if err := unchanged(from); err != nil {
			return nil, err
		}
		p, err = Build(ctx, from, into, s.Python)
	} else {
		p, err = open(from, into)
	}
	if err != nil {
		return nil, inSource(err, into, from)
	}
	if why, ok := s.Reserved[p.Name]; ok {
		return nil, &fault.Error{Kind: fault.Config, What: fmt.Sprintf("the plugin in %s has the name %q, %s", from, p.Name, why), Do: "ask its author for another name"}
	}
	if !p.fits() {
		return nil, &fault.Error{Kind: fault.Config, Plugin: p.Name, What: fmt.Sprintf("%s is made for %s; this is %s", from, p.Platform, platform()), Do: "get the archive for this machine, or install from the author's folder"}
	}
	return p, nil
}

// unchanged says which files of a folder that is ready are not as its list of sums says. An author's folder has no list.
func unchanged(dir string) error {
	for _, name := range []string{manifestFile, sumsFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return nil
		}
	}
	wrong, err := changed(dir)
	if err != nil {
		return err
	}
	maps.DeleteFunc(wrong, func(name, _ string) bool { return staysBehind(name) })
	return differing(dir, wrong, "get the plugin again")
}

// differing makes an error of files that are not as they were.
func differing(dir string, wrong map[string]string, do string) error {
	var l fault.List
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		l = append(l, &fault.Error{Kind: fault.Plugin, Where: filepath.Join(dir, filepath.FromSlash(name)), What: wrong[name]})
	}
	if len(l) == 0 {
		return nil
	}
	l[len(l)-1].Do = do
	return l
}

// open unpacks an archive and checks that it is a plugin as Build makes it. Nothing in it is started.
func open(archive, into string) (*Plugin, error) {
	if err := unpack(archive, into); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(into, manifestFile)); err != nil {
		return nil, &fault.Error{Kind: fault.Plugin, Where: archive, What: "there is no " + manifestFile + " in it: it is not the archive of a plugin", Do: "its author makes one with asterism plugin pack"}
	}
	wrong, err := changed(into)
	if err == nil {
		err = differing(into, wrong, "get the archive again, or ask its author for one that asterism plugin pack has made")
	}
	if err != nil {
		return nil, err
	}
	p, err := releasable(into)
	if err != nil {
		return nil, err
	}
	for _, c := range p.Manifest.Components {
		file := filepath.Join(into, "schema", c.Name+".cue")
		if text, err := os.ReadFile(file); err != nil || string(text) != c.Schema {
			return nil, &fault.Error{Kind: fault.Plugin, Where: file, What: "is not the schema that " + manifestFile + " has", Do: "ask its author for one that asterism plugin pack has made"}
		}
	}
	p.Digest, err = digestOf(p.Dir, p.Name)
	return p, err
}

// lock waits until nobody else puts plugins into the folder or takes them out, and removes what was left on its way when
// another was killed.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o777); err != nil {
		return nil, unwritable(s.Dir, err)
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unwritable(s.Dir, err)
	}
	for waited := false; ; waited = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, unwritable(s.Dir, err)
		}
		if !waited && s.Waiting != nil {
			s.Waiting()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, &fault.Error{Kind: fault.Cancelled, What: "stopped while another installation was waited for"}
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.tidy()
	return func() { f.Close() }, nil
}

// leave removes what was on its way. What was to make place for something that did not come goes back.
func (s *Store) leave(aside string) {
	if p, err := read(filepath.Join(aside, replacedName)); err == nil && exactVersion(p.Version) { // anybody may have written it
		os.Rename(p.Dir, filepath.Join(s.Dir, p.Name, p.Version)) // fails where there is one
	}
	os.RemoveAll(aside)
}

// tidy does so for all that were killed.
func (s *Store) tidy() {
	entries, _ := os.ReadDir(s.Dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), asideName) {
			s.leave(filepath.Join(s.Dir, e.Name()))
		}
	}
}

// syncFolder sees to it that a name in a folder is on the disk.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return unwritable(dir, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems do not
		return unwritable(dir, err)
	}
	return nil
}

// Remove takes one version of a plugin out of the folder, or the only one there is.
func (s *Store) Remove(ctx context.Context, name, version string) (string, error) {
	missing := func(what, do string) error { return &fault.Error{Kind: fault.Config, What: what, Do: do} }
	if why, ok := s.Reserved[name]; ok {
		return "", missing(fmt.Sprintf("the plugin %q cannot be removed, %s", name, why), "leave it: it costs nothing")
	}
	var versions []string
	if _, err := os.Stat(filepath.Join(s.Dir, name)); err == nil && nameForm.MatchString(name) {
		unlock, err := s.lock(ctx)
		if err != nil {
			return "", err
		}
		defer unlock()
		entries, err := os.ReadDir(filepath.Join(s.Dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", unwritable(s.Dir, err)
		}
		for _, e := range entries {
			if exactVersion(e.Name()) {
				versions = append(versions, e.Name())
			}
		}
	}
	slices.SortFunc(versions, func(a, b string) int { return newer(b, a) })
	there := strings.Join(versions, ", ")
	switch {
	case len(versions) == 0:
		return "", missing(fmt.Sprintf("there is no plugin %q in %s", name, s.Dir), "asterism plugin list shows what is installed, and where; --project means the folder of a project")
	case version == "" && len(versions) > 1:
		return "", missing(fmt.Sprintf("of the plugin %s there are several versions in %s: %s", name, s.Dir, there), fmt.Sprintf("say which: asterism plugin remove %s@%s", name, versions[0]))
	case version == "":
		version = versions[0]
	case !slices.Contains(versions, version):
		return "", missing(fmt.Sprintf("there is no %s %s in %s: there is %s", name, version, s.Dir, there), "name one of these")
	}
	aside, err := os.MkdirTemp(s.Dir, asideName)
	if err != nil {
		return "", unwritable(s.Dir, err)
	}
	defer os.RemoveAll(aside)
	if err := os.Rename(filepath.Join(s.Dir, name, version), filepath.Join(aside, "removed")); err != nil {
		return "", unwritable(filepath.Join(s.Dir, name, version), err)
	}
	os.Remove(filepath.Join(s.Dir, name)) // where it is empty now
	return version, nil
}

// Verify says which files of an installed plugin are not as they were when it was installed, with one fault for each. Of
// one that is as it was it gives the digest.
func Verify(p Plugin, trusted string) (digest string, err error) {
	do := fmt.Sprintf("install it again: asterism plugin install ARCHIVE --force%s", map[bool]string{true: " --project"}[p.Project])
	wrong, err := changed(p.Dir)
	if err != nil {
		return "", err
	}
	if err := differing(p.Dir, wrong, do); err != nil {
		return "", err
	}
	if p.Digest, err = digestOf(p.Dir, p.Name); err != nil {
		return "", err
	}
	known, err := trusts(trusted, p)
	if err != nil {
		return "", err
	}
	if !known {
		return "", &fault.Error{Kind: fault.Plugin, Where: p.Dir, What: fmt.Sprintf("you have not installed this %s %s: its files agree with its %s, and its digest %s is not among those that you have installed", p.Name, p.Version, sumsFile, p.Digest), Do: do}
	}
	return p.Digest, nil
}
