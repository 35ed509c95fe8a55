package plugin

import (
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
)

// Blame implements engine.Network, as far as can be told without a look into the layers: from the weights, the inputs, and
// what lies at the taps.
func (n *network) Blame() *engine.Culprit {
	if n.closed || !n.train {
		return nil
	}
	weights, err := n.read(func(a stateArray) bool { return !strings.HasPrefix(a.name, engine.OptimiserPrefix) })
	if err != nil {
		return nil
	}
	statistic := ""
	for _, a := range weights {
		if firstBroken(a.Data) < 0 {
			continue
		}
		if !n.checked.Params[strings.TrimPrefix(a.Name, engine.MomentumPrefix)].Buffer {
			return &engine.Culprit{Place: engine.InParameter, Name: a.Name}
		}
		if statistic == "" {
			statistic = a.Name
		}
	}
	for _, p := range n.checked.Passes {
		if n.ran[p.Name] == notRun {
			continue
		}
		if at := firstBroken(n.inputs[p.Name]); at >= 0 {
			return &engine.Culprit{Place: engine.InInput, Pass: p.Name, Sample: at / (len(n.inputs[p.Name]) / n.batch)}
		}
	}
	for _, t := range n.checked.Taps {
		if n.ran[t.Pass] != notRun && firstBroken(n.taps[t.Name]) >= 0 {
			return &engine.Culprit{Place: engine.InTap, Name: t.Name, Pass: t.Pass}
		}
	}
	for _, t := range n.checked.Taps {
		g := n.gradients[t.Name]
		if at := firstBroken(g); at >= 0 && n.ran[t.Pass] == ranBackward {
			return &engine.Culprit{Place: engine.InTapGradient, Name: t.Name, Pass: t.Pass, Sample: at / (len(g) / n.batch)}
		}
	}
	if p := n.checked.Params[n.broken]; p != nil && !p.Buffer {
		return &engine.Culprit{Place: engine.InBackward, Parameter: n.broken}
	}
	if statistic != "" {
		return &engine.Culprit{Place: engine.InParameter, Name: statistic}
	}
	return nil
}

// firstBroken gives the place of the first value that is not finite, or -1.
func firstBroken(values []float32) int {
	return slices.IndexFunc(values, func(v float32) bool { return v-v != 0 })
}
