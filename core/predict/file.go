package predict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// pictures is the dataset that reads a picture for a run whose own data are no files: simulated, say, or parts of large images.
const pictures = "images.folder"

// Reader says what reads the files that somebody asks about: the dataset of the first of the run's sources that reads single
// files, or, where none does, images.folder.
func Reader(ctx context.Context, h *plugin.Host, x *experiment.Experiment) (experiment.Component, error) {
	for _, c := range x.Data.Sources {
		if c.Name == pictures {
			return c, nil
		}
		d, err := h.Dataset(ctx, flow.Ref(c))
		if err != nil {
			return c, err
		}
		reads := d.ReadsFiles(ctx)
		if err := d.Close(); err != nil || reads {
			return c, err
		}
	}
	return experiment.Component{Name: pictures}, nil
}

// IsPictures says whether it is pictures that a reader reads.
func IsPictures(reader experiment.Component) bool { return reader.Name == pictures }

// File predicts for one file, which is read by what Reader gives, or by a source that Folder gives.
func (p *Predictor) File(ctx context.Context, reader experiment.Component, file string) (*Batch, error) {
	if reader.Name == pictures {
		return p.image(ctx, reader, file)
	}
	var batch *Batch
	why := ""
	name := filepath.Base(file)
	err := p.files(ctx, reader, []string{file}, Visitor{
		Batch: func(b *Batch) error { batch = b; return nil },
		Bad:   func(b Bad) error { why = b.Reason; return nil },
	})
	switch {
	case why != "":
		return nil, &fault.Error{Op: "predict", Kind: fault.Data, Plugin: reader.Name, What: fmt.Sprintf("%s cannot be used: %s", name, strings.TrimPrefix(why, name+": ")),
			Do: "give a file of one object, such as those that were learned from"}
	case err != nil:
		return nil, err
	case batch == nil || len(batch.IDs) != 1:
		return nil, errors.New("predict: one file gave no batch of one")
	}
	return batch, nil
}

// Files predicts for the files of a folder, as Run does for sources: for each but hidden ones, in the order of their names.
func (p *Predictor) Files(ctx context.Context, reader experiment.Component, folder string, v Visitor) error {
	if reader.Name == pictures {
		return p.Run(ctx, []experiment.Component{reader}, v)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return &fault.Error{Op: "predict", Kind: fault.Data, What: "cannot read the folder " + folder, Err: err, Do: "check its permissions"}
	}
	var files []string
	for _, e := range entries {
		file := filepath.Join(folder, e.Name())
		if info, err := os.Stat(file); !strings.HasPrefix(e.Name(), ".") && (err != nil || !info.IsDir()) {
			files = append(files, file)
		}
	}
	return p.files(ctx, reader, files, v)
}

// files predicts for files that a dataset reads singly.
func (p *Predictor) files(ctx context.Context, reader experiment.Component, files []string, v Visitor) error {
	d, catalogue, err := p.opened(ctx, reader)
	if err != nil {
		return err
	}
	s := &stream{Predictor: p, v: v, seen: map[string]bool{}}
	if err := s.fits(reader, catalogue); err != nil {
		return err
	}
	if err := s.records(ctx, reader, catalogue, &singly{d: d, files: files, ids: map[string]bool{}}, len(files)); err != nil {
		return err
	}
	return s.end()
}

// reading is a dataset that has been opened to read files.
type reading struct {
	of        experiment.Component
	d         *plugin.Dataset
	catalogue *protocol.Catalogue
}

// opened opens the dataset that reads files, and keeps it, as one asks again and again. What it looks at are its own data.
func (p *Predictor) opened(ctx context.Context, c experiment.Component) (*plugin.Dataset, *protocol.Catalogue, error) {
	if r := p.reading; r != nil && reflect.DeepEqual(r.of, c) {
		return r.d, r.catalogue, nil
	}
	d, err := p.Host.Dataset(ctx, flow.Ref(c))
	if err != nil {
		return nil, nil, err
	}
	catalogue, err := d.Open(ctx)
	if err != nil {
		d.Close()
		if kind := fault.KindOf(err); kind != fault.Data && kind != fault.Config {
			return nil, nil, err
		}
		f := *fault.All(err)[0]
		f.Kind = fault.Data
		f.What = "it reads files once it has opened its own data, and those are not to be had: " + f.What
		f.Do = fmt.Sprintf("say where such data are with --set, as %s.%q.FIELD=VALUE: any that it opens will do, also the file itself", c.Path, c.Name)
		f.Where = "" // in the run's directory
		return nil, nil, &f
	}
	if p.reading != nil {
		p.reading.d.Close()
	}
	p.reading = &reading{c, d, catalogue}
	return d, catalogue, nil
}

