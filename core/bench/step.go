package bench

import (
	"context"
	"math"
	"os"
	"runtime"
	"strings"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/train"
)

// warmUp is how many steps or batches come before those that count.
const warmUp = 2

// Timing is what a network took.
type Timing struct {
	Steps        int     `json:"steps"`
	Seconds      float64 `json:"step_s"` // median
	Shortest     float64 `json:"step_s_min"`
	Longest      float64 `json:"step_s_max"`
	ImagesPerS   float64 `json:"images_per_s"`
	GFLOP        float64 `json:"gflop"`         // of a step, as dense products
	GFLOPS       float64 `json:"gflops"`        // rate, of dense products
	GFLOPSTrue   float64 `json:"gflops_true"`   // rate, without the taps outside the image
	Peak         float64 `json:"peak_gflops"`   // multiply-adds, measured between the steps
	PeakFraction float64 `json:"peak_fraction"` // of gflops_true
	HeapBytes    float64 `json:"heap_bytes_per_step"`
	HeapAllocs   float64 `json:"heap_allocs_per_step"`
}

// StepResult is the speed of training. Memory is the most that each process has had, in MiB.
type StepResult struct {
	Bench     string `json:"bench"` // "step"
	Engine    string `json:"engine"`
	Objective string `json:"objective"`
	Queue     int    `json:"queue,omitempty"`
	Setting
	Timing
	PeakRSS          float64 `json:"peak_rss_mib"` // both processes
	PeakRSSHost      float64 `json:"peak_rss_host_mib"`
	PeakRSSObjective float64 `json:"peak_rss_objective_mib"`
}

// StepOptions say how the network is trained. Its weights and images are random: the values do not matter, the work does.
type StepOptions struct {
	Objective plugin.Ref
	Queue     int // negatives of the objective
	Steps     int
}

// Step times whole training steps: every pass of the objective's program forward and backward, the loss in the
// objective's own process, the optimiser and the update of the momentum network. They are run by the training loop, on
// fresh random images. Images are drawn between the steps, outside of the time, as a training's views are made ahead of it.
func Step(ctx context.Context, n *Network, o StepOptions) (*StepResult, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	if err := within("--steps", o.Steps, 1<<24); err != nil {
		return nil, err
	}
	description, graph, err := n.build(ctx)
	if err != nil {
		return nil, err
	}
	objective, err := n.Host.Objective(ctx, o.Objective)
	if err != nil {
		return nil, err
	}
	defer objective.Close()
	steps := o.Steps + warmUp
	program, err := objective.Plan(ctx, &protocol.ProgramRequest{Representation: graph.Outputs["representation"].Shape, Features: graph.Outputs["features"].Shape, Batch: uint32(n.Batch), Samples: uint64(n.Batch * steps)})
	if err != nil {
		return nil, err
	}
	trained := engine.Program{Encoder: description, Heads: program.Heads, Passes: program.Passes, Taps: program.Taps, Momentum: program.Momentum > 0}
	images := 4 * float64(len(program.Views)) * n.imageValues()
	if err := n.affords(trained, engine.Train, float64(program.StateBytes), images+4*float64(o.Queue)); err != nil {
		return nil, err
	}
	network, err := n.Engine.Compile(trained, n.options(engine.Train))
	if err != nil {
		return nil, err
	}
	defer network.Close()
	widths := map[string][]int64{}
	for _, t := range program.Taps {
		widths[t.Name] = network.TapShape(t.Name)
	}
	if err := objective.Bind(n.Batch, widths, program.Labels); err != nil {
		return nil, err
	}
	c, err := newClock(n)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	source := newImages(n, program, steps, c.before)
	// A learning rate of nothing would let the weights stay; this one lets them move and not run away.
	job := &train.Job{Source: source, Program: program, Network: network, Objective: objective, Batch: n.Batch, Epochs: 1,
		Schedule: train.Schedule{Kind: "constant", Base: 1e-4}, Momentum: 0.9, Decay: 1e-4,
		Observe: func(p train.Progress) {
			c.after(p.Computed)
			n.progress(p.Step, p.Steps)
		}}
	if err := train.Run(ctx, job); err != nil {
		return nil, err
	}
	passes, gradients := 0, 0
	for _, p := range program.Passes {
		passes++
		if p.Gradient {
			gradients++
		}
	}
	dense := float64(network.Cost().StepFLOPs)
	r := &StepResult{Bench: "step", Engine: n.describe(), Objective: o.Objective.Name, Queue: o.Queue, Setting: n.Setting,
		Timing: c.timing(n.Batch, dense, dense-outside(graph, n.Batch, passes, gradients))}
	name, _, _ := strings.Cut(o.Objective.Name, ".")
	host, plugin := peakRSS(os.Getpid()), peakRSS(n.Host.Processes()[name])
	r.PeakRSS, r.PeakRSSHost, r.PeakRSSObjective = mib(host+plugin), mib(host), mib(plugin)
	return r, nil
}

