package native

import (
	"fmt"
	"strings"

	"github.com/asterism-ssl/asterism/core/kernel"
	"gorgonia.org/gorgonia"
)

// place says where the data of a value are.
type place int

const (
	inArena     place = iota // planned memory
	inInput                  // the caller fills it
	inWeights                // a parameter or buffer of the pass's network
	inGradients              // the gradient of a parameter, accumulated by every pass
	inTap                    // the caller reads it
	inSeed                   // the caller fills it: the loss's gradient at a tap
)

// value is an array that instructions read and write.
type value struct {
	name   string // of the parameter or input
	place  place
	sample int  // values of one sample, or 0 where the batch does not matter
	fixed  int  // values, where sample is 0
	half   bool // bfloat16
	whole  bool // not to be converted
	index  bool // integers
	keep   bool
	made   *instruction
	users  []*instruction

	first, last int // instructions that write it and read it last; see plan.go
	offset      int // in the arena
	data        []float32
}

func (v *value) size(batch int) int { return v.sample*batch + v.fixed }

// room is how many float32 the value takes in memory.
func (v *value) room(batch int) int {
	if v.half {
		return (v.size(batch) + 1) / 2
	}
	return v.size(batch)
}

// array gives the part of the data that n samples take, in either type.
func (v *value) array(n int) kernel.Array {
	switch {
	case v == nil:
		return kernel.Array{}
	case v.half:
		return kernel.Halves(v.data).First(v.size(n))
	}
	return kernel.Float32s(v.at(n))
}

// at gives the part of the data that n samples take; the value must be float32.
func (v *value) at(n int) []float32 {
	if v == nil {
		return nil
	}
	if v.sample == 0 {
		return v.data
	}
	return v.data[:v.sample*n]
}

// instruction is one call of a kernel: an operator, and what was fused with it.
type instruction struct {
	*op
	in         []*value
	out        *value
	side       *value       // second output: where maxima were, lengths of rows
	residual   *value       // norm: added before the activation
	addend     *value       // conv, conv dx: added
	statistics *instruction // conv: the batch norm's statistics that it takes on the way
	relu       bool         // norm: with activation
	joined     []string     // the layers that were fused into it, after its own
	mask       *value       // norm reduce, norm dx: dy counts where this is positive
	masked     *value       // norm dx: second output, dy where mask is positive
	fixed      *fixedNorm   // conv: the batch norm in inference that its weights hold
	gone       bool
	run        func(n int)
}

// reads gives every value that the instruction reads.
func (i *instruction) reads() []*value {
	r := append([]*value(nil), i.in...)
	if i.residual != nil {
		r = append(r, i.residual)
	}
	if i.mask != nil {
		r = append(r, i.mask)
	}
	if i.addend != nil {
		r = append(r, i.addend)
	}
	return r
}

func (i *instruction) writes() []*value {
	w := []*value{i.out}
	if i.side != nil {
		w = append(w, i.side)
	}
	if i.masked != nil {
		w = append(w, i.masked)
	}
	if i.statistics != nil {
		w = append(w, i.statistics.out)
	}
	return w
}

// schedule is a pass as a sequence of instructions: first those of the forward pass, then those of the backward pass.
type schedule struct {
	instructions []*instruction
	forward      int // how many belong to the forward pass
	input        *value
	taps, seeds  map[string]*value
	values       []*value
}

