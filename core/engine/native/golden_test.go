package native

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// The goldens are made by testdata/golden.py with PyTorch in float64.

type summary struct {
	Norm        float64   `json:"norm"`
	Projections []float64 `json:"projections"`
}

func readGolden(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fill draws an array as golden.py does.
func fill(dst []float32, k key.Key) []float32 {
	for i := 0; i < len(dst); i += 2 {
		s := k.At(0, uint64(i/2))
		dst[i] = float32(s.Between(-1, 1))
		if i+1 < len(dst) {
			dst[i+1] = float32(s.Between(-1, 1))
		}
	}
	return dst
}

func drawn(name, array string, n int) []float32 {
	return fill(make([]float32, n), key.New(1, "golden", name, array))
}

// distance estimates ‖got − want‖ from want's projections onto vectors of independent uniforms over ±1, whose variance is
// ⅓: it is the root mean square of the differences of the projections, times √3.
func distance(name, array string, got []float32, want summary) float64 {
	squares := make([]float64, len(want.Projections))
	var group sync.WaitGroup
	for j, p := range want.Projections {
		group.Go(func() {
			k := key.New(1, "projection", name, array, strconv.Itoa(j))
			var dot float64
			for i := 0; i < len(got); i += 2 {
				s := k.At(0, uint64(i/2))
				dot += float64(got[i]) * s.Between(-1, 1)
				if i+1 < len(got) {
					dot += float64(got[i+1]) * s.Between(-1, 1)
				}
			}
			squares[j] = (dot - p) * (dot - p)
		})
	}
	group.Wait()
	var square float64
	for _, s := range squares {
		square += s
	}
	return math.Sqrt(3 * square / float64(len(want.Projections)))
}

func norm(s []float32) float64 {
	var n float64
	for _, v := range s {
		n += float64(v) * float64(v)
	}
	return math.Sqrt(n)
}

// near fails unless got is within tolerance of the golden, relative to its norm.
func near(t *testing.T, name, array string, got []float32, want summary, tolerance float64) {
	t.Helper()
	nearOf(t, name, name, array, got, want, tolerance)
}

// nearOf is near for a case that is computed in several ways: what says which one.
func nearOf(t *testing.T, what, name, array string, got []float32, want summary, tolerance float64) {
	t.Helper()
	if len(want.Projections) == 0 {
		t.Errorf("%s: there is no golden of %s", what, array)
		return
	}
	limit := tolerance * want.Norm
	if d, e := distance(name, array, got, want), math.Abs(norm(got)-want.Norm); !(d <= limit && e <= limit) {
		t.Errorf("%s: %s differs by %.2g (norm by %.2g), relative to its norm %.3g; at most %.0e is allowed", what, array, d/want.Norm, e/want.Norm, want.Norm, tolerance)
	}
}

func compile(t testing.TB, p engine.Program, o engine.Options) *network {
	t.Helper()
	n, err := New().Compile(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n.(*network)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layerCase is one layer after a 1×1 convolution or linear layer, as in golden.py.
func layerCase(input []int64, out func(b *builder, from string) string) *protocol.Model {
	b := newBuilder(input...)
	c := input[len(input)-1]
	rank := len(input) - 1
	before := "before"
	if rank == 0 {
		w := b.param("before.weight", constant(0), c, c)
		b.layer(&protocol.Layer{Name: before, Op: &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: w}}}, "input")
	} else {
		w := b.param("before.weight", constant(0), append([]int64{c, c}, repeat(1, rank)...)...)
		b.layer(&protocol.Layer{Name: before, Op: &protocol.Layer_Conv{Conv: &protocol.Conv{Weight: w, Stride: repeat(1, rank), Padding: repeat(0, rank), Dilation: repeat(1, rank)}}}, "input")
	}
	b.Outputs["representation"] = out(b, before)
	return b.Model
}

// layerCases are the cases of testdata/golden.py.
func layerCases() map[string]layerOf {
	s := func(v ...int64) []int64 { return v }
	conv := func(input []int64, cout int64, k, stride, p, d []int64, bias bool) layerOf {
		return layerOf{input, func(b *builder, from string) string {
			c := &protocol.Conv{Weight: b.param("layer.weight", constant(0), append([]int64{cout, b.Input[len(b.Input)-1]}, k...)...), Stride: stride, Padding: p, Dilation: d}
			if bias {
				c.Bias = b.param("layer.bias", constant(0), cout)
			}
			return b.layer(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Conv{Conv: c}}, from)
		}}
	}
	pool := func(input, k, stride, p []int64) layerOf {
		return layerOf{input, func(b *builder, from string) string {
			return b.layer(&protocol.Layer{Name: "layer", Op: &protocol.Layer_MaxPool{MaxPool: &protocol.MaxPool{Kernel: k, Stride: stride, Padding: p}}}, from)
		}}
	}
	norm := func(input ...int64) layerOf {
		return layerOf{input, func(b *builder, from string) string { return b.norm("layer", from, b.Input[len(b.Input)-1], 1) }}
	}
	return map[string]layerOf{
		"conv1d":           conv(s(3, 17, 5), 7, s(5), s(2), s(2), s(1), true),
		"conv2d":           conv(s(2, 9, 8, 6), 20, s(3, 3), s(1, 1), s(1, 1), s(1, 1), false),
		"conv2d strided":   conv(s(2, 9, 8, 5), 33, s(7, 5), s(2, 3), s(3, 1), s(1, 1), true),
		"conv2d dilated":   conv(s(2, 11, 10, 17), 4, s(3, 2), s(1, 2), s(2, 0), s(2, 3), false),
		"conv2d pointwise": conv(s(2, 6, 6, 16), 48, s(1, 1), s(2, 2), s(0, 0), s(1, 1), false),
		"conv3d":           conv(s(2, 5, 6, 4, 3), 9, s(3, 3, 2), s(1, 2, 1), s(1, 1, 1), s(1, 1, 2), true),
		"linear":           {s(6, 19), func(b *builder, from string) string { return b.linear("layer", from, 19, 33) }},
		"norm":             norm(4, 5, 6, 19),
		"norm in groups":   norm(6, 3, 4, 8),
		"norm of vectors":  norm(8, 33),
		"norm of volumes":  norm(2, 3, 2, 3, 4),
		"pool1d":           pool(s(2, 15, 4), s(3), s(2), s(1)),
		"pool2d":           pool(s(2, 9, 8, 7), s(3, 3), s(2, 2), s(1, 1)),
		"pool3d":           pool(s(2, 4, 5, 6, 3), s(2, 3, 2), s(2, 1, 2), s(0, 1, 1)),
		"relu":             {s(3, 7, 5, 6), func(b *builder, from string) string { return b.relu("layer", from) }},
		"mean":             {s(3, 7, 5, 6), func(b *builder, from string) string { return b.mean("layer", from) }},
		"add":              {s(3, 7, 5, 6), func(b *builder, from string) string { return b.add("layer", from, b.relu("r", from)) }},
		"l2":               {s(5, 19), func(b *builder, from string) string { return b.unit("layer", from) }},
	}
}

