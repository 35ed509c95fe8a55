// Package plugin starts and supervises plugin processes and calls their components.
//
// A Host starts each plugin when it is first needed, in a process of its own, and ends them all:
//
//	h := plugin.NewHost(resolve, plugin.Options{Log: os.Stderr})
//	defer h.Close()
//	p, err := h.Pipeline(ctx, refs, "train", facts)
//	s, err := p.Slot(128)
//	err = p.Apply(ctx, s, 128, seed, epoch)
//
// Batches are in memory that host and plugin share; a plugin's error, crash or answer against the contract is a fault
// that names the component and its place in the experiment.
package plugin

import "github.com/asterism-ssl/asterism/core/protocol"

// Ref names a component of an experiment with its configuration, and says where it stands for errors.
type Ref struct {
	Name   string // "sky.rotate"
	Config []byte // JSON, concrete
	Path   string // CUE path: "views.train.0"
	Where  string // file:line:column
}

// Record is one object as a dataset delivers it. Pixels are views of shared memory, valid until the next Read.
type Record struct {
	Index  int
	ID     string
	Shape  []int     // spatial…, bands
	U8     []byte    // one of the two, as the catalogue says
	F32    []float32 //
	Values []*protocol.Value
	Bad    string // why the record is left out; then nothing else is set
}

// Tensor is a named array on the host's side of the border. One of the data slices is set.
type Tensor struct {
	Name       string
	Shape      []int64
	F32        []float32
	F64        []float64
	I64        []int64
	U8         []byte
	Categories []string // where the values are indices into a list of names
	Fitted     bool     // of a prediction: the values are rows of what Fit was given
}
