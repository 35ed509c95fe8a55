package native

import "github.com/asterism-ssl/asterism/core/engine"

// chunk is how many values a task of initialise draws.
const chunk = 1 << 16

// initialise draws the online weights.
func (n *network) initialise(seed uint64) {
	for _, name := range n.names {
		p := n.params[name]
		data := make([]float32, p.size)
		n.pool.Do((len(data)+chunk-1)/chunk, func(task int) {
			from := task * chunk
			engine.Initial(seed, name, p.Init, from, data[from:min(from+chunk, len(data))])
		})
		n.setValues(p, n.slabs.online, data)
	}
}
