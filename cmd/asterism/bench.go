package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/bench"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/flow"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/registry"
)

func (a *app) benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "bench", Short: "Measure how fast this machine computes",
		Long: `Bench measures the machine and what Asterism makes of it. Figures are medians; a fraction of the peak is one of the multiply-add
peak measured between the timed pieces, since machines change their speed. gflops counts products as the literature does,
gflops_true leaves out the multiplications by zeros outside images; fractions are of the latter. With --json every result is
one line. ASTERISM_KERNEL=avx512|avx2|portable forces the instructions. Other work on the machine spoils the figures.`,
		Example: `  asterism bench peak
  asterism bench layers resnet.r50 --batch 64
  asterism bench step --arch resnet.r50 --stem paper --batch 16
  asterism bench embed --arch 'vit.small{patch: 4}' --size 32`,
	}
	c.AddCommand(a.benchPeakCommand(), a.benchLayersCommand(), a.benchStepCommand(), a.benchEmbedCommand(), a.benchViewsCommand(), a.benchOverheadCommand(), a.benchSearchCommand())
	return c
}

func (a *app) benchPeakCommand() *cobra.Command {
	o := bench.PeakOptions{}
	c := &cobra.Command{
		Use: "peak", Short: "The peaks of multiply-adds and of memory, for 1, 2, … threads", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.begin(c, &o.Threads); err != nil {
				return err
			}
			return a.show(c, func(ctx context.Context) (any, error) { return bench.Peak(ctx, o) })
		},
	}
	addThreads(c, &o.Threads)
	c.Flags().IntVar(&o.MiB, "mib", 256, "size of the arrays that memory is measured with: several times the last cache")
	c.Flags().IntVar(&o.Rounds, "rounds", 9, "rounds that medians are of")
	return c
}

func (a *app) benchSearchCommand() *cobra.Command {
	o := bench.SearchOptions{}
	c := &cobra.Command{
		Use: "search", Short: "The exact search for the nearest among random rows", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.begin(c, &o.Threads); err != nil {
				return err
			}
			return a.show(c, func(ctx context.Context) (any, error) { return bench.Search(ctx, o) })
		},
	}
	addThreads(c, &o.Threads)
	c.Flags().IntVar(&o.Rows, "rows", 1000000, "rows to search among")
	c.Flags().IntVar(&o.Width, "width", 128, "values in a row")
	c.Flags().IntVar(&o.Top, "top", 20, "how many of the nearest are found")
	c.Flags().IntVar(&o.Queries, "queries", 64, "queries asked at once")
	c.Flags().IntVar(&o.Rounds, "rounds", 5, "rounds that medians are of")
	return c
}

// networkFlags are those of every benchmark of a network.
type networkFlags struct {
	bench.Setting
}

func (f *networkFlags) addTo(c *cobra.Command) {
	c.Flags().StringVar(&f.Arch, "arch", "resnet.r50", "encoder, with its fields in braces if need be: 'vit.small{patch: 4}'; see asterism plugin list")
	c.Flags().StringVar(&f.Stem, "stem", "", "its stem, for those that have one: imagenet, paper, … (default the encoder's)")
	c.Flags().IntVar(&f.Batch, "batch", 64, "images in a batch")
	c.Flags().IntVar(&f.Bands, "bands", 5, "bands of an image")
	c.Flags().IntVar(&f.Size, "size", 64, "pixels on a side of an image")
	c.Flags().StringVar(&f.Precision, "precision", "float32", "in which products are computed and activations stored: float32, bfloat16")
	addThreads(c, &f.Threads)
}

