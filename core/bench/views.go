package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/train"
)

// ViewsOptions say how views are timed.
type ViewsOptions struct {
	Host    *plugin.Host
	Batch   int
	Threads int
	Seconds float64 // for each chain as a whole, and again for its augmentations one by one
}

// ViewsResult is the speed of the chains of augmentations.
type ViewsResult struct {
	Bench   string       `json:"bench"` // "views"
	Data    string       `json:"data"`  // whose images: an experiment's name, or "simulated"
	Shape   []int64      `json:"shape"` // of a stored sample
	Batch   int          `json:"batch"`
	Threads int          `json:"threads"`
	Chains  []ChainSpeed `json:"chains"`
}

// ChainSpeed is the speed of a chain: samples that leave it in a second, in two views at once, as a contrastive training
// takes them, gathered from the store by the training's own loader.
type ChainSpeed struct {
	Name       string      `json:"name"`
	Leaves     []int64     `json:"leaves"`
	ImagesPerS float64     `json:"images_per_s"`
	Links      []LinkSpeed `json:"links"`
}

// LinkSpeed is the speed of one augmentation by itself, one batch after the other.
type LinkSpeed struct {
	Component  string  `json:"component"`
	Leaves     []int64 `json:"leaves"`
	ImagesPerS float64 `json:"images_per_s"`
	Share      float64 `json:"share"` // of the time of all links
}

// check refuses options that make no sense, naming the flag, and more in a batch than there are images.
func (o ViewsOptions) check(images int, do string) error {
	for _, w := range []struct {
		flag         string
		value, limit int
	}{{"--batch", o.Batch, 1 << 24}, {"--threads", o.Threads, 1 << 10}} {
		if err := within(w.flag, w.value, w.limit); err != nil {
			return err
		}
	}
	if !(o.Seconds > 0 && o.Seconds <= 3600) {
		return &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("--seconds %v is out of range", o.Seconds), Do: "give a positive number up to 3600"}
	}
	if images < o.Batch {
		return &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("--batch %d is more than the %d images to draw from", o.Batch, images), Do: do}
	}
	return nil
}

// Views times every chain of the samples.
func Views(ctx context.Context, o ViewsOptions, s *flow.Samples) (*ViewsResult, error) {
	if err := o.check(len(s.Rows), "lower --batch"); err != nil {
		return nil, err
	}
	r := &ViewsResult{Bench: "views", Shape: s.Facts.Shape, Batch: o.Batch, Threads: o.Threads}
	for _, name := range slices.Sorted(maps.Keys(s.Views)) {
		t := &timedChain{ViewsOptions: o, Samples: s, name: name, refs: s.Views[name]}
		c, err := t.measure(ctx)
		if err != nil {
			return nil, err
		}
		r.Chains = append(r.Chains, *c)
	}
	return r, nil
}

// timedChain is a chain that is measured.
type timedChain struct {
	ViewsOptions
	*flow.Samples
	name       string
	refs       []plugin.Ref
	statistics []*protocol.BandStatistics
}

// pipeline plans some of the chain's links for samples such as in.
func (t *timedChain) pipeline(ctx context.Context, refs []plugin.Ref, view string, in *protocol.SampleFacts) (*plugin.Pipeline, error) {
	p, err := t.Host.Pipeline(ctx, refs, view, in)
	if err != nil {
		return nil, err
	}
	if p.NeedsStatistics() {
		if t.statistics == nil {
			if t.statistics, err = data.Statistics(t.Store, t.Rows); err != nil {
				return nil, err
			}
		}
		p.SetStatistics(t.statistics)
	}
	return p, nil
}

