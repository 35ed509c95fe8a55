package conformance

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
)

// sides are the lengths of axes that are tried for samples of each rank, until one is taken: a crop of 64 pixels does not
// take samples of 32.
var sides = map[int][]int64{1: {64, 256}, 2: {32, 96}, 3: {16, 80}}

// samplesOf gives what may enter, for each rank; the rank that the case speaks of is told, or 0.
func (t *trial) samplesOf() (all map[int][]*protocol.SampleFacts, told int) {
	facts := func(shape []int64) *protocol.SampleFacts {
		f := &protocol.SampleFacts{Shape: shape, Flux: protocol.Flux_LINEAR, Unit: "1", PixelScale: 0.2, Bands: []string{"g", "r", "i"}}
		if g := t.given.Facts; g != nil {
			f.Bands, f.Unit, f.PixelScale = slices.Clone(g.Bands), g.Unit, g.PixelScale
			if g.Flux == "stretched" {
				f.Flux = protocol.Flux_STRETCHED
			}
		}
		for i := int64(len(f.Bands)); i < shape[len(shape)-1]; i++ {
			f.Bands = append(f.Bands, fmt.Sprintf("band%d", i+1))
		}
		return f
	}
	all = map[int][]*protocol.SampleFacts{}
	g := t.given.Facts
	for rank, lengths := range sides {
		bands := int64(3)
		if g != nil {
			told = len(g.Shape) - 1
			lengths, bands = g.Shape[:1], g.Shape[told]
		}
		for _, n := range lengths {
			all[rank] = append(all[rank], facts(append(slices.Repeat([]int64{n}, rank), bands)))
		}
	}
	if g != nil {
		all[told] = []*protocol.SampleFacts{facts(g.Shape)}
	}
	return all, told
}

// first plans the component for the first of some samples that it takes; the error is about the last.
func (t *trial) first(h *home, candidates []*protocol.SampleFacts) (a *augmented, err error) {
	for _, facts := range candidates {
		if a, err = t.augmented(h, facts); err == nil || !refusal(err) {
			break
		}
	}
	return a, err
}

// augmented is an augmentation that was planned for some samples, with samples to be given to it.
type augmented struct {
	*trial
	d        plugin.Direct
	client   protocol.AugmentationClient
	instance uint32
	facts    *protocol.SampleFacts
	plan     *protocol.AugmentationPlan
	link     *protocol.Link
	n        int
	in       []float32
	size     int // of a sample that enters
	columns  map[string][]float64
	ids      []uint64
}

// augmented plans the component for samples such as facts.
func (t *trial) augmented(h *home, facts *protocol.SampleFacts) (*augmented, error) {
	d, id, err := t.instance(h)
	if err != nil {
		return nil, err
	}
	a := &augmented{trial: t, d: d, client: protocol.NewAugmentationClient(d.Conn()), instance: id, facts: facts}
	if a.plan, err = a.client.Plan(t.ctx, &protocol.AugmentationPlanRequest{Instance: id, Facts: facts}); err != nil {
		return nil, said(err)
	}
	if n, ok := protocol.Count(a.plan.GetLeaves().GetShape()); !ok || n == 0 || len(a.plan.Leaves.Shape) < 1 {
		return nil, &broken{paragraph: "3.2", expected: "a plan with the shape of what leaves, or an error", seen: fmt.Sprintf("the shape %v", a.plan.GetLeaves().GetShape())}
	}
	a.link = &protocol.Link{Instance: id, Path: t.name + "/0", Facts: facts}
	if a.plan.Statistics {
		a.link.Statistics = t.statistics(facts)
	}
	size, _ := protocol.Count(facts.Shape)
	a.size = int(size)
	a.n = min(max(1<<20/a.size, 3), 64, cmp.Or(t.most, 64))
	a.in = pixels(facts.Shape, a.n)
	a.columns = map[string][]float64{}
	for _, name := range a.plan.Columns {
		given := t.given.Columns[name]
		if len(given) == 0 {
			given = []float64{1, 2, 3}
		}
		for i := range a.n {
			a.columns[name] = append(a.columns[name], given[i%len(given)])
		}
	}
	for i := range a.n {
		a.ids = append(a.ids, key.Sample(fmt.Sprint("object ", i)))
	}
	return a, nil
}

