package plugin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
)

// Pipeline is a planned chain of augmentations. Links that follow each other in one plugin are one call.
type Pipeline struct {
	host    *Host
	view    string
	in      *protocol.SampleFacts
	facts   []*protocol.SampleFacts // after each link
	links   []pipelineLink
	runs    []run
	columns []string
	adds    []*protocol.Field

	unchecked bool // whether values are finite

	mu         sync.RWMutex // held for reading by Apply
	statistics []*protocol.BandStatistics
	closed     bool
	slots      []*Slot
}

// augmentation is a configured and planned augmentation. It keeps no memory of samples, so every pipeline that wants
// the same configuration for the same samples shares it.
type augmentation struct {
	once sync.Mutex
	c    *configured
	plan *protocol.AugmentationPlan
}

type pipelineLink struct {
	*configured
	plan    *protocol.AugmentationPlan
	message *protocol.Link
}

// run is a part of the chain that one process computes in one call.
type run struct {
	links []pipelineLink
	reads []string // columns, of the data or added by an earlier run
	adds  []string
	out   []int64       // shape of what leaves it
	busy  *atomic.Int64 // nanoseconds that its calls took
}

// Pipeline plans a chain of augmentations on samples such as in. The view's name is part of the key of every draw.
func (h *Host) Pipeline(ctx context.Context, refs []Ref, view string, in *protocol.SampleFacts) (*Pipeline, error) {
	if n, ok := protocol.Count(in.GetShape()); !ok || n == 0 || len(in.GetShape()) == 0 {
		return nil, &fault.Error{Kind: fault.Internal, What: fmt.Sprintf("a pipeline for samples of the shape %v", in.GetShape())}
	}
	p := &Pipeline{host: h, view: view, in: in}
	occurrences := map[string]int{}
	facts := in
	addedBy := map[string]string{}
	for _, r := range refs {
		a, err := h.augmentation(ctx, r, facts)
		if err != nil {
			return nil, err
		}
		l := pipelineLink{plan: a.plan}
		l.configured = &configured{supervisor: a.c.supervisor, ref: r, instance: a.c.instance} // the place in this experiment
		l.message = &protocol.Link{Instance: l.instance, Path: r.Name + "/" + strconv.Itoa(occurrences[r.Name]), Facts: facts}
		occurrences[r.Name]++
		if len(p.runs) == 0 || p.runs[len(p.runs)-1].links[0].supervisor != l.supervisor {
			p.runs = append(p.runs, run{busy: new(atomic.Int64)})
		}
		last := &p.runs[len(p.runs)-1]
		for _, name := range l.plan.Columns {
			if addedBy[name] == "" && !slices.Contains(p.columns, name) {
				p.columns = append(p.columns, name)
			}
			if !slices.Contains(last.reads, name) && !slices.Contains(last.adds, name) {
				last.reads = append(last.reads, name)
			}
		}
		for _, f := range l.plan.Adds {
			if other := addedBy[f.Name]; other != "" || slices.Contains(p.columns, f.Name) {
				if other == "" {
					other = "the data"
				}
				return nil, &fault.Error{Kind: fault.Config, Plugin: r.Name, Path: r.Path, Where: r.Where,
					What: fmt.Sprintf("adds the column %q, which comes from %s already", f.Name, other), Do: "leave one of the two out"}
			}
			addedBy[f.Name] = r.Name
			p.adds = append(p.adds, f)
			last.adds = append(last.adds, f.Name)
		}
		facts = l.plan.Leaves
		last.links, last.out = append(last.links, l), facts.Shape
		p.links = append(p.links, l)
		p.facts = append(p.facts, facts)
	}
	return p, nil
}