func (t *timedChain) measure(ctx context.Context) (*ChainSpeed, error) {
	loader := &train.Loader{Store: t.Store, Rows: t.Rows, Views: map[string]*plugin.Pipeline{}, Batch: t.Batch}
	for _, view := range []string{"query", "key"} {
		p, err := t.pipeline(ctx, t.refs, view, t.Facts)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		loader.Views[view] = p
	}
	whole := loader.Views["query"]
	speed := &ChainSpeed{Name: t.name, Leaves: whole.Out().Shape, Links: []LinkSpeed{}}
	loader.Start(0, 1<<62)
	defer loader.Stop()
	if _, err := loader.Next(ctx); err != nil { // the first starts everything and does not count
		return nil, t.ended(ctx, err)
	}
	began, batches := time.Now(), 0
	for batches == 0 || time.Since(began).Seconds() < t.Seconds {
		if _, err := loader.Next(ctx); err != nil {
			return nil, t.ended(ctx, err)
		}
		batches++
	}
	speed.ImagesPerS = float64(len(loader.Views)*batches*t.Batch) / time.Since(began).Seconds()
	loader.Stop()
	links, err := t.links(ctx, whole)
	speed.Links = append(speed.Links, links...)
	return speed, err
}

// links times each augmentation on what the one before it left.
func (t *timedChain) links(ctx context.Context, whole *plugin.Pipeline) ([]LinkSpeed, error) {
	var links []LinkSpeed
	facts, total := t.Facts, 0.0
	in := make([]float32, t.Batch*int(model.Size(facts.Shape)))
	if err := t.Store.Gather(in, t.Rows[:t.Batch]); err != nil {
		return nil, err
	}
	added := map[string][]float64{}
	for i, ref := range t.refs {
		p, err := t.pipeline(ctx, []plugin.Ref{ref}, t.name, facts)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		slot, err := p.Slot(t.Batch)
		if err != nil {
			return nil, err
		}
		copy(slot.In, in)
		for name, values := range slot.Columns {
			from := added[name]
			if column, ok := t.Store.Column(name); ok && from == nil {
				for _, r := range t.Rows[:t.Batch] {
					from = append(from, column.Values[r])
				}
			}
			copy(values, from)
		}
		for k, r := range t.Rows[:t.Batch] {
			slot.Samples[k] = t.Store.Sample(r)
		}
		var took []float64
		began := time.Now()
		for epoch := uint64(0); len(took) < 2 || time.Since(began).Seconds() < t.Seconds/float64(len(t.refs)); epoch++ {
			took = append(took, seconds(func() { err = p.Apply(ctx, slot, t.Batch, 0, epoch) }))
			if err != nil {
				return nil, t.ended(ctx, err)
			}
		}
		one := median(took[1:]) // the first touches everything
		total += one
		facts = whole.Facts()[i]
		links = append(links, LinkSpeed{Component: ref.Name, Leaves: facts.Shape, ImagesPerS: float64(t.Batch) / one, Share: one})
		in = slices.Clone(slot.Out)
		for name, values := range slot.Added {
			added[name] = slices.Clone(values)
		}
	}
	for i := range links {
		links[i].Share /= total
	}
	return links, nil
}

// ended says that a request to stop is one.
func (t *timedChain) ended(ctx context.Context, err error) error {
	if stop := stopped(ctx); stop != nil {
		return stop
	}
	return err
}

// Write shows the result as a table.
func (r *ViewsResult) Write(to io.Writer) error {
	fmt.Fprintf(to, "%s images of %s; batch %d, %d threads; two views at once as a whole, augmentations one by one\n\n", r.Data, shapeText(r.Shape), r.Batch, r.Threads)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "VIEW\tLEAVES\tIMAGES/S\tSHARE\n")
	for _, c := range r.Chains {
		fmt.Fprintf(w, "%s\t%s\t%.0f\t\n", c.Name, shapeText(c.Leaves), c.ImagesPerS)
		for _, l := range c.Links {
			fmt.Fprintf(w, "  %s\t%s\t%.0f\t%.0f %%\n", l.Component, shapeText(l.Leaves), l.ImagesPerS, 100*l.Share)
		}
	}
	return w.Flush()
}

func shapeText(shape []int64) string { return times(ints(shape)) }
