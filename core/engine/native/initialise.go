package native

import (
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// chunk is how many values a task of initialise draws.
const chunk = 1 << 16

// initialise draws the online weights. The key is of (seed, "init", name); elements 2i and 2i+1 are the first two draws
// at counter i, so that a weight depends on nothing but the seed, its name and its index.
func (n *network) initialise(seed uint64) {
	for _, name := range n.names {
		p := n.params[name]
		data := make([]float32, p.size)
		k := key.New(seed, "init", name)
		var draw func(s *key.Source) float32
		switch is := p.Init.GetIs().(type) {
		case *protocol.Init_Constant:
			n.pool.Fill(float32(is.Constant), data)
			n.setValues(p, n.slabs.online, data)
			continue
		case *protocol.Init_Normal:
			draw = func(s *key.Source) float32 { return float32(is.Normal * s.Normal()) }
		case *protocol.Init_Uniform:
			draw = func(s *key.Source) float32 { return float32(s.Between(-is.Uniform, is.Uniform)) }
		}
		n.pool.Do((len(data)+chunk-1)/chunk, func(task int) {
			for i := task * chunk; i < min((task+1)*chunk, len(data)); i += 2 {
				s := k.At(0, uint64(i/2))
				data[i] = draw(s)
				if i+1 < len(data) {
					data[i+1] = draw(s)
				}
			}
		})
		n.setValues(p, n.slabs.online, data)
	}
}
