package run

import "testing"

// A reader of a run sees every engine that computed a part of it, not the last one alone.
func TestEveryEngineIsNamed(t *testing.T) {
	portable, avx := Computed{Engine: "native", Revision: 2, Kernels: "portable Go"}, Computed{Engine: "native", Revision: 2, Kernels: "AVX-512"}
	later := avx
	later.FromStep = 5
	m := Manifest{Machine: Machine{Engine: avx.String()}, Stages: []StageRecord{{Name: "data"},
		{Name: "train", Computed: []Computed{portable, later}}, {Name: "embed", Computed: []Computed{avx}}}}
	if got := m.Stages[1].By(); got != "native: portable Go, after step 5 native: AVX-512" {
		t.Errorf("training was computed by %q", got)
	}
	if got := m.Stages[0].By(); got != "" {
		t.Errorf("data were computed by %q", got)
	}
	if got := m.Engines(); got != "native: portable Go; native: AVX-512" {
		t.Errorf("the run was computed by %q", got)
	}
	m.Stages = nil
	if got := m.Engines(); got != "native: AVX-512" {
		t.Errorf("a run without records was computed by %q", got)
	}
	if avx.Same(portable) || !avx.Same(later) {
		t.Error("kernels make the difference, steps do not")
	}
}
