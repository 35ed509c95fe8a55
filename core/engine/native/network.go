package native

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
)

// network is a compiled program with its memory.
type network struct {
	*plan
	memory []float32
	slabs  *slabs
	pool   *kernel.Pool
	shapes map[string][]int64 // of taps
	closed bool
	seed   uint64 // of what layers draw
	step   uint64 // of the last Forward, for layers that draw
}

func newNetwork(l *plan, o engine.Options, memory []float32) (*network, error) {
	n := &network{plan: l, memory: memory, pool: kernel.NewPool(o.Threads), shapes: map[string][]int64{}, seed: o.Seed}
	left := memory
	n.slabs = l.region(func(size int) []float32 {
		part := left[:size:size]
		left = left[size:]
		return part
	})
	for _, pass := range l.program.passes {
		if err := n.bind(l.passes[pass.Name]); err != nil {
			n.Close()
			return nil, &fault.Error{Op: "compile", Kind: fault.Internal, What: "the native engine cannot execute this program", Err: err}
		}
	}
	for _, t := range l.program.taps {
		n.shapes[t.Name] = l.tapShape(t)
	}
	n.initialise(o.Seed)
	copy(n.slabs.momentum, n.slabs.online)
	return n, nil
}

func (n *network) Cost() engine.Cost { return n.cost }

func (n *network) Input(pass string) []float32 {
	q := n.passes[pass]
	if q == nil {
		return nil
	}
	return q.input.data
}

func (n *network) Tap(name string) []float32         { return n.slabs.taps[name] }
func (n *network) TapShape(name string) []int64      { return n.shapes[name] }
func (n *network) TapGradient(name string) []float32 { return n.slabs.seeds[name] }

func misuse(format string, args ...any) error {
	return &fault.Error{Op: "compute", Kind: fault.Internal, What: fmt.Sprintf(format, args...)}
}

func (n *network) Forward(pass string, samples int, step uint64) error {
	q := n.passes[pass]
	switch {
	case n.closed:
		return misuse("the network is closed")
	case q == nil:
		return misuse("there is no pass %q", pass)
	case samples < 1 || samples > n.batch:
		return misuse("pass %q of %d samples in a network for %d", pass, samples, n.batch)
	case samples < n.batch && n.mustFill:
		return misuse("pass %q of %d samples: a batch in training has %d", pass, samples, n.batch)
	}
	n.step = step
	for _, i := range q.instructions[:q.schedule.forward] {
		i.run(samples)
	}
	q.ran, q.step = ranForward, step
	return nil
}

func (n *network) Backward(pass string) error {
	q := n.passes[pass]
	switch {
	case n.closed:
		return misuse("the network is closed")
	case q == nil || !q.gradient:
		return misuse("there is no pass %q with a gradient", pass)
	case q.ran != ranForward:
		return misuse("the gradient of pass %q before its forward pass", pass)
	}
	q.ran = ranBackward
	for _, i := range q.instructions[q.schedule.forward:] {
		i.run(n.batch)
	}
	return nil
}

func (n *network) Step(o engine.Optimiser) error {
	if n.closed || !n.training {
		return misuse("a step of a network without gradients")
	}
	if what := n.notFinite(); what != "" {
		clear(n.slabs.gradients)
		return &fault.Error{Op: "train", Kind: fault.Diverged, What: what + " is not finite", Do: "lower the learning rate, or lengthen the warm-up"}
	}
	move := func(from, to int, lr, decay float64) {
		if to > from {
			s := n.slabs
			n.pool.SGD(float32(lr), float32(o.Momentum), float32(decay), s.gradients[from:to], s.velocities[from:to], s.online[from:to])
		}
	}
	if o.Encoder == 0 || o.Encoder == 1 {
		move(0, n.decayed, o.LR, o.WeightDecay)
		move(n.decayed, n.trained, o.LR, 0)
	} else {
		for _, p := range n.params {
			if p.buffer {
				continue
			}
			lr, decay := o.LR, 0.
			if strings.HasPrefix(p.name, encoderPrefix) {
				lr *= o.Encoder
			}
			if p.offset < n.decayed {
				decay = o.WeightDecay
			}
			move(p.offset, p.offset+p.room, lr, decay)
		}
	}
	n.changed(false)
	return nil
}

func (n *network) UpdateMomentum(m float64) error {
	if n.closed || n.slabs.momentum == nil {
		return misuse("a momentum update of a network without a second one")
	}
	n.pool.Lerp(float32(m), n.slabs.online[:n.trained], n.slabs.momentum[:n.trained])
	n.changed(true)
	return nil
}

const (
	encoderPrefix   = engine.EncoderPrefix
	momentumPrefix  = engine.MomentumPrefix
	optimiserPrefix = engine.OptimiserPrefix
)

// named is a view of one array of the network's state.
type named struct {
	prefix string
	*param
	slab []float32
}

func (n *network) state(all bool) []named {
	var list []named
	for _, name := range n.names {
		p := n.params[name]
		list = append(list, named{"", p, n.slabs.online})
		if all && n.slabs.momentum != nil {
			list = append(list, named{momentumPrefix, p, n.slabs.momentum})
		}
		if all && n.slabs.velocities != nil && !p.buffer {
			list = append(list, named{optimiserPrefix, p, n.slabs.velocities})
		}
	}
	slices.SortFunc(list, func(a, b named) int { return strings.Compare(a.prefix+a.name, b.prefix+b.name) })
	return list
}

func (n *network) arrays(all bool) []engine.Array {
	if n.closed {
		return nil
	}
	var list []engine.Array
	for _, s := range n.state(all) {
		list = append(list, engine.Array{Name: s.prefix + s.name, Shape: slices.Clone(s.Shape), Data: n.values(s.param, s.slab)})
	}
	return list
}

func (n *network) Params() ([]engine.Array, error) { return n.arrays(false), nil }
func (n *network) State() ([]engine.Array, error)  { return n.arrays(true), nil }

func (n *network) SetParams(arrays []engine.Array) error { return n.set(arrays, false) }
func (n *network) SetState(arrays []engine.Array) error  { return n.set(arrays, true) }

// set replaces arrays, all of them or, where one is wrong, none.
func (n *network) set(arrays []engine.Array, all bool) error {
	if n.closed {
		return misuse("the network is closed")
	}
	known := map[string]named{}
	for _, s := range n.state(all) {
		known[s.prefix+s.name] = s
	}
	for _, a := range arrays {
		s, ok := known[a.Name]
		if !ok {
			return engine.NoArray(a)
		}
		if !slices.Equal(a.Shape, s.Shape) || len(a.Data) != s.size {
			return engine.OtherShape(a, s.Shape)
		}
	}
	for _, a := range arrays {
		s := known[a.Name]
		n.setValues(s.param, s.slab, a.Data)
	}
	n.changed(false)
	n.changed(true)
	return nil
}

func (n *network) Close() error {
	if n.closed {
		return nil
	}
	n.closed = true
	n.pool.Close()
	err := giveMemory(n.memory)
	n.memory, n.slabs = nil, &slabs{}
	for _, q := range n.passes {
		q.input.data = nil
	}
	return err
}
