package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
)

// What a user has installed is recorded in a file, a line for each: digest, name, version. It tells the plugins in a
// project's folder that this user wanted from those that came with the project.

// trusts says whether a plugin is recorded with its digest.
func trusts(file string, p Plugin) (bool, error) {
	text, err := readPlain(file, maxText)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, &fault.Error{Kind: fault.Resource, What: "the record of what you have installed cannot be read", Err: err}
	}
	for line := range strings.Lines(string(text)) {
		if slices.Equal(strings.Fields(line), []string{p.Digest, p.Name, p.Version}) {
			return true, nil
		}
	}
	return false, nil
}

// trust records a plugin.
func trust(file string, p Plugin) error {
	if known, err := trusts(file, p); known || err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return unwritable(file, err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return unwritable(file, err)
	}
	_, err = fmt.Fprintf(f, "%s %s %s\n", p.Digest, p.Name, p.Version) // one write: it is there whole or not at all
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return unwritable(file, err)
	}
	return nil
}
