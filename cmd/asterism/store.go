package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/stage"
)

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "Look after the store of data and stages"}
	dry, all := false, false
	older := 30 * 24 * time.Hour
	gc := &cobra.Command{
		Use: "gc", Short: "Remove stages that no run in this folder uses",
		Long: `Gc removes the stages that were made long ago and that no run under --runs names, and what crashed runs left. Runs hold their
own copies of everything but the data, so a run stays complete; running its experiment again makes the rest anew.`,
		Example: "  asterism store gc --dry-run\n  asterism store gc --older-than 24h\n  asterism store gc --all",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if older < 0 {
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--older-than %s is in the future", older), Do: "give a duration such as 24h"}
			}
			cache, err := openCache()
			if err != nil {
				return err
			}
			used, err := stagesInUse(a.runs)
			if err != nil {
				return err
			}
			if all {
				used, older = nil, 0
			}
			garbage, err := cache.GC(func(key string) bool { return used[key] }, older, dry)
			if err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(garbage)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, item := range garbage.Items {
				fmt.Fprintf(w, "%s\t%s\t%.1f MB\n", item.Key, stageName(item), float64(item.Bytes)/1e6)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			verb := "removed"
			if dry {
				verb = "would remove"
			}
			fmt.Fprintf(a.out, "%s %d stage(s), %.1f MB\n", verb, len(garbage.Items), float64(garbage.Bytes)/1e6)
			return nil
		},
	}
	gc.Flags().BoolVar(&dry, "dry-run", false, "only say what would be removed")
	gc.Flags().BoolVar(&all, "all", false, "remove every stage, also recent ones and those that runs use")
	gc.Flags().DurationVar(&older, "older-than", older, "keep stages made or used more recently than this")
	c.AddCommand(gc)
	return c
}

// stageName is the name in a stage's description.
func stageName(item stage.Item) string {
	var d struct{ Name string }
	if err := json.Unmarshal(item.Describe, &d); err != nil || d.Name == "" {
		return "unfinished"
	}
	return d.Name
}

// stagesInUse gives the keys that the runs in a folder name.
func stagesInUse(root string) (map[string]bool, error) {
	if _, err := os.Stat(root); err != nil && filepath.Clean(root) != "runs" {
		return nil, &fault.Error{Kind: fault.Config, What: "no folder " + root, Do: "check --runs"}
	}
	runs, err := run.List(root)
	used := map[string]bool{}
	for _, m := range runs {
		for _, s := range m.Stages {
			used[s.Key] = true
		}
	}
	return used, err
}
