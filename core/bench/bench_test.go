package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/train"
)

func ExamplePeak() {
	r, err := Peak(context.Background(), PeakOptions{Threads: 2, MiB: 2, Rounds: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range r.Threads {
		fmt.Println(t.Threads, "threads:", t.MultiplyAdd["float32"] > 0, t.Read > 0, t.Write > 0, t.Copy > 0)
	}
	// Output:
	// 1 threads: true true true true
	// 2 threads: true true true true
}

// The share of taps inside the image is what counting every tap of every pixel gives.
func TestInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		axis := func(name string) (in, kernelSize, stride, pad, dilation, out int) {
			in, kernelSize = rapid.IntRange(1, 9).Draw(t, name+" in"), rapid.IntRange(1, 5).Draw(t, name+" kernel")
			stride, pad, dilation = rapid.IntRange(1, 3).Draw(t, name+" stride"), rapid.IntRange(0, 3).Draw(t, name+" pad"), rapid.IntRange(1, 2).Draw(t, name+" dilation")
			return in, kernelSize, stride, pad, dilation, kernel.OutSize(in, kernelSize, stride, pad, dilation)
		}
		h, kh, sh, ph, dh, oh := axis("y")
		w, kw, sw, pw, dw, ow := axis("x")
		if oh < 1 || ow < 1 {
			return
		}
		g := kernel.Geometry{Batch: 1, In: []int{h, w}, Out: []int{oh, ow}, InC: 1, OutC: 1, Kernel: []int{kh, kw}, Stride: []int{sh, sw}, Pad: []int{ph, pw}, Dilation: []int{dh, dw}}
		count := 0
		for y := range oh {
			for x := range ow {
				for a := range kh {
					for b := range kw {
						if v, u := y*sh-ph+a*dh, x*sw-pw+b*dw; v >= 0 && v < h && u >= 0 && u < w {
							count++
						}
					}
				}
			}
		}
		if want := float64(count) / float64(oh*ow*kh*kw); math.Abs(inside(g)-want) > 1e-12 {
			t.Fatalf("%+v: %v, want %v", g, inside(g), want)
		}
	})
}

// pair is two equal convolutions, one of two groups and a linear layer.
func pair() *protocol.Model {
	normal := &protocol.Init{Is: &protocol.Init_Normal{Normal: 0.1}}
	conv := func(name, input, weight string, groups int64) *protocol.Layer {
		return &protocol.Layer{Name: name, Inputs: []string{input}, Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: weight, Stride: []int64{1, 1}, Padding: []int64{1, 1}, Dilation: []int64{1, 1}, Groups: groups}}}
	}
	return &protocol.Model{Opset: 2, Input: []int64{4, 4, 6},
		Parameters: []*protocol.Parameter{
			{Name: "a", Shape: []int64{6, 6, 3, 3}, Init: normal}, {Name: "b", Shape: []int64{6, 6, 3, 3}, Init: normal},
			{Name: "g", Shape: []int64{6, 3, 3, 3}, Init: normal}, {Name: "fc", Shape: []int64{10, 6}, Init: normal}},
		Layers: []*protocol.Layer{conv("first", "input", "a", 0), conv("second", "first", "b", 0), conv("grouped", "second", "g", 2),
			{Name: "pool", Inputs: []string{"grouped"}, Op: &protocol.Layer_GlobalAveragePool{GlobalAveragePool: &protocol.GlobalAveragePool{}}},
			{Name: "head", Inputs: []string{"pool"}, Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: "fc"}}}},
		Outputs: map[string]string{"features": "grouped", "representation": "head"}}
}

func TestShapes(t *testing.T) {
	g, err := model.Check(pair())
	if err != nil {
		t.Fatal(err)
	}
	all, others := shapes(g, 8)
	if len(all) != 2 || all[0].count != 2 || !all[0].gradient || sketch(all[0].Geometry) != "3×3 6→6 at 4×4" || sketch(all[1].Geometry) != "linear 6→10" || all[1].Batch != 8 {
		t.Errorf("shapes %+v", all)
	}
	if !slices.Equal(others, []string{"grouped"}) {
		t.Errorf("others %v", others)
	}
	// Of 3×3 taps on 4×4 pixels (10/12)² are inside. In a pass with gradient the first convolution has no input gradient.
	lost := float64(all[0].FLOPs()) * (1 - 100.0/144)
	if got := outside(g, 8, 2, 1); math.Abs(got-lost*2*(2+1)-lost*2) > 1e-6*got {
		t.Errorf("%v FLOPs outside, want %v", got, lost*8)
	}
}

