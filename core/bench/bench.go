// Package bench measures how fast this machine does what Asterism spends its time on: products and memory (Peak), the
// layers of a network (Layers), a whole training step (Step), representations (Embed), views (Views) and the search for
// neighbours (Search).
//
//	r, err := bench.Peak(ctx, bench.PeakOptions{Threads: 2, MiB: 256, Rounds: 5})
//	fmt.Println(r.Threads[1].MultiplyAdd["float32"], "GFLOP/s on two threads")
//
// Every figure is a median over rounds, and what is compared is measured in turn in one run, since the speed of a machine
// changes from minute to minute: a fraction of the peak is one of the peak that was measured between the timed pieces.
//
// Two rates are given for products. "gflops" counts a convolution as a dense product, as the literature does, with the
// multiplications by zeros outside the image. "gflops_true" counts only those inside, which an engine cannot avoid; on the
// small maps of a deep layer they are half as many, and fractions of the peak are of these.
package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"time"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Setting says which network is timed, on what and how; results repeat it.
type Setting struct {
	Arch      string `json:"arch"` // encoder, with the fields that were given: "resnet.r50", "vit.small{patch: 4}"
	Stem      string `json:"stem,omitempty"`
	Batch     int    `json:"batch"`
	Bands     int    `json:"bands"`
	Size      int    `json:"size"` // pixels on a side
	Precision string `json:"precision"`
	Threads   int    `json:"threads"`
}

// Network is an encoder to be timed, and what computes it.
type Network struct {
	Setting
	Host    *plugin.Host
	Engine  engine.Engine
	Encoder plugin.Ref
	// Progress is told how much is done, of how much; it may be nil.
	Progress func(done, total int)
}

func (n *Network) progress(done, total int) {
	if n.Progress != nil {
		n.Progress(done, total)
	}
}

// check refuses settings that make no sense, naming the flag. Whether this machine computes in a precision is the engine's
// to say.
func (n *Network) check() error {
	for _, s := range []struct {
		flag         string
		value, limit int
	}{{"--batch", n.Batch, 1 << 24}, {"--bands", n.Bands, 1 << 16}, {"--size", n.Size, 1 << 16}, {"--threads", n.Threads, 1 << 10}} {
		if err := within(s.flag, s.value, s.limit); err != nil {
			return err
		}
	}
	if values := n.imageValues(); values > 1<<30 {
		return &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("--size %d with --bands %d: images of %.1e values", n.Size, n.Bands, values), Do: "lower --size or --bands, to images of at most 2³⁰ values"}
	}
	if p := engine.Precision(n.Precision); p != engine.Float32 && p != engine.BFloat16 {
		return &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("--precision %q is not known", n.Precision), Do: "choose float32 or bfloat16"}
	}
	return nil
}

// within refuses a count outside 1…limit.
func within(flag string, value, limit int) error {
	if value >= 1 && value <= limit {
		return nil
	}
	return &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("%s %d is out of range", flag, value), Do: fmt.Sprintf("give a number from 1 to %d", limit)}
}

// options are those that the network is compiled with.
func (n *Network) options(m engine.Mode) engine.Options {
	return engine.Options{Mode: m, Batch: n.Batch, Precision: engine.Precision(n.Precision), Threads: n.Threads}
}

// affords refuses a program that finds no memory beside what else is held, so many bytes and so many for each image, and
// names the largest batch that fits.
func (n *Network) affords(p engine.Program, m engine.Mode, held, heldByImage float64) error {
	try := func(batch int) error {
		o := n.options(m)
		o.Batch = batch
		cost, err := n.Engine.Cost(p, o)
		if err != nil {
			return err
		}
		return fits(fmt.Sprintf("the network and its images at --batch %d", batch), float64(cost.Bytes)+held+heldByImage*float64(batch), "")
	}
	err := try(n.Batch)
	if fault.KindOf(err) != fault.Resource {
		return err
	}
	short := *fault.All(err)[0]
	short.Do = "lower --size or choose a smaller encoder; no batch would fit"
	// The smallest batch for which the next one does not fit.
	if largest := sort.Search(n.Batch, func(batch int) bool { return try(batch+1) != nil }); largest > 0 {
		short.Do = fmt.Sprintf("give a --batch of at most %d, or lower --size", largest)
	}
	return &short
}

// imageValues is how many values an image has.
func (n *Network) imageValues() float64 { return float64(n.Size) * float64(n.Size) * float64(n.Bands) }

// input is the shape of a sample.
func (n *Network) input() []int64 { return []int64{int64(n.Size), int64(n.Size), int64(n.Bands)} }

// describe says what computes: "native: AVX-512, 2 threads".
func (n *Network) describe() string { return n.Engine.Name() + ": " + n.Engine.Describe() }

// build asks the encoder's plugin for its network and checks it.
func (n *Network) build(ctx context.Context) (*protocol.Model, *model.Graph, error) {
	m, err := n.Host.Encoder(ctx, n.Encoder, n.input())
	if err != nil {
		return nil, nil, err
	}
	g, err := model.Check(m)
	if err != nil {
		return nil, nil, &fault.Error{Op: "bench", Kind: fault.Plugin, Plugin: n.Encoder.Name, What: "its model does not work", Err: err}
	}
	if g.Outputs["representation"] == nil || g.Outputs["features"] == nil {
		return nil, nil, &fault.Error{Op: "bench", Kind: fault.Plugin, Plugin: n.Encoder.Name, What: "its model has no outputs features and representation"}
	}
	return m, g, nil
}

// median of at least one value; the values are sorted.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// seconds times a function.
func seconds(f func()) float64 {
	began := time.Now()
	f()
	return time.Since(began).Seconds()
}

// atLeast is how long a piece is timed: shorter ones are repeated.
const atLeast = 10 * time.Millisecond

// repeats is how often a piece must be run to take long enough, after a first run that is not counted.
func repeats(f func()) int {
	f()
	once := seconds(f)
	return max(1, int(atLeast.Seconds()/max(once, 1e-9)))
}

// each gives the seconds of one run of f, from n in a row.
func each(n int, f func()) float64 {
	return seconds(func() {
		for range n {
			f()
		}
	}) / float64(n)
}

// normal fills rows of so many values with standard normal numbers of a key, each row for its own counter.
func normal(values []float32, width int, k key.Key, epoch uint64) {
	rows := (len(values) + width - 1) / width
	parallel(rows, func(i int) {
		s := k.At(epoch, uint64(i))
		for j := range values[i*width : min((i+1)*width, len(values))] {
			values[i*width+j] = float32(s.Normal())
		}
	})
}

// parallel calls f(0), …, f(n−1) on all processors and returns when all have returned.
func parallel(n int, f func(i int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	done := make(chan struct{})
	for w := range workers {
		go func() {
			for i := n * w / workers; i < n*(w+1)/workers; i++ {
				f(i)
			}
			done <- struct{}{}
		}()
	}
	for range workers {
		<-done
	}
}

// stopped is the end of a measurement on request.
func stopped(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return &fault.Error{Op: "bench", Kind: fault.Cancelled, What: "stopped", Err: ctx.Err()}
}

// fits refuses what the machine has no memory for. Bytes are no integer, since what a user may ask for overflows one.
func fits(what string, bytes float64, do string) error {
	if have, known := protocol.AvailableMemory(); known && bytes > float64(have) {
		return &fault.Error{Op: "bench", Kind: fault.Resource, What: fmt.Sprintf("no memory for %s: %.1f GiB, and %.1f GiB are available", what, bytes/(1<<30), float64(have)/(1<<30)), Do: do}
	}
	return nil
}