// network runs a benchmark of a network: it checks the flags, and starts and ends the plugins.
func (a *app) network(c *cobra.Command, args []string, f *networkFlags, measure func(context.Context, *bench.Network, schemas) (any, error)) (err error) {
	if len(args) > 0 {
		if err := refuseFlags(c, []string{"arch"}, "and the argument "+args[0]+" both name an encoder", "give one of the two"); err != nil {
			return err
		}
		f.Arch = args[0]
	}
	if err := a.begin(c, &f.Threads); err != nil {
		return err
	}
	r, err := a.installed()
	if err != nil {
		return err
	}
	name, fields := splitComponent(f.Arch)
	if f.Stem != "" {
		fields = fmt.Sprintf("{%s, stem: %q}", fields, f.Stem)
	}
	words := wording{given: "--arch", flags: map[string]string{"stem": "--stem", "queue": "--queue"}, images: "samples", size: f.Size}
	encoder, err := configure(schemas{r}, protocol.Kind_ENCODER, name, fields)
	if err != nil {
		return words.of(err)
	}
	var resolved struct{ Stem string }
	if err := json.Unmarshal(encoder.Config, &resolved); err != nil {
		return err
	}
	f.Stem = resolved.Stem
	progress := run.NewProgress(a.err, a.progress)
	defer progress.Close()
	host, err := newHost(r, progress, f.Threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	progress.Stage(c.Name(), fmt.Sprintf("%s, batch %d, %d×%d, %s", f.Arch, f.Batch, f.Size, f.Size, f.Precision))
	n := &bench.Network{Setting: f.Setting, Host: host, Engine: native.New(), Encoder: encoder, Progress: func(done, total int) { progress.Update(done, total) }}
	return a.show(c, func(ctx context.Context) (any, error) {
		result, err := measure(ctx, n, schemas{r})
		if err == nil {
			progress.Done("")
		}
		return result, words.of(err)
	})
}

func (a *app) benchLayersCommand() *cobra.Command {
	f, rounds := new(networkFlags), 0
	c := &cobra.Command{
		Use: "layers [ARCH]", Short: "Every distinct convolution and linear layer of an encoder, in three directions", Args: cobra.MaximumNArgs(1),
		Example: "  asterism bench layers resnet.r50 --batch 64\n  ASTERISM_KERNEL=avx2 asterism bench layers resnet.r18 --threads 1",
		RunE: func(c *cobra.Command, args []string) error {
			return a.network(c, args, f, func(ctx context.Context, n *bench.Network, _ schemas) (any, error) {
				return bench.Layers(ctx, n, rounds)
			})
		},
	}
	f.addTo(c)
	c.Flags().IntVar(&rounds, "rounds", 5, "rounds that medians are of")
	return c
}

func (a *app) benchStepCommand() *cobra.Command {
	f, o := new(networkFlags), bench.StepOptions{}
	c := &cobra.Command{
		Use: "step [ARCH]", Short: "A whole training step of MoCo v2; prints one line of JSON", Args: cobra.MaximumNArgs(1),
		Long: `Step times whole steps of MoCo v2 on fresh random images: query forward and backward, momentum update, key forward, loss with
the queue in the objective's own process, optimiser. It is the training loop that is timed; images are drawn between the
steps, outside of the time. The projector has the encoder's width and then 128; the temperature is 0.1. Memory is the most
that this process and the objective's have had. Heap bytes and allocations are those of this process in a step.`,
		Example: "  asterism bench step --arch resnet.r50 --batch 64 --queue 65536\n  asterism bench step --arch resnet.r18 --batch 128 --queue 4096 --steps 10",
		RunE: func(c *cobra.Command, args []string) error {
			return a.network(c, args, f, func(ctx context.Context, n *bench.Network, s schemas) (any, error) {
				fields := fmt.Sprintf("{queue: %d, temperature: 0.1, momentum: 0.999, dim: 128, norm_groups: 1}", o.Queue)
				objective, err := configure(s, protocol.Kind_OBJECTIVE, "contrast.moco", fields)
				if err != nil {
					return nil, err
				}
				o.Objective = objective
				return bench.Step(ctx, n, o)
			})
		},
	}
	f.addTo(c)
	c.Flags().IntVar(&o.Queue, "queue", 65536, "negatives, a multiple of the batch")
	c.Flags().IntVar(&o.Steps, "steps", 5, "timed steps, after two that do not count")
	return c
}

func (a *app) benchEmbedCommand() *cobra.Command {
	f, steps := new(networkFlags), 0
	c := &cobra.Command{
		Use: "embed [ARCH]", Short: "Representations; prints one line of JSON", Args: cobra.MaximumNArgs(1),
		Example: "  asterism bench embed --arch resnet.r50 --batch 64",
		RunE: func(c *cobra.Command, args []string) error {
			return a.network(c, args, f, func(ctx context.Context, n *bench.Network, _ schemas) (any, error) { return bench.Embed(ctx, n, steps) })
		},
	}
	f.addTo(c)
	c.Flags().IntVar(&steps, "steps", 20, "timed batches, after two that do not count")
	return c
}

func (a *app) benchViewsCommand() *cobra.Command {
	f, o := new(experimentFlags), bench.ViewsOptions{}
	list, count, size, bands := "", 0, 0, 0
	c := &cobra.Command{
		Use: "views [FILE]", Short: "The views of an experiment on its data, or those listed on simulated images", Args: cobra.MaximumNArgs(1),
		Long: `Views times chains of augmentations as a training takes them, two views at once, and then each augmentation by itself. With FILE
they are those of an experiment, on its own data, which are brought into the store if they are not there. With --views they
are listed, each with its fields in braces where it needs some, and the images are random, of --size, --bands and --count.`,
		Example: "  asterism bench views experiments/quickstart.cue\n  asterism bench views --views 'sky.rotate, sky.jitter_crop{size: 48, shift: 4}, sky.noise'",
		RunE: func(c *cobra.Command, args []string) error {
			simulated, ofFile := []string{"count", "size", "bands"}, []string{"tag", "set"}
			switch {
			case len(args) == 1 && list != "":
				return &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("the file %s and --views: both name views", args[0]), Do: "give one of the two; a list with blanks stands in quotes"}
			case len(args) == 1:
				if err := refuseFlags(c, simulated, "is of simulated images; these are those of "+args[0], "leave it out, or give --views"); err != nil {
					return err
				}
				return a.benchViewsOf(c, args[0], f, o)
			case list == "":
				return &fault.Error{Op: "bench", Kind: fault.Config, What: "no views are named", Do: "give an experiment, or --views 'sky.flip, sky.noise'"}
			}
			if err := refuseFlags(c, ofFile, "is of an experiment, and --views needs none", "leave it out, or give a file"); err != nil {
				return err
			}
			o.Threads = f.threads
			return a.benchViews(c, list, o, count, size, bands)
		},
	}
	f.addTo(c)
	addThreads(c, &f.threads)
	c.Flags().StringVar(&list, "views", "", "augmentations, with commas between them")
	c.Flags().IntVar(&o.Batch, "batch", 64, "images in a batch")
	c.Flags().Float64Var(&o.Seconds, "seconds", 3, "how long each chain is timed, and again its augmentations")
	c.Flags().IntVar(&count, "count", 256, "simulated images")
	c.Flags().IntVar(&size, "size", 88, "pixels on a side of a simulated image, the frame that views crop")
	c.Flags().IntVar(&bands, "bands", 5, "bands of a simulated image")
	return c
}

