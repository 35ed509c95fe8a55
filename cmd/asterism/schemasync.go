package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/experiment"
)

func (a *app) schemaSyncCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sync [DIR]", Short: "Write what an editor and plain CUE need to know experiments and the installed plugins", Args: cobra.MaximumNArgs(1),
		Long: `Sync writes the language of experiments and the schemas of the installed components below cue.mod/pkg of the CUE module around
the folder, which becomes a module where there is none. An editor with CUE's language server, and cue vet, then know every
field, without a network. Files that it has not written itself it leaves alone; asterism itself does not need them. Run it
again when plugins were installed or removed.`,
		Example: "  asterism schema sync\n  asterism schema sync experiments && cue vet -c experiments/efigi.cue",
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			r, err := a.installedFor(dir+"/plugins", dir)
			if err != nil {
				return err
			}
			s, err := experiment.Sync(dir, schemas{r}.List())
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]any{"module": s.Module, "written": s.Written, "removed": s.Removed})
			}
			if len(s.Written)+len(s.Removed) == 0 {
				fmt.Fprintf(a.out, "%s: nothing to change in cue.mod\n", s.Module)
				return nil
			}
			fmt.Fprintf(a.out, "%s: in cue.mod %s written, %d removed\n", s.Module, counted(len(s.Written), "file"), len(s.Removed))
			return nil
		},
	}
}
