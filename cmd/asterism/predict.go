package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/predict"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/trained"
)

func (a *app) predictCommand() *cobra.Command {
	var sets []string
	var images, out string
	var threads, nearest int
	var noTasks bool
	c := &cobra.Command{
		Use: "predict RUN", Short: "What a run says of new data: predictions, representations, the most similar training objects",
		Long: `Predict brings new objects through the frame, the eval views and the encoder of a run, asks the run's tasks about them, and
finds the training objects that are most like them; the distance is 1 − cosine. It needs the run directory, which may have
been copied from elsewhere, and not the data that it learned from. Objects stream through: there may be any number of them.
Those that cannot be used are left out and, with --out, listed in a file beside it.

` + readBy + ` Of a folder it reads the files one by one, but for hidden ones; --set data.sources=… reads whole
sources.

--out NAME.csv writes a column for every value; --out NAME.arrow writes Arrow, with the representations. Without --out the
CSV goes to standard output.`,
		Example: `  asterism predict efigi --images new-galaxies --out p.csv
  asterism predict runs/efigi-1a2b3c4d --set 'data.sources=[{"images.folder": {root: "new", table: "new.csv"}}]' --out p.arrow`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if err := onlyData(sets); err != nil {
				return err
			}
			if images != "" && len(sets) > 0 {
				return &fault.Error{Kind: fault.Config, What: "--images and --set both say where the data are", Do: "give one of them"}
			}
			if images == "" && len(sets) == 0 {
				return &fault.Error{Kind: fault.Config, What: "there are no data to predict for", Do: "give --images FOLDER, or --set data.sources=…"}
			}
			if nearest < 0 {
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--nearest %d is negative", nearest), Do: "give 0 for none"}
			}
			u, err := a.use(c, args[0], images, sets, threads)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, u.close()) }()
			u.progress.Stage("predict", "objects through the encoder of "+filepath.Base(u.dir))
			p, err := predict.Open(c.Context(), u.x, u.dir, predict.Options{Host: u.host, Engine: native.New(), Threads: threads, Nearest: nearest, Tasks: !noTasks,
				Note: u.progress.Note})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.Close()) }()
			return a.predict(p, out, u.progress, func(v predict.Visitor) error {
				if images != "" {
					return p.Files(c.Context(), u.reader, images, v)
				}
				return p.Run(c.Context(), u.x.Data.Sources, v)
			})
		},
	}
	c.Flags().StringVar(&images, "images", "", "folder of files to predict for, read as the run's own images or files were")
	c.Flags().StringArrayVar(&sets, "set", nil, "the data to predict for: data.sources=[…], or a field in the run's own, data.sources.0.…=VALUE")
	c.Flags().StringVar(&out, "out", "", "file to write, .csv or .arrow (default: CSV to standard output)")
	c.Flags().IntVar(&nearest, "nearest", 5, "training objects to name for each object (0: none)")
	c.Flags().BoolVar(&noTasks, "no-tasks", false, "do not ask the run's tasks")
	c.Flags().IntVar(&threads, "threads", 0, "processors to use; results do not depend on it (0: all)")
	return c
}

// predict writes what is predicted, and a whole file or none.
func (a *app) predict(p *predict.Predictor, out string, progress *run.Progress, ask func(predict.Visitor) error) error {
	objects, list := 0, &badList{path: out + ".bad.jsonl"}
	write := func(to io.Writer) error {
		w := predict.NewCSV(to)
		if strings.EqualFold(filepath.Ext(out), ".arrow") {
			w = predict.NewArrow(to)
		}
		err := ask(predict.Visitor{
			Batch: func(b *predict.Batch) error {
				objects += len(b.IDs)
				progress.Update(objects, 0)
				return w.Write(b)
			},
			Bad: func(b predict.Bad) error {
				if out == "" {
					progress.Note(fmt.Sprintf("left out: %s: %s", b.ID, b.Reason))
				}
				return list.add(b)
			},
		})
		if err != nil {
			return err
		}
		return w.Close()
	}
	if out == "" {
		err := write(a.out)
		progress.Done("")
		return err
	}
	if err := list.begin(); err != nil {
		return err
	}
	defer list.end()
	if err := run.WriteTo(out, write); err != nil {
		return err
	}
	progress.Done("")
	if err := list.keep(); err != nil {
		return err
	}
	if a.json {
		said := map[string]any{"run": p.Dir, "file": out, "objects": objects, "left_out": list.n}
		if list.n > 0 {
			said["bad"] = list.path
		}
		return a.writeJSON(said)
	}
	fmt.Fprintf(a.out, "%s: %d objects\n", out, objects)
	if list.n > 0 {
		fmt.Fprintf(a.out, "left out: %d, named with the reasons in %s\n", list.n, list.path)
	}
	return nil
}

// badList is the file that names what was left out; there is none where nothing was.
type badList struct {
	path string
	file *os.File // nil: standard output is written, which has no file beside it
	n    int
}

func (l *badList) begin() (err error) {
	l.file, err = os.CreateTemp(filepath.Dir(l.path), ".bad-*")
	return unwritable(l.path, err)
}

