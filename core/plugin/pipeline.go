package plugin

import (
	"context"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Pipeline is a planned chain of augmentations.
type Pipeline struct{}

// Facts says what a sample is after each link.
func (p *Pipeline) Facts() []*protocol.SampleFacts { return nil }

// Out says what leaves the pipeline.
func (p *Pipeline) Out() *protocol.SampleFacts { return nil }

// Columns names the columns of the data that some link reads: fill them in each slot.
func (p *Pipeline) Columns() []string { return nil }

// Adds describes the columns that links add.
func (p *Pipeline) Adds() []*protocol.Field { return nil }

// NeedsStatistics says whether some link needs SetStatistics before the first Apply.
func (p *Pipeline) NeedsStatistics() bool { return false }

// SetStatistics gives the statistics of the training split of the data that enter the pipeline.
func (p *Pipeline) SetStatistics(s []*protocol.BandStatistics) {}

// Slot is room for one batch on its way through a pipeline, in shared memory where plugins need it.
type Slot struct {
	In, Out []float32            // [batch, spatial…, bands]; the same memory when the chain is empty
	Columns map[string][]float64 // [batch] each: what links read
	Added   map[string][]float64 // [batch] each: what links added
	Samples []uint64             // sample ids
}

// Slot makes room for one batch. Several slots may be in flight at once.
func (p *Pipeline) Slot(batch int) (*Slot, error) { return nil, errNotYet }

// Apply runs the chain over the first n samples of the slot: it reads In, Columns and Samples and fills Out and Added.
func (p *Pipeline) Apply(ctx context.Context, s *Slot, n int, seed, epoch uint64) error {
	return errNotYet
}

// Close releases the pipeline's slots: their slices must not be used afterwards.
func (p *Pipeline) Close() error { return nil }
