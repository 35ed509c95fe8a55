package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) pluginRemoveCommand() *cobra.Command {
	project := false
	c := &cobra.Command{
		Use: "remove NAME[@VERSION]", Short: "Remove an installed plugin", Args: cobra.ExactArgs(1),
		Example: "  asterism plugin remove acme\n  asterism plugin remove acme@1.2.0 --project",
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.store(project, ".")
			if err != nil {
				return err
			}
			name, version, _ := strings.Cut(args[0], "@")
			if version, err = s.Remove(c.Context(), name, version); err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]any{"removed": name, "version": version})
			}
			fmt.Fprintf(a.out, "removed %s %s from %s\n", name, version, s.Dir)
			return nil
		},
	}
	c.Flags().BoolVar(&project, "project", false, "from .asterism/plugins of the working folder")
	return c
}
