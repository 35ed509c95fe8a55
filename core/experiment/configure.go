package experiment

import (
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Configure checks one component that is named outside an experiment, in the words of Load, and completes its
// configuration, which is CUE or JSON: `{stem: "paper"}`. Its error is a fault.List.
func Configure(installed Schemas, kind protocol.Kind, name, text string) (Component, error) {
	ctx := cuecontext.New()
	given := ctx.CompileString(text)
	if err := given.Err(); err != nil {
		l := faults{}
		l.add(&fault.Error{Plugin: name, What: text + " cannot be read as a configuration", Err: err, Do: "write CUE, such as {size: 48}"})
		return Component{}, fault.List(l)
	}
	c := &checker{ctx: ctx, schemas: installed, whole: ctx.CompileString("{}"), places: map[string]string{}, configs: map[string]config{}, used: map[string]string{}}
	c.component([]string{name}, map[string]cue.Value{name: given}, kind, path{}, "")
	if len(c.faults) > 0 {
		return Component{}, c.faults.sorted("")
	}
	raw, err := c.config(c.configs[""].value)
	if err != nil {
		l := faults{}
		l.add(&fault.Error{Plugin: name, What: "cannot be written as data", Err: err})
		return Component{}, fault.List(l)
	}
	plugin, local, _ := strings.Cut(name, ".")
	return Component{Name: name, Plugin: plugin, Local: local, Config: raw}, nil
}
