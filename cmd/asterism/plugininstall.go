package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/fault"
)

func (a *app) pluginInstallCommand() *cobra.Command {
	var project, force bool
	c := &cobra.Command{
		Use: "install ARCHIVE|DIR", Short: "Install a plugin, for you or for the project in the working folder", Args: cobra.ExactArgs(1),
		Long: `Install puts a plugin beside those that are there already, each version in a folder of its own: an archive that asterism
plugin pack has made, a folder that is ready, or an author's folder, which is built. It is there when it is whole, or not at
all. Nothing in an archive is started; an author's folder is, to build it and have it describe itself.

What is installed is yours to start in any experiment. Plugins that came with the files of a project, in .asterism/plugins,
are started when you have installed them as well: asterism plugin install --project .asterism/plugins/acme/1.2.0`,
		Example: "  asterism plugin install acme-1.2.0-linux-amd64.tar.gz\n  asterism plugin install ./acme --project",
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.store(project, projectOf(args[0]))
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			p, err := s.Install(ctx, args[0], force)
			if err != nil && ctx.Err() != nil {
				return &fault.Error{Kind: fault.Cancelled, What: "stopped: nothing is installed"}
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]any{"name": p.Name, "version": p.Version, "dir": p.Dir, "digest": p.Digest, "already": p.Already, "instead": p.Instead})
			}
			what := "is installed in"
			switch {
			case p.Already:
				what = "was installed already, with the same files, in"
			case p.Instead:
				what = "is installed instead of another with that version in"
			}
			var components []string
			for _, x := range p.Manifest.Components {
				components = append(components, p.Name+"."+x.Name)
			}
			fmt.Fprintf(a.out, "%s %s %s %s\n%s\n%s\n", p.Name, p.Version, what, p.Dir, p.Digest, strings.Join(components, ", "))
			return nil
		},
	}
	c.Flags().BoolVar(&project, "project", false, "into .asterism/plugins of the working folder, for the experiments in it")
	c.Flags().BoolVar(&force, "force", false, "take it instead of one with the same version and other content")
	return c
}

// projectOf gives the folder of the project in which a plugin is installed already, or else the working folder.
func projectOf(source string) string {
	source, err := filepath.Abs(source)
	if err != nil {
		return "."
	}
	plugins := filepath.Dir(filepath.Dir(source))
	if filepath.Base(plugins) == "plugins" && filepath.Base(filepath.Dir(plugins)) == ".asterism" {
		return filepath.Dir(filepath.Dir(plugins))
	}
	return "."
}
