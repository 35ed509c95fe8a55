package native

import (
	"slices"
	"sort"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// line is what arrays are aligned to: 16 values, 64 bytes.
const line = 16

func align(n int) int { return (n + line - 1) &^ (line - 1) }

// plan is everything about a compiled program that takes no memory: schedules, and where each array lies.
type plan struct {
	*program
	batch    int
	training bool // there are gradients and velocities
	mustFill bool // batch norm takes its statistics over the batch, so that it must be whole
	passes   map[string]*passPlan
	decayed  int // trained values with weight decay, at the start of a slab
	trained  int // trained values
	weights  int // trained values and buffers
	packs    map[packKey]*pack
	order    []*pack // of packs, for the same layout every time
	scratch  int     // of weight gradients and packing
	packing  int     // of the largest packed weights
	shadows  int     // of arrays converted around an instruction
	shared   int     // arena of passes without gradient
	total    int     // values of the whole memory
	cost     engine.Cost
}

type passPlan struct {
	*protocol.Pass
	*schedule
	gradient bool
	arena    int
	ran      progress
	step     uint64 // of the last Forward
}

// progress is how far a pass has come in a step.
type progress int

const (
	notRun progress = iota
	ranForward
	ranBackward // and its activations are overwritten
)

// newPlan plans a checked program. It takes milliseconds and little memory, whatever the batch. A plain plan, with which
// tests compare, fuses nothing and gives every value memory of its own.
func newPlan(p *program, o engine.Options, plain bool) (*plan, error) {
	l := &plan{program: p, batch: o.Batch, mustFill: o.Mode == engine.Train, passes: map[string]*passPlan{}, packs: map[packKey]*pack{}}
	half := o.Precision == engine.BFloat16
	for _, pass := range p.passes {
		low, err := p.lower(pass, o.Batch, o.Mode == engine.Train, half)
		if err != nil {
			return nil, err
		}
		s, err := low.schedule(o.Batch, plain, half)
		if err != nil {
			return nil, err
		}
		q := &passPlan{Pass: pass, schedule: s, gradient: o.Mode == engine.Train && pass.Gradient}
		q.arena = s.place(o.Batch, plain)
		l.passes[pass.Name] = q
		l.training = l.training || q.gradient
		if !q.gradient {
			l.shared = max(l.shared, q.arena)
		}
	}
	l.layouts()
	l.layout()
	for _, pass := range p.passes {
		l.needs(l.passes[pass.Name])
	}
	l.price()
	return l, nil
}

// layout gives every parameter its place in a slab of weights: with weight decay, without, buffers.
func (l *plan) layout() {
	at := 0
	for class := range 3 {
		for _, name := range l.names {
			p := l.params[name]
			if is := map[bool]int{true: 1}[p.NoDecay]; p.buffer && class == 2 || !p.buffer && class == is {
				p.offset = at
				at += align(p.room)
			}
		}
		switch class {
		case 0:
			l.decayed = at
		case 1:
			l.trained = at
		}
	}
	l.weights = at
}

// price adds up memory and work.
func (l *plan) price() {
	l.region(func(int) []float32 { return nil })
	l.cost = engine.Cost{ForwardFLOPs: l.encoder.FLOPs()}
	for _, p := range l.params {
		if !p.buffer {
			l.cost.Parameters += int64(p.size)
		}
	}
	l.cost.Bytes = 4 * int64(l.total)
	for _, q := range l.passes {
		for _, i := range q.instructions {
			switch i.kind {
			case opConv, opConvInput, opConvWeight, opUnitWeight:
				l.cost.StepFLOPs += i.flops(l.batch)
			}
			if flops := operators[i.kind].flops; flops != nil {
				l.cost.StepFLOPs += flops(i, l.batch)
			}
		}
	}
}

// flops counts the work of a product, without channels that are only there to be even.
func (i *instruction) flops(batch int) int64 {
	g := i.geometry(batch)
	return g.FLOPs() / int64(g.InC) * int64(g.InC-i.thin)
}

// region walks through all memory in one order: first to add it up, later to hand it out.
func (l *plan) region(take func(n int) []float32) *slabs {
	l.total = 0
	next := func(n int) []float32 {
		l.total += align(n)
		if part := take(align(n)); part != nil {
			return part[:n:n]
		}
		return nil
	}
	s := &slabs{arenas: map[string][]float32{}, inputs: map[string][]float32{}, taps: map[string][]float32{}, seeds: map[string][]float32{}}
	s.online = next(l.weights)
	if l.program.momentum {
		s.momentum = next(l.weights)
	}
	if l.training {
		s.gradients, s.velocities = next(l.trained), next(l.trained)
	}
	if l.mustFill {
		packing := next(l.packing)
		for _, p := range l.order {
			p.data = packing
		}
	} else {
		for _, p := range l.order {
			p.data = next(p.room())
		}
	}
	s.scratch, s.shadows = next(l.scratch), next(l.shadows)
	s.shared = next(l.shared)
	for _, pass := range l.program.passes {
		q := l.passes[pass.Name]
		s.inputs[pass.Name] = next(q.input.size(l.batch))
		if q.gradient {
			s.arenas[pass.Name] = next(q.arena)
		}
	}
	for _, t := range l.program.taps {
		q := l.passes[t.Pass]
		s.taps[t.Name] = next(q.taps[t.Name].size(l.batch))
		if q.gradient {
			s.seeds[t.Name] = next(q.taps[t.Name].size(l.batch))
		}
	}
	return s
}

// slabs are the parts of the memory.
type slabs struct {
	online, momentum, gradients, velocities, scratch, shadows, shared []float32
	arenas, inputs, taps, seeds                                       map[string][]float32
}

// place gives every value in the arena an offset, such that no two that are alive at once overlap, and returns the
// arena's length. A value whose last reader may overwrite it hands its place on.
func (s *schedule) place(batch int, plain bool) int {
	for t, i := range s.instructions {
		for _, v := range i.writes() {
			v.first, v.last = t, t
		}
		for _, v := range i.reads() {
			v.last = t
		}
	}
	var a arena
	if plain {
		for _, v := range s.values {
			if v.place == inArena {
				v.offset = a.take(align(v.room(batch)))
			}
		}
		return a.top
	}
	for t, i := range s.instructions {
		handed := map[*value]bool{}
		for _, w := range i.writes() {
			if w.place != inArena {
				continue
			}
			if from := i.overwritable(w, t, handed); from != nil && from.half == w.half && from.size(batch) == w.size(batch) {
				handed[from] = true
				w.offset = from.offset
				continue
			}
			w.offset = a.take(align(w.room(batch)))
		}
		done := map[*value]bool{}
		for _, v := range append(i.reads(), i.writes()...) {
			if v.place == inArena && v.last == t && !handed[v] && !done[v] {
				done[v] = true
				a.give(v.offset, align(v.room(batch)))
			}
		}
	}
	return a.top
}

// overwritable gives an input that ends here and that the kernel allows the output w to overwrite.
func (i *instruction) overwritable(w *value, t int, handed map[*value]bool) *value {
	onto := operators[i.kind].onto
	if onto == nil {
		return nil
	}
	if w == i.side {
		return nil
	}
	for _, v := range onto(i, w) {
		if v != nil && v.place == inArena && v.last == t && !handed[v] {
			return v
		}
	}
	return nil
}

// arena hands out offsets: the smallest gap that fits, or more memory at the top.
type arena struct {
	gaps []gap // sorted, never touching
	top  int
}

type gap struct{ at, size int }

func (a *arena) take(n int) int {
	best := -1
	for k, g := range a.gaps {
		if g.size >= n && (best < 0 || g.size < a.gaps[best].size) {
			best = k
		}
	}
	if best < 0 {
		at := a.top
		if k := len(a.gaps) - 1; k >= 0 && a.gaps[k].at+a.gaps[k].size == a.top { // grow the last gap
			at = a.gaps[k].at
			a.gaps = a.gaps[:k]
		}
		a.top = at + n
		return at
	}
	at := a.gaps[best].at
	if a.gaps[best].size == n {
		a.gaps = slices.Delete(a.gaps, best, best+1)
	} else {
		a.gaps[best] = gap{at + n, a.gaps[best].size - n}
	}
	return at
}

func (a *arena) give(at, n int) {
	if n == 0 {
		return
	}
	k := sort.Search(len(a.gaps), func(k int) bool { return a.gaps[k].at > at })
	a.gaps = slices.Insert(a.gaps, k, gap{at, n})
	if k+1 < len(a.gaps) && a.gaps[k].at+a.gaps[k].size == a.gaps[k+1].at {
		a.gaps[k].size += a.gaps[k+1].size
		a.gaps = slices.Delete(a.gaps, k+1, k+2)
	}
	if k > 0 && a.gaps[k-1].at+a.gaps[k-1].size == a.gaps[k].at {
		a.gaps[k-1].size += a.gaps[k].size
		a.gaps = slices.Delete(a.gaps, k, k+1)
	}
}
