package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/asterism-ssl/asterism"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/trained"
	"github.com/asterism-ssl/asterism/registry"
)

// installed opens the registry as it is seen from the working folder, with nothing locked.
func (a *app) installed() (*registry.Registry, error) { return a.open(".", registry.Options{}) }

// installedFor opens the registry for an experiment: with the plugins in its project's folder, and what is locked beside
// the file. With are the flags that the file is read with, which locking it needs too.
func (a *app) installedFor(file, project string, with ...string) (*registry.Registry, error) {
	lock, err := registry.ReadLock(filepath.Join(filepath.Dir(file), registry.LockFile))
	if err != nil {
		return nil, err
	}
	return a.open(project, registry.Options{Lock: lock, Relock: relock(file, with...)})
}

func relock(file string, with ...string) string {
	command := "asterism plugin lock " + shown(file)
	if len(with) > 0 {
		command += " with the same " + strings.Join(with, " and ")
	}
	return command
}

// installedForRun opens the registry for a run: what it was made with is locked in its directory, or was taken from folders
// and is recorded, and its project is that of its experiment.
func (a *app) installedForRun(dir string) (*registry.Registry, error) {
	m, err := run.ReadManifest(dir)
	if err != nil {
		return nil, trained.Damaged(dir, err)
	}
	lock, err := registry.ReadLock(filepath.Join(dir, registry.LockFile))
	if err != nil {
		return nil, err
	}
	made := map[string]string{}
	if lock != nil {
		for name, digest := range m.Digests {
			if lock.Plugins[name] == nil {
				made[name] = digest
			}
		}
	}
	return a.open(filepath.Dir(m.Experiment), registry.Options{Lock: lock, Made: made, Relock: relock(filepath.Join(dir, run.ResolvedFile))})
}

// lockRun leaves in a run's directory what holds fast the plugins that it is made with, and gives their digests. Those
// that the command line took from folders are not locked; their digests tell later which ones they were.
func lockRun(x *experiment.Experiment, r *registry.Registry, dir string) (map[string]string, error) {
	file := filepath.Join(dir, registry.LockFile)
	if len(x.Plugins) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, nil
	}
	digests := map[string]string{}
	lock := &registry.Lock{File: file, Plugins: map[string]map[string]*registry.Locked{}}
	for name := range x.Plugins {
		p, err := r.Start(name)
		if err != nil {
			return nil, err
		}
		digests[name] = p.Digest
		if !p.Override {
			lock.Add(p, r.Lock())
		}
	}
	text, err := lock.Format()
	if err != nil {
		return nil, err
	}
	return digests, run.WriteFile(file, text)
}

// open opens the registry of a project.
func (a *app) open(project string, o registry.Options) (*registry.Registry, error) {
	var manifests []*protocol.Description
	for _, p := range firstParty() {
		manifests = append(manifests, p.Manifest())
	}
	self, err := self()
	if err != nil {
		return nil, err
	}
	inProject, err := a.store(true, project)
	if err != nil {
		return nil, err
	}
	ofUser, err := a.store(false, "")
	if err != nil {
		return nil, err
	}
	o.Folders = []registry.Folder{{Dir: inProject.Dir, Project: true}, {Dir: ofUser.Dir}}
	o.Trusted = ofUser.Trusted
	if o.Overrides, err = a.overridden(); err != nil {
		return nil, err
	}
	o.Sources = a.overrides.built
	r, err := registry.Open(manifests, self, o)
	if err != nil {
		return nil, err
	}
	return r, a.sayOverridden(o.Lock)
}

// store is where plugins are installed: for the user, or beside the experiments of a project.
func (a *app) store(inProject bool, project string) (*registry.Store, error) {
	home, err := dataHome()
	if err != nil {
		return nil, err
	}
	s := &registry.Store{Dir: filepath.Join(home, "asterism", "plugins"), Trusted: filepath.Join(home, "asterism", "trusted"), Reserved: map[string]string{}, Python: asterism.PythonSDK(),
		Waiting: func() { fmt.Fprintln(a.err, "another installation is going on: waiting for it") }}
	for _, p := range firstParty() {
		s.Reserved[p.Name] = "which is that of a plugin in this binary"
	}
	if inProject {
		if project, err = filepath.Abs(project); err != nil {
			return nil, err
		}
		s.Dir = filepath.Join(project, ".asterism", "plugins")
	}
	return s, nil
}

// dataHome is the folder for the data that programs keep for the user.
func dataHome() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "", &fault.Error{Kind: fault.Resource, What: "it is not known where your plugins are", Err: err, Do: "set HOME, or XDG_DATA_HOME, to an absolute path"}
	}
	return filepath.Join(home, ".local", "share"), nil
}

// startable says what is wrong with the plugins that an experiment uses, before any is started: each at its line.
func startable(x *experiment.Experiment, r *registry.Registry) error {
	var l fault.List
	seen := map[string]bool{}
	for _, c := range x.Components() {
		if seen[c.Plugin] {
			continue
		}
		seen[c.Plugin] = true
		if _, err := r.Start(c.Plugin); err != nil {
			for _, e := range fault.All(err) {
				e.Where, e.Path, e.Plugin = cmp.Or(e.Where, c.Where), c.Path, c.Name
				l = append(l, e)
			}
		}
	}
	if len(l) == 0 {
		return nil
	}
	return l
}

// schemas lets the experiment language look components up in the registry.
type schemas struct{ r *registry.Registry }

func (s schemas) Schema(name string) (experiment.Schema, bool) {
	p, c, err := s.r.Component(name)
	if err != nil {
		return experiment.Schema{}, false
	}
	return schemaOf(p, c), true
}

func (s schemas) List() []experiment.Schema {
	var all []experiment.Schema
	for _, p := range s.r.List() {
		for _, c := range p.Manifest.Components {
			all = append(all, schemaOf(p, c))
		}
	}
	return all
}

func schemaOf(p registry.Plugin, c *protocol.ComponentInfo) experiment.Schema {
	s := experiment.Schema{Name: p.Name + "." + c.Name, Kind: c.Kind, Text: c.Schema, Revision: c.Revision, Plugin: p.Name}
	if !p.Builtin {
		s.Version = p.Version
	}
	return s
}
