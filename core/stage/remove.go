package stage

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/asterism-ssl/asterism/core/fault"
)

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
		err = &fault.Error{Op: "stage", Kind: fault.Resource, What: fmt.Sprintf("stage %s is in use by another run", key), Do: "wait for the other run to end"}
	}
	return err
}
