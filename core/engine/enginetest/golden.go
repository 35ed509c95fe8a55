// Package enginetest compares networks that an engine computes with goldens that PyTorch computed in float64.
//
// A golden holds norms and projections of a network's output and gradients. Inputs, weights and the vectors of the
// projections are keyed draws, the same in Python: keyed.py in this folder makes goldens.
package enginetest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Goldens are what a file of keyed.py holds.
type Goldens struct {
	Whole map[string]Whole // by component
	Cases map[string]Case  // by name
}

// Whole is what a network at its full size must have.
type Whole struct {
	Parameters int64  // trained values
	Digest     string // of the names and shapes of parameters and buffers
}

// Case is a network that is small enough to be computed.
type Case struct {
	Input     []int64  // batch, spatial…, bands
	Small     []string // endings of the names of what ends a residual branch
	Out       summary
	Inference summary
	Gradients map[string]summary
	BFloat16  []float64 // how far PyTorch's own bfloat16 is from float64: forward, and all gradients together
}

// summary is a norm and projections onto vectors of uniforms over ±1.
type summary []float64

// How close a network must be to PyTorch in float64, relative to the norm.
const (
	forward  = 1e-5
	gradient = 2e-4
)

// Read reads a file of goldens.
func Read(t testing.TB, file string) Goldens {
	t.Helper()
	var g Goldens
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Check fails unless the description has the parameters that it must have.
func (w Whole) Check(t testing.TB, m *protocol.Model) {
	t.Helper()
	g, err := model.Check(m)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range g.Params {
		lines = append(lines, fmt.Sprintf("%s %d\n", p.Name, p.Shape))
	}
	slices.Sort(lines)
	digest := sha256.Sum256([]byte(strings.Join(lines, "")))
	if n := g.Parameters(); n != w.Parameters || hex.EncodeToString(digest[:])[:16] != w.Digest {
		t.Errorf("%d trained values instead of %d, or other names and shapes:\n%s", n, w.Parameters, strings.Join(lines, ""))
	}
}

// Check computes the description on an engine, forward, backward and in inference, and fails unless the representation and
// the gradients are PyTorch's; in bfloat16, where the engine computes it, within twice what PyTorch's own is off.
func (c Case) Check(t testing.TB, e engine.Engine, name string, m *protocol.Model) {
	t.Helper()
	if len(c.Input) == 0 || len(c.BFloat16) != 2 {
		t.Fatalf("there is no golden of %s", name)
	}
	c.check(t, e, name, m, engine.Float32)
	if _, err := e.Cost(program(m), engine.Options{Batch: int(c.Input[0]), Precision: engine.BFloat16}); !errors.Is(err, engine.ErrPrecision) {
		c.check(t, e, name, m, engine.BFloat16)
	}
}

func program(m *protocol.Model) engine.Program {
	return engine.Program{Encoder: m, Passes: []*protocol.Pass{{Name: "only", Gradient: true}},
		Taps: []*protocol.Tap{{Name: "out", Pass: "only", Output: "representation"}}}
}

func (c Case) check(t testing.TB, e engine.Engine, name string, m *protocol.Model, precision engine.Precision) {
	t.Helper()
	batch := int(c.Input[0])
	each, together, out := gradient, math.Inf(1), forward
	if precision == engine.BFloat16 {
		each, together, out = math.Inf(1), max(1e-2, 2*c.BFloat16[1]), max(1e-2, 2*c.BFloat16[0])
	}
	n := compile(t, e, program(m), engine.Options{Batch: batch, Precision: precision})
	params := c.weights(name, m)
	must(t, n.SetParams(params))
	draw(n.Input("only"), 0, 1, name, "input")
	must(t, n.Forward("only", batch, 0))
	c.near(t, name, "out", n.Tap("out"), c.Out, out, c.Out[0])
	draw(n.TapGradient("out"), 0, 1, name, "gradient")
	must(t, n.Backward("only"))
	must(t, n.Step(engine.Optimiser{})) // a velocity is the gradient then, and the weights stay
	state, err := n.State()
	must(t, err)
	off := c.gradients(t, name, state, each)
	t.Logf("%s in %s: all gradients together differ by %.2g", name, precision, off)
	if !(off <= together) {
		t.Errorf("%s in %s: all gradients together differ by %.2g, at most %.2g is allowed", name, precision, off, together)
	}

	i := compile(t, e, program(m), engine.Options{Batch: batch + 1, Mode: engine.Infer, Precision: precision})
	params, err = n.Params()
	must(t, err)
	must(t, i.SetParams(params))
	draw(i.Input("only")[:len(n.Input("only"))], 0, 1, name, "input")
	must(t, i.Forward("only", batch, 0))
	c.near(t, name, "inference", i.Tap("out")[:len(n.Tap("out"))], c.Inference, out, c.Inference[0])
}

func compile(t testing.TB, e engine.Engine, p engine.Program, o engine.Options) engine.Network {
	t.Helper()
	n, err := e.Compile(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// weights draws the trained parameters by the rule that keyed.py states.
func (c Case) weights(name string, m *protocol.Model) []engine.Array {
	var all []engine.Array
	for _, p := range m.Parameters {
		if p.Buffer {
			continue
		}
		ends := slices.ContainsFunc(c.Small, func(s string) bool { return strings.HasSuffix(p.Name, s) })
		centre, bound := 0.0, 0.1
		if model.Size(p.Shape) == slices.Max(p.Shape) {
			if !ends && strings.HasSuffix(p.Name, "weight") {
				centre = 1
			}
		} else if bound = math.Sqrt(3 / float64(model.Size(p.Shape[1:]))); ends {
			bound *= 0.1
		}
		data := make([]float32, model.Size(p.Shape))
		draw(data, centre, bound, name, p.Name)
		all = append(all, engine.Array{Name: "encoder." + p.Name, Shape: p.Shape, Data: data})
	}
	return all
}

// gradients compares each gradient, and gives how far all together differ.
func (c Case) gradients(t testing.TB, name string, state []engine.Array, tolerance float64) float64 {
	t.Helper()
	var all, off float64
	for _, s := range c.Gradients {
		all = math.Hypot(all, s[0])
	}
	seen := 0
	for _, a := range state {
		parameter, ok := strings.CutPrefix(a.Name, "optimiser.encoder.")
		if !ok {
			continue
		}
		want, ok := c.Gradients[parameter]
		if !ok {
			t.Errorf("%s: PyTorch's network has no parameter %s", name, parameter)
			continue
		}
		seen++
		scale := want[0]
		if scale < 1e-9*all { // nothing but rounding: a bias before a batch norm
			scale = all
		}
		off = math.Hypot(off, c.near(t, name, "gradient "+parameter, a.Data, want, tolerance, scale))
	}
	if seen != len(c.Gradients) {
		t.Errorf("%s: %d of the %d parameters of PyTorch's network have a gradient", name, seen, len(c.Gradients))
	}
	return off / all
}

// near fails unless got is within tolerance of the golden, relative to scale, and gives the distance. It estimates the
// distance from projections onto vectors of independent uniforms over ±1, whose variance is ⅓: it is the root mean square
// of the differences of the projections, times √3.
func (c Case) near(t testing.TB, name, array string, got []float32, want summary, tolerance, scale float64) float64 {
	t.Helper()
	squares := make([]float64, len(want)-1)
	var group sync.WaitGroup
	for j, p := range want[1:] {
		group.Go(func() {
			dot := 0.0
			uniforms(len(got), key.New(1, "projection", name, array, strconv.Itoa(j)), func(i int, u float64) { dot += float64(got[i]) * u })
			squares[j] = (dot - p) * (dot - p)
		})
	}
	group.Wait()
	var square, norm float64
	for _, s := range squares {
		square += s
	}
	for _, v := range got {
		norm = math.Hypot(norm, float64(v))
	}
	distance := math.Sqrt(3 * square / float64(len(squares)))
	if e := math.Abs(norm - want[0]); !(distance <= tolerance*scale && e <= tolerance*scale) {
		t.Errorf("%s: %s differs by %.2g (its norm by %.2g), relative to %.3g; at most %.0e is allowed", name, array, distance/scale, e/scale, scale, tolerance)
	}
	return distance
}

// draw fills an array with values within bound of centre, those of keyed.py.
func draw(dst []float32, centre, bound float64, name, array string) {
	uniforms(len(dst), key.New(1, "golden", name, array), func(i int, u float64) { dst[i] = float32(centre + bound*u) })
}

// uniforms draws n values over ±1, two at each counter.
func uniforms(n int, k key.Key, use func(i int, u float64)) {
	for i := 0; i < n; i += 2 {
		s := k.At(0, uint64(i/2))
		use(i, s.Between(-1, 1))
		if i+1 < n {
			use(i+1, s.Between(-1, 1))
		}
	}
}
