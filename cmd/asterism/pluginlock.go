package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/registry"
)

func (a *app) pluginLockCommand() *cobra.Command {
	f := new(experimentFlags)
	c := &cobra.Command{
		Use: "lock [FILE...]", Short: "Hold fast which plugins experiments use, in plugins.lock.cue beside them", Args: cobra.ArbitraryArgs,
		Long: `Lock writes plugins.lock.cue beside the experiments, of those named or of all in the working folder that import
asterism.dev/schemas: for each plugin that they use and that is not in this binary, its version, the digest of its files for
this kind of machine, and the kinds, revisions and schemas of its components. While the file is there, a plugin whose files
have another digest is not started. What was locked for other kinds of machines stays where the version is the same.

Without names the file says what the experiments in the folder use and nothing else; with names what others use stays.`,
		Example: "  asterism plugin lock\n  asterism plugin lock efigi.cue -t root=/data",
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := experimentsIn(args)
			if err != nil {
				return err
			}
			folders := map[string][]string{}
			for _, file := range files {
				folders[filepath.Dir(file)] = append(folders[filepath.Dir(file)], file)
			}
			said := []map[string]any{}
			for _, dir := range slices.Sorted(maps.Keys(folders)) {
				lock, notes, err := a.lock(dir, folders[dir], len(args) > 0, f)
				if err != nil {
					return err
				}
				said = append(said, map[string]any{"file": lock.File, "plugins": notes})
				if a.json {
					continue
				}
				fmt.Fprintf(a.out, "%s: %s\n", lock.File, counted(len(notes), "plugin"))
				for _, note := range notes {
					fmt.Fprintln(a.out, "  "+note)
				}
			}
			if a.json {
				return a.writeJSON(said)
			}
			return nil
		},
	}
	f.addTo(c)
	return c
}

// experimentsIn gives the files that are named, or the experiments in the working folder.
func experimentsIn(named []string) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	all, err := filepath.Glob("*.cue")
	if err != nil {
		return nil, err
	}
	files := slices.DeleteFunc(all, func(file string) bool {
		info, err := os.Stat(file)
		return err != nil || !info.Mode().IsRegular() || !experiment.Imports(file) // a pipe might never end
	})
	if len(files) == 0 {
		return nil, &fault.Error{Kind: fault.Config, What: "there is no experiment here: no .cue file imports asterism.dev/schemas", Do: "name the experiments: asterism plugin lock FILE"}
	}
	return files, nil
}

// alone waits until nobody else locks the plugins of a folder: what one adds the other would not see. Where a folder
// cannot be held, the last one wins.
func alone(dir string) (leave func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {} // there is no experiment in it, which is said later
	}
	syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	return func() { f.Close() }
}

// lock writes the lock of some experiments of a folder, and says what is in it now for them.
func (a *app) lock(dir string, files []string, keep bool, f *experimentFlags) (lock *registry.Lock, notes []string, err error) {
	defer alone(dir)()
	path := filepath.Join(dir, registry.LockFile)
	before, err := registry.ReadLock(path)
	if err != nil {
		return nil, nil, err
	}
	if keep {
		if lock, err = registry.ReadLock(path); err != nil { // apart from what was
			return nil, nil, err
		}
	}
	if lock == nil {
		lock = &registry.Lock{File: path, Plugins: map[string]map[string]*registry.Locked{}}
	}
	project := dir
	if m, err := run.ReadManifest(dir); err == nil { // a run, to be used on another machine
		project = filepath.Dir(m.Experiment)
	}
	for _, file := range files {
		r, err := a.open(project, registry.Options{}) // what is locked so far does not matter
		if err != nil {
			return nil, nil, err
		}
		x, err := a.read(file, f, r)
		if err != nil {
			return nil, nil, err
		}
		if err := startable(x, r); err != nil {
			return nil, nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(x.Plugins)) {
			p, err := r.Start(name)
			if err != nil {
				return nil, nil, err
			}
			if p.Override {
				return nil, nil, &fault.Error{Kind: fault.Config, Where: file, What: fmt.Sprintf("uses the plugin %s, which --plugin takes from %s: that is never locked", name, p.Dir), Do: "install it, and lock without --plugin"}
			}
			note := fmt.Sprintf("%s %s %s", p.Name, p.Version, p.Digest)
			switch was := before.Digest(p); was {
			case p.Digest:
			case "":
				note += ", new"
			default:
				note += ", which was " + was
			}
			lock.Add(p, before)
			if !slices.Contains(notes, note) {
				notes = append(notes, note)
			}
		}
	}
	text, err := lock.Format()
	if err != nil {
		return nil, nil, err
	}
	if now, err := os.ReadFile(path); err == nil && string(now) == string(text) {
		return lock, notes, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	return lock, notes, run.WriteFile(path, text)
}
