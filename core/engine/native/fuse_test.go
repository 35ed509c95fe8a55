package native

import (
	"fmt"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// A batch norm whose channels are not those of the convolution before it, as a reshape lies between them, has statistics,
// a scale and a shift of its own.
func TestNormOfAnotherShapeThanTheConvolution(t *testing.T) {
	for name, shape := range map[string][]int64{"more channels": {2, 24}, "fewer channels": {8, 2, 3}, "samples as channels": {48}} {
		for _, mode := range []engine.Mode{engine.Train, engine.Infer} {
			t.Run(fmt.Sprintf("%s, mode %d", name, mode), func(t *testing.T) {
				b := newBuilder(4, 2, 6)
				x := b.reshape("shaped", b.conv("c", "input", 6, 6, 3, 1, 1), shape...)
				c := shape[len(shape)-1]
				b.Outputs["features"] = b.norm("bn", x, c, 1)
				b.Outputs["representation"] = b.reshape("flat", b.relu("relu", "bn"), 48)
				for _, p := range b.Parameters { // so that each channel is scaled differently
					if p.Name == "bn.weight" {
						p.Init = uniform(1)
					}
				}
				p := alone(b.Model)
				p.Taps = append(p.Taps, &protocol.Tap{Name: "map", Pass: "only", Output: "features"})
				p.Passes[0].Gradient = mode == engine.Train
				comparePlans(t, p, engine.Options{Batch: 8, Threads: 1, Mode: mode})
			})
		}
	}
}
