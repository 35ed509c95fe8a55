// Package registry finds plugins and answers how to start one; it packs, installs, verifies and locks them.
//
// A plugin is either built in (the binary starts itself) or a folder with a plugin.json: the plugin's own description,
// as `PLUGIN describe` prints it, and the command that starts it. Installed plugins lie in NAME/VERSION below a folder
// of the user's or of a project's, several versions side by side.
//
//	r, err := registry.Open(builtins, "/proc/self/exe", registry.Options{Folders: []registry.Folder{{Dir: "/home/me/.local/share/asterism/plugins"}}})
//	err = r.Want("acme", "1.2.0")  // else it is the newest
//	p, err := r.Start("acme")      // p.Command: …/acme/1.2.0/acme
package registry

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"golang.org/x/mod/semver"
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
	Source   string // the author's folder that an override was built of
	Project  bool   // from a project's folder
	Digest   string // of the folder, "h1:…"; of what is made ready, installed or about to be started, otherwise empty
	Manifest *protocol.Description
}

// Folder is a folder of installed plugins, NAME/VERSION. One that is missing is empty.
type Folder struct {
	Dir     string
	Project bool // it came with the files of a project: its plugins are started when the user has installed them, not before
}

// Options of a registry.
type Options struct {
	Overrides map[string]string // plugin name → folder, before everything else: --plugin NAME=DIR
	Sources   map[string]string // plugin name → author's folder, of overrides that were built for the moment
	Folders   []Folder          // best first
	Trusted   string            // the file in which the user's installations are recorded
	Lock      *Lock             // nil: none
	Made      map[string]string // plugin name → digest, of what a run was made with and a lock does not hold: overrides
	Relock    string            // the command that locks anew, for messages
}

// Registry is what is installed. It is safe for concurrent use, once what is wanted is said.
type Registry struct {
	options  Options
	plugins  map[string][]Plugin // by name; the newest version first
	wanted   map[string]string   // name → version
	problems []problem
	looked   []string // where
	mu       sync.Mutex
	digests  map[string]digested // by folder
}

// Open looks at what is installed. Self is the path that starts this binary again. An override that cannot be had is
// an error; a broken folder elsewhere is one only for who asks for that plugin: see Problems.
func Open(builtins []*protocol.Description, self string, o Options) (*Registry, error) {
	r := &Registry{options: o, plugins: map[string][]Plugin{}, wanted: map[string]string{}, digests: map[string]digested{}, looked: []string{"in this binary"}}
	for _, name := range slices.Sorted(maps.Keys(o.Overrides)) { // so that the same mistake is reported each time
		p, err := read(o.Overrides[name])
		if err != nil {
			return nil, err
		}
		if p.Name != name {
			dir := cmp.Or(o.Sources[name], o.Overrides[name])
			return nil, &fault.Error{Kind: fault.Config, What: fmt.Sprintf("%s holds the plugin %q, not %q", dir, p.Name, name), Do: fmt.Sprintf("write --plugin %s=%s", p.Name, shown(dir))}
		}
		p.Override, p.Source = true, o.Sources[name]
		r.plugins[name] = []Plugin{*p}
	}
	for _, d := range builtins {
		if err := check(d); err != nil {
			return nil, &fault.Error{Kind: fault.Internal, Plugin: d.GetName(), What: "the description of a built-in is broken", Err: err}
		}
		if r.plugins[d.Name] == nil {
			r.plugins[d.Name] = []Plugin{{Name: d.Name, Version: d.Version, Builtin: true, Manifest: d, Command: []string{self, "plugin", "serve", d.Name}}}
		}
	}
	for _, folder := range o.Folders {
		r.looked = append(r.looked, "in "+folder.Dir)
		for _, name := range r.list(folder.Dir) {
			if !nameForm.MatchString(name) {
				continue
			}
			for _, version := range r.list(filepath.Join(folder.Dir, name)) {
				if exactVersion(version) {
					r.find(folder, name, version)
				}
			}
		}
	}
	for _, versions := range r.plugins {
		slices.SortStableFunc(versions, func(a, b Plugin) int { return newer(a.Version, b.Version) })
	}
	return r, nil
}

