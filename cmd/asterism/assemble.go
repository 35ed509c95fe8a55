package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/stage"
	"github.com/asterism-ssl/asterism/core/weights"
	"github.com/asterism-ssl/asterism/plugins/classify"
	"github.com/asterism-ssl/asterism/plugins/contrast"
	"github.com/asterism-ssl/asterism/plugins/convnext"
	"github.com/asterism-ssl/asterism/plugins/images"
	"github.com/asterism-ssl/asterism/plugins/mlp"
	"github.com/asterism-ssl/asterism/plugins/neighbours"
	"github.com/asterism-ssl/asterism/plugins/photoz"
	"github.com/asterism-ssl/asterism/plugins/regress"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sky"
	"github.com/asterism-ssl/asterism/plugins/skysim"
	"github.com/asterism-ssl/asterism/plugins/supervised"
	"github.com/asterism-ssl/asterism/plugins/vit"
	"github.com/asterism-ssl/asterism/registry"
)

// firstParty are the plugins in this binary, written as a third party would write them. They run in a process of their
// own like all others: the binary starts itself as `asterism plugin serve NAME`.
func firstParty() []sdk.Plugin {
	return []sdk.Plugin{
		classify.Plugin(), contrast.Plugin(), convnext.Plugin(), images.Plugin(), mlp.Plugin(), neighbours.Plugin(), photoz.Plugin(),
		regress.Plugin(), resnet.Plugin(), sky.Plugin(), skysim.Plugin(), supervised.Plugin(), vit.Plugin(),
	}
}

// self is the path that starts this binary again.
func self() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil // stays this binary when the file is replaced under a running experiment
	}
	return os.Executable()
}

// experimentFlags are those of every verb that reads an experiment.
type experimentFlags struct {
	tags, sets []string
	threads    int
	fresh      bool
	from       string // the run whose checkpoint the training begins with
	text       []byte // instead of what the file holds
}

// load reads an experiment, with the plugins of its project, and in the versions that it names or that are locked.
func (a *app) load(file string, f *experimentFlags) (*experiment.Experiment, *registry.Registry, error) {
	var with []string
	if len(f.sets) > 0 {
		with = append(with, "--set")
	}
	if len(f.tags) > 0 {
		with = append(with, "-t")
	}
	r, err := a.installedFor(file, filepath.Dir(file), with...)
	if err != nil {
		return nil, nil, err
	}
	x, err := a.read(file, f, r)
	return x, r, err
}

// loadRun reads the experiment of a run, with the plugins that the run was made with.
func (a *app) loadRun(dir string, f *experimentFlags) (*experiment.Experiment, *registry.Registry, error) {
	r, err := a.installedForRun(dir)
	if err != nil {
		return nil, nil, err
	}
	x, err := a.read(filepath.Join(dir, run.ResolvedFile), f, r)
	return x, r, err
}

// read reads an experiment with the plugins of a registry.
func (a *app) read(file string, f *experimentFlags, r *registry.Registry) (*experiment.Experiment, error) {
	encoderOf := func(from string) (string, json.RawMessage, error) {
		path, err := weights.Find(a.runs, from)
		if err != nil {
			return "", nil, err
		}
		return weights.EncoderOf(path)
	}
	missing := func(component string) error { _, _, err := r.Component(component); return err }
	return experiment.Load(file, experiment.Options{Tags: f.tags, Sets: f.sets, Schemas: schemas{r}, Want: r.Want, Missing: missing, EncoderOf: encoderOf, Text: f.text})
}

