package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/registry"
)

func (a *app) pluginVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify [NAME[@VERSION]]", Short: "Check that the files of installed plugins are those that were installed", Args: cobra.MaximumNArgs(1),
		Long: `Verify reads every file of the installed plugins, or of one, and names those that differ, are missing or are surplus;
then the exit status is 4. Nothing is started.`,
		Example: "  asterism plugin verify\n  asterism plugin verify acme@1.2.0",
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := a.installed()
			if err != nil {
				return err
			}
			s, err := a.store(false, "")
			if err != nil {
				return err
			}
			var wrong fault.List
			name, version := "", ""
			if len(args) > 0 {
				name, version, _ = strings.Cut(args[0], "@")
				if version != "" {
					_, err = r.Version(name, version)
				} else if _, err = r.Plugin(name); r.Has(name) {
					err = nil // there are versions to verify, whichever would be taken
				}
				if err != nil {
					return err
				}
			} else {
				for _, problem := range r.Problems() {
					wrong = append(wrong, fault.All(problem)...)
				}
			}
			verified := []map[string]any{}
			for _, p := range r.All() {
				if p.Builtin || p.Override || name != "" && p.Name != name || version != "" && p.Version != version {
					continue
				}
				digest, err := registry.Verify(p, s.Trusted)
				if err != nil {
					wrong = append(wrong, fault.All(err)...)
					continue
				}
				verified = append(verified, map[string]any{"name": p.Name, "version": p.Version, "dir": p.Dir, "digest": digest})
			}
			if len(wrong) > 0 {
				return wrong
			}
			if a.json {
				return a.writeJSON(verified)
			}
			if len(verified) == 0 {
				fmt.Fprintln(a.out, "nothing to verify: what is asked for is in this binary")
			}
			for _, p := range verified {
				fmt.Fprintf(a.out, "%s %s is as it was installed, in %s\n", p["name"], p["version"], p["dir"])
			}
			return nil
		},
	}
}
