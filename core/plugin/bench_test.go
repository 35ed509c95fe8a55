package plugin_test

import (
	"testing"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// BenchmarkStart starts a plugin, configures a component and ends the plugin.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		h := plugin.NewHost(func(string) (plugin.Spec, error) {
			return plugin.Spec{Name: "misfit", Command: []string{misfit}}, nil
		}, plugin.Options{})
		if _, err := h.Pipeline(background, double, "train", facts(1, 1)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		h.Close()
		b.StartTimer()
	}
}

// BenchmarkEmptyBatch is the cost of a call: one sample of one number.
func BenchmarkEmptyBatch(b *testing.B) { benchmarkApply(b, 1, facts(1, 1)) }

// BenchmarkBatch is a batch of 5.2 MB in and out: 64 samples of 64×64 pixels and 5 bands, multiplied by two.
func BenchmarkBatch(b *testing.B) { benchmarkApply(b, 64, facts(64, 64, 5)) }

func benchmarkApply(b *testing.B, batch int, in *protocol.SampleFacts) {
	h, _ := host(b)
	p := must(h.Pipeline(background, double, "train", in))
	s := must(p.Slot(batch))
	b.SetBytes(int64(4 * len(s.In)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Apply(background, s, batch, 1, 0); err != nil {
			b.Fatal(err)
		}
	}
}
