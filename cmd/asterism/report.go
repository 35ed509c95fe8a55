package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/report"
	"github.com/asterism-ssl/asterism/core/run"
)

func (a *app) reportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "report RUN", Short: "Write the report of a run again from its files",
		Long:    "Report reads the plain files of a run directory and writes report.html: one page that needs no network.",
		Example: "  asterism report quickstart\n  asterism report runs/quickstart-1a2b3c4d",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := run.Find(a.runs, args[0])
			if err != nil {
				return err
			}
			page, err := report.Write(dir)
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]string{"report": page})
			}
			fmt.Fprintln(a.out, page)
			return nil
		},
	}
}