func (l *badList) add(b predict.Bad) error {
	l.n++
	if l.file == nil {
		return nil
	}
	return unwritable(l.path, json.NewEncoder(l.file).Encode(b))
}

// keep gives the file its name, and removes that of an earlier time.
func (l *badList) keep() error {
	if l.n == 0 {
		if err := os.Remove(l.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return unwritable(l.path, err)
		}
		return nil
	}
	return unwritable(l.path, errors.Join(l.file.Chmod(0o644), os.Rename(l.file.Name(), l.path)))
}

func (l *badList) end() {
	l.file.Close()
	os.Remove(l.file.Name()) // nothing, where it was kept
}

func unwritable(path string, err error) error {
	if err == nil {
		return nil
	}
	return &fault.Error{Kind: fault.Resource, What: "cannot write " + path, Err: err, Do: "name a file in a folder that is there and that has room"}
}

// readBy says, for the help of verbs, what reads files.
const readBy = `A file is read as a picture (images.folder) where the run learned from images.folder, and by the dataset of the first of the
run's sources that reads single files otherwise, such as series.ts; where none does, as a picture again. Such a dataset opens its own data
first: where these are not, say with --set data.sources.0… where others of their kind are.`

// used is a run directory with what it takes to use it.
type used struct {
	dir      string
	x        *experiment.Experiment // of the run, with the sets of the command line
	reader   experiment.Component   // what reads files, where there are any
	host     *plugin.Host
	progress *run.Progress
}

// onlyData refuses sets that change more than the data.
func onlyData(sets []string) error {
	for _, set := range sets {
		if !strings.HasPrefix(strings.TrimSpace(set), "data.sources") {
			return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--set %s changes more than the data", set), Do: "a run is used as it learned: set data.sources, or something in it, only"}
		}
	}
	return nil
}

// use opens the experiment of a run as it was resolved, so that neither its file nor its tags are needed; its data are its
// own, or as the sets say. With a folder of files it finds what reads them.
func (a *app) use(c *cobra.Command, name, folder string, sets []string, threads int) (*used, error) {
	if err := run.CheckProgressMode(a.progress); err != nil {
		return nil, err
	}
	if err := machine(threads); err != nil {
		return nil, err
	}
	dir, err := run.Find(a.runs, name)
	if err != nil {
		return nil, err
	}
	text, err := asUsed(filepath.Join(dir, run.ResolvedFile))
	if err != nil {
		return nil, trained.Damaged(dir, err)
	}
	x, r, err := a.loadRun(dir, &experimentFlags{sets: sets, text: text})
	if err != nil {
		return nil, err
	}
	if err := startable(x, r); err != nil {
		return nil, err
	}
	u := &used{dir: dir, x: x, progress: run.NewProgress(a.err, a.progress)}
	interruptible(c, u.progress.Note)
	if u.host, err = newHost(r, u.progress, threads); err != nil {
		return nil, err
	}
	if folder != "" {
		if err := a.findReader(c, u, folder, text); err != nil {
			return nil, errors.Join(err, u.close())
		}
	}
	return u, nil
}

// findReader finds what reads the files of a folder; if that is images.folder, they become the data.
func (a *app) findReader(c *cobra.Command, u *used, folder string, text []byte) (err error) {
	if u.reader, err = predict.Reader(c.Context(), u.host, u.x); err != nil {
		return err
	}
	set, err := predict.Folder(u.reader, folder)
	if err != nil || set == "" {
		return err
	}
	if u.x, _, err = a.loadRun(u.dir, &experimentFlags{sets: []string{set}, text: text}); err == nil {
		u.reader = u.x.Data.Sources[0]
	}
	return err
}

// asUsed is a resolved experiment without what says only how its tasks were held against others, which changes with the
// language, and without its engine: a run must stay of use, also where that is not installed.
func asUsed(file string) ([]byte, error) {
	var whole map[string]any
	if err := run.ReadJSON(file, &whole); err != nil {
		return nil, err
	}
	delete(whole, "engine") // weights are of any engine: the native one computes with them, wherever they were learned
	tasks, _ := whole["tasks"].(map[string]any)
	for _, task := range tasks {
		fields, _ := task.(map[string]any)
		for name := range fields {
			if !strings.Contains(name, ".") && name != "labels" && name != "draws" { // neither the component nor what it learned from
				delete(fields, name)
			}
		}
	}
	if plugins, ok := whole["plugins"].(map[string]any); ok { // those of what is left
		delete(whole, "plugins")
		maps.DeleteFunc(plugins, func(plugin string, _ any) bool { return !names(whole, plugin+".") })
		whole["plugins"] = plugins
	}
	return json.Marshal(whole)
}

// names says whether a field's name begins so, anywhere.
func names(tree any, prefix string) bool {
	switch t := tree.(type) {
	case map[string]any:
		for name, v := range t {
			if strings.HasPrefix(name, prefix) || names(v, prefix) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(t, func(v any) bool { return names(v, prefix) })
	}
	return false
}

func (u *used) close() error {
	u.progress.Close()
	return u.host.Close()
}
