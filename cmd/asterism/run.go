package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/report"
	"github.com/asterism-ssl/asterism/core/run"
)

// addTo gives a verb the flags of an experiment.
func (f *experimentFlags) addTo(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.tags, "tag", "t", nil, "set a tag of the file, NAME=VALUE")
	c.Flags().StringArrayVar(&f.sets, "set", nil, "replace a value of the file before it is evaluated, PATH=VALUE")
}

func (a *app) runCommand() *cobra.Command {
	f := new(experimentFlags)
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run an experiment, or show its results when it has run",
		Long: `Run checks the experiment, says what it is going to do, and does it: data into the store, training, representations, tasks,
report. Every stage is kept by the content of what made it: a second run of the same file prints its results, and a
changed task does not train again. Ctrl-C writes a checkpoint and exits with status 75; the same command continues.`,
		Example: `  asterism run experiments/quickstart.cue
  asterism run experiments/efigi.cue -t root=/data --set train.epochs=10`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			fl, x, end, err := a.flow(c, args[0], f)
			if err != nil {
				return err
			}
			defer func() {
				if ended := end(); err == nil {
					err = ended
				}
			}()
			plan, err := fl.Plan(c.Context())
			if err != nil {
				return interrupted(c, err)
			}
			if !a.json {
				fmt.Fprint(a.out, run.Summary(plan, x.Name))
			}
			dir, err := fl.Run(c.Context())
			if err != nil {
				return err
			}
			return a.showResults(dir, filepath.Join(dir, report.File))
		},
	}
	f.addTo(c)
	c.Flags().StringVar(&f.from, "continue", "", "begin the training with the checkpoint of a run that differs in its engine alone")
	c.Flags().BoolVar(&f.fresh, "fresh", false, "make every stage anew, even those made before")
	c.Flags().IntVar(&f.threads, "threads", 0, "processors to use; results do not depend on it (0: all)")
	return c
}

// showResults ends a run: the table, and where to look further.
func (a *app) showResults(dir, page string) error {
	results, err := run.Results(dir)
	if err != nil {
		return err
	}
	if a.json {
		return a.writeJSON(map[string]any{"run": dir, "report": page, "results": results})
	}
	if absolute, err := filepath.Abs(page); err == nil {
		page = absolute
	}
	if len(results) > 0 {
		fmt.Fprintf(a.out, "\n%s", report.Table(results, width()))
	}
	fmt.Fprintf(a.out, "\nreport: file://%s\n", page)
	return nil
}

// width is that of the terminal; a log has room for the whole table.
func width() int {
	if columns, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && columns > 0 {
		return max(columns, 70)
	}
	return 110
}

// interrupted names a request to stop that came before there was anything to resume.
func interrupted(c *cobra.Command, err error) error {
	if c.Context().Err() != nil {
		return &fault.Error{Kind: fault.Cancelled, What: "stopped before anything was computed"}
	}
	return err
}
