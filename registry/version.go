package registry

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/semver"
)

// releasable reads the folder of a plugin that can be given to others: its version is one that can be asked for, and what
// its command names is in the folder.
func releasable(dir string) (*Plugin, error) {
	p, err := read(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(p.Dir, manifestFile)
	if !exactVersion(p.Version) {
		return nil, invalid(file, "has the version %q: must be three numbers such as 1.2.0, or what comes before them such as 1.2.0-rc.1", p.Version)
	}
	for i, word := range p.Command {
		if info, err := os.Stat(filepath.Join(p.Dir, word)); err == nil && info.Mode().IsRegular() && !filepath.IsAbs(word) {
			return nil, invalid(file, "names %s in its command, which would be looked for in other folders: must be ./%s", word, word)
		}
		if i > 0 && word == "-m" && strings.HasPrefix(filepath.Base(p.Command[0]), "python") {
			return nil, invalid(file, "starts a module of Python by its name, which would be looked for where the user stands first: must start a file of the folder, such as ./plugin.py")
		}
		if name, ours := strings.CutPrefix(word, p.Dir+string(filepath.Separator)); ours {
			if _, err := os.Stat(word); err != nil {
				return nil, invalid(file, "names ./%s in its command, which is not in the folder; beside a go.mod or a plugin.py it is not needed, and in the way", filepath.ToSlash(name))
			}
		}
	}
	return p, nil
}

// exactVersion says whether a text is one semantic version, written in full and without build metadata, which do not
// count in comparisons.
func exactVersion(v string) bool {
	return semver.IsValid("v"+v) && semver.Canonical("v"+v) == "v"+v && !strings.Contains(v, "+")
}