// statistics of the training split, made up.
func (t *trial) statistics(facts *protocol.SampleFacts) []*protocol.BandStatistics {
	var all []*protocol.BandStatistics
	for i, band := range facts.Bands {
		s := &protocol.BandStatistics{Band: band, Mean: 0.1, Deviation: 1, Median: 0.05, Mad: 0.6,
			PercentileLevels: []float64{1, 5, 25, 50, 75, 95, 99}, Percentiles: []float64{-2, -1.5, -0.5, 0.05, 0.6, 1.7, 3}}
		if g := t.given.Statistics; len(g) > 0 {
			one := g[min(i, len(g)-1)]
			s.Mean, s.Deviation, s.Median, s.Mad, s.PercentileLevels, s.Percentiles = one.Mean, one.Deviation, one.Median, one.Mad, one.PercentileLevels, one.Percentiles
		}
		all = append(all, s)
	}
	return all
}

// pixels makes n samples up: something bright in the middle, on a background that is noise about zero.
func pixels(shape []int64, n int) []float32 {
	size, _ := protocol.Count(shape)
	bands, rank := int(shape[len(shape)-1]), len(shape)-1
	values := make([]float32, 0, n*int(size))
	stream := key.New(1, "conformance", "pixels")
	at := make([]int64, rank)
	for i := range n {
		source := stream.At(0, uint64(i))
		clear(at)
		for {
			far := 0.0
			for k, x := range at {
				d := (float64(x) + 0.5 - float64(shape[k])/2) / (float64(shape[k])/8 + 1)
				far += d * d
			}
			for b := range bands {
				values = append(values, float32(float64(5+i%7+b)*math.Exp(-far)+source.Between(-0.5, 0.5)))
			}
			k := rank - 1
			for ; k >= 0; k-- {
				if at[k]++; at[k] < shape[k] {
					break
				}
				at[k] = 0
			}
			if k < 0 {
				break
			}
		}
	}
	return values
}

// how says how samples are given to the component.
type how struct {
	epoch uint64
	fill  byte // what stands in the output before
	path  string
	enter func(sample int, in []float32)                    // changes a sample that enters
	twist func(r *protocol.ApplyRequest, in, out *ground)   // changes the request
	chain func(r *protocol.ApplyRequest, leaves *[]int64)   // makes the chain longer
	whole func(in, out []float32, answer *protocol.Applied) // looks at the answer
}

