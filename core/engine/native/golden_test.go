package native

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
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
	if len(want.Projections) == 0 {
		t.Errorf("%s: there is no golden of %s", name, array)
		return
	}
	limit := tolerance * want.Norm
	if d, e := distance(name, array, got, want), math.Abs(norm(got)-want.Norm); !(d <= limit && e <= limit) {
		t.Errorf("%s: %s differs by %.2g (norm by %.2g), relative to its norm %.3g; at most %.0e is allowed", name, array, d/want.Norm, e/want.Norm, want.Norm, tolerance)
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

func TestEveryLayerAgreesWithPyTorch(t *testing.T) {
	conv := func(cout int64, k, s, p, d []int64, bias bool) func(b *builder, from string) string {
		return func(b *builder, from string) string {
			c := &protocol.Conv{Weight: b.param("layer.weight", constant(0), append([]int64{cout, b.Input[len(b.Input)-1]}, k...)...), Stride: s, Padding: p, Dilation: d}
			if bias {
				c.Bias = b.param("layer.bias", constant(0), cout)
			}
			return b.layer(&protocol.Layer{Name: "layer", Op: &protocol.Layer_Conv{Conv: c}}, from)
		}
	}
	pool := func(k, s, p []int64) func(b *builder, from string) string {
		return func(b *builder, from string) string {
			return b.layer(&protocol.Layer{Name: "layer", Op: &protocol.Layer_MaxPool{MaxPool: &protocol.MaxPool{Kernel: k, Stride: s, Padding: p}}}, from)
		}
	}
	batchNorm := func(b *builder, from string) string { return b.norm("layer", from, b.Input[len(b.Input)-1], 1) }
	s := func(v ...int64) []int64 { return v }
	cases := map[string]struct {
		input  []int64 // with the batch
		groups uint32
		layer  func(b *builder, from string) string
	}{
		"conv1d":           {s(3, 17, 5), 1, conv(7, s(5), s(2), s(2), s(1), true)},
		"conv2d":           {s(2, 9, 8, 6), 1, conv(20, s(3, 3), s(1, 1), s(1, 1), s(1, 1), false)},
		"conv2d strided":   {s(2, 9, 8, 5), 1, conv(33, s(7, 5), s(2, 3), s(3, 1), s(1, 1), true)},
		"conv2d dilated":   {s(2, 11, 10, 17), 1, conv(4, s(3, 2), s(1, 2), s(2, 0), s(2, 3), false)},
		"conv2d pointwise": {s(2, 6, 6, 16), 1, conv(48, s(1, 1), s(2, 2), s(0, 0), s(1, 1), false)},
		"conv3d":           {s(2, 5, 6, 4, 3), 1, conv(9, s(3, 3, 2), s(1, 2, 1), s(1, 1, 1), s(1, 1, 2), true)},
		"linear":           {s(6, 19), 1, func(b *builder, from string) string { return b.linear("layer", from, 19, 33) }},
		"norm":             {s(4, 5, 6, 19), 1, batchNorm},
		"norm in groups":   {s(6, 3, 4, 8), 3, batchNorm},
		"norm of vectors":  {s(8, 33), 2, batchNorm},
		"norm of volumes":  {s(2, 3, 2, 3, 4), 1, batchNorm},
		"pool1d":           {s(2, 15, 4), 1, pool(s(3), s(2), s(1))},
		"pool2d":           {s(2, 9, 8, 7), 1, pool(s(3, 3), s(2, 2), s(1, 1))},
		"pool3d":           {s(2, 4, 5, 6, 3), 1, pool(s(2, 3, 2), s(2, 1, 2), s(0, 1, 1))},
		"relu":             {s(3, 7, 5, 6), 1, func(b *builder, from string) string { return b.relu("layer", from) }},
		"mean":             {s(3, 7, 5, 6), 1, func(b *builder, from string) string { return b.mean("layer", from) }},
		"add":              {s(3, 7, 5, 6), 1, func(b *builder, from string) string { return b.add("layer", from, b.relu("r", from)) }},
		"l2":               {s(5, 19), 1, func(b *builder, from string) string { return b.unit("layer", from) }},
	}
	var golden map[string]map[string]summary
	readGolden(t, "layers.json", &golden)
	if len(golden) != len(cases) {
		t.Errorf("%d goldens for %d cases", len(golden), len(cases))
	}
	for name, c := range cases {
		p := alone(layerCase(c.input[1:], c.layer))
		p.Passes[0].NormGroups = c.groups
		n := compile(t, p, engine.Options{Batch: int(c.input[0])})
		for _, full := range n.names {
			if q := n.params[full]; !q.buffer {
				n.setValues(q, n.slabs.online, drawn(name, q.Name, q.size))
			}
		}
		copy(n.Input("only"), drawn(name, "input", len(n.Input("only"))))
		must(t, n.Forward("only", n.batch, 0))
		near(t, name, "out", n.Tap("out"), golden[name]["out"], 1e-5)
		copy(n.TapGradient("out"), drawn(name, "gradient", len(n.TapGradient("out"))))
		must(t, n.Backward("only"))
		for _, full := range n.names {
			if q := n.params[full]; q.buffer {
				near(t, name, q.Name, n.values(q, n.slabs.online), golden[name][q.Name], 1e-5)
			} else {
				near(t, name, "gradient "+q.Name, n.values(q, n.slabs.gradients), golden[name]["gradient "+q.Name], 1e-5)
			}
		}
	}
}

func TestResNetsAgreeWithPyTorch(t *testing.T) {
	var golden map[string]struct {
		PyTorch struct{ Forward, Gradient float64 }
		Arrays  map[string]summary
	}
	readGolden(t, "networks.json", &golden)
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
		t.Run(c.name, func(t *testing.T) {
			if c.heavy && os.Getenv("ASTERISM_LONG") == "" {
				t.Skip("set ASTERISM_LONG=1 for this network")
			}
			want := golden[c.name]
			p := alone(resnet(c.depth, c.size, c.bands, c.stem, c.zero))
			n := compile(t, p, engine.Options{Batch: c.batch, Seed: 7})
			copy(n.Input("only"), drawn(c.name, "input", len(n.Input("only"))))
			must(t, n.Forward("only", c.batch, 0))
			copy(n.TapGradient("out"), drawn(c.name, "gradient", len(n.TapGradient("out"))))
			must(t, n.Backward("only"))

			// Zero-initialised residual branches keep rounding small, so errors of ours would show. With the default
			// initialisation the network itself amplifies rounding: PyTorch's own distance from float64 is the yardstick.
			forward, gradient := 1e-5, 2e-4
			if !c.zero {
				forward, gradient = max(2*want.PyTorch.Forward, 1e-5), max(2*want.PyTorch.Gradient, 1e-5)
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
				if c.zero && w.Norm > 0 {
					near(t, c.name, array, got, w, gradient)
				}
				if w.Norm == 0 && norm(got) != 0 {
					t.Errorf("%s is zero in PyTorch and has the norm %g here", array, norm(got))
				}
			}
			relative := math.Sqrt(off / all)
			t.Logf("gradients differ by %.2g; PyTorch's by %.2g", relative, want.PyTorch.Gradient)
			if !(relative <= gradient) {
				t.Errorf("all gradients together differ by %.2g, at most %.2g is allowed", relative, gradient)
			}

			i := compile(t, p, engine.Options{Batch: c.batch + 1, Mode: engine.Infer})
			must(t, i.SetParams(n.Params()))
			copy(i.Input("only"), drawn(c.name, "input", len(n.Input("only"))))
			must(t, i.Forward("only", c.batch, 0))
			near(t, c.name, "inference", i.Tap("out")[:len(n.Tap("out"))], want.Arrays["inference"], 5*forward)
		})
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
		if len(state) != len(n.State()) {
			t.Fatalf("the reference's state has %d arrays, ours %d", len(state), len(n.State()))
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
		for _, a := range n.State() {
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
