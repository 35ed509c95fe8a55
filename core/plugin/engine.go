package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Engine is a configured engine: what core/engine asks of one is asked of a plugin.
type Engine struct {
	c     *configured
	can   *protocol.Capabilities
	calls context.Context // of every call
	close context.CancelFunc
}

var _ engine.Engine = (*Engine)(nil)

// stopping is how long calls may go on after the host was asked to stop: as long as a training waits for its step, and for
// the state that is written then.
const stopping = 30 * time.Second

// Engine configures an engine and asks what it can do. Calls end some seconds after ctx does.
func (h *Host) Engine(ctx context.Context, r Ref) (*Engine, error) {
	c, err := h.configure(ctx, r, protocol.Kind_ENGINE)
	if err != nil {
		return nil, err
	}
	can, err := call(ctx, c, "Report", c.engine.Report, &protocol.ReportRequest{Instance: c.instance})
	if err == nil {
		switch {
		case can.Opset < 1:
			err = c.broken("the engine reports the opset %d", can.Opset)
		case can.Device == "" || strings.ContainsAny(can.Device, "\n\r"):
			err = c.broken("the engine reports the device %q, which is not a name in one line", can.Device)
		case len(can.Precisions) == 0 || slices.Contains(can.Precisions, ""):
			err = c.broken("the engine reports the precisions %q, of which there must be some", can.Precisions)
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			c.release()
		}
		return nil, err
	}
	e := &Engine{c: c, can: can}
	e.calls, e.close = context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(stopping, e.close) })
	return e, nil
}

// Close releases the instance; its networks must be closed.
func (e *Engine) Close() error {
	e.close()
	return e.c.release()
}

// Name implements engine.Engine: that of the component.
func (e *Engine) Name() string { return e.c.ref.Name }

// Opset is the highest that the engine knows.
func (e *Engine) Opset() uint32 { return e.can.Opset }

// Revision implements engine.Engine: that of the component.
func (e *Engine) Revision() int {
	_, local, _ := strings.Cut(e.c.ref.Name, ".")
	return int(e.c.component(local).GetRevision())
}

// Describe implements engine.Engine: the device, as the engine names it.
func (e *Engine) Describe() string { return e.can.Device }

// own says whether the device has memory of its own.
func (e *Engine) own() bool {
	return e.can.Device != "cpu" && !strings.HasPrefix(e.can.Device, "cpu ") && !strings.HasPrefix(e.can.Device, "cpu:")
}

// check checks a program and whether the engine can compute it at all.
func (e *Engine) check(p engine.Program, o engine.Options) (*engine.Checked, error) {
	refuse := func(what, do string, err error) error {
		return &fault.Error{Op: "compile", Kind: fault.Config, Plugin: e.c.ref.Name, What: what, Do: do, Err: err}
	}
	if !slices.Contains(e.can.Precisions, string(precision(o))) {
		return nil, refuse(fmt.Sprintf("this engine does not compute in %s here", precision(o)), "choose "+strings.Join(e.can.Precisions, " or "),
			fmt.Errorf("%w: it computes on %s", engine.ErrPrecision, e.can.Device))
	}
	checked, err := engine.Check(p, o)
	if err != nil {
		return nil, err
	}
	models := []*protocol.Model{p.Encoder}
	for _, h := range p.Heads {
		models = append(models, h.Model)
	}
	for _, m := range models {
		if m.Opset > e.can.Opset {
			return nil, refuse(fmt.Sprintf("the network has layers of opset %d, and this engine knows opset %d", m.Opset, e.can.Opset),
				"install a newer version of the engine, or leave engine out to compute with the native one", nil)
		}
	}
	return checked, nil
}

func precision(o engine.Options) engine.Precision {
	if o.Precision == "" {
		return engine.Float32
	}
	return o.Precision
}

// Cost implements engine.Engine. Bytes are estimated: what every value of the passes with gradient and the largest of the
// others take, beside weights, gradients and the memory that is shared with the engine.
func (e *Engine) Cost(p engine.Program, o engine.Options) (engine.Cost, error) {
	checked, err := e.check(p, o)
	if err != nil {
		return engine.Cost{}, err
	}
	cost := e.price(checked, o)
	return cost, e.fits(p, o, cost)
}

// fits refuses a network that there is no memory for, here or on the device.
func (e *Engine) fits(p engine.Program, o engine.Options, cost engine.Cost) error {
	short := func(o engine.Options, have int64, are string, part func(engine.Cost) int64) error {
		if part(cost)+o.Beside.Of(o.Batch) <= have {
			return nil
		}
		return engine.Short(p, o, part(cost), have, are, func(o engine.Options) (int64, error) {
			checked, err := engine.Check(p, o)
			if err != nil {
				return 0, err
			}
			return part(e.price(checked, o)), nil
		})
	}
	if e.own() && e.can.MemoryBytes > 0 {
		there := o
		there.Beside = engine.Beside{}
		if err := short(there, int64(min(e.can.MemoryBytes, 1<<60)), "are free on "+e.can.Device, func(c engine.Cost) int64 { return c.Elsewhere }); err != nil {
			return err
		}
	}
	if have, known := protocol.AvailableMemory(); known {
		return short(o, have, "are available", func(c engine.Cost) int64 { return c.Bytes - c.Elsewhere })
	}
	return nil
}

// price estimates what a program takes.
func (e *Engine) price(c *engine.Checked, o engine.Options) engine.Cost {
	trained, buffers := c.Graph.Parameters(), c.Graph.Buffers()
	for _, g := range c.HeadGraphs {
		trained, buffers = trained+g.Parameters(), buffers+g.Buffers()
	}
	batch := int64(o.Batch)
	l := layoutOf(c, o)
	weights := trained + buffers
	device := weights
	if c.Momentum {
		device += weights
	}
	if l.learns {
		device += 2 * trained
	}
	cost := engine.Cost{Parameters: trained, ForwardFLOPs: c.Graph.FLOPs()}
	var kept, passing int64
	for _, p := range c.Passes {
		graphs := []*model.Graph{c.Graph}
		for _, h := range p.Heads {
			graphs = append(graphs, c.HeadGraphs[h])
		}
		var all, largest, flops int64
		for _, g := range graphs {
			flops += g.FLOPs()
			for _, layer := range g.Layers {
				all, largest = all+model.Size(layer.Shape), max(largest, model.Size(layer.Shape))
			}
		}
		if o.Mode == engine.Train && p.Gradient {
			flops *= 3 // the gradients of inputs and of weights take as much as the way forward, each
			kept += all
		}
		passing = max(passing, 3*largest)
		cost.StepFLOPs += flops * batch
	}
	value := int64(4)
	if precision(o) == engine.BFloat16 {
		value = 2
	}
	here := int64(l.in.Size() + l.out.Size() + l.transfer)
	if o.Mode == engine.Infer {
		here += 4 * weights // from which a new process is given them
	}
	deviceBytes := 4*device + value*batch*(kept+passing) + int64(l.in.Size()+l.out.Size())
	cost.Bytes = here + deviceBytes
	if e.own() {
		cost.Elsewhere = deviceBytes
	}
	return cost
}