// normGroups are the groups of batch norm, where a case has several.
var normGroups = map[string]uint32{"norm in groups": 3, "norm of vectors": 2}

func TestEveryLayerAgreesWithPyTorch(t *testing.T) { agree(t, "layers.json", layerCases()) }

// precisions are those that the machine computes.
func precisions() []engine.Precision {
	if kernel.HasBFloat16() {
		return []engine.Precision{engine.Float32, engine.BFloat16}
	}
	return []engine.Precision{engine.Float32}
}

// yardsticks are how far PyTorch's own bfloat16 is from its float64, where rounding changes more than the values:
// testdata/golden_bfloat16.py says where.
type yardsticks struct {
	Layers   map[string]map[string]float64
	Networks map[string]struct{ Forward, Gradient, Inference float64 }
}

func readYardsticks(t *testing.T) (y yardsticks) {
	t.Helper()
	readGolden(t, "bfloat16.json", &y)
	return y
}

// allowed is how far an array of a layer may be from PyTorch's float64, relative to the norm.
func (y yardsticks) allowed(p engine.Precision, layer, array string) float64 {
	if p == engine.BFloat16 {
		return max(1e-2, 2*y.Layers[layer][array])
	}
	return 1e-5
}

func TestResNetsAgreeWithPyTorch(t *testing.T) {
	var golden map[string]struct {
		PyTorch struct{ Forward, Gradient float64 }
		Arrays  map[string]summary
	}
	readGolden(t, "networks.json", &golden)
	half := readYardsticks(t)
	for _, c := range []struct {
		name        string
		depth       int
		bands       int64
		stem        string
		size        int64
		batch       int
		zero, heavy bool
	}{
		{"r18 zero", 18, 5, "imagenet", 64, 4, true, false}, {"r18", 18, 5, "imagenet", 64, 4, false, false},
		{"r18 paper", 18, 3, "paper", 32, 2, false, false}, {"r18 small zero", 18, 1, "small", 24, 3, true, false},
		{"r34 zero", 34, 5, "imagenet", 64, 2, true, true}, {"r34", 34, 5, "small", 32, 2, false, true},
		{"r50 zero", 50, 5, "imagenet", 64, 4, true, true}, {"r50", 50, 5, "imagenet", 64, 4, false, false},
		{"r50 paper zero", 50, 4, "paper", 32, 2, true, true},
	} {
		for _, precision := range precisions() {
			t.Run(fmt.Sprintf("%s in %s", c.name, precision), func(t *testing.T) {
				if c.heavy && os.Getenv("ASTERISM_LONG") == "" {
					t.Skip("set ASTERISM_LONG=1 for this network")
				}
				want := golden[c.name]
				p := alone(resnet(c.depth, c.size, c.bands, c.stem, c.zero))
				n := compile(t, p, engine.Options{Batch: c.batch, Seed: 7, Precision: precision})
				copy(n.Input("only"), drawn(c.name, "input", len(n.Input("only"))))
				must(t, n.Forward("only", c.batch, 0))
				copy(n.TapGradient("out"), drawn(c.name, "gradient", len(n.TapGradient("out"))))
				must(t, n.Backward("only"))

				// Zero-initialised residual branches keep rounding small, so errors of ours would show. With the default
				// initialisation units near zero switch with the last bits: the yardstick is how far that takes PyTorch from float64.
				forward, gradient := 1e-5, 2e-4
				if !c.zero {
					forward, gradient = max(2*want.PyTorch.Forward, 1e-5), max(2*want.PyTorch.Gradient, 1e-5)
				}
				inference, strict := 5*forward, c.zero
				if precision == engine.BFloat16 { // then PyTorch's own bfloat16 is the yardstick
					own := half.Networks[c.name]
					forward, gradient, inference, strict = max(2*own.Forward, 1e-2), 2*own.Gradient, max(2*own.Inference, 1e-2), false
				}
				near(t, c.name, "out", n.Tap("out"), want.Arrays["out"], forward)
				var off, all float64
				for _, full := range n.names {
					q := n.params[full]
					array := "gradient " + q.Name
					if q.buffer {
						if w, ok := want.Arrays[q.Name]; ok {
							near(t, c.name, q.Name, n.values(q, n.slabs.online), w, forward)
						}
						continue
					}
					got, w := n.values(q, n.slabs.gradients), want.Arrays[array]
					d := distance(c.name, array, got, w)
					off, all = off+d*d, all+w.Norm*w.Norm
					if strict && w.Norm > 0 {
						near(t, c.name, array, got, w, gradient)
					}
					if w.Norm == 0 && norm(got) != 0 {
						t.Errorf("%s is zero in PyTorch and has the norm %g here", array, norm(got))
					}
				}
				relative := math.Sqrt(off / all)
				t.Logf("gradients differ by %.2g, half of what is allowed is %.2g", relative, gradient/2)
				if !(relative <= gradient) {
					t.Errorf("all gradients together differ by %.2g, at most %.2g is allowed", relative, gradient)
				}

				i := compile(t, p, engine.Options{Batch: c.batch + 1, Mode: engine.Infer, Precision: precision})
				must(t, i.SetParams(paramsOf(n)))
				copy(i.Input("only"), drawn(c.name, "input", len(n.Input("only"))))
				must(t, i.Forward("only", c.batch, 0))
				near(t, c.name, "inference", i.Tap("out")[:len(n.Tap("out"))], want.Arrays["inference"], inference)
			})
		}
	}
}