// augmentation configures and plans an augmentation once for each configuration and each kind of sample.
func (h *Host) augmentation(ctx context.Context, r Ref, facts *protocol.SampleFacts) (*augmentation, error) {
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(facts)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, What: "facts about samples cannot be written", Err: err}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", r.Name, r.Config, wire))
	h.mu.Lock()
	a := h.links[string(sum[:])]
	if a == nil {
		a = &augmentation{}
		h.links[string(sum[:])] = a
	}
	h.mu.Unlock()
	a.once.Lock()
	defer a.once.Unlock()
	if a.plan != nil {
		return a, nil
	}
	c, err := h.configure(ctx, r, protocol.Kind_AUGMENTATION)
	if err != nil {
		return nil, err
	}
	defer func() {
		if a.plan == nil && ctx.Err() == nil {
			c.release() // the error that brought us here says more
		}
	}()
	plan, err := call(ctx, c, "Plan", c.augmentation.Plan, &protocol.AugmentationPlanRequest{Instance: c.instance, Facts: facts})
	if err != nil {
		return nil, err
	}
	if n, ok := protocol.Count(plan.GetLeaves().GetShape()); !ok || n == 0 || len(plan.Leaves.Shape) == 0 {
		return nil, c.broken("the plan leaves samples of the shape %v", plan.GetLeaves().GetShape())
	}
	if rank := uint32(len(facts.Shape) - 1); len(plan.Ranks) > 0 && !slices.Contains(plan.Ranks, rank) {
		return nil, &fault.Error{Kind: fault.Config, Plugin: r.Name, Path: r.Path, Where: r.Where,
			What: fmt.Sprintf("works on samples of %v spatial dimensions, these have %d", plan.Ranks, rank), Do: "leave it out of this view"}
	}
	a.c, a.plan = c, plan
	return a, nil
}

// Facts says what a sample is after each link.
func (p *Pipeline) Facts() []*protocol.SampleFacts { return p.facts }

// Out says what leaves the pipeline.
func (p *Pipeline) Out() *protocol.SampleFacts {
	if len(p.facts) == 0 {
		return p.in
	}
	return p.facts[len(p.facts)-1]
}

// Seen is the box of a stored sample that leaves the pipeline, for each spatial axis; nil where links cut it out at random
// or do not say.
func (p *Pipeline) Seen() (from, size []int64) {
	rank := len(p.in.Shape) - 1
	from, size = make([]int64, rank), slices.Clone(p.in.Shape[:rank])
	for _, l := range p.links {
		leaves := l.plan.Leaves.Shape
		switch {
		case len(leaves) != rank+1:
			return nil, nil
		case len(l.plan.Origin) == rank:
			for i, at := range l.plan.Origin {
				from[i] += int64(at)
			}
		case !slices.Equal(leaves[:rank], size):
			return nil, nil
		}
		copy(size, leaves)
	}
	for i, n := range p.in.Shape[:rank] {
		if from[i]+size[i] > n {
			return nil, nil
		}
	}
	return from, size
}

// Busy is how long the calls of each plugin of the chain have taken since it was made.
func (p *Pipeline) Busy() map[string]time.Duration {
	busy := map[string]time.Duration{}
	for _, r := range p.runs {
		busy[r.links[0].spec.Name] += time.Duration(r.busy.Load())
	}
	return busy
}

// Columns names the columns of the data that some link reads: fill them in each slot.
func (p *Pipeline) Columns() []string { return p.columns }

// Adds describes the columns that links add.
func (p *Pipeline) Adds() []*protocol.Field { return p.adds }

// NeedsStatistics says whether some link needs SetStatistics before the first Apply.
func (p *Pipeline) NeedsStatistics() bool {
	return slices.ContainsFunc(p.links, func(l pipelineLink) bool { return l.plan.Statistics })
}

// SetStatistics gives the statistics of the training split of the stored data, one for each band. A link gets those of
// the bands that enter it.
func (p *Pipeline) SetStatistics(s []*protocol.BandStatistics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.statistics = s
	for _, l := range p.links {
		if l.plan.Statistics {
			l.message.Statistics = ofBands(s, l.message.Facts.Bands)
		}
	}
}

// ofBands picks the statistics of the named bands; all, when some band has none of its own.
func ofBands(s []*protocol.BandStatistics, bands []string) []*protocol.BandStatistics {
	var picked []*protocol.BandStatistics
	for _, b := range bands {
		i := slices.IndexFunc(s, func(one *protocol.BandStatistics) bool { return one.Band == b })
		if i < 0 {
			return s
		}
		picked = append(picked, s[i])
	}
	if len(picked) == 0 {
		return s
	}
	return picked
}

// Slot is room for one batch on its way through a pipeline, in shared memory where plugins need it. Its slices must not
// be used after Close of the slot or the pipeline.
type Slot struct {
	In, Out []float32            // [batch, spatial…, bands]; the same memory when the chain is empty
	Columns map[string][]float64 // [batch] each: what links read
	Added   map[string][]float64 // [batch] each: what links added
	Samples []uint64             // [batch] sample ids

	pipeline *Pipeline
	batch    int
	busy     atomic.Bool
	spoilt   bool // a call was given up that may still write here
	memory   []*memory
	runs     []slotRun
}

// slotRun is where a run finds its tensors.
type slotRun struct {
	in, out     *memory
	inAt, outAt uint64
	columns     []slotColumn
	added       []slotColumn
}

