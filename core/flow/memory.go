package flow

import (
	"fmt"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/train"
)

// programsBytes stands for what cannot be counted beforehand: code, stacks and small data of this program and of its
// plugins. Measured: 50 MiB for this one, 10 for each plugin written in Go, and half a dozen of them.
const programsBytes = 128 << 20

// room is what a training takes beside the network, in bytes. The data are not part of it: see dataBytes.
type room struct {
	sample     int64 // for each sample of a batch: views ahead of the training, and what the objective sees of the network
	loss       int64 // for each sample of a batch: what the objective computes with
	state      int64 // of the objective, with the copy for a checkpoint
	checkpoint int64 // the copy of the network's state that is written
	looking    int64 // the network that looks at what is learned after an epoch
	held       int64 // the state from which a training goes on when its engine has ended
}

// trainingMemory adds up what is known once the objective has given its program for a batch.
func (p *resolved) trainingMemory(program *protocol.Program, batch int) room {
	m := room{loss: int64(min(program.MemoryBytes, 1<<50)) / int64(batch), state: 2 * int64(program.StateBytes)}
	for _, v := range program.Views {
		m.sample += train.LoaderBatches * p.slotBytes[v.Pipeline]
	}
	copies := int64(1)
	if program.Momentum > 0 {
		copies = 2
	}
	state := func(g *model.Graph) int64 {
		return 4 * (copies*(g.Parameters()+g.Buffers()) + g.Parameters()) // the last: velocities
	}
	m.checkpoint = state(p.graph)
	for _, h := range p.heads {
		m.checkpoint += state(h)
	}
	gradient := map[string]int64{}
	for _, pass := range program.Passes {
		if pass.Gradient {
			gradient[pass.Name] = 1
		}
	}
	for _, t := range program.Taps {
		out := p.graph.Outputs[t.Output]
		if h := p.heads[t.Output]; h != nil {
			out = h.Outputs["out"]
		}
		m.sample += 4 * model.Size(out.Shape) * (1 + gradient[t.Pass])
	}
	return m
}

// beside is what an engine must leave room for.
func (m room) beside() engine.Beside {
	return engine.Beside{Fixed: m.state + m.checkpoint + m.looking + m.held + programsBytes, Sample: m.sample + m.loss}
}

// describe gives the sum and its parts, those that are not nothing, in MiB.
func (m room) describe(network int64, batch int) string {
	text := fmt.Sprintf("%d MiB", mib(network+m.beside().Of(batch)))
	n := int64(batch)
	var parts []string
	for _, part := range []struct {
		name  string
		bytes int64
	}{{"network", network}, {"batches", n * m.sample}, {"objective", n*m.loss + m.state}, {"checkpoint", m.checkpoint}, {"looking at what is learned", m.looking}, {"state held against a crash of the engine", m.held}, {"program and plugins about", programsBytes}} {
		if size := mib(part.bytes); size > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", part.name, size))
		}
	}
	return text + ": " + strings.Join(parts, ", ")
}

// dataBytes is the size of the stored data. They are mapped: they count to a process's memory, and the system takes
// their pages back when it is short.
func (p *resolved) dataBytes() int64 {
	objects, value := p.objects(), int64(1)
	for _, c := range p.catalogues {
		if c.Dtype != protocol.DType_U8 || c.Scale != p.catalogues[0].Scale {
			value = 4
		}
	}
	return objects * model.Size(p.facts.Shape) * value
}

// objects counts those of all sources.
func (p *resolved) objects() (n int64) {
	for _, c := range p.catalogues {
		n += int64(c.Count)
	}
	return n
}

func mib(bytes int64) int64 { return (bytes + 1<<19) >> 20 }
