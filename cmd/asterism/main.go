// Asterism finds patterns in sky surveys, and in any other 1D, 2D or 3D data, without labels, and answers questions with
// few of them. `asterism run experiment.cue` is the main job; `asterism help` lists the rest.
package main

import (
	"context"
	"encoding/json"
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
	defer removeTemporary()
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
	temporary.Lock()
	temporary.asked = true
	temporary.Unlock()
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
		removeTemporary()
		os.Exit(fault.Cancelled.ExitCode())
	}()
}

// fail prints an error and gives the exit status that it means.
func (a *app) fail(err error) int {
	if a.json {
		fault.PrintJSON(a.err, err)
	} else {
		fault.Print(a.err, err)
	}
	return fault.KindOf(err).ExitCode()
}

// app is what every verb shares: where to write, and the flags that all have.
type app struct {
	out, err  io.Writer
	json      bool
	progress  string
	overrides overrides
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
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	c.SetOut(a.out)
	c.SetErr(a.err)
	c.SetFlagErrorFunc(wrongFlag)
	flags := c.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "write results and errors as JSON")
	flags.StringVar(&a.progress, "progress", "auto", "progress display: auto, bar, plain, json, none")
	flags.StringArrayVar(&a.overrides.given, "plugin", nil, "use the plugin in a folder, built or its author's, instead of the installed one: NAME=DIR")
	flags.StringVar(&a.runs, "runs", "runs", "folder of run directories")
	c.AddCommand(a.runCommand(), a.vetCommand(), a.planCommand(), a.viewsCommand(), a.curveCommand(), a.runsCommand(), a.reportCommand(), a.initCommand(), a.predictCommand(), a.searchCommand(), a.serveCommand(), a.exportCommand(), a.benchCommand(), a.pluginCommand(), a.schemaCommand(), a.storeCommand(), a.versionCommand())
	wrapUsage(c)
	c.SetHelpCommand(helpCommand())
	return c
}

// helpCommand is cobra's, but for a verb that there is not: that is an error of usage.
func helpCommand() *cobra.Command {
	return &cobra.Command{Use: "help [VERB]", Short: "What a verb does, and its flags", RunE: func(c *cobra.Command, args []string) error {
		verb, rest, err := c.Root().Find(args)
		if err != nil || verb.HasSubCommands() && len(rest) > 0 {
			return unknownVerb(verb, rest[0])
		}
		return verb.Help()
	}}
}

// unknownVerb is the error for a verb that a command does not have.
func unknownVerb(c *cobra.Command, verb string) error {
	var verbs []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			verbs = append(verbs, sub.Name())
		}
	}
	do := fmt.Sprintf("%s has %s", c.CommandPath(), strings.Join(verbs, ", "))
	if near := fault.Nearest(verb, verbs); near != "" {
		do = fmt.Sprintf("did you mean %s? %s", near, do)
	}
	return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("%s: no command %q", c.CommandPath(), verb), Do: do}
}

// wrapUsage makes unknown verbs and wrong numbers of arguments errors of usage, with the right exit status.
func wrapUsage(c *cobra.Command) {
	if c.HasSubCommands() {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(c, args[0])
			}
			return c.Help()
		}
	} else if accept := c.Args; accept != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if accept(c, args) == nil {
				return nil
			}
			f := &fault.Error{Kind: fault.Config, What: c.CommandPath() + ": an argument is missing", Do: "usage: " + c.UseLine()}
			if wanted := len(strings.Fields(c.Use)) - 1; len(args) > wanted {
				f.What = fmt.Sprintf("%s: %q is one argument too many", c.CommandPath(), args[wanted])
				f.Do += "; what has blanks stands in quotes"
			}
			return f
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