// TestTrainingStepsAgreeWithPyTorch starts each of three MoCo steps at the reference's state and compares the whole state
// after it: weights, running statistics in two groups, velocities, momentum network.
func TestTrainingStepsAgreeWithPyTorch(t *testing.T) {
	arrays, _, err := engine.ReadArrays("testdata/moco.safetensors")
	must(t, err)
	states := make([]map[string]engine.Array, 4)
	for i := range states {
		states[i] = map[string]engine.Array{}
	}
	for _, a := range arrays {
		s := states[a.Name[0]-'0']
		a.Name = a.Name[2:]
		s[a.Name] = a
	}
	const batch, width, queue, temperature = 8, 8, 16, 0.2
	n := compile(t, moco(tinyEncoder(), projector(10, 10, 8), 2), engine.Options{Batch: batch})
	for step := range 3 {
		var state []engine.Array
		for _, a := range states[step] {
			state = append(state, a)
		}
		if len(state) != len(stateOf(n)) {
			t.Fatalf("the reference's state has %d arrays, ours %d", len(state), len(stateOf(n)))
		}
		must(t, n.SetState(state))
		for pass, letter := range map[string]string{"query": "q", "key": "k"} {
			copy(n.Input(pass), drawn("moco", letter+strconv.Itoa(step), len(n.Input(pass))))
		}
		must(t, n.Forward("query", batch, 0))
		n.UpdateMomentum(0.9)
		must(t, n.Forward("key", batch, 0))
		infoNCE(n.Tap("q"), n.Tap("k"), drawn("moco", "queue"+strconv.Itoa(step), queue*width), n.TapGradient("q"), width, temperature)
		must(t, n.Backward("query"))
		must(t, n.Step(engine.Optimiser{LR: 0.05, Momentum: 0.9, WeightDecay: 1e-2}))
		for _, a := range stateOf(n) {
			want := states[step+1][a.Name].Data
			var d float64
			for i := range want {
				d = math.Hypot(d, float64(a.Data[i])-float64(want[i]))
			}
			if limit := 1e-5 * norm(want); !(d <= limit) {
				t.Errorf("step %d: %s differs by %.2g of %.2g", step, a.Name, d, norm(want))
			}
		}
	}
}

