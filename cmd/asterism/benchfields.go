package main

import (
	"fmt"
	"strings"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// splitComponent parts a component as bench is given it into its name and its configuration: vit.small{patch: 4}.
func splitComponent(text string) (name, fields string) {
	name, rest, braces := strings.Cut(text, "{")
	if !braces {
		return strings.TrimSpace(text), "{}"
	}
	return strings.TrimSpace(name), "{" + rest
}

// configure completes the configuration of a component.
func configure(s schemas, kind protocol.Kind, name, fields string) (plugin.Ref, error) {
	if name == "" {
		return plugin.Ref{}, &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("the name of an %s is missing", kindName(kind)), Do: "asterism plugin list shows those there are"}
	}
	c, err := experiment.Configure(s, kind, name, fields)
	return plugin.Ref{Name: c.Name, Config: c.Config}, err
}

// wording puts faults of components into the words of bench. Components speak of the fields of an experiment and of its
// data; bench has flags.
type wording struct {
	given  string            // the flag that gives components with their fields
	flags  map[string]string // of fields that have one: "queue" is "--queue"
	images string            // what components call what --size is the size of: "samples", "frame"
	size   int
}

// of puts an error into words.
func (w wording) of(err error) error {
	if err == nil {
		return nil
	}
	list := fault.All(err)
	for i, e := range list {
		if e.Kind != fault.Config {
			continue
		}
		c := *e
		if strings.Contains(c.What+c.Do, w.images) {
			c.Do = strings.TrimSpace(fmt.Sprintf("%s (--size is that of the %s, here %d)", c.Do, w.images, w.size))
		}
		field, _, _ := strings.Cut(c.Path, ".")
		if flag, ok := w.flags[field]; ok {
			c.Path, c.Do = flag, strings.ReplaceAll(c.Do, field+": ", flag+" ")
		} else if field != "" && c.Plugin != "" {
			c.Path, c.Plugin = fmt.Sprintf("%s '%s{%s: …}'", w.given, c.Plugin, field), ""
		}
		list[i] = &c
	}
	return list
}
