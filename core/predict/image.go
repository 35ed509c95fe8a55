package predict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
)

// Image predicts for one image file, which is read as the images of a source, such as Folder gives.
func (p *Predictor) Image(ctx context.Context, source experiment.Component, file string) (*Batch, error) {
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
		}
		return nil, &f
	case err != nil:
		return nil, err
	case batch == nil || len(batch.IDs) != 1:
		return nil, errors.New("predict: one image gave no batch of one")
	}
	return batch, nil
}
