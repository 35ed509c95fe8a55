package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
)

func (a *app) initCommand() *cobra.Command {
	var table, out string
	c := &cobra.Command{
		Use: "init FOLDER", Short: "Look at a folder of images and a table, and write a first experiment that runs",
		Long: `Init looks at the images of a folder and at the table beside them, and writes an experiment for them: a frame and views of
their size, an encoder and a training that suit their number, and a question for each column of names or numbers that can be
asked for. It is a beginning to be changed: every choice has its reason beside it.`,
		Example: "  asterism init galaxies\n  asterism init galaxies --table catalogue.csv --out first.cue",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
				return &fault.Error{Kind: fault.Config, What: args[0] + " is not a folder", Do: "name a folder of images"}
			}
			r, err := a.installed()
			if err != nil {
				return err
			}
			progress := run.NewProgress(a.err, a.progress)
			defer progress.Close()
			host, err := newHost(r, progress, 0)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, host.Close()) }()
			found, err := look(c.Context(), schemas{r}, host, args[0], table)
			if err != nil {
				return err
			}
			if out == "" {
				out = found.Name + ".cue"
			}
			if _, err := os.Lstat(out); err == nil {
				return &fault.Error{Kind: fault.Config, What: out + " is there already, and would be lost", Do: "name another file with --out, or remove that one"}
			}
			found.File = out
			if err := run.WriteTo(out, func(w io.Writer) error { return firstExperiment.Execute(w, found) }); err != nil {
				return err
			}
			if _, err := experiment.Load(out, experiment.Options{Schemas: schemas{r}}); err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]any{"file": out, "images": found.Count, "shape": found.Shape, "tasks": len(found.Questions)})
			}
			fmt.Fprintf(a.out, "%s: %s\n\n", out, found.about())
			fmt.Fprintf(a.out, "  asterism plan %[1]s            shapes, memory and work\n  asterism views %[1]s --open    what the encoder will compare\n  asterism run %[1]s             learn, and answer\n", out)
			return nil
		},
	}
	c.Flags().StringVar(&table, "table", "", "the table with a row for each image (default: the only one in the folder or beside it)")
	c.Flags().StringVar(&out, "out", "", "file to write (default: the folder's name with .cue)")
	return c
}

// beginning is what a first experiment is written from.
type beginning struct {
	File, Name  string
	Root, Table string
	Count       int
	Shape       []int64 // of the first image, bands last
	Linear      bool    // proportional to light
	Frame, View int64   // sides of what is stored and of what the encoder sees
	Shift       int64
	Batch       int
	Queue       int
	Epochs      int
	Stem        string
	Questions   []askedColumn
}

// askedColumn is a column that a task asks for.
type askedColumn struct {
	Task, Column, Component, Why string
}

// look opens the images with the plugin that will read them.
func look(ctx context.Context, installed experiment.Schemas, host *plugin.Host, folder, table string) (*beginning, error) {
	b := &beginning{Root: filepath.ToSlash(filepath.Clean(folder)), Name: nameOf(folder)}
	var err error
	if b.Table, err = tableOf(folder, table); err != nil {
		return nil, err
	}
	config := map[string]any{"root": folder}
	if b.Table != "" {
		names, err := columnsOf(b.Table)
		if err != nil {
			return nil, err
		}
		config["table"], config["columns"] = b.Table, names[1:] // the first names the objects
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	source, err := experiment.Configure(installed, protocol.Kind_DATASET, "images.folder", string(text))
	if err != nil {
		return nil, err
	}
	d, err := host.Dataset(ctx, plugin.Ref{Name: source.Name, Config: source.Config})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	catalogue, err := d.Open(ctx)
	if err != nil {
		return nil, err
	}
	b.Count, b.Shape, b.Linear = int(catalogue.Count), catalogue.Facts.Shape, catalogue.Facts.Flux == protocol.Flux_LINEAR
	if len(b.Shape) != 3 {
		return nil, &fault.Error{Kind: fault.Data, What: fmt.Sprintf("these are samples of %d axes, not pictures", len(b.Shape)-1), Do: "write the experiment by hand: asterism schema show says what it may hold"}
	}
	if err := b.columns(ctx, d, catalogue); err != nil {
		return nil, err
	}
	return b, b.size()
}

// nameOf makes an experiment's name of a folder's.
func nameOf(folder string) string {
	if absolute, err := filepath.Abs(folder); err == nil {
		folder = absolute
	}
	name := strings.Map(func(r rune) rune {
		if r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return r
		}
		return '-'
	}, filepath.Base(folder))
	name = strings.TrimLeft(name, "._-")
	if name == "" {
		name = "images"
	}
	return name[:min(len(name), 60)]
}

