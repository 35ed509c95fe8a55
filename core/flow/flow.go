// Package flow is the way of the data: it takes a loaded experiment through plan, data, training, representations and
// tasks, each a content-addressed stage, and leaves a complete run directory.
//
//	f := flow.New(experiment, flow.Options{Host: host, Engine: native.New(), Cache: cache, Runs: "runs"})
//	plan, err := f.Plan(ctx) // shapes and costs; reads headers only
//	dir, err := f.Run(ctx)   // everything; a second Run of the same experiment reuses every stage
package flow

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/report"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/stage"
)

// Options say with what an experiment is run.
type Options struct {
	Host      *plugin.Host
	Engine    engine.Engine // of an experiment that names none
	Cache     *stage.Cache
	Runs      string                                      // folder of run directories
	Revision  func(component string) string               // what stands for the component's code in a stage's key
	Progress  *run.Progress                               // nil: silent
	Version   string                                      // of asterism
	Plugins   func(names []string) map[string]string      // versions, for the manifest
	Lock      func(dir string) (map[string]string, error) // leaves in a run's directory what holds fast its plugins, and gives their digests; may be nil
	Fresh     bool                                        // make every stage anew
	Continue  string                                      // a run directory whose checkpoint the training begins with; "": none
	Threads   int                                         // 0: all processors
	StopAfter int                                         // of training: see train.Job
	Hold      time.Duration                               // see train.Job; 0: half a minute
}

// Flow is one experiment on its way.
type Flow struct {
	Options
	x    *experiment.Experiment
	dir  *run.Dir
	plan *resolved
	made map[string]bool // stages made or found in this run
}

// New makes the flow of an experiment.
func New(x *experiment.Experiment, o Options) *Flow {
	return &Flow{Options: o, x: x, made: map[string]bool{}}
}

// Run takes the experiment through every stage and gives its run directory, which is there, with what was done so far,
// also when an error ends the run.
func (f *Flow) Run(ctx context.Context) (path string, err error) {
	if _, err := f.Plan(ctx); err != nil {
		return "", err
	}
	f.dir, err = run.OpenDir(f.Runs, run.ID(f.x.Name, f.x.Resolved))
	if err != nil {
		return "", err
	}
	defer f.dir.Close()
	if _, missing := os.Stat(f.dir.File("manifest.json")); missing != nil {
		defer func() { // a run that could not begin, since the experiment or the data are not valid, leaves nothing
			if kind := fault.KindOf(err); err != nil && kind != fault.Interrupted && (len(f.dir.Manifest.Stages) == 0 || kind == fault.Config || kind == fault.Data) {
				os.RemoveAll(f.dir.Path)
				path = ""
			}
		}()
	}
	f.Host.KeepLogs(f.dir.File("logs"))
	if err := f.begin(); err != nil {
		return f.dir.Path, err
	}
	err = f.locate(f.stages(ctx))
	f.dir.Manifest.Finished = time.Now().UTC().Truncate(time.Second)
	switch kind := fault.KindOf(err); {
	case err == nil:
		f.dir.Manifest.Status = run.Done
	case kind == fault.Interrupted:
		f.dir.Manifest.Status = run.Interrupted
	case ctx.Err() != nil && (kind == fault.Cancelled || errors.Is(err, context.Canceled)):
		f.dir.Manifest.Status = run.Interrupted
		err = &fault.Error{Op: "run", Kind: fault.Interrupted, What: "stopped", Do: "run the same command again to continue; finished stages are kept"}
	default:
		f.dir.Manifest.Status, f.dir.Manifest.Error = run.Failed, err.Error()
	}
	return f.dir.Path, f.end(err)
}

// end leaves the manifest and the report of what was done, whatever came of it.
func (f *Flow) end(result error) error {
	err := f.dir.Save()
	if err == nil {
		_, err = report.Write(f.dir.Path)
	}
	if result != nil {
		return result
	}
	if err != nil {
		f.dir.Manifest.Status, f.dir.Manifest.Error = run.Failed, err.Error()
		f.dir.Save()
	}
	return err
}

