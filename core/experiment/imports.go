package experiment

import (
	"strings"

	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"

	"github.com/asterism-ssl/asterism/schemas"
)

// Imports says whether a file imports the language of experiments. One that cannot be read does not.
func Imports(file string) bool {
	f, err := parser.ParseFile(file, nil, parser.ImportsOnly)
	if err != nil {
		return false
	}
	for spec := range f.ImportSpecs() {
		if path, err := literal.Unquote(spec.Path.Value); err == nil {
			path, _, _ = strings.Cut(path, ":")
			if path == schemas.Module || strings.HasPrefix(path, schemas.Module+"@") {
				return true
			}
		}
	}
	return false
}
