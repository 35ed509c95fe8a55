package plugin

import (
	"context"
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// refuse finds the sample and the link that made a value that is not finite of finite ones, which the contract forbids.
// Where a sample enters so, or reads a column that is so, nothing is refused: what is missing stays missing.
func (p *Pipeline) refuse(ctx context.Context, s *Slot, n int, seed, epoch uint64) error {
	size := func(f *protocol.SampleFacts) int {
		n, _ := protocol.Count(f.Shape)
		return int(n)
	}
	in, out := size(p.in), size(p.Out())
	for i := range n {
		sample := s.In[i*in : (i+1)*in]
		if protocol.Finite(s.Out[i*out:(i+1)*out]) || !protocol.Finite(sample) || !p.known(s, i) {
			continue
		}
		for k := range p.links {
			bad, err := p.spoils(ctx, s, i, k+1, sample, seed, epoch)
			if err != nil {
				return err
			}
			if bad {
				ref := p.links[k].ref
				return &fault.Error{Kind: fault.Plugin, Plugin: ref.Name, Path: ref.Path, Where: ref.Where,
					What: fmt.Sprintf("makes values that are not finite of finite ones, in the view %q of the sample %#x in epoch %d", p.view, s.Samples[i], epoch),
					Do:   "this is a defect of the component, or of its configuration: report it to the plugin's author with the experiment"}
			}
		}
		return p.links[len(p.links)-1].broken("what leaves is not finite in the view %q of the sample %#x in epoch %d, and is when the sample is alone in its batch: the component, or one before it, does not answer from the sample and its key alone", p.view, s.Samples[i], epoch)
	}
	return nil
}

// known says whether every column that sample i brings along is a finite number.
func (p *Pipeline) known(s *Slot, i int) bool {
	for _, c := range s.Columns {
		if math.IsNaN(c[i]) || math.IsInf(c[i], 0) {
			return false
		}
	}
	return true
}

// spoils says whether the first count links give sample i values that are not finite.
func (p *Pipeline) spoils(ctx context.Context, s *Slot, i, count int, sample []float32, seed, epoch uint64) (bool, error) {
	var refs []Ref
	for _, l := range p.links[:count] {
		refs = append(refs, l.ref)
	}
	first, err := p.host.Pipeline(ctx, refs, p.view, p.in)
	if err != nil {
		return false, err
	}
	defer first.Close()
	first.unchecked = true
	first.SetStatistics(p.statistics)
	one, err := first.Slot(1)
	if err != nil {
		return false, err
	}
	copy(one.In, sample)
	one.Samples[0] = s.Samples[i]
	for name, c := range one.Columns {
		c[0] = s.Columns[name][i]
	}
	if err := first.Apply(ctx, one, 1, seed, epoch); err != nil {
		return false, err
	}
	return !protocol.Finite(one.Out), nil
}
