package native

import (
	"slices"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/kernel"
)

// A step checks its gradients and running statistics alone. Where they, or the loss, are not finite, the step is computed
// once more with a look at what every instruction writes: steps that go well pay nothing.

// notFinite names what a step left with values that are not finite; "" where there is none. Running statistics tell of
// overflows that the rest hides: a batch norm divides by its deviation, and what is divided by infinity is zero.
func (n *network) notFinite() string {
	if !n.pool.Finite(n.slabs.gradients) {
		return "the gradient of " + n.broken(n.slabs.gradients, false)
	}
	for _, momentum := range []bool{false, true} {
		if slab := n.slab(momentum); slab != nil && !n.pool.Finite(slab[n.trained:n.plan.weights]) {
			return prefixOf(momentum) + n.broken(slab, true)
		}
	}
	return ""
}

// broken names the first parameter, or the first buffer, whose part of a slab is not finite; "" where there is none.
func (n *network) broken(slab []float32, buffers bool) string {
	for _, name := range n.names {
		if p := n.params[name]; p.buffer == buffers && firstBroken(kernel.Float32s(p.of(slab))) >= 0 {
			return name
		}
	}
	return ""
}

// firstBroken gives the place of the first value that is not finite, or −1.
func firstBroken(a kernel.Array) int {
	if a.Half() {
		const infinite = 0x7f80 // the exponent of infinities and NaN
		return slices.IndexFunc(a.BFloat16(), func(v kernel.BFloat16) bool { return v&infinite == infinite })
	}
	return slices.IndexFunc(a.Float32(), func(v float32) bool { return v-v != 0 })
}

func prefixOf(momentum bool) string {
	if momentum {
		return momentumPrefix
	}
	return ""
}

func (n *network) Blame() *engine.Culprit {
	if n.closed || !n.mustFill { // without a step there is no blame
		return nil
	}
	var slabs []bool // those of momentum: false, true
	for _, momentum := range []bool{false, true} {
		if slab := n.slab(momentum); slab != nil {
			slabs = append(slabs, momentum)
			if name := n.broken(slab, false); name != "" {
				return &engine.Culprit{Place: engine.InParameter, Name: prefixOf(momentum) + name}
			}
		}
	}
	// Forward passes move running statistics, and take deviations from the running mean: those that the step has broken
	// are zero meanwhile.
	statistic := ""
	for _, momentum := range slabs {
		if name := n.broken(n.slab(momentum), true); name != "" && statistic == "" {
			statistic = prefixOf(momentum) + name
		}
		buffers := n.slab(momentum)[n.trained:n.plan.weights]
		defer copy(buffers, slices.Clone(buffers))
		for i, v := range buffers {
			if v-v != 0 {
				buffers[i] = 0
			}
		}
	}
	clear(n.slabs.gradients)
	defer clear(n.slabs.gradients)
	defer func(step uint64) { n.step = step }(n.step)
	if c := n.again(); c != nil {
		return c
	}
	if statistic != "" { // no pass has broken it
		return &engine.Culprit{Place: engine.InParameter, Name: statistic}
	}
	return nil
}

// again computes what ran in the last step, as far as it ran, until something is not finite.
func (n *network) again() *engine.Culprit {
	var ran, back []*passPlan
	for _, p := range n.program.passes {
		q := n.passes[p.Name]
		if q.ran != notRun {
			ran = append(ran, q)
		}
		if q.ran == ranBackward {
			back = append(back, q)
		}
	}
	for _, q := range ran {
		if at := firstBroken(q.input.array(n.batch)); at >= 0 {
			return &engine.Culprit{Place: engine.InInput, Pass: q.Name, Sample: at / q.input.sample}
		}
		n.step = q.step
		for _, i := range q.instructions[:q.schedule.forward] {
			if c := n.watch(q, i, engine.InForward); c != nil {
				return c
			}
		}
	}
	for _, t := range n.program.taps {
		q := n.passes[t.Pass]
		if v := q.seeds[t.Name]; v != nil && q.ran == ranBackward {
			if at := firstBroken(v.array(n.batch)); at >= 0 {
				return &engine.Culprit{Place: engine.InTapGradient, Name: t.Name, Pass: q.Name, Sample: at / v.sample}
			}
		}
	}
	for _, q := range back {
		for _, i := range q.instructions[q.schedule.forward:] {
			if c := n.watch(q, i, engine.InBackward); c != nil {
				return c
			}
		}
	}
	return nil
}

// watch runs an instruction whose inputs are finite, and blames its layer where an output is not.
func (n *network) watch(q *passPlan, i *instruction, place engine.Place) *engine.Culprit {
	i.run(n.batch)
	for _, v := range i.writes() {
		if v.index || firstBroken(v.array(n.batch)) < 0 {
			continue
		}
		c := &engine.Culprit{Place: place, Name: i.layer, With: i.joined, Pass: q.Name}
		switch {
		case i.statistics != nil && v == i.statistics.out:
			c.Name, c.With = i.statistics.layer, nil
		case v.place == inGradients:
			c.Parameter = v.name
		case i.sum && len(v.users) > 0: // the gradient of what the next layer back gave
			c.Name = v.users[0].layer
		}
		return c
	}
	for _, s := range []*instruction{i, i.statistics} {
		if s == nil || s.kind != opStatistics {
			continue
		}
		mean, variance := n.running(q, s)
		if firstBroken(kernel.Float32s(mean)) >= 0 || firstBroken(kernel.Float32s(variance)) >= 0 {
			return &engine.Culprit{Place: place, Name: s.layer, Pass: q.Name}
		}
	}
	return nil
}
