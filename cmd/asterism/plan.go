package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/run"
)

func (a *app) planCommand() *cobra.Command {
	f := new(experimentFlags)
	c := &cobra.Command{
		Use:     "plan FILE",
		Short:   "Show shapes, parameters, work and memory of an experiment before anything runs",
		Long:    "Plan starts the plugins and reads headers: it follows the shape of a sample through every view and layer, and gives parameters, work, memory and the objective's own facts. Blocks of layers that repeat are one line; --json lists every layer.",
		Example: "  asterism plan experiments/quickstart.cue",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			fl, _, end, err := a.flow(c, args[0], f)
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
			if a.json {
				return a.writeJSON(plan)
			}
			fmt.Fprint(a.out, run.Details(plan))
			return nil
		},
	}
	f.addTo(c)
	c.Flags().IntVar(&f.threads, "threads", 0, "processors to plan for (0: all)")
	return c
}
