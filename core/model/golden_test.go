package model_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// What slides over space gives the sizes that PyTorch gives, and is refused where PyTorch refuses it (testdata/shapes.py).
func TestSizesOfPyTorch(t *testing.T) {
	b, err := os.ReadFile("testdata/shapes.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Layer                            string
		In, Out, Kernel, Stride, Padding []int64
		Dilation, Scale                  []int64
		OutputPadding                    []int64 `json:"output_padding"`
		Groups, Channels                 int64
		Linear                           bool
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		s := sample{learned: shapes{"a": c.In}}
		groups, channels := max(c.Groups, 1), c.In[len(c.In)-1]
		switch c.Layer {
		case "conv":
			s.op = &protocol.Layer{Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: "w", Bias: "b", Stride: c.Stride, Padding: c.Padding, Dilation: c.Dilation, Groups: c.Groups}}}
			s.params = shapes{"w": slices.Concat([]int64{c.Channels, max(channels/groups, 1)}, c.Kernel), "b": {c.Channels}}
		case "conv_transpose":
			s.op = &protocol.Layer{Op: &protocol.Layer_ConvTranspose{ConvTranspose: &protocol.ConvTranspose{Weight: "w", Bias: "b", Stride: c.Stride, Padding: c.Padding,
				OutputPadding: c.OutputPadding, Dilation: c.Dilation, Groups: c.Groups}}}
			s.params = shapes{"w": slices.Concat([]int64{channels, c.Channels / groups}, c.Kernel), "b": {c.Channels}}
		case "average_pool":
			s.op = &protocol.Layer{Op: &protocol.Layer_AveragePool{AveragePool: &protocol.AveragePool{Kernel: c.Kernel, Stride: c.Stride, Padding: c.Padding}}}
		case "max_pool":
			s.op = &protocol.Layer{Op: &protocol.Layer_MaxPool{MaxPool: &protocol.MaxPool{Kernel: c.Kernel, Stride: c.Stride, Padding: c.Padding}}}
		case "upsample":
			mode := protocol.Upsample_NEAREST
			if c.Linear {
				mode = protocol.Upsample_LINEAR
			}
			s.op = &protocol.Layer{Op: &protocol.Layer_Upsample{Upsample: &protocol.Upsample{Scale: c.Scale, Mode: mode}}}
		}
		g, err := model.Check(s.model())
		switch {
		case c.Out == nil && err == nil:
			t.Errorf("case %d (%s): PyTorch refuses it, we give %v", i, c.Layer, g.Outputs["out"].Shape)
		case c.Out != nil && err != nil:
			t.Errorf("case %d (%s): %v; PyTorch gives %v", i, c.Layer, err, c.Out)
		case c.Out != nil && fmt.Sprint(g.Outputs["out"].Shape) != fmt.Sprint(c.Out):
			t.Errorf("case %d (%s): %v; PyTorch gives %v", i, c.Layer, g.Outputs["out"].Shape, c.Out)
		}
	}
}