type slotColumn struct {
	name string
	in   *memory
	at   uint64
}

// SampleBytes is the memory that a Slot takes for each sample.
func (p *Pipeline) SampleBytes() int64 {
	in, _ := protocol.Count(p.in.Shape)
	n := 4*in + 8*uint64(len(p.columns))
	for _, r := range p.runs {
		out, _ := protocol.Count(r.out)
		n += 4*out + 8*uint64(len(r.adds))
	}
	return int64(n)
}

// Slot makes room for one batch. Several slots may be in flight at once.
func (p *Pipeline) Slot(batch int) (*Slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, &fault.Error{Kind: fault.Internal, What: "the pipeline is closed"}
	}
	if batch < 1 {
		return nil, &fault.Error{Kind: fault.Internal, What: fmt.Sprintf("a slot for %d samples", batch)}
	}
	s := &Slot{pipeline: p, batch: batch, Samples: make([]uint64, batch), Columns: map[string][]float64{}, Added: map[string][]float64{}}
	if len(p.runs) == 0 {
		n, _ := protocol.Count(p.in.Shape)
		s.In = make([]float32, uint64(batch)*n)
		s.Out = s.In
		return s, nil
	}
	if err := s.make(); err != nil {
		s.free()
		return nil, err
	}
	p.slots = append(p.slots, s)
	return s, nil
}

// make lays the slot out: one arena that the host writes, with the batch and the columns, and one for each run, with
// the batch that leaves it and the columns that it adds. A run reads from the arena of the run before.
func (s *Slot) make() error {
	p := s.pipeline
	places := map[string]slotColumn{}
	var layout protocol.Layout
	batch := func(shape []int64) (uint64, error) {
		t, err := layout.Place(protocol.DType_F32, append([]int64{int64(s.batch)}, shape...)...)
		return t.GetOffset(), err
	}
	column := func(name string) (uint64, error) {
		t, err := layout.Place(protocol.DType_F64, int64(s.batch))
		return t.GetOffset(), err
	}
	arena := func(access protocol.Access, owner *supervisor) (*memory, error) {
		m, err := newMemory(p.links[0].ref, layout.Size(), access)
		if err != nil {
			return nil, err
		}
		s.memory = append(s.memory, m)
		for _, r := range p.runs {
			if err := m.share(r.links[0].configured, r.links[0].supervisor != owner); err != nil {
				return nil, err
			}
		}
		layout = protocol.Layout{}
		return m, nil
	}
	// The host's arena.
	inAt, err := batch(p.in.Shape)
	if err != nil {
		return tooLarge(p.links[0].ref, s.batch, err)
	}
	for _, name := range p.columns {
		at, err := column(name)
		if err != nil {
			return tooLarge(p.links[0].ref, s.batch, err)
		}
		places[name] = slotColumn{name: name, at: at}
	}
	m, err := arena(protocol.HostWrites, nil)
	if err != nil {
		return err
	}
	for _, name := range p.columns {
		c := places[name]
		c.in = m
		places[name] = c
		s.Columns[name] = c.values(s.batch)
	}
	s.In = floats(m, inAt, s.batch, p.in.Shape)
	// An arena for each run.
	for _, r := range p.runs {
		sr := slotRun{in: m, inAt: inAt}
		for _, name := range r.reads {
			sr.columns = append(sr.columns, places[name])
		}
		if sr.outAt, err = batch(r.out); err != nil {
			return tooLarge(r.links[0].ref, s.batch, err)
		}
		for _, name := range r.adds {
			at, err := column(name)
			if err != nil {
				return tooLarge(r.links[0].ref, s.batch, err)
			}
			sr.added = append(sr.added, slotColumn{name: name, at: at})
		}
		if sr.out, err = arena(protocol.PluginWrites, r.links[0].supervisor); err != nil {
			return err
		}
		for i := range sr.added {
			sr.added[i].in = sr.out
			places[sr.added[i].name] = sr.added[i]
			s.Added[sr.added[i].name] = sr.added[i].values(s.batch)
		}
		m, inAt = sr.out, sr.outAt
		s.Out = floats(sr.out, sr.outAt, s.batch, r.out)
		s.runs = append(s.runs, sr)
	}
	return nil
}

func tooLarge(r Ref, batch int, err error) error {
	return &fault.Error{Kind: fault.Resource, Plugin: r.Name, Path: r.Path, Where: r.Where, What: fmt.Sprintf("a batch of %d samples is too large", batch), Err: err}
}

