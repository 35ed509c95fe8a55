package torch_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/key"
)

// The sides of a comparison: what the native engine and PyTorch compute in float32, and PyTorch in float64.
const (
	ours = iota
	theirs
	exact
)

var sides = [3]string{"native", "PyTorch in float32", "PyTorch in float64"}

// trio is one program in three engines.
type trio struct {
	engine.Program
	batch    int
	networks [3]engine.Network
}

// compile compiles a program thrice, with the native engine's initial weights.
func compile(t testing.TB, torch engine.Engine, p engine.Program, o engine.Options) *trio {
	t.Helper()
	c := &trio{Program: p, batch: o.Batch}
	for side, precision := range []engine.Precision{engine.Float32, engine.Float32, "float64"} {
		e := torch
		if side == ours {
			e = native.New()
		}
		o.Precision = precision
		n, err := e.Compile(p, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		c.networks[side] = n
	}
	return c
}

// each calls f for every network.
func (c *trio) each(t testing.TB, f func(n engine.Network) error) {
	t.Helper()
	for side, n := range c.networks {
		if err := f(n); err != nil {
			t.Fatalf("%s: %v", sides[side], err)
		}
	}
}

// fill draws the inputs of all passes, the same for every network.
func (c *trio) fill(name string) {
	for _, p := range c.Passes {
		for _, n := range c.networks {
			draw(n.Input(p.Name), name, p.Name)
		}
	}
}

// draw fills an array with uniforms over ±1.
func draw(dst []float32, path ...string) []float32 {
	s := key.New(1, "test", path...).At(0, 0)
	for i := range dst {
		dst[i] = float32(s.Between(-1, 1))
	}
	return dst
}

// state holds the arrays of a network by name.
type state map[string][]float32

// under gives the names that have a prefix, sorted.
func (s state) under(prefix string) (names []string) {
	for name := range s {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// states gives the state of each network.
func (c *trio) states(t testing.TB) (states [3]state) {
	t.Helper()
	for side, n := range c.networks {
		arrays, err := n.State()
		if err != nil {
			t.Fatalf("%s: %v", sides[side], err)
		}
		states[side] = state{}
		for _, a := range arrays {
			states[side][a.Name] = a.Data
		}
		if len(states[side]) != len(states[ours]) {
			t.Fatalf("the state of %s has %d arrays, that of %s %d", sides[side], len(states[side]), sides[ours], len(states[ours]))
		}
	}
	return states
}

func norm(v []float32) float64 {
	var n float64
	for _, x := range v {
		n += float64(x) * float64(x)
	}
	return math.Sqrt(n)
}

// apart is ‖a − b‖.
func apart(t testing.TB, what string, a, b []float32) float64 {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s has %d values, and %d", what, len(a), len(b))
	}
	var d float64
	for i := range a {
		d += (float64(a[i]) - float64(b[i])) * (float64(a[i]) - float64(b[i]))
	}
	return math.Sqrt(d)
}

// bounds are how far from float64 a network may be in float32, relative to the norm. Together they are for all gradients
// as one; relative ones are not asked of each array.
type bounds struct {
	forward, gradient float64
	relative          bool
}

// taps compares what the taps hold, and gives the largest distance of each side.
func (c *trio) taps(t testing.TB, b bounds) (off [2]float64) {
	t.Helper()
	for _, tap := range c.Taps {
		want := c.networks[exact].Tap(tap.Name)
		scale := norm(want)
		for side := range off {
			off[side] = max(off[side], apart(t, tap.Name, c.networks[side].Tap(tap.Name), want)/max(scale, 1e-30))
		}
	}
	for side, d := range off {
		if !b.relative && !(d <= b.forward) {
			t.Errorf("the outputs of %s differ by %.2g from float64; at most %.2g is allowed", sides[side], d, b.forward)
		}
	}
	return off
}

// gradients compares the velocities after a step, one by one and all together, and gives how far all are.
func gradients(t testing.TB, states [3]state, b bounds) (off [2]float64) {
	t.Helper()
	var all float64
	velocities := states[exact].under(engine.OptimiserPrefix)
	for _, name := range velocities {
		all = math.Hypot(all, norm(states[exact][name]))
	}
	for _, name := range velocities {
		want := states[exact][name]
		scale := norm(want)
		if scale < 1e-5*all { // nothing but rounding: of a bias before a batch norm
			scale = all
		}
		for side := range off {
			d := apart(t, name, states[side][name], want)
			off[side] = math.Hypot(off[side], d)
			if !b.relative && !(d <= b.gradient*scale) {
				t.Errorf("%s of %s differs by %.2g of %.2g from float64; at most %.2g of it is allowed", name, sides[side], d, scale, b.gradient)
			}
		}
	}
	for side := range off {
		if off[side] /= max(all, 1e-30); !b.relative && !(off[side] <= b.gradient) {
			t.Errorf("all gradients of %s together differ by %.2g from float64; at most %.2g is allowed", sides[side], off[side], b.gradient)
		}
	}
	return off
}

// weights compares parameters and running statistics after a step from a state that all sides had. Parameters are as exact
// as what they moved by, running means as what they are means of, whose size the deviations tell.
func weights(t testing.TB, before state, states [3]state, b bounds) {
	t.Helper()
	names := slices.Concat(states[exact].under(engine.EncoderPrefix), states[exact].under(engine.HeadPrefix), states[exact].under(engine.MomentumPrefix))
	moved, all := map[string]float64{}, 0.0
	for _, name := range names {
		moved[name] = apart(t, name, states[exact][name], before[name])
		all = math.Hypot(all, moved[name])
	}
	for _, name := range names {
		want := states[exact][name]
		if moved[name] < 1e-5*all { // by nothing but rounding
			moved[name] = all
		}
		allowed := b.gradient*moved[name] + 1e-6*norm(want)
		if of, ok := strings.CutSuffix(name, "running_mean"); ok {
			allowed = b.forward * (norm(want) + deviation(states[exact][of+"running_var"]))
		} else if strings.HasSuffix(name, "running_var") {
			allowed = b.forward * norm(want)
		}
		for side := range exact {
			if d := apart(t, name, states[side][name], want); !b.relative && !(d <= allowed) {
				t.Errorf("%s of %s differs by %.2g of %.2g from float64; at most %.2g is allowed", name, sides[side], d, norm(want), allowed)
			}
		}
	}
}

// deviation is the norm of the roots of variances.
func deviation(variances []float32) float64 {
	var n float64
	for _, v := range variances {
		n += float64(v)
	}
	return math.Sqrt(n)
}