// EmbedResult is the speed of representations. Memory is the most that the process has had, in MiB.
type EmbedResult struct {
	Bench  string `json:"bench"` // "embed"
	Engine string `json:"engine"`
	Setting
	Timing
	PeakRSS float64 `json:"peak_rss_mib"`
}

// Embed times the computation of representations, on fresh random images that are drawn outside of the time.
func Embed(ctx context.Context, n *Network, steps int) (*EmbedResult, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	if err := within("--steps", steps, 1<<24); err != nil {
		return nil, err
	}
	description, graph, err := n.build(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.affords(flow.InferenceProgram(description), engine.Infer, 0, 4*n.imageValues()); err != nil {
		return nil, err
	}
	inference, err := flow.NewInference(n.Engine, description, n.options(engine.Infer))
	if err != nil {
		return nil, err
	}
	defer inference.Close()
	c, err := newClock(n)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	width := int(model.Size(graph.Input))
	samples, representations := make([]float32, n.Batch*width), make([]float32, n.Batch*inference.Width)
	for step := range steps + warmUp {
		normal(samples, width, key.New(0, "bench", "embed"), uint64(step))
		c.before()
		var failed error
		took := seconds(func() { failed = inference.Represent(samples, n.Batch, representations) })
		if failed != nil {
			return nil, failed
		}
		c.after(took)
		if err := stopped(ctx); err != nil {
			return nil, err
		}
		n.progress(step+1, steps+warmUp)
	}
	dense := float64(graph.FLOPs()) * float64(n.Batch)
	return &EmbedResult{Bench: "embed", Engine: n.describe(), Setting: n.Setting, Timing: c.timing(n.Batch, dense, dense-outside(graph, n.Batch, 1, 0)),
		PeakRSS: mib(peakRSS(os.Getpid()))}, nil
}

// clock collects what the steps took and allocated, and the multiply-add peak between them.
type clock struct {
	peak          *multiplyAdd
	peaks, took   []float64
	done          int
	heap          runtime.MemStats
	bytes, allocs uint64
}

func newClock(n *Network) (*clock, error) {
	peak, err := newMultiplyAdd(engine.Precision(n.Precision), n.Threads)
	return &clock{peak: peak}, err
}

// before comes just before a step.
func (c *clock) before() {
	c.peaks = append(c.peaks, c.peak.burst())
	runtime.ReadMemStats(&c.heap)
}

// after comes just after it.
func (c *clock) after(seconds float64) {
	bytes, allocs := c.heap.TotalAlloc, c.heap.Mallocs
	runtime.ReadMemStats(&c.heap)
	if c.done++; c.done > warmUp {
		c.took = append(c.took, seconds)
		c.bytes += c.heap.TotalAlloc - bytes
		c.allocs += c.heap.Mallocs - allocs
	}
}

// timing sums up, for the FLOPs of a step as dense products and without the taps outside images.
func (c *clock) timing(batch int, dense, inside float64) Timing {
	n := len(c.took)
	t := Timing{Steps: n, Seconds: median(c.took), Shortest: c.took[0], Longest: c.took[n-1], GFLOP: dense / 1e9, Peak: median(c.peaks),
		HeapBytes: math.Round(float64(c.bytes) / float64(n)), HeapAllocs: math.Round(float64(c.allocs) / float64(n))}
	t.ImagesPerS = float64(batch) / t.Seconds
	t.GFLOPS, t.GFLOPSTrue = dense/t.Seconds/1e9, inside/t.Seconds/1e9
	t.PeakFraction = t.GFLOPSTrue / t.Peak
	return t
}

// Close ends the clock's threads.
func (c *clock) Close() { c.peak.Close() }

func mib(bytes int64) float64 { return math.Round(float64(bytes)/(1<<20)*10) / 10 }
