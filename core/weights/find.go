package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/safetensors"
	"github.com/asterism-ssl/asterism/core/torch"
)

// Find gives the file of weights that a name stands for: a file, a run directory, or a run among those in a folder, by its
// id or its experiment's name.
func Find(runs, name string) (string, error) {
	dir := name
	switch info, err := os.Stat(name); {
	case err == nil && info.IsDir() && there(filepath.Join(name, File)):
	case err == nil && !info.IsDir(), err != nil && !errors.Is(err, fs.ErrNotExist):
		return name, nil
	default:
		if dir, err = run.Find(runs, name); err != nil {
			if e, ok := errors.AsType[*fault.Error](err); ok {
				e.Op, e.What = "weights", fmt.Sprintf("there is no file %s, and %s", name, e.What)
			}
			return "", err
		}
	}
	file := filepath.Join(dir, File)
	if !there(file) {
		return "", &fault.Error{Op: "weights", Kind: fault.Config, What: "the run " + dir + " has no " + File + ": it has not learned to the end", Do: "let it run to its end, or name another"}
	}
	return file, nil
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// EncoderOf says of which encoder the weights in a file are, as that of a run and what is exported of one do: the
// component and its configuration.
func EncoderOf(file string) (component string, config json.RawMessage, err error) {
	var encoder map[string]json.RawMessage
	var resolved struct{ Encoder map[string]json.RawMessage }
	if filepath.Base(file) == File && run.ReadJSON(filepath.Join(filepath.Dir(file), "resolved.json"), &resolved) == nil {
		encoder = resolved.Encoder
	} else if head, err := begin(file); err == nil && !torch.Known(head) {
		if _, metadata, err := safetensors.Read(file); err != nil {
			return "", nil, err
		} else if json.Unmarshal([]byte(metadata["encoder"]), &encoder) != nil {
			encoder = nil
		}
	}
	for name, config := range encoder {
		if strings.Contains(name, ".") { // other fields have none
			return name, config, nil
		}
	}
	return "", nil, &fault.Error{Op: "weights", Kind: fault.Config, What: file + " does not say which encoder its weights are of", Do: `name it beside from: encoder: {"resnet.r50": {}, from: "…"}`}
}
