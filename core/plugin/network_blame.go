package plugin

import (
	"math"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
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

// overflow is what all that a pass computes must be less than, for sure, before the engine is to blame for what is not finite.
const overflow = 1e37

// tame says whether the inputs and weights of a pass are finite and so small that nothing in it can overflow.
func (n *network) tame(pass string, samples int) bool {
	input := n.inputs[pass][:len(n.inputs[pass])/n.batch*samples]
	if firstBroken(input) >= 0 {
		return false
	}
	p, prefix := n.checked.Pass(pass), ""
	if p.Network == protocol.Network_MOMENTUM {
		prefix = engine.MomentumPrefix
	}
	weights, err := n.read(func(a stateArray) bool {
		return strings.HasPrefix(a.name, prefix+engine.EncoderPrefix) || strings.HasPrefix(a.name, prefix+engine.HeadPrefix)
	})
	if err != nil {
		return false
	}
	values := map[string][]float32{}
	for _, a := range weights {
		if firstBroken(a.Data) >= 0 {
			return false
		}
		values[a.Name] = a.Data
	}
	bound := func(g *model.Graph, prefix string, input float64) (map[string]float64, float64) {
		return g.Bound(input, n.batch, n.train, func(name string) []float32 { return values[prefix+name] })
	}
	outputs, worst := bound(n.checked.Graph, prefix+engine.EncoderPrefix, largest(input))
	for _, h := range n.checked.Heads {
		if slices.Contains(p.Heads, h.Name) {
			_, w := bound(n.checked.HeadGraphs[h.Name], prefix+engine.HeadPrefix+h.Name+".", outputs[h.Input])
			worst = max(worst, w)
		}
	}
	return worst < overflow
}

func largest(values []float32) float64 {
	var n float64
	for _, v := range values {
		n = max(n, math.Abs(float64(v)))
	}
	return n
}

// firstBroken gives the place of the first value that is not finite, or -1.
func firstBroken(values []float32) int {
	return slices.IndexFunc(values, func(v float32) bool { return v-v != 0 })
}
