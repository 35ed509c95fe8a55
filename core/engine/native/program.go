package native

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// program is a checked engine.Program.
type program struct {
	encoder  *model.Graph
	heads    map[string]*head
	passes   []*protocol.Pass
	taps     []*protocol.Tap
	momentum bool
	params   map[string]*param // by full name: "encoder.conv1.weight"
	names    []string          // of params, sorted
}

type head struct {
	graph *model.Graph
	input string // an output of the encoder
}

type param struct {
	*protocol.Parameter
	name   string
	buffer bool
	size   int // values
	// packed is how a slab of weights, gradients or velocities holds the parameter where products alone read it: as the
	// kernels read it, for this geometry; nil: in PyTorch's layout. See pack.go.
	packed *kernel.Geometry
	room   int // values in a slab
	offset int // in a slab of weights; trained ones lie at the same offset in slabs of gradients and velocities
}

func refuse(kind fault.Kind, do, format string, args ...any) error {
	return &fault.Error{Op: "compile", Kind: kind, What: fmt.Sprintf(format, args...), Do: do}
}

// check checks what engine.Program says and what the options ask for.
func check(e engine.Program, o engine.Options) (*program, error) {
	switch {
	case o.Precision == "" || o.Precision == engine.Float32:
	case o.Precision != engine.BFloat16:
		return nil, refuse(fault.Config, "choose float32 or bfloat16", "the native engine does not compute in %q", o.Precision)
	case !kernel.HasBFloat16():
		return nil, &fault.Error{Op: "compile", Kind: fault.Config, What: "bfloat16 cannot be computed here", Err: fmt.Errorf("%w: the kernels compute with %s", engine.ErrPrecision, kernel.Describe()),
			Do: "choose float32, or a processor with AVX-512 BF16"}
	}
	c, err := engine.Check(e, o)
	if err != nil {
		return nil, err
	}
	p := &program{encoder: c.Graph, heads: map[string]*head{}, passes: e.Passes, taps: e.Taps, momentum: e.Momentum, params: map[string]*param{}, names: c.Names}
	for _, h := range e.Heads {
		p.heads[h.Name] = &head{c.HeadGraphs[h.Name], h.Input}
	}
	for name, q := range c.Params {
		p.params[name] = &param{Parameter: q, name: name, buffer: q.Buffer, size: int(model.Size(q.Shape))}
	}
	return p, nil
}

// tapShape is the shape of what a tap looks at, of one sample.
func (p *program) tapShape(t *protocol.Tap) []int64 {
	if h := p.heads[t.Output]; h != nil {
		return h.graph.Outputs["out"].Shape
	}
	return p.encoder.Outputs[t.Output].Shape
}
