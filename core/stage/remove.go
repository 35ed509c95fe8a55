package stage

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/fault"
)

// ErrInUse says that another process is building a stage or using it.
var ErrInUse = errors.New("another run has it in use")

// Remove removes one stage, so that Do builds it anew. A stage that is not there is removed already; one that another
// process is using cannot be.
func (c *Cache) Remove(key string) error {
	if err := check(key); err != nil {
		return err
	}
	c.mu.Lock()
	if f := c.held[key]; f != nil {
		f.Close()
		delete(c.held, key)
	}
	c.mu.Unlock()
	if _, err := os.Stat(filepath.Join(c.dir, key)); os.IsNotExist(err) {
		return nil
	}
	_, gone, err := c.collect(key, key, false, 0, false)
	if err == nil && !gone {
		err = &fault.Error{Op: "stage", Kind: fault.Resource, What: "stage " + key, Err: ErrInUse, Do: "wait for the other run to end"}
	}
	return err
}
