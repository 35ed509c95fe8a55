package train

import (
	"math"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// blamed is a network of which nothing but the culprit is known.
type blamed struct {
	engine.Network
	culprit *engine.Culprit
}

func (b blamed) Blame() *engine.Culprit { return b.culprit }

// Samples of a shuffled pass lie in another order than the batch: the object is the one that was drawn.
func TestTheObjectOfADivergenceIsNamed(t *testing.T) {
	ids := []string{"A", "B", "C", "D"}
	j := &Job{Seed: 5, Batch: 4, Program: &protocol.Program{Passes: []*protocol.Pass{{Name: "query"}, {Name: "key", Shuffle: true}}}}
	b := &Batch{Name: func(i int) string { return ids[i] }}
	for _, pass := range j.Program.Passes {
		for i, id := range ids {
			seen := make([]float32, 4)
			place(seen, []float32{0, 1, 2, 3}, 4, j.order(pass, 7))
			at := 0
			for seen[at] != float32(i) {
				at++
			}
			j.Network = blamed{culprit: &engine.Culprit{Place: engine.InInput, Pass: pass.Name, Sample: at}}
			err := j.diverged(7, b, "the loss is not finite")
			if fault.KindOf(err) != fault.Diverged || !strings.Contains(err.Error(), "diverged in step 8: ") || !strings.Contains(err.Error(), "of "+pass.Name+", the object "+id) {
				t.Errorf("pass %s, object %s: %v", pass.Name, id, err)
			}
		}
	}
	j.Network = blamed{}
	if err := j.diverged(7, b, "the loss is not finite"); !strings.Contains(err.Error(), "the loss is not finite, though all that the network computes is") {
		t.Error(err)
	}
}

func TestWeightsThatAreNotFiniteAreNotKept(t *testing.T) {
	j := &Job{}
	arrays := []engine.Array{{Name: "encoder.conv1.weight", Data: []float32{1, 2}}, {Name: "encoder.bn1.weight", Data: []float32{1, float32(math.Inf(-1))}}}
	if err := j.sound(3, arrays[:1]); err != nil {
		t.Error(err)
	}
	if err := j.sound(3, arrays); fault.KindOf(err) != fault.Diverged || !strings.Contains(err.Error(), "in step 3: encoder.bn1.weight is not finite after the update") {
		t.Errorf("got %v", err)
	}
}
