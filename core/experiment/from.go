package experiment

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	"cuelang.org/go/cue"

	"github.com/asterism-ssl/asterism/core/fault"
)

var (
	encoderPath = cue.ParsePath("encoder")
	fromPath    = cue.ParsePath("encoder.from")
)

// withEncoder completes an encoder that is named by its weights alone, encoder: from: "…", with the component that they
// are of. What else may be wrong with the field is the checker's matter.
func withEncoder(ctx *cue.Context, file string, given cue.Value, of func(string) (string, json.RawMessage, error)) (cue.Value, *fault.Error) {
	from, err := given.LookupPath(fromPath).String()
	if err != nil || from == "" || of == nil {
		return given, nil
	}
	it, err := given.LookupPath(encoderPath).Fields()
	if err != nil {
		return given, nil
	}
	for it.Next() {
		if strings.Contains(it.Selector().Unquoted(), ".") {
			return given, nil
		}
	}
	name, config, err := of(from)
	if err != nil {
		e := &fault.Error{What: err.Error()}
		if f, ok := errors.AsType[*fault.Error](err); ok {
			c := *f
			e = &c
		}
		e.Where, e.Path = cmp.Or(where(given.LookupPath(fromPath).Pos()), file), fromPath.String()
		return given, e
	}
	return given.FillPath(cue.MakePath(cue.Str("encoder"), cue.Str(name)), ctx.CompileBytes(config)), nil
}
