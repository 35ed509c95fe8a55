package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/registry"
)

func (a *app) pluginCommand() *cobra.Command {
	c := &cobra.Command{Use: "plugin", Short: "List plugins, show one, begin one"}
	list := &cobra.Command{
		Use: "list", Short: "List the plugins and their components", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			r, err := a.installed()
			if err != nil {
				return err
			}
			for _, problem := range r.Problems() {
				fault.Print(a.err, problem)
			}
			if a.json {
				return a.writeJSON(describeAll(r.List()))
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "COMPONENT\tKIND\tREVISION\tPLUGIN\tWHAT IT DOES")
			for _, p := range r.List() {
				for _, c := range p.Manifest.Components {
					fmt.Fprintf(w, "%s.%s\t%s\t%d\t%s\t%s\n", p.Name, c.Name, kindName(c.Kind), c.Revision, origin(p), c.Summary)
				}
			}
			return w.Flush()
		},
	}
	info := &cobra.Command{
		Use: "info NAME", Short: "Show a plugin, or a component with its configuration", Args: cobra.ExactArgs(1),
		Example: "  asterism plugin info sky\n  asterism plugin info sky.rotate",
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := a.installed()
			if err != nil {
				return err
			}
			name, component, one := strings.Cut(args[0], ".")
			p, err := r.Plugin(name)
			if err != nil {
				return err
			}
			if one {
				if _, _, err := r.Component(args[0]); err != nil {
					return err
				}
			}
			if a.json {
				d := describeAll([]registry.Plugin{p})[0]
				if one {
					d.Components = slices.DeleteFunc(d.Components, func(c describedComponent) bool { return c.Name != args[0] })
				}
				return a.writeJSON(d)
			}
			fmt.Fprintf(a.out, "%s %s (%s)\n", p.Name, p.Version, origin(p))
			for _, c := range p.Manifest.Components {
				if one && c.Name != component {
					continue
				}
				fmt.Fprintf(a.out, "\n%s.%s: %s, revision %d\n%s\n", p.Name, c.Name, kindName(c.Kind), c.Revision, c.Summary)
				doc, err := experiment.Document(schemaOf(p, c))
				if err != nil {
					return err
				}
				if err := doc.Write(a.out); err != nil {
					return err
				}
			}
			return nil
		},
	}
	serve := &cobra.Command{
		Use: "serve NAME", Short: "Serve a plugin of this binary to a host; started by asterism itself", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, p := range firstParty() {
				if p.Name == args[0] {
					sdk.Serve(p)
					return nil
				}
			}
			return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("this binary has no plugin %q", args[0]), Do: "asterism plugin list shows those there are"}
		},
	}
	c.AddCommand(list, info, serve, a.pluginNewCommand(), a.pluginTestCommand(), a.pluginHoldCommand())
	return c
}

// origin says where a plugin comes from.
func origin(p registry.Plugin) string {
	if p.Builtin {
		return "in this binary"
	}
	return p.Dir
}

func kindName(k protocol.Kind) string { return strings.ToLower(k.String()) }

// described is a plugin as JSON.
type described struct {
	Name       string               `json:"name"`
	Version    string               `json:"version"`
	Builtin    bool                 `json:"builtin"`
	Dir        string               `json:"dir,omitempty"`
	Components []describedComponent `json:"components"`
}

type describedComponent struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Revision uint32 `json:"revision"`
	Summary  string `json:"summary"`
	Schema   string `json:"schema"`
}

func describeAll(plugins []registry.Plugin) []described {
	all := []described{}
	for _, p := range plugins {
		d := described{Name: p.Name, Version: p.Version, Builtin: p.Builtin, Dir: p.Dir}
		for _, c := range p.Manifest.Components {
			d.Components = append(d.Components, describedComponent{p.Name + "." + c.Name, kindName(c.Kind), c.Revision, c.Summary, c.Schema})
		}
		all = append(all, d)
	}
	return all
}
