package experiment

import (
	"cmp"
	"errors"

	"cuelang.org/go/cue"

	"github.com/asterism-ssl/asterism/core/fault"
)

// pluginsPath leads to the versions of plugins that an experiment names.
var pluginsPath = cue.ParsePath("plugins")

// wanted has the plugins taken in the versions that the file names. What else may be wrong with the field is the checker's
// matter.
func wanted(given cue.Value, file string, want func(plugin, version string) error) (l faults, unwanted map[string]bool) {
	it, err := given.LookupPath(pluginsPath).Fields()
	if err != nil || want == nil {
		return nil, nil
	}
	unwanted = map[string]bool{}
	for it.Next() {
		name := it.Selector().Unquoted()
		version, err := it.Value().String()
		if err != nil || version == "" {
			continue
		}
		if err := want(name, version); err != nil {
			e := &fault.Error{What: err.Error()}
			if f, ok := errors.AsType[*fault.Error](err); ok {
				c := *f
				e = &c
			}
			e.Where, e.Path, e.Plugin = cmp.Or(where(it.Value().Pos()), file), "plugins."+name, ""
			l.add(e)
			unwanted[name] = true
		}
	}
	return l, unwanted
}