// begin writes what is known before anything is computed.
func (f *Flow) begin() error {
	folder, err := os.Getwd()
	if err != nil {
		return err
	}
	f.dir.Manifest = run.Manifest{
		Command: os.Args, Folder: folder, Name: f.x.Name, ID: filepath.Base(f.dir.Path), Experiment: f.x.File, Status: run.Running,
		Started: time.Now().UTC().Truncate(time.Second), Version: f.Version, Binary: f.binaryDigest(),
		Machine: run.Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuName(), Threads: f.threads(), Engine: f.computes().String()},
		Plugins: f.Plugins(f.pluginNames()),
	}
	if f.Lock != nil {
		if f.dir.Manifest.Digests, err = f.Lock(f.dir.Path); err != nil {
			return err
		}
	}
	if err := run.WriteFile(f.dir.File("experiment.cue"), f.x.Text); err != nil {
		return err
	}
	if err := run.WriteFile(f.dir.File(run.ResolvedFile), f.x.Resolved); err != nil {
		return err
	}
	if err := run.WriteJSON(f.dir.File("plan.json"), f.plan.public); err != nil {
		return err
	}
	return f.dir.Save()
}

// stages makes or reuses every stage in turn.
func (f *Flow) stages(ctx context.Context) error {
	store, err := f.data(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	w := &work{store: store, digest: store.Digest()}
	if w.parts, err = data.Split(store, f.x.Data.Split.By, f.x.Data.Split.Valid, f.x.Data.Split.Test, f.x.Seed); err != nil {
		return f.at(err, "data.split.by")
	}
	w.columns = labelFacts(store, w.parts.Train)
	if err := f.questions(ctx, w); err != nil {
		return err
	}
	if w.look, err = f.newLook(ctx, w); err != nil {
		return err
	}
	if err := f.measure(ctx, w); err != nil {
		return err
	}
	if err := f.keepInputs(w); err != nil {
		return err
	}
	if err := f.drawViews(ctx, w); err != nil {
		return err
	}
	if err := f.train(ctx, w); err != nil {
		return err
	}
	if err := f.embed(ctx, w); err != nil {
		return err
	}
	if err := f.drawMap(ctx, w); err != nil {
		return err
	}
	if err := f.pixels(ctx, w); err != nil {
		return err
	}
	for _, q := range w.questions {
		if err := f.answer(ctx, w, q); err != nil {
			return err
		}
	}
	return nil
}

// work is what the stages hand on.
type work struct {
	store         *data.Store
	digest        string
	parts         *data.Parts
	columns       []*protocol.LabelFacts // over the training part
	statistics    []*protocol.BandStatistics
	statisticsKey string // empty when no view needs them
	questions     []*question
	look          *look // by which the training is watched
	trainKey      string
	training      string // key of the training by whatever engine
	weights       string // file
	learned       arm
	untrained     arm
	pixels        arm // where a task is held against it
}

// arm is one set of representations with the key of the stage that made it.
type arm struct {
	key             string
	representations *Representations
}

// recipe is what a stage is made from; its key is the digest of it.
type recipe struct {
	name  string
	parts map[string]any
}

func (r recipe) key() string { return stage.Key(r.name, r.parts) }

// stage makes or reuses one stage, shows it under a title, and records it in the manifest.
func (f *Flow) stage(ctx context.Context, title, what string, from recipe, build func(ctx context.Context, dir string) error) (stage.Result, error) {
	key := from.key()
	if f.Fresh && !f.made[key] {
		if err := f.Cache.Remove(key); errors.Is(err, stage.ErrInUse) {
			f.Progress.Note(title + ": another run has this stage in use: its result is taken")
		} else if err != nil {
			return stage.Result{}, err
		}
	}
	f.Progress.Stage(title, what)
	make := func() (stage.Result, error) {
		return f.Cache.Do(ctx, key, stage.Describe(from.name, from.parts), func(ctx context.Context, dir string) error {
			if err := f.forget(title); err != nil {
				return err
			}
			return build(ctx, dir)
		})
	}
	r, err := make()
	if err == nil && r.Reused && title != "data" { // the data are large, and looked at when they are opened
		if damage := f.Cache.Verify(ctx, key); damage != nil && ctx.Err() == nil {
			f.Progress.Note("what was kept of this stage is damaged, it is made again: " + damage.Error())
			if err := f.Cache.Remove(key); err != nil {
				return r, err
			}
			r, err = make()
		}
	}
	if err != nil {
		return r, err
	}
	f.made[key] = true
	if r.Why != "" {
		f.Progress.Note("made again, since " + r.Why)
	}
	if r.Reused {
		f.Progress.Done("reused")
	} else {
		f.Progress.Done("")
	}
	f.dir.Manifest.Stages = append(f.dir.Manifest.Stages, run.StageRecord{Name: title, Key: key, Reused: r.Reused, Seconds: r.Seconds})
	return r, f.dir.Save()
}

// recordComputed puts on the record of the last stage what computed it, which may have been another run, or another
// machine's kernels before this one's.
func (f *Flow) recordComputed(file string) error {
	stages := f.dir.Manifest.Stages
	if err := run.ReadJSON(file, &stages[len(stages)-1].Computed); err != nil && !errors.Is(err, fs.ErrNotExist) { // kept by an earlier version
		return err
	}
	return f.dir.Save()
}

// forget removes from the run directory what was made from the stage that is about to be made anew: an interrupted run
// must not show results of other data or weights.
func (f *Flow) forget(title string) error {
	stale := []string{report.File, report.FiguresDir, report.NumbersCSV}
	task, isTask := strings.CutPrefix(title, "task ")
	switch {
	case isTask:
		stale = append(stale, filepath.Join("tasks", task))
	case strings.HasPrefix(title, run.Finetuned+" "), strings.HasPrefix(title, run.Supervised+" "): // of one task, which comes after it
	case title == "untrained", title == run.Pixels:
		stale = append(stale, "tasks")
	case title == "views":
		stale = append(stale, filepath.Join(run.PicturesDir, run.SheetsFile))
	case title == "map":
		stale = append(stale, filepath.Join(run.PicturesDir, run.MapFile))
	case title == "train": // the views that it draws are older
		stale = append(stale, "tasks", filepath.Join(run.PicturesDir, run.MapFile), representationsFile, representationsBy, weightsFile, weightsBy)
	case title == "embed":
		stale = append(stale, "tasks", filepath.Join(run.PicturesDir, run.MapFile), representationsFile, representationsBy)
	default:
		stale = append(stale, "tasks", run.PicturesDir, representationsFile, representationsBy, weightsFile, weightsBy)
	}
	for _, name := range stale {
		if err := os.RemoveAll(f.dir.File(name)); err != nil {
			return err
		}
	}
	return nil
}

// component is a component's part of a stage's key.
func (f *Flow) component(c experiment.Component) map[string]any {
	return map[string]any{"component": c.Name, "revision": f.Revision(c.Name), "config": c.Config}
}

// engineKey stands for the engine in a stage's key: another plugin's folder, configuration or device computes other bits.
func (f *Flow) engineKey() any {
	if f.x.Engine == nil {
		return []any{f.Engine.Name(), f.Engine.Revision()}
	}
	key := f.component(*f.x.Engine)
	key["device"] = f.Engine.Describe()
	return key
}

func (f *Flow) components(cs []experiment.Component) []map[string]any {
	parts := make([]map[string]any, len(cs))
	for i, c := range cs {
		parts[i] = f.component(c)
	}
	return parts
}

// at puts the user's line on a fault that has none.
func (f *Flow) at(err error, path string) error {
	for _, e := range fault.All(err) {
		if e.Path == "" {
			e.Path = path
		}
		if e.Where == "" {
			e.Where = f.x.Where(e.Path)
		}
	}
	return err
}

// locate points at the very field that a fault names: who answers for a plugin knows the place of the component alone.
func (f *Flow) locate(err error) error {
	for _, e := range fault.All(err) {
		if e.Path != "" {
			e.Where = f.x.Where(e.Path)
		}
	}
	return err
}

func (f *Flow) threads() int {
	if f.Threads > 0 {
		return f.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// computes is what computes here, for the record.
func (f *Flow) computes() run.Computed {
	return run.Computed{Engine: f.Engine.Name(), Revision: f.Engine.Revision(), Kernels: f.Engine.Describe()}
}

// pluginNames lists the plugins of all components that the experiment names.
func (f *Flow) pluginNames() []string {
	var names []string
	for _, c := range f.x.Components() {
		if !slices.Contains(names, c.Plugin) {
			names = append(names, c.Plugin)
		}
	}
	return names
}

// Ref names a component for the host of plugins.
func Ref(c experiment.Component) plugin.Ref {
	return plugin.Ref{Name: c.Name, Config: c.Config, Path: c.Path, Where: c.Where}
}

func refs(cs []experiment.Component) []plugin.Ref {
	r := make([]plugin.Ref, len(cs))
	for i, c := range cs {
		r[i] = Ref(c)
	}
	return r
}

// binaryDigest is the SHA-256 of the executable: recorded, never part of a key.
func (f *Flow) binaryDigest() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	digest, err := f.Cache.FileDigest(path)
	if err != nil {
		return ""
	}
	return digest
}
