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
	"github.com/asterism-ssl/asterism/registry"
)

func (a *app) pluginListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the plugins and their components", Args: cobra.NoArgs,
		Long: `List shows the components of the plugins in this binary, of those that you have installed, and of those in
.asterism/plugins of the working folder, in every version.`,
		RunE: func(*cobra.Command, []string) error {
			r, err := a.installed()
			if err != nil {
				return err
			}
			for _, problem := range r.Problems() {
				fault.Print(a.err, problem)
			}
			if a.json {
				all, err := describeAll(r, r.All())
				if err != nil {
					return err
				}
				return a.writeJSON(all)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "COMPONENT\tKIND\tREVISION\tPLUGIN\tWHAT IT DOES")
			for _, p := range r.All() {
				for _, c := range p.Manifest.Components {
					fmt.Fprintf(w, "%s.%s\t%s\t%d\t%s\t%s\n", p.Name, c.Name, kindName(c.Kind), c.Revision, origin(p), c.Summary)
				}
			}
			return w.Flush()
		},
	}
}

func (a *app) pluginInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info NAME", Short: "Show a plugin, or a component with its configuration", Args: cobra.ExactArgs(1),
		Long: `Info shows what a plugin says of itself, where it is and what the digest of its files is, and how its components are
configured. NAME is a plugin, acme, one of its versions, acme@1.2.0, or a component, acme.blur or acme.blur@1.2.0.`,
		Example: "  asterism plugin info sky\n  asterism plugin info sky.rotate\n  asterism plugin info acme@1.2.0",
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := a.installed()
			if err != nil {
				return err
			}
			full, version, _ := strings.Cut(args[0], "@")
			name, component, one := strings.Cut(full, ".")
			if version != "" {
				if err := r.Want(name, version); err != nil {
					return err
				}
			}
			p, err := r.Plugin(name)
			if err != nil {
				return err
			}
			if one {
				if _, _, err := r.Component(full); err != nil {
					return err
				}
			}
			all, err := describeAll(r, []registry.Plugin{p})
			if err != nil {
				return err
			}
			d := all[0]
			if a.json {
				if one {
					d.Components = slices.DeleteFunc(d.Components, func(c describedComponent) bool { return c.Name != full })
				}
				return a.writeJSON(d)
			}
			fmt.Fprintf(a.out, "%s %s (%s)\n", p.Name, p.Version, place(p))
			if d.Digest != "" {
				fmt.Fprintf(a.out, "%s, for %s\n", d.Digest, d.Platform)
			}
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
}

// origin says which version of a plugin is where.
func origin(p registry.Plugin) string {
	if p.Builtin {
		return place(p)
	}
	return p.Version + " in " + place(p)
}

// place says where a plugin is.
func place(p registry.Plugin) string {
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
	Project    bool                 `json:"project,omitempty"`  // in the folder of a project
	Override   bool                 `json:"override,omitempty"` // named on the command line
	Platform   string               `json:"platform,omitempty"` // "linux/amd64", or "any machine"
	Digest     string               `json:"digest,omitempty"`
	Components []describedComponent `json:"components"`
}

type describedComponent struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Revision uint32 `json:"revision"`
	Summary  string `json:"summary"`
	Schema   string `json:"schema"`
}

func describeAll(r *registry.Registry, plugins []registry.Plugin) ([]described, error) {
	all := []described{}
	for _, p := range plugins {
		d := described{Name: p.Name, Version: p.Version, Builtin: p.Builtin, Dir: p.Dir, Project: p.Project, Override: p.Override, Platform: p.Platform}
		if !p.Builtin && d.Platform == "" {
			d.Platform = "any machine"
		}
		var err error
		if d.Digest, err = r.Digest(p); err != nil {
			return nil, err
		}
		for _, c := range p.Manifest.Components {
			d.Components = append(d.Components, describedComponent{p.Name + "." + c.Name, kindName(c.Kind), c.Revision, c.Summary, c.Schema})
		}
		all = append(all, d)
	}
	return all, nil
}
