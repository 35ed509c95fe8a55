package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/asterism-ssl/asterism"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/registry"
)

// overrides are the plugins that the command line takes from folders: --plugin NAME=DIR.
type overrides struct {
	given []string          // NAME=DIR
	ready map[string]string // name → folder with a plugin.json; nil until they are made ready
	built map[string]string // name → author's folder, of those that were built
	said  bool
}

// overridden makes the folders ready: an author's is built into a temporary one, which is removed when the program ends.
func (a *app) overridden() (map[string]string, error) {
	if a.overrides.ready != nil {
		return a.overrides.ready, nil
	}
	ready := map[string]string{}
	for _, text := range a.overrides.given {
		name, dir, ok := strings.Cut(text, "=")
		if !ok || name == "" || dir == "" {
			return nil, &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--plugin %s is not NAME=DIR", text), Do: "write --plugin acme=./acme"}
		}
		if ready[name] != "" {
			return nil, &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--plugin names two folders for %s", name), Do: "keep one"}
		}
		ready[name] = dir
		if _, err := os.Stat(filepath.Join(dir, "plugin.json")); err == nil {
			continue
		}
		p, err := built(dir)
		if err != nil {
			return nil, err
		}
		ready[name] = p.Dir
		if a.overrides.built == nil {
			a.overrides.built = map[string]string{}
		}
		a.overrides.built[name] = dir
	}
	a.overrides.ready = ready
	return ready, nil
}

// sayOverridden says, once, that plugins are not those that are installed, nor those that are locked.
func (a *app) sayOverridden(lock *registry.Lock) error {
	if a.overrides.said {
		return nil
	}
	a.overrides.said = true
	from := map[string]string{}
	for _, text := range a.overrides.given {
		name, dir, _ := strings.Cut(text, "=")
		from[name] = dir
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if lock != nil {
			fmt.Fprintf(a.err, "WARNING: plugin %s is taken from %s, past the lock %s: what comes of it is not what was locked\n", name, from[name], lock.File)
			continue
		}
		fmt.Fprintf(a.err, "plugin %s is taken from %s, not from where it is installed\n", name, from[name])
	}
	return nil
}

// temporary are folders that are removed when the program ends, also when a signal ends it.
var temporary struct {
	sync.Mutex
	folders []string
	asked   bool // a verb sees to signals itself, and comes to an end
}

// removeTemporary removes them.
func removeTemporary() {
	temporary.Lock()
	defer temporary.Unlock()
	for _, dir := range temporary.folders {
		os.RemoveAll(dir)
	}
	temporary.folders = nil
}

// built makes an author's folder ready in a temporary one.
func built(dir string) (*registry.Plugin, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	into, err := os.MkdirTemp("", "asterism-plugin-") // 0700
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "there is no room for a temporary folder", Err: err, Do: "set TMPDIR to a folder that has"}
	}
	temporary.Lock()
	first := len(temporary.folders) == 0
	temporary.folders = append(temporary.folders, into)
	temporary.Unlock()
	p, err := registry.Build(ctx, dir, filepath.Join(into, "plugin"), asterism.PythonSDK())
	if ctx.Err() != nil {
		return nil, &fault.Error{Kind: fault.Cancelled, What: "stopped while a plugin was built"}
	}
	if err != nil {
		return nil, err
	}
	if first {
		signals := make(chan os.Signal, 1)
		for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
			if !signal.Ignored(s) {
				signal.Notify(signals, s)
			}
		}
		go func() {
			<-signals
			temporary.Lock()
			asked := temporary.asked
			temporary.Unlock()
			if !asked {
				removeTemporary()
				os.Exit(fault.Cancelled.ExitCode())
			}
		}()
	}
	return p, nil
}
