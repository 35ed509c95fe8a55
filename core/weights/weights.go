// Package weights puts weights from a file onto an encoder: those of a run, of a safetensors file, or of PyTorch.
//
//	w, err := weights.Load("moco_v2.pth.tar", model)
//	err = network.SetParams(w.Arrays)
//
// Arrays are matched by name and shape. Model descriptions lay their parameters out as PyTorch does, and name those of
// known networks as torchvision does, so nothing is renamed or turned; what the names in the file have in common before
// the encoder's, as in module.encoder_q.conv1.weight, is found and left out. An array too few, too many or of another
// shape is an error that names it: half an encoder computes something, and that is worse than nothing.
package weights

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/safetensors"
	"github.com/asterism-ssl/asterism/core/torch"
)

// File is the file of weights in a run directory.
const File = "weights.safetensors"

// Weights are an encoder's.
type Weights struct {
	Arrays []engine.Array // one for each parameter and running statistic of the model, named as a network names them: "encoder.conv1.weight"
	Prefix string         // of the encoder's names in the file: "state_dict.module.encoder_q."
	Left   []string       // arrays of a head that follows the encoder, which were left out
}

// Load reads the weights of an encoder from a run directory, a safetensors file, or a file of PyTorch's torch.save.
func Load(path string, m *protocol.Model) (*Weights, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.close()
	wanted := map[string]bool{}
	for _, p := range m.Parameters {
		wanted[p.Name] = true
	}
	prefix, err := file.prefix(wanted)
	if err != nil {
		return nil, err
	}
	w := &Weights{Prefix: prefix}
	var missing, unexpected, misshapen []string
	for _, p := range m.Parameters {
		a, ok := file.arrays[prefix+p.Name]
		if !ok {
			missing = append(missing, p.Name)
			continue
		}
		if !slices.Equal(a.shape, p.Shape) {
			misshapen = append(misshapen, fmt.Sprintf("%s %v instead of %v", p.Name, a.shape, p.Shape))
			continue
		}
		values, err := a.values()
		if err != nil {
			return nil, &fault.Error{Op: "weights", Kind: fault.Data, What: path + ": the array " + prefix + p.Name + " cannot be read", Err: err, Do: "give a file that is whole, of float32 weights"}
		}
		if slices.ContainsFunc(values, func(v float32) bool { return v-v != 0 }) {
			return nil, &fault.Error{Op: "weights", Kind: fault.Data, What: path + ": the array " + prefix + p.Name + " has values that are not finite", Do: "give weights of a training that did not diverge"}
		}
		w.Arrays = append(w.Arrays, engine.Array{Name: "encoder." + p.Name, Shape: p.Shape, Data: values})
	}
	for _, name := range slices.Sorted(maps.Keys(file.arrays)) {
		rest, ours := strings.CutPrefix(name, prefix)
		first, _, _ := strings.Cut(rest, ".")
		switch {
		case !ours, wanted[rest], strings.HasSuffix(rest, "num_batches_tracked"): // PyTorch counts batches, and nothing depends on it
		case slices.Contains(heads, first):
			w.Left = append(w.Left, name)
		default:
			unexpected = append(unexpected, name)
		}
	}
	var list fault.List
	for _, wrong := range []struct {
		what  string
		names []string
	}{{"arrays of the encoder that it lacks", missing}, {"arrays that the encoder lacks", unexpected}, {"arrays of another shape than the encoder's", misshapen}} {
		if n := len(wrong.names); n > 0 {
			list = append(list, file.misfit("%s (%d): %s", wrong.what, n, strings.Join(wrong.names, ", ")))
		}
	}
	if len(list) > 0 {
		list[len(list)-1].Do = "choose the encoder, its fields, and the size and bands of samples, with which these weights were learned"
		return nil, list
	}
	return w, nil
}

// heads are names of what follows an encoder: classifiers of torchvision and others, and what contrast is learned with.
var heads = []string{"fc", "head", "heads", "classifier", "projector", "predictor", "projection_head"}

// copies are names of encoders that follow the one that learns, in the files of MoCo's authors.
var copies = []string{"encoder_k", "momentum_encoder"}

// opened is a file of arrays by name.
type opened struct {
	path   string
	arrays map[string]array
	close  func() error
}

type array struct {
	shape  []int64
	values func() ([]float32, error)
}

func open(path string) (*opened, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file := filepath.Join(path, File)
		if _, err := os.Stat(file); os.IsNotExist(err) {
			return nil, &fault.Error{Op: "weights", Kind: fault.Config, What: "the folder " + path + " has no " + File, Do: "name a run that has learned, or a file of weights"}
		}
		path = file
	}
	head, err := begin(path)
	if err != nil {
		return nil, &fault.Error{Op: "weights", Kind: fault.Config, What: "cannot read " + path, Err: err, Do: "name a run, a safetensors file, or a file of PyTorch's torch.save"}
	}
	file := &opened{path: path, arrays: map[string]array{}, close: func() error { return nil }}
	if torch.Known(head) {
		f, err := torch.Open(path)
		if err != nil {
			return nil, err
		}
		file.close = f.Close
		for _, t := range f.Tensors {
			file.arrays[t.Name] = array{t.Shape, t.Float32}
		}
		return file, nil
	}
	all, _, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		file.arrays[a.Name] = array{a.Shape, func() ([]float32, error) { return floats(a) }}
	}
	return file, nil
}

// begin reads the first bytes of a file.
func begin(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return head[:n], err
}

func floats(a safetensors.Array) ([]float32, error) {
	switch a.DType {
	case "F32":
		return safetensors.Values[float32](a), nil
	case "F64":
		wide := safetensors.Values[float64](a)
		values := make([]float32, len(wide))
		for i, v := range wide {
			values[i] = float32(v)
		}
		return values, nil
	}
	return nil, fmt.Errorf("it is of type %s", a.DType)
}

// prefix finds what stands before the encoder's names in the file: that with which most of them are there.
func (o *opened) prefix(wanted map[string]bool) (string, error) {
	found, most := map[string]int{}, 0
	for name := range o.arrays {
		for rest, more := name, true; more; _, rest, more = strings.Cut(rest, ".") {
			if wanted[rest] {
				prefix := strings.TrimSuffix(name, rest)
				found[prefix]++
				most = max(most, found[prefix])
			}
		}
	}
	var all, best []string
	for prefix, n := range found {
		if n < most {
			continue
		}
		all = append(all, prefix)
		if !slices.ContainsFunc(strings.Split(prefix, "."), func(part string) bool { return slices.Contains(copies, part) }) {
			best = append(best, prefix)
		}
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(best) == 1:
		return best[0], nil
	case most == 0:
		names := slices.Sorted(maps.Keys(o.arrays))
		e := o.misfit("none of its %d arrays has a name of the encoder's", len(names))
		if len(names) > 0 && len(wanted) > 0 {
			e.What += fmt.Sprintf(": the first is %s, and the encoder's %s", names[0], slices.Min(slices.Collect(maps.Keys(wanted))))
		}
		e.Do = "give the weights of the same network, with torchvision's names"
		return "", e
	}
	slices.Sort(all)
	e := o.misfit("several encoders in it fit, whose names begin with %s", strings.Join(all, " and "))
	e.Do = "save the one that is meant alone"
	return "", e
}

func (o *opened) misfit(format string, a ...any) *fault.Error {
	return &fault.Error{Op: "weights", Kind: fault.Config, What: o.path + ": " + fmt.Sprintf(format, a...)}
}
