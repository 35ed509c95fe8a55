package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/plugins/sdk"
)

func (a *app) pluginCommand() *cobra.Command {
	c := &cobra.Command{Use: "plugin", Short: "Write, test, pack, install, verify and lock plugins, and list them"}
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
	c.AddCommand(a.pluginListCommand(), a.pluginInfoCommand(), a.pluginPackCommand(), a.pluginInstallCommand(), a.pluginRemoveCommand(), a.pluginVerifyCommand(), a.pluginLockCommand(), a.pluginNewCommand(), a.pluginTestCommand(), a.pluginHoldCommand(), serve)
	return c
}
