package stage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
)

// seen is a remembered digest of a file outside the cache.
type seen struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	Time   int64  `json:"mtime"` // nanoseconds
	Inode  uint64 `json:"inode"`
	SHA256 string `json:"sha256"`
}

// FileDigest gives the SHA-256 of a file, in hexadecimal. It is remembered in the cache for as long as the file's size,
// modification time and inode stay the same; a file changed in the last two seconds is not remembered, since it may
// change again within the resolution of its time.
func (c *Cache) FileDigest(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	unreadable := func(err error) error {
		return &fault.Error{Op: "stage", Kind: fault.Data, What: "cannot read a file", Err: err, Do: "check the path and who may read it"}
	}
	f, err := os.Open(path)
	if err != nil {
		return "", unreadable(err)
	}
	defer f.Close()
	now, err := identity(f, path)
	if err != nil {
		return "", unreadable(err)
	}
	name := sha256.Sum256([]byte(path))
	memory := filepath.Join(c.dir, ".digests", hex.EncodeToString(name[:16])+".json")
	if text, err := os.ReadFile(memory); err == nil {
		var old seen
		if json.Unmarshal(text, &old) == nil && len(old.SHA256) == 64 {
			now.SHA256 = old.SHA256
			if now == old {
				t := time.Now()
				os.Chtimes(memory, t, t)
				return old.SHA256, nil
			}
		}
	}
	if _, now.SHA256, err = digestOf(f); err != nil {
		return "", unreadable(err)
	}
	after, err := identity(f, path)
	if err != nil {
		return "", unreadable(err)
	}
	sum := now.SHA256
	after.SHA256 = sum
	if now == after && time.Since(time.Unix(0, now.Time)) > 2*time.Second {
		remember(memory, now) // a memory that cannot be written costs time only
	}
	return sum, nil
}

// identity gives what a digest is remembered by.
func identity(f *os.File, path string) (seen, error) {
	st, err := f.Stat()
	if err != nil {
		return seen{}, err
	}
	if !st.Mode().IsRegular() {
		return seen{}, fmt.Errorf("%s is not a file", path)
	}
	s := seen{Path: path, Size: st.Size(), Time: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.Inode = uint64(sys.Ino)
	}
	return s, nil
}

func remember(path string, s seen) {
	if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		return
	}
	err = json.NewEncoder(f).Encode(s)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
