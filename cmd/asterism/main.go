// Asterism finds patterns in sky surveys, and in any other 1D, 2D or 3D data, without labels, and answers questions with
// few of them. `asterism run experiment.cue` is the main job; `asterism help` lists the rest.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/fault"
)

func main() { os.Exit(Main()) }

// Main runs the command line and gives its exit status.
func Main() int {
	out := &output{to: os.Stdout}
	a := &app{out: out, err: os.Stderr, json: slices.Contains(os.Args[1:], "--json")} // known before a wrong flag is met
	err := a.root().ExecuteContext(context.Background())
	if err == nil {
		err = out.failed
	}
	if err != nil {
		return a.fail(err)
	}
	return 0
}

// output is standard output, which may be a full disk or a closed pipe: what could not be written is an error at the end.
type output struct {
	to     io.Writer
	failed error
}

// Write writes and remembers the first failure.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.to.Write(b)
	if err != nil && o.failed == nil {
		o.failed = &fault.Error{Kind: fault.Resource, What: "the output cannot be written", Err: err, Do: "the results are in the run directory: see asterism runs list"}
	}
	return n, err
}

// interruptible cancels the context of a verb on the first Ctrl-C, hang-up or request to end, so that a run can write a
// checkpoint; the second ends the process at once. A signal that whoever started us has us ignore (nohup) stays ignored.
func interruptible(c *cobra.Command, note func(string)) {
	ctx, cancel := context.WithCancel(c.Context())
	c.SetContext(ctx)
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	go func() {
		<-signals
		note("stopping at the end of this step; press Ctrl-C again to stop at once")
		cancel()
		<-signals
		os.Exit(fault.Cancelled.ExitCode())
	}()
}

// fail prints an error and gives the exit status that it means.
func (a *app) fail(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		err = &fault.Error{Kind: fault.Config, What: usage.Error(), Do: "see asterism help"}
	}
	if a.json {
		fault.PrintJSON(a.err, err)
	} else {
		fault.Print(a.err, err)
	}
	return fault.KindOf(err).ExitCode()
}

// usageError is a wrong flag or argument.
type usageError struct{ error }

// app is what every verb shares: where to write, and the flags that all have.
type app struct {
	out, err  io.Writer
	json      bool
	progress  string
	overrides []string
	runs      string
}

// root is the whole command line.
func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "asterism",
		Short: "Learn representations of images without labels, and answer questions with few of them",
		Long: `Asterism learns representations of images (or spectra, or volumes) without labels, and answers questions with few of
them. An experiment is one CUE file; datasets, views, encoders, objectives and tasks are plugins.

  asterism run experiment.cue      do everything that the file asks for, or show what was done before
  asterism vet experiment.cue      check the file; reads nothing else
  asterism plan experiment.cue     shapes, parameters, memory and work, before anything runs

Exit status: 0 ok, 1 internal or the machine refuses, 2 experiment invalid, 3 data invalid, 4 plugin failure, 5 training
diverged, 75 interrupted and resumable, 130 interrupted.`,
		SilenceErrors: true, SilenceUsage: true, SuggestionsMinimumDistance: 2,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	c.SetOut(a.out)
	c.SetErr(a.err)
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := c.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "write results and errors as JSON")
	flags.StringVar(&a.progress, "progress", "auto", "progress display: auto, bar, plain, json, none")
	flags.StringArrayVar(&a.overrides, "plugin", nil, "use the plugin in a folder instead of the installed one, NAME=DIR")
	flags.StringVar(&a.runs, "runs", "runs", "folder of run directories")
	c.AddCommand(a.runCommand(), a.vetCommand(), a.planCommand(), a.runsCommand(), a.reportCommand(), a.benchCommand(), a.pluginCommand(), a.schemaCommand(), a.storeCommand(), a.versionCommand())
	for _, sub := range c.Commands() {
		wrapUsage(sub)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(c, args[0])
		}
		return c.Help()
	}
	c.Args = cobra.ArbitraryArgs
	return c
}

func unknownVerb(c *cobra.Command, verb string) error {
	e := &fault.Error{Kind: fault.Config, What: fmt.Sprintf("no command %q", verb), Do: "asterism help lists the commands"}
	if near := c.SuggestionsFor(verb); len(near) > 0 {
		e.Do = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return e
}

// wrapUsage makes wrong numbers of arguments errors of usage, with the right exit status.
func wrapUsage(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("%s: %v", c.CommandPath(), err), Do: "usage: " + c.UseLine()}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapUsage(sub)
	}
}

// writeJSON writes a result for a program to read.
func (a *app) writeJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