// refuseFlags is the error for the first of some flags that was given and does not apply.
func refuseFlags(c *cobra.Command, names []string, why, do string) error {
	for _, name := range names {
		if c.Flags().Changed(name) {
			return &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("--%s %s", name, why), Do: do}
		}
	}
	return nil
}

// benchViewsOf times the views of an experiment.
func (a *app) benchViewsOf(c *cobra.Command, file string, f *experimentFlags, o bench.ViewsOptions) (err error) {
	if err := processors(&f.threads); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "asterism-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	aside := *a
	aside.runs = folder
	fl, x, end, err := aside.flow(c, file, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	o.Host, o.Threads = fl.Host, f.threads
	return a.show(c, func(ctx context.Context) (any, error) {
		samples, err := fl.Samples(ctx)
		if err != nil {
			return nil, err
		}
		return views(ctx, o, samples, x.Name)
	})
}

// benchViews times listed augmentations.
func (a *app) benchViews(c *cobra.Command, list string, o bench.ViewsOptions, count, size, bands int) (err error) {
	if err := a.begin(c, &o.Threads); err != nil {
		return err
	}
	r, err := a.installed()
	if err != nil {
		return err
	}
	chain, words, err := viewsOf(r, list, size)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "asterism-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	progress := run.NewProgress(a.err, a.progress)
	defer progress.Close()
	if o.Host, err = newHost(r, progress, o.Threads); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Host.Close()) }()
	return a.show(c, func(ctx context.Context) (any, error) {
		samples, err := bench.Simulated(ctx, o, map[string][]plugin.Ref{"views": chain}, count, size, bands, folder)
		if err != nil {
			return nil, words.of(err)
		}
		return views(ctx, o, samples, "simulated")
	})
}

