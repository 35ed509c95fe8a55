// Package registry finds plugins and answers how to start one.
//
// A plugin is either built in (the binary starts itself) or a folder with a plugin.json: the plugin's own description,
// as `PLUGIN describe` prints it, and the command that starts it.
//
//	r, err := registry.Open(builtins, "/proc/self/exe", registry.Options{Dirs: []string{"/opt/asterism/plugins"}})
//	p, err := r.Plugin("sky") // p.Command: /proc/self/exe plugin serve sky
package registry

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"golang.org/x/mod/sumdb/dirhash"
)

// Plugin is an installed plugin.
type Plugin struct {
	Name     string
	Version  string
	Platform string   // "linux/amd64"; empty: any
	Command  []string // absolute, or a name to be looked up in PATH
	Dir      string   // absolute; empty for a built-in
	Builtin  bool
	Override bool   // taken from a folder that the user named for this run
	Digest   string // of the folder, "h1:…"; empty for a built-in, and in lists
	Manifest *protocol.Description
}

// Options of a registry.
type Options struct {
	Overrides map[string]string // plugin name → folder, before everything else: --plugin NAME=DIR
	Dirs      []string          // folders of plugin folders; one that is missing is empty
}

// Registry is what is installed. It is safe for concurrent use.
type Registry struct {
	plugins  []Plugin // by name
	problems []error
	looked   []string // where
	mu       sync.Mutex
	digests  map[string]string // by folder
}

// Open looks at what is installed. Self is the path that starts this binary again. An override that cannot be had is
// an error; a broken folder elsewhere is one only for who asks for that plugin: see Problems.
func Open(builtins []*protocol.Description, self string, o Options) (*Registry, error) {
	r := &Registry{digests: map[string]string{}, looked: []string{"in this binary"}}
	taken := map[string]*Plugin{}
	for _, name := range slices.Sorted(maps.Keys(o.Overrides)) { // so that the same mistake is reported each time
		p, err := read(o.Overrides[name])
		if err != nil {
			return nil, err
		}
		if p.Name != name {
			return nil, invalid(filepath.Join(p.Dir, manifestFile), "describes the plugin %q, not %q", p.Name, name)
		}
		p.Override = true
		taken[name] = p
	}
	for _, d := range builtins {
		if err := check(d); err != nil {
			return nil, &fault.Error{Kind: fault.Internal, Plugin: d.GetName(), What: "the description of a built-in is broken", Err: err}
		}
		if taken[d.Name] == nil {
			taken[d.Name] = &Plugin{Name: d.Name, Version: d.Version, Builtin: true, Manifest: d, Command: []string{self, "plugin", "serve", d.Name}}
		}
	}
	for _, dir := range o.Dirs {
		r.looked = append(r.looked, dir)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			r.problems = append(r.problems, &fault.Error{Kind: fault.Resource, What: "a folder of plugins cannot be read", Err: err})
		}
		for _, e := range entries { // sorted by name
			folder := filepath.Join(dir, e.Name())
			if _, err := os.Stat(filepath.Join(folder, manifestFile)); err != nil {
				continue
			}
			p, err := read(folder)
			if err != nil {
				r.problems = append(r.problems, err)
				continue
			}
			if other := taken[p.Name]; other != nil {
				if !other.Override {
					r.problems = append(r.problems, invalid(filepath.Join(p.Dir, manifestFile), "the plugin %q is left out: there is one %s already", p.Name, other.from()))
				}
				continue
			}
			taken[p.Name] = p
		}
	}
	for _, p := range taken {
		r.plugins = append(r.plugins, *p)
	}
	slices.SortFunc(r.plugins, func(a, b Plugin) int { return strings.Compare(a.Name, b.Name) })
	return r, nil
}

// from says where a plugin comes from.
func (p *Plugin) from() string {
	if p.Builtin {
		return "in this binary"
	}
	return "in " + p.Dir
}

// List gives every plugin, by name, without digests.
func (r *Registry) List() []Plugin { return slices.Clone(r.plugins) }

// Problems are what is wrong with folders that hold a plugin.json that cannot be used.
func (r *Registry) Problems() []error { return r.problems }

// Plugin gives a plugin by its name. The error says what is installed, where was looked, and which name is nearest.
func (r *Registry) Plugin(name string) (Plugin, error) {
	i := slices.IndexFunc(r.plugins, func(p Plugin) bool { return p.Name == name })
	if i < 0 {
		return Plugin{}, r.unknown(name)
	}
	p := r.plugins[i]
	var err error
	p.Digest, err = r.digest(p)
	return p, err
}

func (r *Registry) unknown(name string) error {
	var names []string
	for _, p := range r.plugins {
		names = append(names, p.Name)
	}
	what := fmt.Sprintf("there is no plugin %q: installed are %s; looked %s", name, list(names), strings.Join(r.looked, ", in "))
	for _, problem := range r.problems {
		what += "; and " + problem.Error()
	}
	do := fmt.Sprintf("install it, or point to its folder with --plugin %s=FOLDER", name)
	if near := fault.Nearest(name, names); near != "" {
		do = fmt.Sprintf("did you mean %q? Otherwise %s", near, do)
	}
	return &fault.Error{Kind: fault.Config, What: what, Do: do}
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Component gives a component by its full name, "sky.rotate".
func (r *Registry) Component(name string) (Plugin, *protocol.ComponentInfo, error) {
	plugin, local, ok := strings.Cut(name, ".")
	if !ok {
		return Plugin{}, nil, &fault.Error{Kind: fault.Config, What: fmt.Sprintf("%q names no component", name), Do: "write PLUGIN.COMPONENT, such as sky.rotate"}
	}
	p, err := r.Plugin(plugin)
	if err != nil {
		return Plugin{}, nil, err
	}
	var names []string
	for _, c := range p.Manifest.Components {
		if c.Name == local {
			return p, c, nil
		}
		names = append(names, plugin+"."+c.Name)
	}
	f := &fault.Error{Kind: fault.Config, Plugin: plugin, What: fmt.Sprintf("the plugin %s %s has no component %q; it has %s", plugin, p.Version, local, list(names))}
	if near := fault.Nearest(name, names); near != "" {
		f.Do = fmt.Sprintf("did you mean %q?", near)
	}
	return Plugin{}, nil, f
}

// digest hashes a plugin's folder, once: names and contents of all files, in the form of Go's module sums.
func (r *Registry) digest(p Plugin) (string, error) {
	if p.Dir == "" {
		return "", nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if d, ok := r.digests[p.Dir]; ok {
		return d, nil
	}
	folder, err := filepath.EvalSymlinks(p.Dir) // HashDir takes a link for a file
	if err != nil {
		folder = p.Dir
	}
	d, err := dirhash.HashDir(folder, p.Name, dirhash.Hash1)
	if err != nil {
		return "", &fault.Error{Kind: fault.Resource, Plugin: p.Name, What: "the plugin's folder cannot be read", Err: err}
	}
	r.digests[p.Dir] = d
	return d, nil
}