// singly are files that a dataset reads one by one, as records that follow each other.
type singly struct {
	d     *plugin.Dataset
	files []string
	ids   map[string]bool
}

// Read gives the record of one file: its pixels are valid until the next.
func (s *singly) Read(ctx context.Context, first, _ int) ([]plugin.Record, error) {
	file := s.files[first]
	name := filepath.Base(file)
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	r, err := s.d.ReadFile(ctx, path)
	if fault.KindOf(err) == fault.Data {
		f := fault.All(err)[0]
		r, err = plugin.Record{Bad: f.What}, nil
		if f.Do != "" {
			r.Bad += ": " + f.Do
		}
	}
	r.Index = first
	r.Bad = strings.ReplaceAll(r.Bad, path, name)
	if r.ID == "" || s.ids[r.ID] { // it does not tell files apart
		r.ID = name
	}
	s.ids[r.ID] = true
	return []plugin.Record{r}, err
}

// image predicts for one image file, which is read as the images of a source, such as Folder gives.
func (p *Predictor) image(ctx context.Context, source experiment.Component, file string) (*Batch, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &fault.Error{Op: "predict", Kind: fault.Config, What: "cannot read " + file, Err: err}
	}
	dir, err := os.MkdirTemp("", "asterism-image-")
	if err != nil {
		return nil, &fault.Error{Op: "predict", Kind: fault.Resource, What: "no temporary folder", Err: err, Do: "set TMPDIR to a folder that can be written"}
	}
	defer os.RemoveAll(dir)
	name := filepath.Base(file)
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		return nil, &fault.Error{Op: "predict", Kind: fault.Resource, What: "no room for the image", Err: err, Do: "set TMPDIR to a folder with room"}
	}
	config := map[string]any{}
	if err := json.Unmarshal(source.Config, &config); err != nil {
		return nil, err
	}
	config["root"] = dir
	if source.Config, err = json.Marshal(config); err != nil {
		return nil, err
	}
	source.Path, source.Where = "", file
	var batch *Batch
	why := ""
	err = p.Run(ctx, []experiment.Component{source}, Visitor{
		Batch: func(b *Batch) error { batch = b; return nil },
		Bad:   func(b Bad) error { why = b.Reason; return nil },
	})
	switch {
	case why != "":
		return nil, &fault.Error{Op: "predict", Kind: fault.Data, What: fmt.Sprintf("%s cannot be used: %s", name, why), Do: "give an image such as those that were learned from"}
	case fault.KindOf(err) == fault.Data:
		f := *fault.All(err)[0]
		if _, rest, ok := strings.Cut(f.What, name+": "); ok { // the rest speaks of the temporary folder
			f.What, f.Do = name+" cannot be used: "+rest, "give an image such as those that were learned from"
		} else if strings.Contains(f.What, dir) { // it does not get so far as to look at the file
			f.What = name + " cannot be used: " + strings.ReplaceAll(f.What, "the folder "+dir, "it")
			f.Do = "give an image such as those that were learned from, or the id of an object of the run"
		}
		return nil, &f
	case err != nil:
		return nil, err
	case batch == nil || len(batch.IDs) != 1:
		return nil, errors.New("predict: one image gave no batch of one")
	}
	return batch, nil
}

// Folder gives, as a --set of the command line, the source of a folder of images that is read as the reader's own images are:
// with its configuration, but without the table. There is none where another dataset reads the files of the folder one by one.
func Folder(reader experiment.Component, folder string) (set string, err error) {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return "", &fault.Error{Op: "predict", Kind: fault.Config, What: folder + " is not a folder", Do: "name a folder of images; for other data give --set data.sources=…"}
	}
	if reader.Name != pictures {
		return "", nil
	}
	config := map[string]any{}
	if reader.Config != nil {
		if err := json.Unmarshal(reader.Config, &config); err != nil {
			return "", err
		}
	}
	for _, field := range []string{"table", "id", "file", "columns"} {
		delete(config, field)
	}
	if config["root"], err = filepath.Abs(folder); err != nil {
		return "", err
	}
	source, err := json.Marshal([]any{map[string]any{pictures: config}})
	return "data.sources=" + string(source), err
}
