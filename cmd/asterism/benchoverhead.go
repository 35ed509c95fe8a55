package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism"
	"github.com/asterism-ssl/asterism/core/bench"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/registry"
)

func (a *app) benchOverheadCommand() *cobra.Command {
	o := bench.OverheadOptions{}
	list, size, bands := "", 0, 0
	c := &cobra.Command{
		Use: "plugin-overhead", Short: "What it costs that plugins are processes of their own", Args: cobra.NoArgs,
		Long: `Plugin-overhead takes batches of random images through augmentations of one plugin, in its own process as in a training, and,
for plugins of this binary, by the same code in this process, in turn. It also times empty calls and starts, and what a copy and
a start cost in Python, where python3 has grpc, numpy and protobuf.`,
		Example: "  asterism bench plugin-overhead\n  asterism bench plugin-overhead --plugin acme=./acme --views acme.identity --batch 64 --size 64",
		RunE: func(c *cobra.Command, _ []string) (err error) {
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
			if len(chain) == 0 {
				return &fault.Error{Op: "bench", Kind: fault.Config, What: "no views are named", Do: "give --views, such as 'sky.rotate, sky.noise'"}
			}
			folder, err := os.MkdirTemp("", "asterism-bench-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(folder)
			progress := run.NewProgress(a.err, a.progress)
			defer progress.Close()
			o.Fresh = func() (*plugin.Host, error) { return newHost(r, progress, o.Threads) }
			if o.Host, err = o.Fresh(); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.Host.Close()) }()
			for _, p := range firstParty() {
				if installed, err := r.Plugin(p.Name); err == nil && installed.Builtin && strings.HasPrefix(chain[0].Name, p.Name+".") {
					o.Local = func(string) (bench.InProcess, error) { return sdk.InProcess(p) }
				}
			}
			o.Python = func(ctx context.Context) (func() *plugin.Host, error) { return pythonIdentity(ctx, folder, progress) }
			return a.show(c, func(ctx context.Context) (any, error) {
				samples, err := bench.Simulated(ctx, o.ViewsOptions, map[string][]plugin.Ref{"views": chain}, o.Batch, size, bands, folder)
				if err != nil {
					return nil, words.of(err)
				}
				defer samples.Store.Close()
				return bench.Overhead(ctx, o, samples)
			})
		},
	}
	addThreads(c, &o.Threads)
	o.Seconds = 1
	c.Flags().StringVar(&list, "views", "sky.rotate, sky.jitter_crop{size: 64, shift: 7}, sky.noise", "augmentations of one plugin, with commas between them")
	c.Flags().IntVar(&o.Batch, "batch", 256, "images in a batch")
	c.Flags().IntVar(&size, "size", 88, "pixels on a side of a random image, the frame that views crop")
	c.Flags().IntVar(&bands, "bands", 5, "bands of a random image")
	c.Flags().IntVar(&o.Rounds, "rounds", 21, "batches that medians are of")
	c.Flags().IntVar(&o.Calls, "calls", 2000, "empty calls that the median is of")
	c.Flags().IntVar(&o.Starts, "starts", 9, "starts that the median is of")
	return c
}

// pythonIdentity builds the plugin in Python that copies, in a folder, and gives hosts of it.
func pythonIdentity(ctx context.Context, folder string, log io.Writer) (func() *plugin.Host, error) {
	author, built := filepath.Join(folder, "author"), filepath.Join(folder, "identity")
	if err := os.CopyFS(author, bench.Identity()); err != nil {
		return nil, err
	}
	p, err := registry.Build(ctx, author, built, asterism.PythonSDK())
	if err != nil {
		var f *fault.Error
		if errors.As(err, &f) && strings.TrimSpace(f.Log) != "" { // the last line is what Python has to say
			lines := strings.Split(strings.TrimSpace(f.Log), "\n")
			err = errors.New("python3: " + lines[len(lines)-1])
		}
		return nil, err
	}
	return func() *plugin.Host {
		return plugin.NewHost(func(string) (plugin.Spec, error) {
			return plugin.Spec{Name: p.Name, Version: p.Version, Command: p.Command, Dir: p.Dir, Manifest: p.Manifest}, nil
		}, plugin.Options{Log: log, StartTimeout: time.Minute})
	}, nil
}