// floats gives a batch in an arena that was laid out for it.
func floats(m *memory, at uint64, batch int, shape []int64) []float32 {
	v, err := protocol.View[float32](m.Bytes(), &protocol.Tensor{Offset: at, Dtype: protocol.DType_F32, Shape: append([]int64{int64(batch)}, shape...)})
	if err != nil {
		panic("plugin: a slot was laid out wrongly: " + err.Error())
	}
	return v
}

func (c slotColumn) values(batch int) []float64 {
	v, err := protocol.View[float64](c.in.Bytes(), &protocol.Tensor{Offset: c.at, Dtype: protocol.DType_F64, Shape: []int64{int64(batch)}})
	if err != nil {
		panic("plugin: a slot was laid out wrongly: " + err.Error())
	}
	return v
}

func (c slotColumn) message(s *supervisor, n int) *protocol.NamedTensor {
	return &protocol.NamedTensor{Name: c.name, Tensor: &protocol.Tensor{Arena: c.in.ids[s], Offset: c.at, Dtype: protocol.DType_F64, Shape: []int64{int64(n)}}}
}

// Apply runs the chain over the first n samples of the slot: it reads In, Columns and Samples and fills Out and Added.
// A slot takes one Apply at a time; different slots run side by side. After an Apply that was cancelled the slot is
// lost, because the plugin may still write into it.
func (p *Pipeline) Apply(ctx context.Context, s *Slot, n int, seed, epoch uint64) error {
	if s.pipeline != p || n < 0 || n > s.batch {
		return &fault.Error{Kind: fault.Internal, What: fmt.Sprintf("%d samples of a slot for %d of them, or of another pipeline", n, s.batch)}
	}
	if len(p.runs) == 0 || n == 0 {
		return nil
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed || !s.busy.CompareAndSwap(false, true) {
		return &fault.Error{Kind: fault.Internal, What: "the slot is in use, or closed"}
	}
	defer s.busy.Store(false)
	if s.spoilt {
		return &fault.Error{Kind: fault.Internal, What: "the slot was lost when a call was cancelled"}
	}
	if p.statistics == nil && p.NeedsStatistics() {
		return &fault.Error{Kind: fault.Internal, What: "a pipeline was run before it was given its statistics"}
	}
	in, sound := p.in.Shape, false
	for i, r := range p.runs {
		sr := &s.runs[i]
		c := r.links[0].configured
		request := &protocol.ApplyRequest{Seed: seed, View: p.view, Epoch: epoch, Samples: s.Samples[:n],
			In:  &protocol.Tensor{Arena: sr.in.ids[c.supervisor], Offset: sr.inAt, Dtype: protocol.DType_F32, Shape: append([]int64{int64(n)}, in...)},
			Out: &protocol.Tensor{Arena: sr.out.ids[c.supervisor], Offset: sr.outAt, Dtype: protocol.DType_F32, Shape: append([]int64{int64(n)}, r.out...)}}
		for _, l := range r.links {
			request.Chain = append(request.Chain, l.message)
		}
		for _, col := range sr.columns {
			request.Columns = append(request.Columns, col.message(c.supervisor, n))
		}
		for _, col := range sr.added {
			request.Added = append(request.Added, col.message(c.supervisor, n))
		}
		began := time.Now()
		answer, err := c.augmentation.Apply(ctx, request)
		p.runs[i].busy.Add(int64(time.Since(began)))
		if err != nil {
			s.spoilt = interrupted(ctx, err) != nil
			ref := c.ref
			if k := failedLink(err); k > 0 && k <= len(r.links) {
				ref = r.links[k-1].ref
			}
			return c.fault(ctx, ref, "Apply", err)
		}
		in, sound = r.out, answer.Finite
	}
	if size, _ := protocol.Count(in); !sound && !p.unchecked && !protocol.Finite(s.Out[:uint64(n)*size]) {
		return p.refuse(ctx, s, n, seed, epoch)
	}
	return nil
}

// Close gives the slot's memory back.
func (s *Slot) Close() error {
	p := s.pipeline
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots = slices.DeleteFunc(p.slots, func(other *Slot) bool { return other == s })
	s.free()
	return nil
}

func (s *Slot) free() {
	for _, m := range s.memory {
		m.close()
	}
	s.memory, s.In, s.Out, s.Columns, s.Added = nil, nil, nil, nil, nil
	s.spoilt = true
}

// Close waits for the calls in flight and gives the memory of every slot back.
func (p *Pipeline) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, s := range p.slots {
		s.free()
	}
	p.slots = nil
	return nil
}
