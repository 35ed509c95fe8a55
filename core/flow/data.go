package flow

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
)

// dataRevision is raised when ingest, frame or statistics change their results.
const dataRevision = 1

// data brings every source into the store. Its key names the sources as they were found (names, sizes and times of their
// files); what comes after depends on the content alone, so that data that move are not learned anew.
func (f *Flow) data(ctx context.Context) (*data.Store, error) {
	var sources []map[string]any
	for i, c := range f.x.Data.Sources {
		part := f.component(c)
		part["fingerprint"] = f.plan.catalogues[i].Fingerprint
		sources = append(sources, part)
	}
	from := recipe{"data", map[string]any{"revision": dataRevision, "sources": sources, "frame": f.x.Data.Frame}}
	open := make([]data.Source, len(f.plan.datasets))
	var reading readings
	for i, d := range f.plan.datasets {
		open[i] = source{d, f.plan.catalogues[i], f.x.Data.Sources[i].Plugin, &reading}
	}
	total := 0
	for _, c := range f.plan.catalogues {
		total += int(c.Count)
	}
	for attempt := 0; ; attempt++ {
		r, err := f.stage(ctx, "data", fmt.Sprintf("%d objects from %d source(s) into the store", total, len(open)), from, func(ctx context.Context, dir string) error {
			reading = readings{began: time.Now(), took: map[string]time.Duration{}}
			_, err := data.Ingest(ctx, dir, open, f.frame(), data.Options{From: refs(f.x.Data.Sources), Progress: func(done, total int) {
				var fields []run.Field
				if text := run.WaitText(reading.shares(), 0.01); text != "" {
					fields = append(fields, run.Field{Name: "waiting for", Value: text})
				}
				f.Progress.Update(done, total, fields...)
			}})
			return f.at(err, "data")
		})
		if err != nil {
			return nil, err
		}
		f.dir.Manifest.Stages[len(f.dir.Manifest.Stages)-1].Waits = reading.shares()
		store, err := data.Open(r.Dir)
		if err != nil && r.Reused && attempt == 0 { // what was kept is damaged: make it anew, once
			f.Progress.Note("the stored data are damaged (" + err.Error() + "): reading the sources again")
			if err := f.Cache.Remove(from.key()); err != nil {
				return nil, err
			}
			f.dir.Manifest.Stages = f.dir.Manifest.Stages[:len(f.dir.Manifest.Stages)-1]
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, n := range store.Report().Notices {
			f.dir.Manifest.Notices = append(f.dir.Manifest.Notices, run.Notice{Where: n.Where, What: n.What, Count: n.Count, Examples: n.Examples})
			f.Progress.Note(fmt.Sprintf("%s: %d %s%s", n.Where, n.Count, n.What, examples(n.Examples)))
		}
		return store, f.dir.Save()
	}
}

// frame is what every source is brought to.
func (f *Flow) frame() data.Frame {
	return data.Frame{Size: f.x.Data.Frame.Size, Bands: f.x.Data.Frame.Bands}
}

// source is a dataset that was opened for the plan, and is not opened again.
type source struct {
	*plugin.Dataset
	catalogue *protocol.Catalogue
	plugin    string
	reading   *readings
}

// Open implements data.Source.
func (s source) Open(context.Context) (*protocol.Catalogue, error) { return s.catalogue, nil }

// Read implements data.Source.
func (s source) Read(ctx context.Context, first, count int) ([]plugin.Record, error) {
	began := time.Now()
	defer func() { s.reading.took[s.plugin] += time.Since(began) }()
	return s.Dataset.Read(ctx, first, count)
}

// readings are how long was waited for records, since when.
type readings struct {
	began time.Time
	took  map[string]time.Duration // by plugin
}

// shares is the share of the time that was spent waiting for each plugin; nil where nothing was read.
func (r *readings) shares() map[string]float64 {
	if r.took == nil {
		return nil
	}
	shares, all := map[string]float64{}, time.Since(r.began).Seconds()
	for name, d := range r.took {
		shares[name] = d.Seconds() / all
	}
	return shares
}

// examples shows the first few of a notice.
func examples(names []string) string {
	if len(names) == 0 {
		return ""
	}
	text := ": " + names[0]
	for _, n := range names[1:min(len(names), 3)] {
		text += ", " + n
	}
	if len(names) > 3 {
		text += ", …"
	}
	return text
}

// needsStatistics says whether some of these pipelines need the statistics of the training split.
func (f *Flow) needsStatistics(pipelines ...string) bool {
	return slices.ContainsFunc(pipelines, func(name string) bool { return f.plan.statistics[name] })
}

// statistics stands for the statistics in the key of what these pipelines enter: empty where they need none.
func (f *Flow) statistics(w *work, pipelines ...string) string {
	if !f.needsStatistics(pipelines...) {
		return ""
	}
	return w.statisticsKey
}

// measure takes the statistics of the training split, if any view needs them.
func (f *Flow) measure(ctx context.Context, w *work) error {
	if !f.needsStatistics(append(f.learnedFrom(), "eval")...) {
		return nil
	}
	return f.measureFor(ctx, w)
}

// measureFor takes them.
func (f *Flow) measureFor(ctx context.Context, w *work) error {
	from := recipe{"statistics", map[string]any{"revision": dataRevision, "data": w.digest, "split": f.x.Data.Split, "seed": f.x.Seed}}
	r, err := f.stage(ctx, "statistics", "mean, deviation, median, MAD and percentiles of the training split, per band", from, func(ctx context.Context, dir string) error {
		statistics, err := data.Statistics(w.store, w.parts.Train)
		if err != nil {
			return err
		}
		return run.WriteJSON(filepath.Join(dir, "statistics.json"), statistics)
	})
	if err != nil {
		return err
	}
	w.statisticsKey = from.key()
	return run.ReadJSON(filepath.Join(r.Dir, "statistics.json"), &w.statistics)
}
