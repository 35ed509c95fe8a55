package main

import (
	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/experiment"
)

func (a *app) schemaCommand() *cobra.Command {
	c := &cobra.Command{Use: "schema", Short: "Show what an experiment file may say, or write it for editors"}
	show := &cobra.Command{
		Use: "show [COMPONENT]", Short: "Show the fields of an experiment, or of a component's configuration", Args: cobra.MaximumNArgs(1),
		Example: "  asterism schema show\n  asterism schema show contrast.moco",
		RunE: func(_ *cobra.Command, args []string) error {
			doc, err := experiment.DocumentExperiment()
			if len(args) == 1 {
				r, e := a.installed()
				if e != nil {
					return e
				}
				p, component, e := r.Component(args[0])
				if e != nil {
					return e
				}
				doc, err = experiment.Document(schemaOf(p, component))
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(doc)
			}
			return doc.Write(a.out)
		},
	}
	c.AddCommand(show, a.schemaSyncCommand())
	return c
}