// flow puts everything together that runs or plans an experiment; close ends the plugins.
func (a *app) flow(c *cobra.Command, file string, f *experimentFlags) (fl *flow.Flow, x *experiment.Experiment, close func() error, err error) {
	if err := run.CheckProgressMode(a.progress); err != nil {
		return nil, nil, nil, err
	}
	stopAfter, err := stopAfterSteps()
	if err != nil {
		return nil, nil, nil, err
	}
	hold, err := duration("ASTERISM_HOLD", "write how often to hold the state of a training against a crash of its engine, such as 30s")
	if err != nil {
		return nil, nil, nil, err
	}
	if err := machine(f.threads); err != nil {
		return nil, nil, nil, err
	}
	x, r, err := a.load(file, f)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := startable(x, r); err != nil {
		return nil, nil, nil, err
	}
	if f.from != "" {
		if f.from, err = run.Find(a.runs, f.from); err != nil {
			return nil, nil, nil, err
		}
	}
	cache, err := openCache()
	if err != nil {
		return nil, nil, nil, err
	}
	progress := run.NewProgress(os.Stderr, a.progress)
	if strings.HasPrefix(kernel.Describe(), "portable") {
		why := "without AVX2"
		if os.Getenv("ASTERISM_KERNEL") == "portable" {
			why = "as ASTERISM_KERNEL says,"
		}
		progress.Note(why + " the kernels compute in portable Go, several times slower")
	}
	cache.Waiting = func(string, string) { progress.Note("another run is making this stage: waiting for it") }
	host, err := newHost(r, progress, f.threads)
	if err != nil {
		return nil, nil, nil, err
	}
	interruptible(c, progress.Note)
	fl = flow.New(x, flow.Options{
		Host: host, Engine: native.New(), Cache: cache, Runs: a.runs, Progress: progress, Version: version(), Fresh: f.fresh, Continue: f.from, Threads: f.threads, StopAfter: stopAfter, Hold: hold,
		Revision: func(component string) string {
			p, c, err := r.Component(component)
			if err != nil {
				return ""
			}
			if p.Builtin {
				return strconv.Itoa(int(c.Revision))
			}
			digest, err := r.Digest(p)
			if err != nil {
				return ""
			}
			return digest
		},
		Plugins: func(plugins []string) map[string]string {
			versions := map[string]string{}
			for _, name := range plugins {
				if p, err := r.Plugin(name); err == nil {
					versions[name] = p.Version
				}
			}
			return versions
		},
		Lock: func(dir string) (map[string]string, error) { return lockRun(x, r, dir) },
	})
	return fl, x, func() error { defer progress.Close(); return host.Close() }, nil
}

// machine prepares this process to compute on so many processors, all for 0, with the instructions that ASTERISM_KERNEL names.
func machine(threads int) error {
	if threads < 0 {
		return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--threads %d is negative", threads), Do: "give a number of processors, or 0 for all"}
	}
	if threads > 0 {
		runtime.GOMAXPROCS(threads)
	}
	if set := os.Getenv("ASTERISM_KERNEL"); set != "" {
		if err := kernel.Select(set); err != nil {
			return &fault.Error{Kind: fault.Config, What: "ASTERISM_KERNEL=" + set, Err: err, Do: "unset it, or choose avx512, avx2 or portable"}
		}
	}
	return nil
}

// newHost gives a host of the installed plugins, which are told to use so many processors, all for 0.
func newHost(r *registry.Registry, progress *run.Progress, threads int) (*plugin.Host, error) {
	o := plugin.Options{Log: progress, Restarted: func(name, why string) { progress.Note("the plugin " + name + ": " + why) }}
	d, err := duration("ASTERISM_PATIENCE", "write how long to wait for a plugin's answer, such as 10m") // for tests, and for plugins slower than we think
	if err != nil {
		return nil, err
	}
	if d > 0 {
		o.Patience = plugin.Patience{First: d, Least: d, Bulk: d}
	}
	return plugin.NewHost(func(name string) (plugin.Spec, error) {
		p, err := r.Start(name)
		if err != nil {
			return plugin.Spec{}, err
		}
		spec := plugin.Spec{Name: p.Name, Version: p.Version, Command: p.Command, Dir: p.Dir, Source: p.Source, Manifest: p.Manifest}
		if threads > 0 {
			spec.Env = append(spec.Env, fmt.Sprintf("GOMAXPROCS=%d", threads), fmt.Sprintf("OMP_NUM_THREADS=%d", threads))
		}
		return spec, nil
	}, o), nil
}

// duration reads a time from the environment; 0 where it is not set.
func duration(name, do string) (time.Duration, error) {
	text := os.Getenv(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, &fault.Error{Kind: fault.Config, What: fmt.Sprintf("%s=%q is no time", name, text), Do: do}
	}
	return d, nil
}

// openCache opens the cache of stages.
func openCache() (*stage.Cache, error) {
	root, err := stage.Root()
	if err != nil {
		return nil, err
	}
	return stage.Open(filepath.Join(root, "stages"))
}

// stopAfterSteps lets tests interrupt a training at an exact step.
func stopAfterSteps() (int, error) {
	text := os.Getenv("ASTERISM_STOP_AFTER")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, &fault.Error{Kind: fault.Config, What: fmt.Sprintf("ASTERISM_STOP_AFTER=%q is not a number of steps", text)}
	}
	return n, nil
}
