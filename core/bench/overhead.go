package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc"
)

// OverheadOptions say what the border to a plugin's process is measured with.
type OverheadOptions struct {
	ViewsOptions
	Rounds int
	Calls  int                                                    // empty ones
	Starts int                                                    // of the plugin
	Fresh  func() (*plugin.Host, error)                           // a host that has started nothing
	Local  func(plugin string) (InProcess, error)                 // the same code without a border; nil where there is none, as in another language
	Python func(ctx context.Context) (func() *plugin.Host, error) // prepares fresh hosts of Identity; the error says what Python lacks
}

// InProcess is a plugin that is called in this process.
type InProcess interface {
	grpc.ClientConnInterface
	Share(*protocol.Arena) (uint32, error)
	Close() error
}

// OverheadResult is what it costs that a plugin is a process of its own.
type OverheadResult struct {
	Bench      string   `json:"bench"` // "plugin-overhead"
	Chain      []string `json:"chain"`
	Shape      []int64  `json:"shape"`  // of a sample that enters
	Leaves     []int64  `json:"leaves"` // of one that leaves
	Batch      int      `json:"batch"`
	BatchBytes int      `json:"batch_bytes"` // that leave
	Threads    int      `json:"threads"`
	Rounds     int      `json:"rounds"`
	IsolatedMS float64  `json:"isolated_ms"`             // a batch, through the process, checked to be finite
	InProcess  float64  `json:"in_process_ms,omitempty"` // a batch, by the same code here
	Ratio      float64  `json:"ratio,omitempty"`         // of the throughputs, isolated to in process; median of rounds
	EmptyUS    float64  `json:"empty_call_us"`
	StartMS    float64  `json:"start_ms"` // until the plugin has described itself

	Python *PythonResult `json:"python,omitempty"`
}

// Overhead measures it, in turn in one run. The results of both ways are the same bits, or it fails.
func Overhead(ctx context.Context, o OverheadOptions, s *flow.Samples) (*OverheadResult, error) {
	for _, w := range []struct {
		flag  string
		value int
	}{{"--rounds", o.Rounds}, {"--calls", o.Calls}, {"--starts", o.Starts}} {
		if err := within(w.flag, w.value, 1<<20); err != nil {
			return nil, err
		}
	}
	if err := o.check(len(s.Rows), "lower --batch"); err != nil {
		return nil, err
	}
	refs := s.Views["views"]
	name, _, _ := strings.Cut(refs[0].Name, ".")
	for _, r := range refs {
		if !strings.HasPrefix(r.Name, name+".") {
			return nil, &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("%s is of another plugin than %s", r.Name, refs[0].Name), Do: "name views of one plugin: they are one call"}
		}
	}
	statistics, err := data.Statistics(s.Store, s.Rows)
	if err != nil {
		return nil, err
	}
	p, err := o.Host.Pipeline(ctx, refs, "query", s.Facts)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if columns := p.Columns(); len(columns) > 0 {
		return nil, &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("the views read the columns %v, which random images do not have", columns), Do: "leave those views out"}
	}
	p.SetStatistics(statistics)
	slot, err := p.Slot(o.Batch)
	if err != nil {
		return nil, err
	}
	source := key.New(1, "bench").At(0, 0)
	for i := range slot.In {
		slot.In[i] = float32(source.Normal())
	}
	for i := range slot.Samples {
		slot.Samples[i] = uint64(i)
	}
	r := &OverheadResult{Bench: "plugin-overhead", Shape: s.Facts.Shape, Leaves: p.Out().Shape, Batch: o.Batch, BatchBytes: 4 * len(slot.Out), Threads: o.Threads, Rounds: o.Rounds}
	for _, l := range refs {
		r.Chain = append(r.Chain, l.Name)
	}
	isolated := func() error { return p.Apply(ctx, slot, o.Batch, 1, 0) }
	var here func() error
	var out []float32
	if o.Local != nil {
		local, err := o.Local(name)
		if err != nil {
			return nil, err
		}
		defer local.Close()
		var end func()
		if here, out, end, err = inProcess(ctx, local, refs, statistics, s.Facts, slot); err != nil {
			return nil, err
		}
		defer end()
	}
	if err := o.compare(ctx, r, isolated, here); err != nil {
		return nil, err
	}
	if here != nil && !slices.Equal(out, slot.Out) {
		return nil, &fault.Error{Op: "bench", Kind: fault.Internal, What: "the process computes other values than the same code here", Do: "please report this"}
	}
	if r.EmptyUS, err = o.emptyCall(ctx, name, refs[0], s.Facts); err != nil {
		return nil, err
	}
	if r.StartMS, err = o.starts(ctx, name); err != nil || o.Python == nil {
		return r, err
	}
	fresh, missing := o.Python(ctx)
	if missing != nil {
		r.Python = &PythonResult{Missing: missing.Error()}
		return r, ctx.Err()
	}
	r.Python, err = o.python(ctx, fresh)
	return r, err
}

// compare times both ways, which take turns in going first.
func (o OverheadOptions) compare(ctx context.Context, r *OverheadResult, isolated, here func() error) error {
	ways, times := []func() error{isolated}, [2][]float64{}
	if here != nil {
		ways = append(ways, here)
	}
	for round := range o.Rounds + 2 { // the first two do not count
		for i := range ways {
			way := (i + round) % len(ways)
			if err := ctx.Err(); err != nil {
				return err
			}
			began := time.Now()
			if err := ways[way](); err != nil {
				return err
			}
			if round >= 2 {
				times[way] = append(times[way], 1e3*time.Since(began).Seconds())
			}
		}
	}
	if here != nil {
		var ratios []float64
		for i := range times[0] {
			ratios = append(ratios, times[1][i]/times[0][i])
		}
		r.Ratio, r.InProcess = median(ratios), median(times[1])
	}
	r.IsolatedMS = median(times[0])
	return nil
}