// tableOf finds the table, where there is one.
func tableOf(folder, given string) (string, error) {
	if given != "" {
		if _, err := os.Stat(given); err != nil {
			return "", &fault.Error{Kind: fault.Config, What: "cannot read the table " + given, Err: err, Do: "name a CSV or whitespace-separated file"}
		}
		return filepath.ToSlash(given), nil
	}
	var found []string
	for _, dir := range []string{folder, filepath.Dir(filepath.Clean(folder))} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return "", err
		}
		for _, e := range entries {
			if ending := strings.ToLower(filepath.Ext(e.Name())); !e.IsDir() && (ending == ".csv" || ending == ".tsv") {
				found = append(found, filepath.ToSlash(filepath.Join(dir, e.Name())))
			}
		}
		if len(found) > 0 {
			break
		}
	}
	if len(found) > 1 {
		return "", &fault.Error{Kind: fault.Config, What: "there are several tables: " + strings.Join(found, ", "), Do: "name the one that belongs to the images: --table " + found[0]}
	}
	return strings.Join(found, ""), nil
}

// columnsOf reads the names of a table's columns: the last comment before its rows, if it has as many, or its first line.
func columnsOf(table string) ([]string, error) {
	f, err := os.Open(table)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Config, What: "cannot read the table " + table, Err: err}
	}
	defer f.Close()
	lines, comment := bufio.NewScanner(f), ""
	for lines.Scan() {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if rest, ok := strings.CutPrefix(line, "#"); ok {
			comment = strings.TrimSpace(rest)
			continue
		}
		if line == "" {
			continue
		}
		names := words(line)
		if comment != "" && len(words(comment)) == len(names) {
			names = words(comment)
		}
		if len(names) < 2 {
			return nil, &fault.Error{Kind: fault.Data, What: fmt.Sprintf("the table %s has one column only", table), Do: "give a table with the images' names and what is known of them"}
		}
		return names, nil
	}
	if err := lines.Err(); err != nil {
		return nil, &fault.Error{Kind: fault.Data, What: table + " is not a table", Err: err, Do: "name a CSV or whitespace-separated file with --table"}
	}
	return nil, &fault.Error{Kind: fault.Data, What: "the table " + table + " is empty", Do: "name another with --table"}
}

// words divides a header.
func words(line string) []string {
	for _, by := range []string{",", ";", "\t"} {
		if strings.Contains(line, by) {
			var names []string
			for _, n := range strings.Split(line, by) {
				names = append(names, strings.Trim(strings.TrimSpace(n), `"`))
			}
			return names
		}
	}
	return strings.Fields(line)
}

const (
	lookedAt  = 500 // images that are read to see what columns hold
	mostNames = 30  // distinct names that are still classes
	mostTasks = 4
)

// places are names of columns that say where an object is, which its picture does not.
var places = []string{"ra", "dec", "ra_deg", "dec_deg", "raj2000", "dej2000", "x", "y", "l", "b", "glon", "glat"}

// columns reads some records, to see which columns can be asked for.
func (b *beginning) columns(ctx context.Context, d *plugin.Dataset, c *protocol.Catalogue) error {
	texts, numbers := make([]map[string]int, len(c.Fields)), make([]map[float64]int, len(c.Fields))
	for i := range c.Fields {
		texts[i], numbers[i] = map[string]int{}, map[float64]int{}
	}
	seen := 0
	for first := 0; first < int(c.Count) && seen < lookedAt; {
		records, err := d.Read(ctx, first, 64)
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Bad != "" {
				continue
			}
			seen++
			for i, v := range r.Values {
				switch is := v.GetIs().(type) {
				case *protocol.Value_Text:
					texts[i][is.Text]++
				case *protocol.Value_Number:
					numbers[i][is.Number]++
				}
			}
		}
		first += max(len(records), int(c.Count)/lookedAt) // spread over all
	}
	if seen == 0 {
		return &fault.Error{Kind: fault.Data, What: "none of the images looked at can be read", Do: "look at some of them: are they whole?"}
	}
	used := map[string]bool{"alike": true}
	for i, f := range c.Fields {
		if len(b.Questions) == mostTasks {
			break
		}
		if slices.Contains(places, strings.ToLower(f.Name)) {
			continue
		}
		q := askedColumn{Task: taskName(f.Name, used), Column: f.Name}
		switch n, m := len(texts[i]), len(numbers[i]); {
		case n >= 2 && n <= mostNames:
			q.Component, q.Why = "classify.linear", fmt.Sprintf("%d names among the %d objects looked at", n, seen)
		case m > 10:
			q.Component, q.Why = "regress.linear", "numbers"
		default:
			continue // one value, too many names, or numbers that may be classes: a person knows
		}
		b.Questions = append(b.Questions, q)
	}
	return nil
}

