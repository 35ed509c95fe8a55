package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) vetCommand() *cobra.Command {
	f := new(experimentFlags)
	show := false
	c := &cobra.Command{
		Use:     "vet FILE",
		Short:   "Check an experiment: the file and the schemas of its components, nothing else",
		Long:    "Vet reads the file and the schemas of the installed plugins. It starts no process and reads no data, and says everything that is wrong at once.",
		Example: "  asterism vet experiments/quickstart.cue\n  asterism vet experiments/quickstart.cue --resolved",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			x, _, err := a.load(args[0], f)
			if err != nil {
				return err
			}
			if show || a.json {
				var v any
				if err := json.Unmarshal(x.Resolved, &v); err != nil {
					return err
				}
				return a.writeJSON(v)
			}
			fmt.Fprintf(a.out, "%s: %s is a valid experiment\n", args[0], x.Name)
			return nil
		},
	}
	f.addTo(c)
	c.Flags().BoolVar(&show, "resolved", false, "print the experiment with every default filled in, as JSON")
	return c
}
