package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism"
	"github.com/asterism-ssl/asterism/registry/scaffold"
)

func (a *app) pluginNewCommand() *cobra.Command {
	p := scaffold.Plan{SDK: scaffold.SDK{Files: asterism.GoSDK(), Module: asterism.SDKModule, PluginModule: asterism.PluginModule}}
	c := &cobra.Command{
		Use: "new NAME", Short: "Write a plugin to start from: a folder that builds and passes the tests as it comes", Args: cobra.ExactArgs(1),
		Long: `Write a plugin to start from, with one component of the kind that you choose: a folder called as the plugin, in Go or in
Python, that builds and passes asterism plugin test as it comes. A folder in Go holds the source of the SDK, so that it
builds without a network where asterism was built. What to do next stands in its README.md; WRITING_PLUGINS.md tells more.`,
		Example: "  asterism plugin new --lang go --kind augmentation acme\n  asterism plugin new --lang python --kind task acme",
		RunE: func(_ *cobra.Command, args []string) error {
			for _, f := range firstParty() {
				p.Taken = append(p.Taken, f.Name)
			}
			p.Dir = args[0]
			w, err := p.Write()
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(w)
			}
			fmt.Fprintf(a.out, "%s: the %s %s in %s\n\n", w.Dir, p.Kind, w.Component, map[string]string{"go": "Go", "python": "Python"}[p.Language])
			fmt.Fprintf(a.out, "Edit %s and its schema.cue, then:\n\n    asterism plugin test %s\n", w.Program, w.Dir)
			return nil
		},
	}
	c.Flags().StringVar(&p.Language, "lang", "", "language: "+strings.Join(scaffold.Languages, ", "))
	c.Flags().StringVar(&p.Kind, "kind", "", "kind of component: "+strings.Join(scaffold.Kinds, ", "))
	return c
}