// inProcess prepares the chain to be applied here to what the slot holds; out is where it leaves it.
func inProcess(ctx context.Context, local InProcess, refs []plugin.Ref, statistics []*protocol.BandStatistics, facts *protocol.SampleFacts, slot *plugin.Slot) (apply func() error, out []float32, end func(), err error) {
	control, client := protocol.NewPluginClient(local), protocol.NewAugmentationClient(local)
	batch := int64(len(slot.Samples))
	request := &protocol.ApplyRequest{Seed: 1, View: "query", Samples: slot.Samples}
	first := facts
	occurrences := map[string]int{}
	for i, r := range refs {
		_, component, _ := strings.Cut(r.Name, ".")
		id := uint32(i + 1)
		if _, err := control.Configure(ctx, &protocol.ConfigureRequest{Component: component, Config: r.Config, Instance: id}); err != nil {
			return nil, nil, nil, err
		}
		plan, err := client.Plan(ctx, &protocol.AugmentationPlanRequest{Instance: id, Facts: facts})
		if err != nil {
			return nil, nil, nil, err
		}
		l := &protocol.Link{Instance: id, Path: r.Name + "/" + strconv.Itoa(occurrences[r.Name]), Facts: facts}
		occurrences[r.Name]++
		if plan.Statistics {
			l.Statistics = statistics
		}
		request.Chain = append(request.Chain, l)
		facts = plan.Leaves
	}
	var arenas []*protocol.Arena
	end = func() {
		for _, a := range arenas {
			a.Close()
		}
	}
	place := func(access protocol.Access, shape []int64) (*protocol.Tensor, []float32, error) {
		t := &protocol.Tensor{Dtype: protocol.DType_F32, Shape: append([]int64{batch}, shape...)}
		size, err := t.Bytes()
		if err != nil {
			return nil, nil, err
		}
		a, err := protocol.NewArena(size, access)
		if err != nil {
			return nil, nil, err
		}
		arenas = append(arenas, a)
		if t.Arena, err = local.Share(a); err != nil {
			return nil, nil, err
		}
		v, err := protocol.View[float32](a.Bytes(), t)
		return t, v, err
	}
	var in []float32
	if request.In, in, err = place(protocol.HostWrites, first.Shape); err == nil {
		request.Out, out, err = place(protocol.PluginWrites, facts.Shape)
	}
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	copy(in, slot.In)
	return func() error { _, err := client.Apply(ctx, request); return err }, out, end, nil
}

// emptyCall is the median time of a batch without samples.
func (o OverheadOptions) emptyCall(ctx context.Context, name string, ref plugin.Ref, facts *protocol.SampleFacts) (float64, error) {
	d, err := o.Host.Direct(ctx, name)
	if err != nil {
		return 0, err
	}
	_, component, _ := strings.Cut(ref.Name, ".")
	id, err := d.Configure(ctx, component, ref.Config)
	if err != nil {
		return 0, err
	}
	defer d.Release(ctx, id)
	client := protocol.NewAugmentationClient(d.Conn())
	plan, err := client.Plan(ctx, &protocol.AugmentationPlanRequest{Instance: id, Facts: facts})
	if err != nil {
		return 0, err
	}
	a, err := protocol.NewArena(protocol.Align, protocol.PluginWrites)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	arena, err := d.Share(ctx, a)
	if err != nil {
		return 0, err
	}
	defer d.Unshare(arena)
	nothing := func(shape []int64) *protocol.Tensor {
		return &protocol.Tensor{Arena: arena, Dtype: protocol.DType_F32, Shape: append([]int64{0}, shape...)}
	}
	request := &protocol.ApplyRequest{Chain: []*protocol.Link{{Instance: id, Path: ref.Name + "/0", Facts: facts}}, View: "query", In: nothing(facts.Shape), Out: nothing(plan.Leaves.Shape)}
	times := make([]float64, 0, o.Calls)
	for range o.Calls {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		began := time.Now()
		if _, err := client.Apply(ctx, request); err != nil {
			return 0, err
		}
		times = append(times, 1e6*time.Since(began).Seconds())
	}
	return median(times), nil
}

// starts is the median time from nothing to a plugin that has described itself.
func (o OverheadOptions) starts(ctx context.Context, name string) (float64, error) {
	var times []float64
	for range o.Starts {
		h, err := o.Fresh()
		if err != nil {
			return 0, err
		}
		began := time.Now()
		_, err = h.Direct(ctx, name)
		times = append(times, 1e3*time.Since(began).Seconds())
		if err := h.Close(); err != nil {
			return 0, err
		}
		if err != nil {
			return 0, err
		}
	}
	return median(times), nil
}

// Write prints it for people.
func (r *OverheadResult) Write(to io.Writer) error {
	_, err := fmt.Fprintf(to, "%s on %v, a batch of %d that leaves %.1f MB; %d threads; medians of %d rounds\nin a process of its own  %8.2f ms a batch\n",
		strings.Join(r.Chain, ", "), r.Shape, r.Batch, float64(r.BatchBytes)/1e6, r.Threads, r.Rounds, r.IsolatedMS)
	if err == nil && r.Ratio > 0 {
		_, err = fmt.Fprintf(to, "the same code here       %8.2f ms a batch; the process has %.1f %% of its throughput\n", r.InProcess, 100*r.Ratio)
	}
	if err == nil {
		_, err = fmt.Fprintf(to, "an empty call            %8.1f µs\nfrom start to ready      %8.1f ms\n", r.EmptyUS, r.StartMS)
	}
	if err == nil && r.Python != nil {
		err = r.Python.write(to)
	}
	return err
}
