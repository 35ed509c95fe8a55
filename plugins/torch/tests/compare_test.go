package torch_test

import (
	"fmt"
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

// state gives the state of one network.
func (c *trio) state(t testing.TB, side int) state {
	t.Helper()
	arrays, err := c.networks[side].State()
	if err != nil {
		t.Fatalf("%s: %v", sides[side], err)
	}
	s := state{}
	for _, a := range arrays {
		s[a.Name] = a.Data
	}
	return s
}

// states gives the state of each network.
func (c *trio) states(t testing.TB) (states [3]state) {
	t.Helper()
	for side := range states {
		if states[side] = c.state(t, side); len(states[side]) != len(states[ours]) {
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

// comparison is how far the two that compute in float32 are from float64 after a step, relative to the norm.
type comparison struct {
	outputs, gradients [2]float64
	// switched are gradients, and parameters that moved by them, that are further off than rounding alone takes them: a unit
	// was on the other side of zero. Whether that can be is for the caller to say.
	switched []string
}

// worst takes the larger distances.
func (c *comparison) worst(d comparison) {
	for side := range exact {
		c.outputs[side], c.gradients[side] = max(c.outputs[side], d.outputs[side]), max(c.gradients[side], d.gradients[side])
	}
}

const (
	forwardBound  = 1e-5
	gradientBound = 2e-4
)

// both fails where one side is further from float64 than allowed, and more than twice as far as the other.
func both(t testing.TB, what string, off [2]float64, allowed float64) {
	t.Helper()
	for side, d := range off {
		if limit := max(allowed, 2*off[1-side]); !(d <= limit) {
			t.Errorf("%s of %s differs by %.2g from float64; at most %.2g is allowed", what, sides[side], d, limit)
		}
	}
}

// distances are ‖a − want‖ for both sides.
func distances(t testing.TB, states [3]state, name string) (off [2]float64) {
	t.Helper()
	for side := range off {
		off[side] = apart(t, name, states[side][name], states[exact][name])
	}
	return off
}

// compare compares outputs, and the state after a step from one that all sides had.
func (c *trio) compare(t testing.TB, before state, states [3]state, gradient float64) (r comparison) {
	t.Helper()
	for _, tap := range c.Taps {
		want, off := c.networks[exact].Tap(tap.Name), [2]float64{}
		for side := range off {
			off[side] = apart(t, tap.Name, c.networks[side].Tap(tap.Name), want) / max(norm(want), 1e-30)
			r.outputs[side] = max(r.outputs[side], off[side])
		}
		both(t, "tap "+tap.Name, off, forwardBound)
	}
	further := func(name string, off [2]float64, allowed float64) {
		for side, d := range off {
			if !(d <= allowed) {
				r.switched = append(r.switched, fmt.Sprintf("%s of %s differs by %.2g of %.2g from float64; at most %.2g is allowed", name, sides[side], d, norm(states[exact][name]), allowed))
			}
		}
	}

	// Velocities. One whose gradient is zero but for rounding, of a bias before a batch norm, is as far off as others round.
	all, velocities := 0.0, states[exact].under(engine.OptimiserPrefix)
	for _, name := range velocities {
		all = math.Hypot(all, norm(states[exact][name]))
	}
	for _, name := range velocities {
		off := distances(t, states, name)
		for side, d := range off {
			r.gradients[side] = math.Hypot(r.gradients[side], d/max(all, 1e-30))
		}
		further(name, off, gradient*norm(states[exact][name])+1e-6*all)
	}

	// Parameters are as exact as what they moved by.
	names := slices.Concat(states[exact].under(engine.EncoderPrefix), states[exact].under(engine.HeadPrefix), states[exact].under(engine.MomentumPrefix))
	moved := map[string]float64{}
	all = 0
	for _, name := range names {
		moved[name] = apart(t, name, states[exact][name], before[name])
		if !strings.Contains(name, "running_") {
			all = math.Hypot(all, moved[name])
		}
	}
	for _, name := range names {
		off, size := distances(t, states, name), norm(states[exact][name])
		switch of, mean := strings.CutSuffix(name, "running_mean"); {
		case mean: // as exact as what it is the mean of, whose size the deviations tell
			both(t, name, off, forwardBound*(size+deviation(states[exact][of+"running_var"])))
		case strings.HasSuffix(name, "running_var"):
			both(t, name, off, forwardBound*size)
		default:
			further(name, off, gradient*moved[name]+1e-6*(size+all))
		}
	}
	return r
}

// deviation is the norm of the roots of variances.
func deviation(variances []float32) float64 {
	var n float64
	for _, v := range variances {
		n += float64(v)
	}
	return math.Sqrt(n)
}