// viewsOf reads a list of augmentations for images of a size.
func viewsOf(r *registry.Registry, list string, size int) ([]plugin.Ref, wording, error) {
	words := wording{given: "--views", images: "frame", size: size}
	var chain []plugin.Ref
	for _, text := range splitList(list) {
		name, fields := splitComponent(text)
		augmentation, err := configure(schemas{r}, protocol.Kind_AUGMENTATION, name, fields)
		if err != nil {
			return nil, words, words.of(err)
		}
		chain = append(chain, augmentation)
	}
	return chain, words, nil
}

func views(ctx context.Context, o bench.ViewsOptions, samples *flow.Samples, data string) (any, error) {
	defer samples.Store.Close()
	r, err := bench.Views(ctx, o, samples)
	if err != nil {
		return nil, err
	}
	r.Data = data
	return r, nil
}

// splitList divides a list at the commas outside of brackets.
func splitList(list string) []string {
	var parts []string
	depth, from := 0, 0
	for i, c := range list {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				parts, from = append(parts, strings.TrimSpace(list[from:i])), i+1
			}
		}
	}
	return append(parts, strings.TrimSpace(list[from:]))
}

func addThreads(c *cobra.Command, threads *int) {
	c.Flags().IntVar(threads, "threads", 0, "processors to use (0: all)")
}

// begin checks what all benchmarks share, and lets Ctrl-C end them.
func (a *app) begin(c *cobra.Command, threads *int) error {
	if err := run.CheckProgressMode(a.progress); err != nil {
		return err
	}
	if err := processors(threads); err != nil {
		return err
	}
	if err := machine(*threads); err != nil {
		return err
	}
	interruptible(c, func(string) {})
	return nil
}

// processors refuses more threads than there are processors, which would take turns: neither figures nor the peak would
// mean anything. For 0 it gives all.
func processors(threads *int) error {
	set := runtime.GOMAXPROCS(0) // by the environment, too
	runtime.SetDefaultGOMAXPROCS()
	have := runtime.GOMAXPROCS(0)
	if *threads == 0 {
		*threads = min(set, have)
	}
	if *threads > have {
		return &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("--threads %d is more than the processors here, %d", *threads, have), Do: fmt.Sprintf("give at most %d, or 0 for all", have)}
	}
	return nil
}

// table is a result that people can read.
type table interface{ Write(io.Writer) error }

// show runs a benchmark and prints its result. A request to stop does not wait for the piece of work at hand, which may be
// long: the process is about to end.
func (a *app) show(c *cobra.Command, measure func(context.Context) (any, error)) error {
	type outcome struct {
		result any
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		result, err := measure(c.Context())
		ended <- outcome{result, err}
	}()
	stopped := &fault.Error{Op: "bench", Kind: fault.Cancelled, What: "stopped"}
	var o outcome
	select {
	case o = <-ended:
	case <-c.Context().Done():
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
		return stopped
	}
	switch {
	case o.err != nil && c.Context().Err() != nil:
		return stopped
	case o.err != nil:
		return o.err
	}
	if readable, ok := o.result.(table); ok && !a.json {
		return readable.Write(a.out)
	}
	return json.NewEncoder(a.out).Encode(o.result)
}