// apply gives the samples in this order, and what becomes of each: its bytes, and after them those of added columns.
// Memory that nobody may write to is looked at, whatever the answer.
func (a *augmented) apply(order []int, o how) (results [][]byte, err error) {
	n := int64(len(order))
	in, out := &ground{}, &ground{}
	r := &protocol.ApplyRequest{Chain: []*protocol.Link{proto.CloneOf(a.link)}, Seed: 11, View: "a", Epoch: o.epoch}
	if o.path != "" {
		r.Chain[0].Path = o.path
	}
	leaves := a.plan.Leaves.Shape
	if o.chain != nil {
		o.chain(r, &leaves)
	}
	for _, i := range order {
		r.Samples = append(r.Samples, a.ids[i])
	}
	if r.In, err = in.place("the input", protocol.DType_F32, append([]int64{n}, a.facts.Shape...)...); err != nil {
		return nil, err
	}
	for _, name := range a.plan.Columns {
		c, err := in.place("the column "+name, protocol.DType_F64, n)
		if err != nil {
			return nil, err
		}
		r.Columns = append(r.Columns, &protocol.NamedTensor{Name: name, Tensor: c})
	}
	if r.Out, err = out.place("the output", protocol.DType_F32, append([]int64{n}, leaves...)...); err != nil {
		return nil, err
	}
	for _, f := range a.plan.Adds {
		c, err := out.place("the added column "+f.Name, protocol.DType_F64, n)
		if err != nil {
			return nil, err
		}
		r.Added = append(r.Added, &protocol.NamedTensor{Name: f.Name, Tensor: c})
	}
	for _, g := range []*ground{in, out} {
		if err := g.share(a.ctx, a.d); err != nil {
			return nil, err
		}
		defer g.close()
	}
	values := view[float32](in, r.In)
	for k, i := range order {
		sample := values[k*a.size : (k+1)*a.size]
		copy(sample, a.in[i*a.size:(i+1)*a.size])
		if o.enter != nil {
			o.enter(i, sample)
		}
	}
	for _, c := range r.Columns {
		for k, i := range order {
			view[float64](in, c.Tensor)[k] = a.columns[c.Name][i]
		}
	}
	for _, t := range out.tensors {
		out.fill(t, o.fill)
	}
	before := bytes.Clone(in.Bytes())
	outTensor, added := r.Out, r.Added
	r = proto.CloneOf(r) // what is done to the request is not done to us
	if o.twist != nil {
		o.twist(r, in, out)
	}
	answer, err := a.client.Apply(a.ctx, r)
	if where, ok := out.harmed(); ok {
		return nil, &broken{paragraph: "3.5", expected: "nothing written outside of the output", seen: where,
			advice: "a sample's output ends where the plan said; an index that is one too large lands in the next sample, or in another's memory"}
	}
	if !bytes.Equal(before, in.Bytes()) {
		what := "its surroundings"
		for i, t := range in.tensors {
			if !bytes.Equal(before[t.Offset:t.Offset+uint64(len(in.bytes(t)))], in.bytes(t)) {
				what = in.names[i]
			}
		}
		return nil, &broken{paragraph: "3.5", expected: "an input that is only read", seen: what + " was changed", advice: "work on the output, or on a copy"}
	}
	if err != nil {
		return nil, said(err)
	}
	if o.whole != nil {
		o.whole(values, view[float32](out, outTensor), answer)
	}
	pixels := out.bytes(outTensor)
	each := 0
	if n > 0 {
		each = len(pixels) / len(order)
	}
	for k := range order {
		one := bytes.Clone(pixels[k*each : (k+1)*each])
		for _, c := range added {
			one = append(one, out.bytes(c.Tensor)[8*k:8*k+8]...)
		}
		results = append(results, one)
	}
	return results, nil
}

// takes says whether the plan is for samples of the rank that was planned for.
func (a *augmented) takes() bool {
	return len(a.plan.Ranks) == 0 || slices.Contains(a.plan.Ranks, uint32(len(a.facts.Shape)-1))
}

// eachRank looks at samples of each rank that the component takes, or of the one that the case tells: code for volumes is
// often not that for images.
func eachRank(look func(a *augmented) error) func(t *trial) error {
	return func(t *trial) error {
		all, told := t.samplesOf()
		for rank := 1; rank <= 3; rank++ {
			if told > 0 && rank != told {
				continue
			}
			a, err := t.first(t.shared(), all[rank])
			if err != nil || !a.takes() {
				continue // the check of ranks says whether that may be
			}
			if err := look(a); err != nil {
				var b *broken
				if asBroken(err, &b) {
					b.seen += fmt.Sprintf(", of samples of the shape %v", a.facts.Shape)
				}
				return err
			}
		}
		return nil
	}
}

// count gives 0…n−1.
func count(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// typical plans the component for samples of the case, or of the first rank that it takes, two dimensions before others.
func (t *trial) typical(h *home) (*augmented, error) {
	all, told := t.samplesOf()
	if told > 0 {
		return t.first(h, all[told])
	}
	var first error
	for _, rank := range []int{2, 1, 3} {
		a, err := t.first(h, all[rank])
		if err == nil && a.takes() {
			return a, nil
		}
		if err != nil && (first == nil || !refusal(err)) {
			first = err
		}
	}
	if first != nil {
		return nil, &broken{paragraph: "3.1", expected: "a plan for samples of some rank", seen: words(first), log: logOf(first), advice: "give it samples that it takes: a case with facts in conformance.cue"}
	}
	return nil, &broken{paragraph: "3.1", expected: "a plan for samples of one of the ranks that it declares", seen: "none for one, two or three dimensions"}
}
