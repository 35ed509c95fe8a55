package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/curve"
	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/report"
	"github.com/asterism-ssl/asterism/core/run"
)

func (a *app) curveCommand() *cobra.Command {
	f := new(experimentFlags)
	var labels string
	var draws int
	c := &cobra.Command{
		Use: "curve FILE", Short: "Learning curves: what a few labels are worth, against honest baselines",
		Long: `Curve runs an experiment with its tasks asked at several numbers of labels and for several draws of them, from the learned
representation and from every baseline that the file allows: the untrained encoder, the pixels, a constant, and, for a task
that says how to finetune, the learned encoder trained on and one trained from scratch with the labels of each draw. The
objects drawn are the same for all. It prints the scores, and how many times more labels training from scratch needs for the
same score; the report draws the curves. Every stage is kept, as by asterism run. What a file's tasks say themselves under
labels, draws and against does the same without this command.`,
		Example: "  asterism curve experiments/efigi.cue --labels 50,100,200,500,1000,all --draws 5",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			list, err := numbersOfLabels(labels)
			if err != nil {
				return err
			}
			if draws < 1 {
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--draws %d draws nothing", draws), Do: "give 1 or more; intervals need 2"}
			}
			x, _, err := a.load(args[0], f)
			if err != nil {
				return err
			}
			g, asked := *f, 0
			for _, t := range x.Tasks {
				if !hasLabel(t) {
					continue
				}
				asked++
				against := []string{run.Untrained, run.Constant, run.Pixels}
				if t.Finetune != nil {
					against = append(against, run.Finetuned, run.Supervised)
				}
				path := "tasks." + strconv.Quote(t.Name) + "."
				g.sets = append(g.sets, path+"labels="+list, path+"draws="+strconv.Itoa(draws), path+`against=["`+strings.Join(against, `","`)+`"]`)
			}
			if asked == 0 {
				return &fault.Error{Kind: fault.Config, Where: args[0], What: "no task of this experiment has a label: there is no curve", Do: `give it one, such as {"classify.linear": {label: "type"}}`}
			}
			fl, _, end, err := a.flow(c, args[0], &g)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			if _, err := fl.Plan(c.Context()); err != nil {
				return interrupted(c, err)
			}
			dir, err := fl.Run(c.Context())
			if err != nil {
				return err
			}
			return a.showCurves(dir)
		},
	}
	f.addTo(c)
	c.Flags().StringVar(&labels, "labels", "50,100,200,500,1000,all", "numbers of labels")
	c.Flags().IntVar(&draws, "draws", 5, "draws of each number")
	c.Flags().BoolVar(&f.fresh, "fresh", false, "make every stage anew, even those made before")
	c.Flags().IntVar(&f.threads, "threads", 0, "processors to use; results do not depend on it (0: all)")
	return c
}

// showCurves prints the scores and what they are worth.
func (a *app) showCurves(dir string) error {
	page := filepath.Join(dir, report.File)
	if !a.json {
		if err := a.showResults(dir, page); err != nil {
			return err
		}
		results, err := run.Results(dir)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(a.out, report.Equivalence(results))
		return err
	}
	results, err := run.Results(dir)
	if err != nil {
		return err
	}
	type worth struct {
		Task string `json:"task"`
		curve.Equivalence
	}
	worths := []worth{}
	for i := range results {
		for _, e := range curve.Equivalences(&results[i], run.Supervised) {
			worths = append(worths, worth{results[i].Task, e})
		}
	}
	return a.writeJSON(map[string]any{"run": dir, "report": page, "results": results, "equivalences": worths})
}

// numbersOfLabels turns "50,100,all" into a list for an experiment.
func numbersOfLabels(text string) (string, error) {
	var list []string
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		n, err := strconv.Atoi(part)
		switch {
		case part == "all":
			part = strconv.Quote(part)
		case err != nil || n < 1:
			return "", &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--labels %s: %q is not a number of labels", shown(text), part), Do: "give numbers and all, with commas: --labels 50,100,all"}
		}
		if slices.Contains(list, part) {
			return "", &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--labels %s: %s is there twice", shown(text), part), Do: "name each number once"}
		}
		list = append(list, part)
	}
	return "[" + strings.Join(list, ",") + "]", nil
}

// hasLabel says whether a task's configuration names a label, as those of the plugins that come along do.
func hasLabel(t experiment.Task) bool {
	var config struct{ Label string }
	return json.Unmarshal(t.Config, &config) == nil && config.Label != ""
}
