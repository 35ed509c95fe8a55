package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/mitchellh/go-wordwrap"
	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism"
	"github.com/asterism-ssl/asterism/core/conformance"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/registry"
)

func (a *app) pluginTestCommand() *cobra.Command {
	var match, cases string
	var batches int
	c := &cobra.Command{
		Use: "test NAME|DIR", Short: "Check that a plugin keeps the plugin contract", Args: cobra.ExactArgs(1),
		Long: `Check that a plugin keeps the plugin contract: an installed one by its name, or one in a folder, an
author's or a built one. Each check starts the plugin as runs do and looks at its answers, at the memory around them and
at its process. Failures say what was expected, what was seen, and which paragraph of the contract it is; the exit status
is then 4.

What the checks cannot guess stands in a file conformance.cue in the folder, for each component a list of cases:

  blur: [{config: {sigma: 2}, facts: {shape: [64, 64, 5], bands: ["u", "g", "r", "i", "z"]}}]   // an augmentation
  survey: [{config: {root: "testdata"}, files: {"a.png": "testdata/a.png"}}]                     // a dataset
  tiny: [{inputs: [[64, 64, 3], [32, 32, 3]]}]                                                   // an encoder
  pull: [{config: {label: "z"}, labels: [{column: "z"}], batch: 32, representation: [16]}]       // an objective
  class: [{config: {label: "t"}, labels: [{column: "t", categories: ["a", "b"]}], rows: 200}]    // a task

Left out are: config, where the schema has defaults for everything; facts, where samples of 64, 32×32 and 16×16×16 pixels
in three bands do; columns ({ebv: [0.1, 0.2]}) and statistics that an augmentation reads; labels, where the text column
"kind" and the number column "amount" do. Relative paths begin in the folder.`,
		Example: "  asterism plugin test ./acme\n  asterism plugin test acme --run 'acme.blur/(key|missing)'",
		RunE: func(c *cobra.Command, args []string) error {
			self, err := self()
			if err != nil {
				return err
			}
			o := conformance.Options{Batches: batches, Holder: []string{self, "plugin", "hold"}}
			if match != "" {
				if o.Match, err = regexp.Compile(match); err != nil {
					return &fault.Error{Kind: fault.Config, What: "--run " + match + " is no regular expression", Err: err, Do: "write one such as 'acme.blur/key'"}
				}
			}
			p, from, remove, err := a.tested(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer remove()
			o.Spec = plugin.Spec{Name: p.Name, Version: p.Version, Command: p.Command, Dir: p.Dir, Source: from, Manifest: p.Manifest}
			o.Work = from
			if cases == "" && from != "" {
				cases = filepath.Join(from, "conformance.cue")
			} else if cases != "" {
				if _, err := os.Stat(cases); err != nil {
					return &fault.Error{Kind: fault.Config, What: "--cases " + cases, Err: err, Do: "name a file of cases"}
				}
				o.Work = filepath.Dir(cases)
			}
			o.Cases = cases
			interruptible(c, func(string) {})
			report := &conformanceReport{a: a, begun: time.Now()}
			if !a.json {
				fmt.Fprintf(a.out, "%s %s, %s\n", p.Name, p.Version, counted(len(p.Manifest.Components), "component"))
				o.Report = report.line
			} else {
				o.Report = func(r conformance.Result) { report.Results = append(report.Results, r) }
			}
			summary, err := conformance.Run(c.Context(), o)
			if err != nil {
				return err
			}
			return report.end(p.Name, summary)
		},
	}
	c.Flags().StringVar(&match, "run", "", "run only the checks whose COMPONENT/CHECK matches this regular expression")
	c.Flags().StringVar(&cases, "cases", "", "take the cases from this file instead of the plugin's conformance.cue, and work in its folder")
	c.Flags().IntVar(&batches, "batches", 1000, "how many batches to give where memory must stay the same")
	return c
}

// pluginHoldCommand is a host that plugin test starts to kill it.
func (a *app) pluginHoldCommand() *cobra.Command {
	return &cobra.Command{Use: "hold", Hidden: true, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return conformance.Hold(c.Context(), os.Stdin, a.out)
	}}
}

// tested finds the plugin that is meant, makes it ready, and says which folder is its author's.
func (a *app) tested(ctx context.Context, name string) (p *registry.Plugin, from string, remove func(), err error) {
	remove = func() {}
	info, err := os.Stat(name)
	folder := err == nil && info.IsDir()
	if !folder || !strings.ContainsRune(name, filepath.Separator) && name != "." && name != ".." {
		r, err := a.installed()
		if err != nil {
			return nil, "", nil, err
		}
		found, err := r.Start(name)
		if err == nil {
			return &found, found.Dir, remove, nil
		}
		if !folder || r.Has(name) {
			return nil, "", nil, err
		}
	}
	room, err := os.MkdirTemp("", "asterism-test-")
	if err != nil {
		return nil, "", nil, &fault.Error{Kind: fault.Resource, What: "there is no room to build the plugin", Err: err}
	}
	remove = func() { os.RemoveAll(room) }
	if from, err = filepath.Abs(name); err == nil {
		p, err = registry.Build(ctx, name, filepath.Join(room, "plugin"), asterism.PythonSDK())
	}
	if err != nil {
		remove()
		return nil, "", nil, err
	}
	return p, from, remove, nil
}

// conformanceReport is what the checks came to: a line each for a person, or one document for a program.
type conformanceReport struct {
	a       *app
	begun   time.Time
	Plugin  string               `json:"plugin"`
	Results []conformance.Result `json:"results"`
	conformance.Summary
}

// line tells a person of a check that is done.
func (r *conformanceReport) line(one conformance.Result) {
	name := one.Component
	if one.Case > 0 {
		name += fmt.Sprintf(" (case %d)", one.Case)
	}
	outcome := string(one.Outcome)
	switch one.Outcome {
	case conformance.Failed:
		outcome = "FAILED"
	case conformance.NotApplicable:
		outcome += ": " + one.Why
	}
	w := r.a.out
	fmt.Fprintf(w, "  %-28s %-14s %s\n", name, one.Check, outcome)
	if one.Outcome != conformance.Failed {
		return
	}
	tell := func(what, text string) {
		if text == "" {
			return
		}
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		fmt.Fprintf(w, "      %-9s %s\n", what, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(w, "      %-9s %s\n", "", line)
		}
	}
	tell("expected", one.Expected)
	tell("seen", one.Seen)
	tell("contract", wordwrap.WrapString("§"+one.Paragraph+" "+protocol.Paragraph(one.Paragraph), 100))
	tell("→", one.Advice)
	tell("output", one.Log)
}

// end sums up.
func (r *conformanceReport) end(name string, s conformance.Summary) error {
	r.Plugin, r.Summary = name, s
	if r.a.json {
		if err := r.a.writeJSON(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(r.a.out, "%s: %d ok, %d failed, %d not applicable, in %.1f s\n", name, s.OK, s.Failed, s.NotApplicable, time.Since(r.begun).Seconds())
	}
	if s.Failed > 0 {
		return &fault.Error{Kind: fault.Plugin, Plugin: name, What: counted(s.Failed, "check") + " failed", Do: "run one check alone with --run"}
	}
	return nil
}

// counted writes a number of things.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
