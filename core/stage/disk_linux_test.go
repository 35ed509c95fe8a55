package stage

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
)

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no small disk can be mounted here to fill (%v)", err)
	}
	defer syscall.Unmount(dir, 0)
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := writes(map[string]string{"big": strings.Repeat("x", 1<<17)})
	_, err = c.Do(context.Background(), "k", "", big)
	wantFault(t, err, fault.Resource, "no space left", "store gc", dir)
	exact := func(_ context.Context, d string) error { // fills the disk to the brim, so that stage.json has no room
		f, err := os.Create(filepath.Join(d, "x"))
		if err != nil {
			return err
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		return nil
	}
	_, err = c.Do(context.Background(), "k", strings.Repeat("long ", 2000), exact)
	wantFault(t, err, fault.Resource, "no space left", dir)
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	if _, err := c.Do(context.Background(), "k", "", two); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
