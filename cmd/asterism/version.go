package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// version is that of the module, or of the source it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "development"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "development" {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version, and how this machine computes", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			e := native.New()
			if a.json {
				return a.writeJSON(map[string]any{"version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "api": protocol.API, "engine": e.Name() + ": " + e.Describe()})
			}
			fmt.Fprintf(a.out, "asterism %s (%s, %s/%s)\nplugin contract %d\nengine %s: %s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, protocol.API, e.Name(), e.Describe())
			return nil
		},
	}
}