// schedule orders what the taps and gradients need by the nodes' ids: Gorgonia numbers a node after those that it reads.
// A plain schedule is not fused. With half, activations and their gradients are stored as bfloat16.
func (l *lowered) schedule(batch int, plain, half bool) (*schedule, error) {
	s := &schedule{taps: map[string]*value{}, seeds: map[string]*value{}}
	needed := map[int64]bool{}
	var need func(n *gorgonia.Node)
	need = func(n *gorgonia.Node) {
		if !needed[n.ID()] {
			needed[n.ID()] = true
			for _, c := range children(l.graph, n) {
				need(c)
			}
		}
	}
	need(l.input) // though learned values alone may be asked for
	for _, n := range l.taps {
		need(n)
	}
	for _, n := range l.gradients {
		need(n)
	}
	places := map[int64]place{l.input.ID(): inInput}
	for _, n := range l.params {
		places[n.ID()] = inWeights
	}
	for _, n := range l.seeds {
		places[n.ID()] = inSeed
	}
	byID := map[int64]*value{}
	for _, n := range l.graph.AllNodes() {
		if !needed[n.ID()] {
			continue
		}
		o, known := n.Op().(*op)
		if known && operators[o.kind].view {
			byID[n.ID()] = byID[children(l.graph, n)[0].ID()]
			continue
		}
		v := &value{place: places[n.ID()]}
		shape := n.Shape()
		perSample := v.place != inWeights
		if known && operators[o.kind].fixed {
			perSample = false
		}
		byID[n.ID()] = v
		s.values = append(s.values, v)
		if n.Op() == nil {
			v.name = n.Name()
			if v.set(shape.TotalSize(), perSample, batch); v.place == inArena {
				return nil, fmt.Errorf("the graph has an unknown input %q", n.Name())
			}
			continue
		}
		i := &instruction{op: o, out: v}
		for _, c := range children(l.graph, n) {
			i.in = append(i.in, byID[c.ID()])
		}
		if !known { // only the addition that Gorgonia inserts where gradients meet
			if a, ok := n.Op().(gorgonia.BinaryOp); !ok || !strings.HasPrefix(a.String(), "+") || len(i.in) != 2 {
				return nil, fmt.Errorf("an unknown operator is in the differentiated graph: %v", n.Op())
			}
			i.op = &op{kind: opAdd, layer: fmt.Sprintf("gradients %d", n.ID()), sum: true}
			perSample = i.in[0].sample > 0
		}
		v.set(shape.TotalSize(), perSample, batch)
		v.made = i
		i.gone = operators[i.kind].side // computed together with what reads it
		v.whole, v.index = i.gone || operators[i.kind].whole, operators[i.kind].integers
		if last := i.in[len(i.in)-1]; last.made != nil && operators[last.made.kind].side && (n.ID() < l.forward || operators[i.kind].second == last.made.kind) {
			i.side, i.in = last, i.in[:len(i.in)-1]
			i.side.made = i
		}
		s.instructions = append(s.instructions, i)
		if n.ID() < l.forward {
			s.forward = len(s.instructions)
		}
	}
	s.input = byID[l.input.ID()]
	for name, n := range l.taps {
		v := byID[n.ID()]
		v.place, v.keep = inTap, true
		s.taps[name] = v
	}
	for name, n := range l.seeds {
		if v := byID[n.ID()]; v != nil {
			s.seeds[name] = v
		}
	}
	for full, n := range l.gradients {
		if err := accumulate(byID[n.ID()], full); err != nil {
			return nil, err
		}
	}
	for _, v := range s.values {
		v.half = half && v.place == inArena && v.sample > 0 && !v.whole
	}
	s.compact()
	if !plain {
		s.fuse()
	}
	return s, nil
}

func (v *value) set(size int, perSample bool, batch int) {
	if perSample {
		v.sample = size / batch
	} else {
		v.fixed = size
	}
}

// accumulate makes a gradient, and every term of it where a parameter is used several times, add to the step's gradient.
func accumulate(v *value, parameter string) error {
	i := v.made
	if i == nil || v.keep {
		return fmt.Errorf("the gradient of %q is not a value of its own", parameter)
	}
	switch {
	case i.kind == opAdd:
		i.gone = true
		for _, term := range i.in {
			if err := accumulate(term, parameter); err != nil {
				return err
			}
		}
		return nil
	case operators[i.kind].adds:
		v.name, v.place, v.keep = parameter, inGradients, true
		return nil
	}
	return fmt.Errorf("the gradient of %q comes from %s, which cannot accumulate", parameter, i.op)
}

// compact drops the instructions that are gone and finds who reads what.
func (s *schedule) compact() {
	kept := s.instructions[:0]
	forward := 0
	for n, i := range s.instructions {
		if i.gone {
			continue
		}
		kept = append(kept, i)
		if n < s.forward {
			forward++
		}
	}
	s.instructions, s.forward = kept, forward
	for _, v := range s.values {
		v.users = v.users[:0]
	}
	for _, i := range s.instructions {
		for _, v := range i.reads() {
			v.users = append(v.users, i)
		}
	}
}
