package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/export"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/run"
)

// exportFormats are the formats that an encoder is written in; a file's ending is its format's name.
var exportFormats = []string{"safetensors", "onnx"}

func (a *app) exportCommand() *cobra.Command {
	var format, out string
	c := &cobra.Command{
		Use: "export RUN", Short: "Write the encoder of a run for other programs: PyTorch's names in safetensors, or ONNX",
		Long: `Export writes the encoder that a run has learned, without the heads it learned with. As safetensors it is a state dictionary
of PyTorch's, in its layout and with torchvision's names where torchvision has the network; as ONNX it is a graph that computes
the representation. Both take samples with bands first, as views.eval leaves them, and hold in their metadata the experiment,
the shape and bands of a sample, and views.eval. A file that is there already is not written over.`,
		Example: "  asterism export efigi --format safetensors\n  asterism export runs/efigi-1a2b3c4d --out galaxies.onnx",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if format == "" {
				format = formatOf(out)
			}
			write := map[string]func(*export.Encoder, string) error{"safetensors": (*export.Encoder).Safetensors, "onnx": (*export.Encoder).ONNX}[format]
			if write == nil {
				do := "choose " + strings.Join(exportFormats, " or ")
				if near := fault.Nearest(format, exportFormats); near != "" {
					do = fmt.Sprintf("did you mean %s? %s", near, do)
				}
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--format %s is none that is written", shown(format)), Do: do}
			}
			dir, err := run.Find(a.runs, args[0])
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Base(filepath.Clean(dir)) + "." + format
			}
			if _, err := os.Lstat(out); err == nil {
				return &fault.Error{Kind: fault.Config, What: out + " is there already, and would be lost", Do: "name another file with --out, or remove that one"}
			}
			r, err := a.installedForRun(dir)
			if err != nil {
				return err
			}
			progress := run.NewProgress(a.err, a.progress)
			defer progress.Close()
			host, err := newHost(r, progress, 0)
			if err != nil {
				return err
			}
			defer host.Close()
			e, err := export.Open(c.Context(), host, dir)
			if err != nil {
				return err
			}
			if err := write(e, out); err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(map[string]any{"run": dir, "file": out, "format": format, "metadata": e.Metadata})
			}
			fmt.Fprintf(a.out, "%s: %s\n", out, e)
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "", strings.Join(exportFormats, " or ")+" (default: what the ending of --out says, or safetensors)")
	c.Flags().StringVar(&out, "out", "", "file to write (default: the run's name, in the folder in which you stand)")
	return c
}

// formatOf gives the format that a file's ending names.
func formatOf(out string) string {
	if strings.EqualFold(filepath.Ext(out), ".onnx") {
		return "onnx"
	}
	return "safetensors"
}
