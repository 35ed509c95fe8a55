package plugin

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

func (p *supervisor) component(local string) *protocol.ComponentInfo {
	for _, c := range p.description.GetComponents() {
		if c.Name == local {
			return c
		}
	}
	return nil
}

func (p *supervisor) components() []string {
	var names []string
	for _, c := range p.description.GetComponents() {
		names = append(names, p.spec.Name+"."+c.Name)
	}
	return names
}

// check compares what the running plugin says of itself with what was installed: an experiment was validated against
// the latter.
func (p *process) check() error {
	got, want := p.description, p.spec.Manifest
	mismatch := func(what string, running, installed any) error {
		return &fault.Error{Kind: fault.Plugin, Plugin: p.spec.Name,
			What: fmt.Sprintf("the plugin is not what was installed: %s is %v in the running plugin and %v in its manifest", what, running, installed),
			Do:   "install it again; its author makes the manifest with: PLUGIN describe > plugin.json"}
	}
	if got.GetApi() != protocol.API {
		return mismatch("the version of the contract", got.GetApi(), protocol.API)
	}
	if got.Name != p.spec.Name {
		return mismatch("the name", fmt.Sprintf("%q", got.Name), fmt.Sprintf("%q", p.spec.Name))
	}
	if p.spec.Version != "" && got.Version != p.spec.Version {
		return mismatch("the version", got.Version, p.spec.Version)
	}
	if want == nil {
		return nil
	}
	if got.Version != want.Version {
		return mismatch("the version", got.Version, want.Version)
	}
	known := map[string]*protocol.ComponentInfo{}
	for _, c := range want.Components {
		known[c.Name] = c
	}
	for _, g := range got.Components {
		w := known[g.Name]
		delete(known, g.Name)
		name := got.Name + "." + g.Name
		switch {
		case w == nil:
			return mismatch("the component "+name, "there", "not")
		case g.Kind != w.Kind:
			return mismatch("the kind of "+name, g.Kind, w.Kind)
		case g.Revision != w.Revision:
			return mismatch("the revision of "+name, g.Revision, w.Revision)
		case g.Schema != w.Schema:
			return mismatch("the schema of "+name, fmt.Sprintf("of %d bytes", len(g.Schema)), fmt.Sprintf("another, of %d bytes,", len(w.Schema)))
		}
	}
	for name := range known {
		return mismatch("the component "+got.Name+"."+name, "not there", "named")
	}
	return nil
}
