package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/report"
	"github.com/asterism-ssl/asterism/core/run"
)

func (a *app) runsCommand() *cobra.Command {
	c := &cobra.Command{Use: "runs", Short: "List runs, or show one"}
	list := &cobra.Command{
		Use: "list", Short: "List the runs, newest first", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			runs, err := run.List(a.runs)
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(append([]run.Manifest{}, runs...))
			}
			if len(runs) == 0 {
				fmt.Fprintf(a.out, "no runs in %s\n", a.runs)
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "RUN\tSTATUS\tSTARTED\tSTAGES TOOK")
			for _, m := range runs {
				made := 0.0 // also the stages that were reused
				for _, s := range m.Stages {
					made += s.Seconds
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.ID, m.Status, m.Started.Local().Format(time.DateTime), run.Duration(time.Duration(made*float64(time.Second))))
			}
			return w.Flush()
		},
	}
	show := &cobra.Command{
		Use: "show RUN", Short: "Show a run: its results and how they were made", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := run.Find(a.runs, args[0])
			if err != nil {
				return err
			}
			m, err := run.ReadManifest(dir)
			if err != nil {
				return err
			}
			results, err := run.Results(dir)
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]any{"manifest": m, "results": results})
			}
			fmt.Fprintf(a.out, "%s: %s\n", m.ID, m.Status)
			if m.Error != "" {
				fmt.Fprintf(a.out, "error: %s\n", m.Error)
			}
			fmt.Fprintf(a.out, "%s, %s, %d threads, %s\n\n", m.Experiment, m.Machine.CPU, m.Machine.Threads, m.Engines())
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, s := range m.Stages {
				made := fmt.Sprintf("%.1f s", s.Seconds)
				if s.Reused {
					made = "reused, took " + made
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, s.Key, made, s.By())
			}
			if err := w.Flush(); err != nil {
				return err
			}
			for _, n := range m.Notices {
				fmt.Fprintf(a.out, "note: %s: %d %s: %s\n", n.Where, n.Count, n.What, strings.Join(n.Examples, ", "))
			}
			if len(results) == 0 {
				fmt.Fprintf(a.out, "\nno task has a result in %s\n", dir)
				return nil
			}
			fmt.Fprintf(a.out, "\n%s", report.Table(results, width()))
			return nil
		},
	}
	c.AddCommand(list, show)
	return c
}