// list gives the names in a folder, sorted.
func (r *Registry) list(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		r.problems = append(r.problems, problem{"", &fault.Error{Kind: fault.Resource, What: "a folder of plugins cannot be read", Err: err}})
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// find reads an installed plugin.
func (r *Registry) find(folder Folder, name, version string) {
	p, err := read(filepath.Join(folder.Dir, name, version))
	switch known := r.plugins[name]; {
	case err != nil:
		r.problems = append(r.problems, problem{name, err})
	case p.Name != name || p.Version != version:
		r.problems = append(r.problems, problem{name, invalid(filepath.Join(p.Dir, manifestFile), "describes %s %s in the folder of %s %s", p.Name, p.Version, name, version)})
	case !p.fits():
		r.problems = append(r.problems, problem{name, invalid(filepath.Join(p.Dir, manifestFile), "is that of a plugin for %s; this is %s", p.Platform, platform())})
	case len(known) > 0 && known[0].Override:
	case len(known) > 0 && known[0].Builtin:
		r.problems = append(r.problems, problem{name, invalid(filepath.Join(p.Dir, manifestFile), "the plugin %q is left out: there is one in this binary already", name)})
	default:
		p.Project = folder.Project
		r.plugins[name] = append(known, *p)
	}
}

// newer orders versions, the newest first.
func newer(a, b string) int { return cmp.Or(semver.Compare("v"+b, "v"+a), strings.Compare(b, a)) }

// platform names this machine's: "linux/amd64".
func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// fits says whether the plugin can run here.
func (p *Plugin) fits() bool { return p.Platform == "" || p.Platform == platform() }

// List gives every plugin that can be had without asking for a version, by name.
func (r *Registry) List() []Plugin {
	var all []Plugin
	for _, name := range slices.Sorted(maps.Keys(r.plugins)) {
		if p, err := r.Plugin(name); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// All gives every plugin in every version, by name, the newest first.
func (r *Registry) All() []Plugin {
	var all []Plugin
	for _, name := range slices.Sorted(maps.Keys(r.plugins)) {
		all = append(all, r.plugins[name]...)
	}
	return all
}

// Has says whether there is a plugin of a name, in whatever version.
func (r *Registry) Has(name string) bool { return len(r.plugins[name]) > 0 }

// Lock gives what is locked; nil: nothing.
func (r *Registry) Lock() *Lock { return r.options.Lock }

// Problems are what is wrong with folders that hold a plugin.json that cannot be used.
func (r *Registry) Problems() []error {
	var all []error
	for _, problem := range r.problems {
		all = append(all, problem.error)
	}
	return all
}

// problem is what is wrong with a folder of a plugin, or, without a name, of plugins.
type problem struct {
	plugin string
	error
}

// Want has a plugin taken in one version from now on. An override stays what it is.
func (r *Registry) Want(name, version string) error {
	_, err := r.Version(name, version)
	if err == nil {
		r.wanted[name] = version
	}
	return err
}

// Version gives a plugin in one version. The error says which versions there are.
func (r *Registry) Version(name, version string) (Plugin, error) {
	versions := r.plugins[name]
	if len(versions) == 0 {
		return Plugin{}, r.unknown(name)
	}
	if versions[0].Override {
		return versions[0], nil
	}
	i := slices.IndexFunc(versions, func(p Plugin) bool { return p.Version == version })
	if i >= 0 {
		return versions[i], nil
	}
	if versions[0].Builtin {
		return Plugin{}, &fault.Error{Kind: fault.Config, Plugin: name, What: fmt.Sprintf("there is no %s %s: the plugin is in this binary, in version %s", name, version, versions[0].Version), Do: "ask for that version, or for none"}
	}
	return Plugin{}, &fault.Error{Kind: fault.Config, Plugin: name, What: fmt.Sprintf("there is no %s %s: installed are %s; looked %s", name, version, versionsOf(versions), strings.Join(r.looked, ", ")) + r.troubles(name),
		Do: "install it: asterism plugin install ARCHIVE; or ask for one that is there"}
}

// Plugin gives a plugin by its name: in the version that is wanted, else in one that is locked, else in the newest that
// is no pre-release. The error says what is installed, where was looked, and which name is nearest.
func (r *Registry) Plugin(name string) (Plugin, error) {
	versions := r.plugins[name]
	if len(versions) == 0 {
		return Plugin{}, r.unknown(name)
	}
	if versions[0].Override || versions[0].Builtin {
		return versions[0], nil
	}
	if version, ok := r.wanted[name]; ok {
		return r.Version(name, version)
	}
	if locked := r.options.Lock.versions(name); len(locked) > 0 {
		for _, version := range locked {
			if p, err := r.Version(name, version); err == nil {
				return p, nil
			}
		}
		return Plugin{}, &fault.Error{Kind: fault.Config, Plugin: name, What: fmt.Sprintf("%s locks %s %s, which is not installed: installed are %s; looked %s", r.options.Lock.File, name, strings.Join(locked, " and "), versionsOf(versions), strings.Join(r.looked, ", ")),
			Do: "install it: asterism plugin install ARCHIVE" + r.relock("; or lock what there is: ")}
	}
	for _, p := range versions {
		if semver.Prerelease("v"+p.Version) == "" {
			return p, nil
		}
	}
	return Plugin{}, &fault.Error{Kind: fault.Config, Plugin: name, What: fmt.Sprintf("of the plugin %s there is what comes before a release only: %s", name, versionsOf(versions)),
		Do: fmt.Sprintf("ask for it, in the experiment with plugins: %s: %q", name, versions[0].Version)}
}

// versionsOf lists versions, the oldest first.
func versionsOf(plugins []Plugin) string {
	var versions []string
	for _, p := range slices.Backward(plugins) {
		if !slices.Contains(versions, p.Version) {
			versions = append(versions, p.Version)
		}
	}
	return strings.Join(versions, ", ")
}

func (r *Registry) unknown(name string) error {
	names := slices.Sorted(maps.Keys(r.plugins))
	var installed, builtin []string
	for _, n := range names {
		if r.plugins[n][0].Builtin {
			builtin = append(builtin, n)
			continue
		}
		installed = append(installed, n+" "+versionsOf(r.plugins[n]))
	}
	what := fmt.Sprintf("there is no plugin %q: installed are %s, and in this binary %s; looked %s", name, cmp.Or(strings.Join(installed, "; "), "none"), cmp.Or(strings.Join(builtin, ", "), "none"), strings.Join(r.looked, ", "))
	if locked := r.options.Lock.versions(name); len(locked) > 0 {
		what = fmt.Sprintf("there is no plugin %q, of which %s locks %s; looked %s", name, r.options.Lock.File, strings.Join(locked, " and "), strings.Join(r.looked, ", "))
	}
	do := fmt.Sprintf("install it: asterism plugin install ARCHIVE; or point to its folder: --plugin %s=FOLDER", name)
	if near := fault.Nearest(name, names); near != "" {
		do = fmt.Sprintf("did you mean %q? Otherwise %s", near, do)
	}
	return &fault.Error{Kind: fault.Config, What: what + r.troubles(""), Do: do}
}

// troubles tells of folders that cannot be used, all or those of one plugin.
func (r *Registry) troubles(name string) string {
	text := ""
	for _, problem := range r.problems {
		if name == "" || problem.plugin == name {
			text += "; and " + problem.Error()
		}
	}
	return text
}

// Component gives a component by its full name, "sky.rotate". Where its plugin is locked, its schema is the one that
// was locked.
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
			return p, c, r.componentLocked(p, c)
		}
		names = append(names, plugin+"."+c.Name)
	}
	f := &fault.Error{Kind: fault.Config, Plugin: plugin, What: fmt.Sprintf("the plugin %s %s has no component %q; it has %s", plugin, p.Version, local, strings.Join(names, ", "))}
	if near := fault.Nearest(name, names); near != "" {
		f.Do = fmt.Sprintf("did you mean %q?", near)
	}
	return Plugin{}, nil, f
}

