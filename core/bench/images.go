package bench

import (
	"context"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/train"
)

// images gives a training random images: every pixel of every batch and view a standard normal number.
type images struct {
	shape  []int64
	length int // of a pass
	step   int
	batch  train.Batch
	before func() // comes when a batch is ready
}

var _ train.Source = (*images)(nil)

func newImages(n *Network, p *protocol.Program, steps int, before func()) *images {
	s := &images{shape: n.input(), length: n.Batch * steps, before: before, batch: train.Batch{Views: map[string][]float32{}, Labels: map[string][]float64{}}}
	for _, v := range p.Views {
		s.batch.Views[v.Name] = make([]float32, n.Batch*int(model.Size(s.shape)))
	}
	for _, name := range p.Labels {
		s.batch.Labels[name] = make([]float64, n.Batch)
	}
	return s
}

// Len is the number of samples of all steps: they are one pass.
func (s *images) Len() int { return s.length }

// Shape is that of every sample.
func (s *images) Shape(string) []int64 { return s.shape }

// Start begins at a step.
func (s *images) Start(from, _ int) { s.step = from }

// Restart begins at another step.
func (s *images) Restart(from, _ int) { s.step = from }

// Next draws a batch.
func (s *images) Next(ctx context.Context) (*train.Batch, error) {
	for name, v := range s.batch.Views {
		normal(v, int(model.Size(s.shape)), key.New(0, "bench", name), uint64(s.step))
	}
	s.step++
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.before()
	return &s.batch, nil
}

// Stop has nothing to end.
func (s *images) Stop() {}
