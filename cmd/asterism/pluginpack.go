package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/registry"
)

func (a *app) pluginPackCommand() *cobra.Command {
	out := ""
	c := &cobra.Command{
		Use: "pack DIR", Short: "Make an archive of a plugin, to give to others", Args: cobra.ExactArgs(1),
		Long: `Pack makes an archive that asterism plugin install takes: of an author's folder, which is built first, or of one that is
ready, with a plugin.json. It holds what the plugin says of itself, the schemas of its components and the digests of its
files. Equal sources give equal bytes. What is printed is the digest of the installed plugin, as plugins.lock.cue has it.`,
		Example: "  asterism plugin pack ./acme\n  asterism plugin pack ./acme -o /tmp/acme.tar.gz",
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := built(args[0])
			if err != nil {
				return err
			}
			if out == "" {
				out = p.ArchiveName()
			}
			if err := run.WriteTo(out, func(w io.Writer) error { return registry.Pack(p, w) }); err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]any{"file": out, "name": p.Name, "version": p.Version, "platform": p.Platform, "digest": p.Digest})
			}
			fmt.Fprintf(a.out, "%s: %s %s\n%s\n", out, p.Name, p.Version, p.Digest)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "file to write (default: NAME-VERSION-OS-ARCH.tar.gz, or NAME-VERSION.tar.gz where it runs on any machine)")
	return c
}
