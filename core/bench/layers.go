package bench

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
)

// LayersResult is the speed of every distinct convolution and linear layer of an encoder.
type LayersResult struct {
	Bench        string `json:"bench"` // "layers"
	Instructions string `json:"instructions"`
	Setting
	Rounds   int        `json:"rounds"`
	Peak     float64    `json:"peak_gflops"`
	Layers   []LayerRow `json:"layers"`
	Together Rates      `json:"together"`        // all layers, each as often as the encoder has it
	Others   []string   `json:"others,omitzero"` // layers with products that were not measured
}

// LayerRow is one shape of layer.
type LayerRow struct {
	Shape   string  `json:"shape"`         // "3×3/2 64→128 at 16×16"
	Count   int     `json:"count"`         // how many the encoder has
	GFLOP   float64 `json:"gflop"`         // one of them, forward, the whole batch, as a dense product
	Padding float64 `json:"padding_share"` // of it, multiplications by zeros outside the image
	Rates
}

// Rates are the speeds in the three directions; the input gradient is missing where the layer reads the sample.
type Rates struct {
	Forward        *Rate `json:"forward"`
	InputGradient  *Rate `json:"input_gradient,omitempty"`
	WeightGradient *Rate `json:"weight_gradient"`
}

// Rate is the speed of a product.
type Rate struct {
	Seconds    float64 `json:"seconds"`
	GFLOPS     float64 `json:"gflops"`        // counted as a dense product
	GFLOPSTrue float64 `json:"gflops_true"`   // without the taps outside the image
	Fraction   float64 `json:"peak_fraction"` // of gflops_true
}

// Layers times the layers of an encoder on the network's batch, each by itself and its weights packed before, with bursts
// of the multiply-add peak in between.
func Layers(ctx context.Context, n *Network, rounds int) (*LayersResult, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	if err := within("--rounds", rounds, 1<<20); err != nil {
		return nil, err
	}
	description, graph, err := n.build(ctx)
	if err != nil {
		return nil, err
	}
	// The engine knows best what it refuses: a precision, for one.
	if _, err := n.Engine.Cost(flow.InferenceProgram(description), n.options(engine.Infer)); err != nil {
		return nil, err
	}
	return n.layers(ctx, graph, rounds)
}

// layers times the layers of a network.
func (n *Network) layers(ctx context.Context, graph *model.Graph, rounds int) (*LayersResult, error) {
	all, others := shapes(graph, n.Batch)
	if len(all) == 0 {
		return nil, &fault.Error{Op: "bench", Kind: fault.Config, Plugin: n.Encoder.Name, What: "has no plain convolution or linear layer", Do: "choose another encoder"}
	}
	geometries := make([]kernel.Geometry, len(all))
	for i, s := range all {
		geometries[i] = s.Geometry
	}
	half, err := halved(engine.Precision(n.Precision))
	if err != nil {
		return nil, err
	}
	if err := fits("the largest layers", float64(workspaceBytes(geometries, half)), "lower --batch or --size"); err != nil {
		return nil, err
	}
	peak, err := newMultiplyAdd(engine.Precision(n.Precision), n.Threads)
	if err != nil {
		return nil, err
	}
	defer peak.Close()
	pool := kernel.NewPool(n.Threads)
	defer pool.Close()
	drawn := uint64(0)
	space := newWorkspace(pool, geometries, half, func(v []float32) {
		normal(v, 1<<12, key.New(0, "bench", "layers"), drawn)
		drawn++
	})
	times := make([][directions][]float64, len(all))
	repeat := make([][directions]int, len(all))
	var peaks []float64
	for round := range rounds {
		for i, s := range all {
			for d := range directions {
				if d == inputGradient && !s.gradient {
					continue
				}
				run := space.product(s.Geometry, d)
				if round == 0 {
					repeat[i][d] = repeats(run)
				}
				times[i][d] = append(times[i][d], each(repeat[i][d], run))
				if err := stopped(ctx); err != nil {
					return nil, err
				}
			}
			peaks = append(peaks, peak.burst())
			n.progress(round*len(all)+i+1, rounds*len(all))
		}
	}
	r := &LayersResult{Bench: "layers", Instructions: kernel.Describe(), Setting: n.Setting, Rounds: rounds, Peak: median(peaks), Others: others}
	var together [directions]tally
	for i, s := range all {
		row := LayerRow{Shape: sketch(s.Geometry), Count: s.count, GFLOP: float64(s.FLOPs()) / 1e9, Padding: 1 - inside(s.Geometry)}
		var rates [directions]*Rate
		for d := range directions {
			if len(times[i][d]) == 0 {
				continue
			}
			one := tally{seconds: median(times[i][d]), dense: float64(s.FLOPs()), inside: float64(s.FLOPs()) * inside(s.Geometry)}
			rates[d] = one.rate(r.Peak)
			together[d].add(one, float64(s.count))
		}
		row.Rates = Rates{rates[forward], rates[inputGradient], rates[weightGradient]}
		r.Layers = append(r.Layers, row)
	}
	r.Together = Rates{together[forward].rate(r.Peak), together[inputGradient].rate(r.Peak), together[weightGradient].rate(r.Peak)}
	return r, nil
}

// tally is work and the time it took.
type tally struct{ seconds, dense, inside float64 }

func (t *tally) add(one tally, times float64) {
	t.seconds += times * one.seconds
	t.dense += times * one.dense
	t.inside += times * one.inside
}

// rate is nil where nothing was measured.
func (t tally) rate(peak float64) *Rate {
	if t.seconds == 0 {
		return nil
	}
	return &Rate{Seconds: t.seconds, GFLOPS: t.dense / t.seconds / 1e9, GFLOPSTrue: t.inside / t.seconds / 1e9, Fraction: t.inside / t.seconds / 1e9 / peak}
}

// Write shows the result as a table.
func (r *LayersResult) Write(to io.Writer) error {
	fmt.Fprintf(to, "%s, batch %d, %d×%d, %d bands, %s; %s, %d threads; multiply-add peak %.1f GFLOP/s; medians of %d rounds\n", r.Arch, r.Batch, r.Size, r.Size, r.Bands, r.Precision, r.Instructions, r.Threads, r.Peak, r.Rounds)
	fmt.Fprintf(to, "GFLOP/s count taps inside the image alone, per cent are of the peak; padding is the share of the dense product outside\n\n")
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "layer\tcount\tGFLOP\tpadding\tforward\t%%\tinput gradient\t%%\tweight gradient\t%%\t\n")
	rates := func(s Rates) {
		for _, d := range []*Rate{s.Forward, s.InputGradient, s.WeightGradient} {
			if d == nil {
				fmt.Fprint(w, "–\t\t")
			} else {
				fmt.Fprintf(w, "%.1f\t%.1f\t", d.GFLOPSTrue, 100*d.Fraction)
			}
		}
		fmt.Fprintln(w)
	}
	total, count := 0.0, 0
	for _, l := range r.Layers {
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.0f %%\t", l.Shape, l.Count, l.GFLOP, 100*l.Padding)
		rates(l.Rates)
		total, count = total+float64(l.Count)*l.GFLOP, count+l.Count
	}
	fmt.Fprintf(w, "together\t%d\t%.2f\t%.0f %%\t", count, total, 100*(1-r.Together.Forward.GFLOPSTrue/r.Together.Forward.GFLOPS))
	rates(r.Together)
	if len(r.Others) > 0 {
		defer fmt.Fprintf(to, "\nnot measured: %d layers of groups, transposed or of attention\n", len(r.Others))
	}
	return w.Flush()
}
