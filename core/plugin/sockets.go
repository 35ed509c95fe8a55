package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"golang.org/x/sys/unix"
)

// A socket's path may have 108 bytes on Linux and 104 on macOS with its final zero. Below the folder that we make,
// go-plugin adds a folder and a file, each a word and up to ten digits.
const (
	socketPath  = 103
	belowFolder = len("/plugin-dir0123456789/plugin0123456789")
	folderName  = "asterism-"
	lockName    = "lock"
	nobody      = 65534 // whom a container sees as the owner of what is outside of it
)

// sockets is the private folder for the sockets of one host. A lock is held on it while the host lives, so that the
// next host can tell which folders were left behind by one that was killed.
type sockets struct {
	dir  string
	lock *os.File
}

// socketFolders are the places where the folder may be made, best first.
func socketFolders() []string {
	var places []string
	for _, place := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		if filepath.IsAbs(place) {
			places = append(places, place)
		}
	}
	return places
}

func newSockets() (*sockets, error) {
	var errs []error
	for _, place := range socketFolders() {
		place = filepath.Clean(place)
		if len(place)+1+len(folderName)+10+belowFolder > socketPath {
			errs = append(errs, fmt.Errorf("%s is too long a path for sockets", place))
			continue
		}
		if err := safe(place); err != nil {
			errs = append(errs, err)
			continue
		}
		sweep(place)
		s, err := openSockets(place)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, &fault.Error{Kind: fault.Resource, What: "there is no folder for the plugins' sockets", Err: errors.Join(errs...),
		Do: "set TMPDIR to a short path that can be written"}
}

// safe says why nobody's private folder should be in a place: another user could put a folder of his own in its stead.
func safe(place string) error {
	info, err := os.Stat(place)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir() || !ok:
		return fmt.Errorf("%s is not a folder", place)
	case int(stat.Uid) != os.Getuid() && stat.Uid != 0 && stat.Uid != nobody:
		return fmt.Errorf("%s belongs to another user", place)
	case info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("what is in %s can be replaced by others", place)
	}
	return nil
}

func openSockets(place string) (*sockets, error) {
	for {
		dir, err := os.MkdirTemp(place, folderName) // 0700
		if err != nil {
			return nil, err
		}
		lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
				if _, err = os.Stat(lock.Name()); err == nil {
					return &sockets{dir, lock}, nil
				}
			}
			lock.Close()
			if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
				continue // another host swept it between the two steps
			}
		}
		os.RemoveAll(dir)
		return nil, err
	}
}

func (s *sockets) remove() error {
	err := os.RemoveAll(s.dir)
	s.lock.Close()
	return err
}

// sweep removes the folders of hosts that were killed. Errors do not matter: the next host tries again.
func sweep(place string) {
	entries, err := os.ReadDir(place)
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := filepath.Join(place, e.Name())
		if !e.IsDir() || !ourName(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Getuid() {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		switch {
		case err == nil:
			if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				os.RemoveAll(dir)
			}
			lock.Close()
		case errors.Is(err, fs.ErrNotExist) && time.Since(info.ModTime()) > time.Minute:
			os.Remove(dir) // never got its lock; only an empty one
		}
	}
}

// ourName tells our folders, a word and digits, from others that begin alike.
func ourName(name string) bool {
	digits, ok := strings.CutPrefix(name, folderName)
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}