// Every layer is timed in the directions that a training computes, in each precision that the machine has.
func TestLayers(t *testing.T) {
	g, err := model.Check(pair())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range precisions() {
		n := &Network{Setting: Setting{Arch: "test.pair", Batch: 2, Bands: 6, Size: 4, Precision: string(p), Threads: 1}}
		r, err := n.layers(t.Context(), g, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Layers) != 2 || r.Layers[0].Count != 2 || math.Abs(r.Layers[0].Padding-(1-100.0/144)) > 1e-12 || r.Layers[0].InputGradient == nil || len(r.Others) != 1 {
			t.Errorf("%s: %+v", p, r)
		}
		for _, rate := range []*Rate{r.Together.Forward, r.Together.InputGradient, r.Together.WeightGradient} {
			if rate == nil || !(rate.GFLOPSTrue > 0 && rate.GFLOPS > rate.GFLOPSTrue && rate.Fraction > 0) {
				t.Errorf("%s: %+v", p, rate)
			}
		}
		var text bytes.Buffer
		if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "3×3 6→6 at 4×4") || !strings.Contains(text.String(), "not measured: 1 layer") {
			t.Error(text.String(), err)
		}
	}
	n := &Network{Setting: Setting{Batch: 2, Precision: "float8", Threads: 1}}
	if _, err := n.layers(t.Context(), g, 1); fault.KindOf(err) != fault.Config {
		t.Errorf("float8: %v", err)
	}
}

// Random images are fresh in every step and view, and the same in every run.
func TestImages(t *testing.T) {
	ready := 0
	made := func() *images {
		return newImages(&Network{Setting: Setting{Batch: 3, Size: 4, Bands: 2}}, &protocol.Program{Views: []*protocol.ViewNeed{{Name: "query"}, {Name: "key"}}}, 2, func() { ready++ })
	}
	a, b := made(), made()
	a.Start(0, 2)
	b.Start(1, 2)
	first, err := a.Next(t.Context())
	if err != nil || a.Len() != 6 || !slices.Equal(a.Shape("key"), []int64{4, 4, 2}) {
		t.Fatal(a.Len(), a.Shape("key"), err)
	}
	old := slices.Clone(first.Views["query"])
	if slices.Equal(old, first.Views["key"]) || slices.Equal(old[:32], old[32:64]) {
		t.Error("two views or two images are the same")
	}
	var second, again *train.Batch
	if second, err = a.Next(t.Context()); err != nil || slices.Equal(old, second.Views["query"]) {
		t.Error("two steps have the same images", err)
	}
	if again, err = b.Next(t.Context()); err != nil || !slices.Equal(again.Views["query"], second.Views["query"]) || ready != 3 {
		t.Error("another run has other images", err, ready)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Next(ctx); err == nil {
		t.Error("a request to stop was not heard")
	}
}

func TestSearchFinds(t *testing.T) {
	r, err := Search(t.Context(), SearchOptions{Rows: 500, Width: 8, Top: 3, Queries: 5, Threads: 2, Rounds: 2})
	if err != nil || r.MeanBestProduct < 0.5 || r.MeanBestProduct > 1.0001 || r.OneS <= 0 || r.QueriesPerS <= 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "the 3 nearest of 500 rows") {
		t.Error(text.String(), err)
	}
	line, err := json.Marshal(r)
	if err != nil || !bytes.Contains(line, []byte(`"rows":500`)) || !bytes.Contains(line, []byte(`"queries_per_s"`)) {
		t.Errorf("%s, %v", line, err)
	}
}

// What cannot be is refused before memory is taken, and a request to stop ends a measurement.
func TestRefusals(t *testing.T) {
	if _, err := Search(t.Context(), SearchOptions{Rows: 1 << 40, Width: 1 << 16, Top: 1, Queries: 1, Threads: 1, Rounds: 1}); fault.KindOf(err) != fault.Resource {
		t.Errorf("a table of 2⁵⁸ bytes: %v", err)
	}
	if _, err := Peak(t.Context(), PeakOptions{Threads: 0, MiB: 1, Rounds: 1}); fault.KindOf(err) != fault.Config || !strings.Contains(err.Error(), "--threads 0") {
		t.Errorf("no threads: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Peak(ctx, PeakOptions{Threads: 1, MiB: 1, Rounds: 1}); fault.KindOf(err) != fault.Cancelled {
		t.Errorf("stopped: %v", err)
	}
	if _, err := Search(ctx, SearchOptions{Rows: 10, Width: 2, Top: 1, Queries: 1, Threads: 1, Rounds: 1}); fault.KindOf(err) != fault.Cancelled {
		t.Errorf("stopped: %v", err)
	}
}

func TestMedian(t *testing.T) {
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Error(m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Error(m)
	}
}
