package stage

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// flock takes or tries a lock on an open file; ok is false when another holds it.
func flock(f *os.File, how int) (ok bool, err error) {
	for {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// tryLock takes the lock file at path if nobody holds it. The file may be removed by whoever holds the lock, so a lock
// counts only while the path still leads to the locked file.
func tryLock(path string) (*os.File, bool, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, false, err
		}
		ok, err := flock(f, syscall.LOCK_EX)
		if err != nil || !ok {
			f.Close()
			return nil, false, err
		}
		if sameFile(f, path) {
			return f, true, nil
		}
		f.Close()
	}
}

// lock waits for the lock file at path; waiting is called once if somebody else holds it.
func lock(ctx context.Context, path string, waiting func()) (*os.File, error) {
	pause := 5 * time.Millisecond
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, ok, err := tryLock(path)
		if ok || err != nil {
			return f, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// unlock gives a lock up and removes its file.
func unlock(f *os.File) {
	os.Remove(f.Name()) // while it is held, so that nobody loses a lock they think they have
	f.Close()
}

// sameFile says whether path leads to the open file.
func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}