func tinyEncoder() *protocol.Model {
	b := newBuilder(8, 8, 3)
	x := b.pool("pool", b.relu("relu", b.norm("bn1", b.conv("conv1", "input", 3, 6, 3, 1, 1), 6, 1)))
	y := b.relu("ar", b.norm("abn1", b.conv("a1", x, 6, 6, 3, 1, 1), 6, 1))
	x = b.relu("ar2", b.add("aa", b.norm("abn2", b.conv("a2", y, 6, 6, 3, 1, 1), 6, 1), x))
	y = b.relu("br", b.norm("bbn1", b.conv("b1", x, 6, 10, 3, 2, 1), 10, 1))
	y = b.norm("bbn2", b.conv("b2", y, 10, 10, 3, 1, 1), 10, 1)
	x = b.relu("br2", b.add("ba", y, b.norm("dbn", b.conv("down", x, 6, 10, 1, 2, 0), 10, 1)))
	b.Outputs["features"], b.Outputs["representation"] = x, b.mean("mean", x)
	return b.Model
}

// infoNCE writes the gradient at q of MoCo's loss: cross entropy over (q·k, q·queue)/temperature, averaged over the batch.
func infoNCE(q, k, queue, dq []float32, width int, temperature float64) {
	for i := 0; i < len(queue); i += width { // rows of length one
		l := norm(queue[i : i+width])
		for j := range width {
			queue[i+j] = float32(float64(queue[i+j]) / l)
		}
	}
	batch := len(q) / width
	for i := range batch {
		row := q[i*width : (i+1)*width]
		keys := [][]float32{k[i*width : (i+1)*width]}
		for j := 0; j < len(queue); j += width {
			keys = append(keys, queue[j:j+width])
		}
		weights, sum := make([]float64, len(keys)), 0.0
		for j, key := range keys {
			var dot float64
			for c := range row {
				dot += float64(row[c]) * float64(key[c])
			}
			weights[j] = math.Exp(dot / temperature)
			sum += weights[j]
		}
		for c := range row {
			g := -float64(keys[0][c])
			for j, key := range keys {
				g += weights[j] / sum * float64(key[c])
			}
			dq[i*width+c] = float32(g / temperature / float64(batch))
		}
	}
}
