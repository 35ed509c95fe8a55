package bench

import (
	"bufio"
	"cmp"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

//go:embed identity/plugin.py
var identity embed.FS

// Identity is the folder of a plugin in Python whose augmentations identity.batches and identity.samples copy.
func Identity() fs.FS {
	sub, err := fs.Sub(identity, "identity")
	if err != nil {
		panic(err) // the folder is named here
	}
	return sub
}

// PythonResult is what the border costs where the plugin is written in Python.
type PythonResult struct {
	Missing   string  `json:"missing,omitempty"` // why there are no figures
	Shape     []int64 `json:"shape,omitempty"`   // of a sample
	Batch     int     `json:"batch,omitempty"`
	BatchMS   float64 `json:"identity_ms,omitempty"`             // a batch, copied at once
	SampleMS  float64 `json:"identity_by_sample_ms,omitempty"`   // a batch, copied sample by sample
	StartMS   float64 `json:"start_ms,omitempty"`                // until the plugin has described itself
	ImportsMS float64 `json:"imports_ms,omitempty"`              // until the interpreter alone has imported grpc, numpy and protobuf
	BeyondMS  float64 `json:"start_beyond_imports_ms,omitempty"` // median of the differences
}

// python measures the plugin Identity, which fresh serves in a host that has started nothing, with batches of 5 MB.
func (o OverheadOptions) python(ctx context.Context, fresh func() *plugin.Host) (*PythonResult, error) {
	r := &PythonResult{Shape: []int64{32, 32, 5}, Batch: 256}
	h := fresh()
	defer h.Close()
	for _, way := range []struct {
		component string
		ms        *float64
	}{{"identity.batches", &r.BatchMS}, {"identity.samples", &r.SampleMS}} {
		p, err := h.Pipeline(ctx, []plugin.Ref{{Name: way.component, Config: []byte("{}")}}, "query", &protocol.SampleFacts{Shape: r.Shape, Bands: make([]string, r.Shape[2])})
		if err != nil {
			return nil, err
		}
		defer p.Close()
		slot, err := p.Slot(r.Batch)
		if err != nil {
			return nil, err
		}
		for i := range slot.In {
			slot.In[i] = float32(i)
		}
		var timed OverheadResult
		if err := o.compare(ctx, &timed, func() error { return p.Apply(ctx, slot, r.Batch, 1, 0) }, nil); err != nil {
			return nil, err
		}
		if last := len(slot.In) - 1; slot.Out[last] != slot.In[last] {
			return nil, &fault.Error{Op: "bench", Kind: fault.Internal, What: way.component + " does not copy", Do: "please report this"}
		}
		*way.ms = timed.IsolatedMS
	}
	var starts, imports, beyond []float64
	for range o.Starts {
		began := time.Now()
		if err := imported(ctx); err != nil {
			return nil, err
		}
		imports = append(imports, 1e3*time.Since(began).Seconds())
		next := fresh()
		began = time.Now()
		_, err := next.Direct(ctx, "identity")
		starts = append(starts, 1e3*time.Since(began).Seconds())
		if err := cmp.Or(err, next.Close()); err != nil {
			return nil, err
		}
		beyond = append(beyond, starts[len(starts)-1]-imports[len(imports)-1])
	}
	r.StartMS, r.ImportsMS, r.BeyondMS = median(starts), median(imports), median(beyond)
	return r, nil
}

// imported waits until an interpreter has imported what every plugin in Python must.
func imported(ctx context.Context) error {
	c := exec.CommandContext(ctx, "python3", "-c", "import grpc, numpy, google.protobuf\nprint(flush=True)")
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	go func() { io.Copy(io.Discard, out); c.Wait() }() // its end is not waited for
	return err
}

// write prints it for people.
func (r *PythonResult) write(to io.Writer) error {
	if r.Missing != "" {
		_, err := fmt.Fprintf(to, "in Python                not measured: %s\n", r.Missing)
		return err
	}
	size := 4 * float64(r.Batch)
	for _, n := range r.Shape {
		size *= float64(n)
	}
	_, err := fmt.Fprintf(to, "a copy in Python         %8.2f ms a batch of %.1f MB, %.2f ms sample by sample\nfrom start to ready      %8.1f ms in Python, %.1f ms beyond what the interpreter's imports take (%.1f ms)\n",
		r.BatchMS, size/1e6, r.SampleMS, r.StartMS, r.BeyondMS, r.ImportsMS)
	return err
}