// Start gives a plugin that is about to be started, with the digest of its files. What is locked must be what is there,
// and what came with a project must have been installed by the user.
func (r *Registry) Start(name string) (Plugin, error) {
	p, err := r.Plugin(name)
	if err != nil || p.Builtin {
		return p, err
	}
	if p.Digest, err = r.Digest(p); err != nil || p.Override {
		return p, err
	}
	if err := r.same(p); err != nil {
		return p, err
	}
	if p.Project {
		known, err := trusts(r.options.Trusted, p)
		if err != nil {
			return p, err
		}
		if !known {
			return p, &fault.Error{Kind: fault.Plugin, Plugin: p.Name, What: fmt.Sprintf("the plugin %s %s came with the project, in %s, and you have not installed it: it is not started", p.Name, p.Version, p.Dir),
				Do: "look at what it is; to trust it as it is now: asterism plugin install --project " + shown(p.Dir)}
		}
	}
	return p, r.digestLocked(p)
}

// Digest gives the digest of a plugin's folder, empty for a built-in. It stays what it was when it was first
// asked for.
func (r *Registry) Digest(p Plugin) (string, error) {
	if p.Builtin {
		return "", nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if d, ok := r.digests[p.Dir]; ok {
		return d.digest, nil
	}
	stamp, err := stampOf(p.Dir)
	if err != nil {
		return "", err
	}
	d, err := digestOf(p.Dir, p.Name)
	if err == nil {
		r.digests[p.Dir] = digested{stamp, d}
	}
	return d, err
}

// same says whether a plugin's files still have its digest. They are read again when they may have changed.
func (r *Registry) same(p Plugin) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamp, err := stampOf(p.Dir)
	if err != nil || stamp == r.digests[p.Dir].stamp {
		return err
	}
	now, err := digestOf(p.Dir, p.Name)
	if err != nil {
		return err
	}
	if now != p.Digest {
		return &fault.Error{Kind: fault.Plugin, Plugin: p.Name, What: fmt.Sprintf("the files of the plugin %s %s in %s were changed while it was used: their digest was %s, and is %s; it is not started", p.Name, p.Version, p.Dir, p.Digest, now),
			Do: "start again when the plugin is as it should be"}
	}
	r.digests[p.Dir] = digested{stamp, now}
	return nil
}

// digested is the digest of a folder as it was when it had the stamp.
type digested struct{ stamp, digest string }

func (r *Registry) relock(before string) string {
	if r.options.Relock == "" {
		return ""
	}
	return before + r.options.Relock
}

// shown is a path as it can be typed again: the shortest that is right here, in quotes where it must be.
func shown(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			path = rel
		}
	}
	if strings.ContainsAny(path, " \t\n'\"\\$&;|<>()*?[]`") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