// taskName makes a task's name of a column's.
func taskName(column string, used map[string]bool) string {
	name := strings.Map(func(r rune) rune {
		if r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return r
		}
		return '_'
	}, column)
	if name == "" || name[0] < 'A' {
		name = "column_" + name
	}
	name = strings.TrimLeft(name, "_-")
	for used[name] {
		name += "_"
	}
	used[name] = true
	return name
}

// size chooses what follows from the images' size and number.
func (b *beginning) size() error {
	side := min(b.Shape[0], b.Shape[1])
	b.Frame = min(side, 128)
	b.View = b.Frame * 7 / 8
	if b.View >= 32 {
		b.View = b.View / 8 * 8
	}
	if b.View < 8 {
		return &fault.Error{Kind: fault.Data, What: fmt.Sprintf("the images are %d×%d pixels, too small to learn from", b.Shape[0], b.Shape[1]), Do: "give larger ones"}
	}
	b.Shift = max(1, (b.Frame-b.View)/2)
	b.Stem = "imagenet"
	if b.View < 56 {
		b.Stem = "small"
	}
	training := b.Count * 7 / 10
	b.Batch = 128
	for b.Batch > 8 && b.Batch > training/8 {
		b.Batch /= 2
	}
	if training < b.Batch {
		return &fault.Error{Kind: fault.Data, What: fmt.Sprintf("there are %d images, too few to learn from", b.Count), Do: "give some hundred at least"}
	}
	b.Queue = b.Batch * max(1, min(4096, training/2)/b.Batch)
	steps := training / b.Batch
	b.Epochs = max(5, min(100, 2000/steps))
	return nil
}

// about says what was found.
func (b *beginning) about() string {
	text := fmt.Sprintf("%d images of %d×%d pixels in %d bands", b.Count, b.Shape[0], b.Shape[1], b.Shape[2])
	if b.Table == "" {
		return text + ", and no table: it asks only what looks alike"
	}
	var asked []string
	for _, q := range b.Questions {
		asked = append(asked, q.Column)
	}
	if len(asked) == 0 {
		return text + ", and a table of which no column can be asked for as it is"
	}
	return text + "; it asks for " + strings.Join(asked, ", ") + " of " + b.Table
}

var firstExperiment = template.Must(template.New("experiment").Funcs(template.FuncMap{
	"text": func(s string) (string, error) { b, err := json.Marshal(s); return string(b), err },
}).Parse(`// A first experiment on {{.Count}} images of {{.Root}}: learn without labels, then ask with few. Change what you know better;
// asterism schema show documents every field, and asterism schema show sky.rotate a component's.
//
//	asterism run {{.File}}
package experiment

import "asterism.dev/schemas:asterism"

asterism.#Experiment & {
	name: {{text .Name}}
	seed: 1
	data: {
		sources: [{"images.folder": {root: {{text .Root}}{{if .Table}}, table: {{text .Table}}, columns: [{{range $i, $q := .Questions}}{{if $i}}, {{end}}{{text $q.Column}}{{end}}]{{end}}}}]
		frame: size: {{.Frame}} // larger images are cropped to it, smaller ones padded
		split: {valid: 0.1, test: 0.2}
	}
	views: {
		// Two of these are drawn of each image: what they share is learned, what differs between them is not. Take out what
		// you will ask for: flips where handedness matters, noise where faintness does.
		train: [
			{"sky.rotate": {}},
			{"sky.flip": {}},
			{"sky.jitter_crop": {shift: {{.Shift}}, size: {{.View}}}},
			{"sky.noise": {}},
{{- if .Linear}}
			{"sky.normalise": {stretch: "asinh"}}, // the pixels are linear: this brings faint and bright to one scale
{{- end}}
		]
		eval: [{"sky.center_crop": {size: {{.View}}}}{{if .Linear}}, {"sky.normalise": {stretch: "asinh"}}{{end}}]
	}
	encoder: {"resnet.r18": {stem: {{text .Stem}}}} // for views of {{.View}} pixels
	train: {
		objective: {"contrast.moco": {queue: {{.Queue}}, momentum: 0.99, temperature: 0.2}}
		epochs: {{.Epochs}} // more is better, up to some hundred
		batch:  {{.Batch}}
		optimizer: sgd: {lr: 0.06, weight_decay: 5e-4}
		schedule: cosine: warmup_epochs: 1
	}
	tasks: {
{{- range .Questions}}
		{{text .Task}}: {{"{"}}{{text .Component}}: {label: {{text .Column}}}} // {{.Why}}
{{- end}}
		alike: {"neighbours.search": {queries: 8, top: 6}}
	}
}
`))
