package contrast_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/contrast"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func Example() {
	p := contrast.Plugin()
	fmt.Println(p.Name, p.Components[0].Name, p.Components[1].Name)
	// Output: contrast moco simclr
}

// unit repeats the formula of testdata/golden.py.
func unit(rows, dim int, phase float64) []float32 {
	x := make([]float32, rows*dim)
	for i := range rows {
		for j := range dim {
			a, b := float64(i), float64(j)
			x[i*dim+j] = float32(math.Sin(1.3*a + 0.7*b + 0.05*a*b + phase))
		}
	}
	return sdk.UnitRows(x, dim)
}

func learner(t testing.TB, component, config string) sdk.Learner {
	t.Helper()
	return sdktest.Configure(t, contrast.Plugin(), component, config).(sdk.Learner)
}

func plan(t testing.TB, l sdk.Learner, batch int) *sdk.Program {
	t.Helper()
	p, err := l.Plan(&sdk.ProgramRequest{Representation: []int64{10}, Batch: uint32(batch), Samples: 100, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// step makes a step with these taps and room for their gradients.
func step(taps map[string][]float32, batch, dim int) *sdk.Step {
	s := &sdk.Step{Taps: map[string]sdk.Tensor{}, Gradients: map[string]sdk.Tensor{}}
	for name, v := range taps {
		s.Taps[name] = sdk.Tensor{Name: name, Shape: []int{batch, dim}, F32: v}
		s.Gradients[name] = sdk.Tensor{Name: name, Shape: []int{batch, dim}, F32: make([]float32, batch*dim)}
	}
	return s
}

func loss(t testing.TB, l sdk.Learner, s *sdk.Step) float64 {
	t.Helper()
	a, err := l.Loss(s)
	if err != nil {
		t.Fatal(err)
	}
	return a.Loss
}

// distance is the largest difference, relative to the largest value wanted.
func distance(got []float32, want []float64) float64 {
	worst, top := 0.0, 0.0
	for i, w := range want {
		worst, top = max(worst, math.Abs(float64(got[i])-w)), max(top, math.Abs(w))
	}
	return worst / top
}

type golden struct {
	MoCo []struct {
		Batch, Queue, Dim int
		Temperature       float64
		Symmetric         bool
		Steps             []struct {
			Loss      float64
			Gradients [][]float64
		}
		Left    []float64
		Pointer int
	} `json:"moco"`
	SimCLR []struct {
		Batch, Dim    int
		Temperature   float64
		Loss          float64
		First, Second []float64
	} `json:"simclr"`
}

func read(t testing.TB) (g golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// Losses, gradients and the queue agree with PyTorch over several steps: the loss sees the queue as it was, then the
// keys go in.
func TestMoCoAgreesWithTorch(t *testing.T) {
	for _, c := range read(t).MoCo {
		name := fmt.Sprintf("batch %d, queue %d, dim %d, symmetric %v", c.Batch, c.Queue, c.Dim, c.Symmetric)
		l := learner(t, "moco", fmt.Sprintf(`{queue: %d, dim: %d, temperature: %g, symmetric: %v, norm_groups: 1}`, c.Queue, c.Dim, c.Temperature, c.Symmetric))
		plan(t, l, c.Batch)
		if err := l.(sdk.Stateful).SetState([]sdk.Tensor{{Name: "queue", F32: unit(c.Queue, c.Dim, 9)}, {Name: "cursor", I64: []int64{0, 0}}}); err != nil {
			t.Fatal(err)
		}
		for n, want := range c.Steps {
			at := float64(n)
			taps := map[string][]float32{"query": unit(c.Batch, c.Dim, 0.1+at), "key": unit(c.Batch, c.Dim, 0.2+at)}
			queries := []string{"query"}
			if c.Symmetric {
				taps["query_2"], taps["key_2"] = unit(c.Batch, c.Dim, 0.3+at), unit(c.Batch, c.Dim, 0.4+at)
				queries = append(queries, "query_2")
			}
			s := step(taps, c.Batch, c.Dim)
			if got := loss(t, l, s); math.Abs(got-want.Loss) > 1e-5*want.Loss {
				t.Errorf("%s, step %d: the loss is %.7f, not %.7f", name, n, got, want.Loss)
			}
			for i, q := range queries {
				if d := distance(s.Gradients[q].F32, want.Gradients[i]); d > 1e-5 {
					t.Errorf("%s, step %d: the gradient of %s differs by %.1e", name, n, q, d)
				}
			}
		}
		state := l.(sdk.Stateful).State()
		if d := distance(state[0].F32, c.Left); d > 1e-6 {
			t.Errorf("%s: the queue differs by %.1e", name, d)
		}
		if got := state[1].I64[0]; got != int64(c.Pointer) {
			t.Errorf("%s: the next keys go to %d, not %d", name, got, c.Pointer)
		}
	}
}

func TestSimCLRAgreesWithTorch(t *testing.T) {
	for _, c := range read(t).SimCLR {
		l := learner(t, "simclr", fmt.Sprintf(`{dim: %d, temperature: %g}`, c.Dim, c.Temperature))
		plan(t, l, c.Batch)
		s := step(map[string][]float32{"first": unit(c.Batch, c.Dim, 0.1), "second": unit(c.Batch, c.Dim, 0.2)}, c.Batch, c.Dim)
		if got := loss(t, l, s); math.Abs(got-c.Loss) > 1e-5*c.Loss {
			t.Errorf("batch %d: the loss is %.7f, not %.7f", c.Batch, got, c.Loss)
		}
		if d := max(distance(s.Gradients["first"].F32, c.First), distance(s.Gradients["second"].F32, c.Second)); d > 1e-5 {
			t.Errorf("batch %d: the gradients differ by %.1e", c.Batch, d)
		}
	}
}

// The gradients are those of the loss itself: its change along each axis.
func TestGradientsAreDifferences(t *testing.T) {
	const batch, dim, h = 4, 6, 1e-3
	for component, config := range map[string]string{
		"moco":   `{queue: 8, dim: 6, norm_groups: 2, symmetric: true}`,
		"simclr": `{dim: 6, temperature: 0.3}`,
	} {
		l := learner(t, component, config)
		taps := map[string][]float32{}
		for i, tap := range plan(t, l, batch).Taps {
			taps[tap.Name] = unit(batch, dim, float64(i))
		}
		var before []sdk.Tensor
		stateful, remembers := l.(sdk.Stateful)
		if remembers {
			before = cloned(stateful.State())
		}
		at := func() (*sdk.Step, float64) {
			if remembers {
				if err := stateful.SetState(before); err != nil {
					t.Fatal(err)
				}
			}
			s := step(taps, batch, dim)
			return s, loss(t, l, s)
		}
		s, _ := at()
		for name, v := range taps {
			if strings.HasPrefix(name, "key") {
				continue
			}
			for i := range v {
				old := v[i]
				v[i] = old + h
				_, up := at()
				v[i] = old - h
				_, down := at()
				v[i] = old
				want, got := (up-down)/(2*h), float64(s.Gradients[name].F32[i])
				if math.Abs(got-want) > 2e-3*max(1, math.Abs(want)) {
					t.Errorf("%s: the gradient of %s at %d is %.5f, differences say %.5f", component, name, i, got, want)
				}
			}
		}
	}
}

func cloned(state []sdk.Tensor) []sdk.Tensor {
	out := slices.Clone(state)
	for i := range out {
		out[i].F32, out[i].I64 = slices.Clone(out[i].F32), slices.Clone(out[i].I64)
	}
	return out
}

// A run that stops and goes on from its state gives the same bits as one that does not.
func TestMoCoResumes(t *testing.T) {
	const batch, dim = 4, 8
	run := func(stop int) (losses []float64) {
		config := `{queue: 12, dim: 8, norm_groups: 1}`
		l := learner(t, "moco", config)
		plan(t, l, batch)
		for n := range 7 {
			if n == stop {
				state := cloned(l.(sdk.Stateful).State())
				l = learner(t, "moco", config)
				plan(t, l, batch)
				if err := l.(sdk.Stateful).SetState(state); err != nil {
					t.Fatal(err)
				}
			}
			losses = append(losses, loss(t, l, step(map[string][]float32{"query": unit(batch, dim, float64(n)), "key": unit(batch, dim, 0.1+float64(n))}, batch, dim)))
		}
		return losses
	}
	if a, b := run(-1), run(4); !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
}

// The queue starts as distinct directions, the same for the same seed.
func TestMoCoQueueStart(t *testing.T) {
	queue := func() []float32 {
		l := learner(t, "moco", `{queue: 64, dim: 16}`)
		plan(t, l, 32)
		return slices.Clone(l.(sdk.Stateful).State()[0].F32)
	}
	a := queue()
	if !slices.Equal(a, queue()) {
		t.Error("the same seed gives another queue")
	}
	mean := make([]float64, 16)
	for j := range 64 {
		square := 0.0
		for d, v := range a[j*16 : (j+1)*16] {
			square += float64(v) * float64(v)
			mean[d] += float64(v) / 64
		}
		if math.Abs(square-1) > 1e-5 {
			t.Errorf("row %d has the length² %g", j, square)
		}
	}
	for d, v := range mean {
		if math.Abs(v) > 4*0.25/8 { // four standard errors of a mean of 64 with deviation 1/√16
			t.Errorf("dimension %d has the mean %g", d, v)
		}
	}
}

// Collapse shows: equal embeddings have no spread, and the loss is what chance gives.
func TestMetricsShowCollapse(t *testing.T) {
	const batch, dim = 8, 4
	direction := sdk.UnitRows([]float32{0.3, -0.5, 0.7, 0.1}, dim)
	for component, config := range map[string]string{"moco": `{queue: 8, dim: 4, norm_groups: 1}`, "simclr": `{dim: 4}`} {
		l := learner(t, component, config)
		taps := map[string][]float32{}
		for _, tap := range plan(t, l, batch).Taps {
			v := make([]float32, 0, batch*dim) // a direction whose length is 1 within rounding only
			for range batch {
				v = append(v, direction...)
			}
			taps[tap.Name] = v
		}
		loss(t, l, step(taps, batch, dim)) // fills MoCo's queue with the same
		a, err := l.Loss(step(taps, batch, dim))
		if err != nil {
			t.Fatal(err)
		}
		chance := math.Log(9)
		if component == "simclr" {
			chance = math.Log(15)
		}
		if math.Abs(a.Loss-chance) > 1e-6 {
			t.Errorf("%s: the loss is %g, chance is %g", component, a.Loss, chance)
		}
		for _, m := range a.Metrics {
			if want, ok := map[string]float64{"contrast accuracy": 0, "positive similarity": 1, "embedding spread": 0, "queue filled": 1}[m.Name]; !ok || math.Abs(m.Value-want) > 1e-6 {
				t.Errorf("%s: %s is %g", component, m.Name, m.Value)
			}
		}
	}
}

func TestPrograms(t *testing.T) {
	p := plan(t, learner(t, "moco", `{queue: 64, symmetric: true}`), 32)
	if len(p.Passes) != 4 || p.Momentum != 0.99 || p.Passes[0].View != "query" || p.Passes[1].View != "key" || p.Passes[2].View != "key" || p.Passes[3].View != "query" {
		t.Errorf("symmetric MoCo: %v", p)
	}
	for _, pass := range p.Passes {
		if keys := strings.HasPrefix(pass.Name, "key"); keys != (pass.Network == sdk.Momentum) || keys != pass.Shuffle || keys == pass.Gradient {
			t.Errorf("pass %v", pass)
		}
	}
	if got := p.Facts[0]; got.Name != "effective negatives" || !strings.HasPrefix(got.Value, "64") {
		t.Errorf("facts %v", p.Facts)
	}
	if p.MemoryBytes != 4*32*64 {
		t.Errorf("%d bytes for the similarities of a batch of 32 with a queue of 64", p.MemoryBytes)
	}
	if got := p.Facts[len(p.Facts)-1]; got.Name != "chance loss" || !strings.HasPrefix(got.Value, "8.349: 2·ln(1 + queue)") {
		t.Errorf("facts %v", p.Facts)
	}
	p = plan(t, learner(t, "simclr", `{}`), 32)
	if len(p.Passes) != 2 || p.Momentum != 0 || !strings.HasPrefix(p.Facts[0].Value, "62") {
		t.Errorf("SimCLR: %v", p)
	}
	plan(t, learner(t, "simclr", `{}`), 1<<20) // takes no memory: that would be terabytes
	var names []string
	for _, parameter := range p.Heads[0].Model.Parameters {
		names = append(names, parameter.Name)
	}
	if want := []string{"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "3.weight", "4.weight", "4.bias", "4.running_mean", "4.running_var"}; !slices.Equal(names, want) {
		t.Errorf("SimCLR's projector has %v", names)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		component, config string
		batch             int
		field, advice     string
	}{
		{"moco", `{queue: 100}`, 32, "queue", "use queue: 96 or 128"},
		{"moco", `{queue: 16}`, 32, "queue", "use queue: 32"},
		{"moco", `{queue: 96, symmetric: true}`, 32, "queue", "use queue: 64 or 128"},
		{"moco", `{queue: 60}`, 30, "norm_groups", "use norm_groups: 3"},
		{"moco", `{queue: 64}`, 4, "norm_groups", "use norm_groups: 2"},
		{"simclr", `{norm_groups: 5}`, 32, "norm_groups", "use norm_groups: 4"},
	} {
		_, err := learner(t, c.component, c.config).Plan(&sdk.ProgramRequest{Representation: []int64{10}, Batch: uint32(c.batch)})
		var f sdk.FieldError
		if !errors.As(err, &f) || f.Field != c.field || !strings.HasPrefix(f.Advice, c.advice) {
			t.Errorf("%s %s with a batch of %d: %#v", c.component, c.config, c.batch, err)
		}
	}
	for _, component := range []string{"moco", "simclr"} {
		if _, err := learner(t, component, `{norm_groups: 1}`).Plan(&sdk.ProgramRequest{Representation: []int64{4, 4, 10}, Batch: 64}); err == nil {
			t.Errorf("%s: a map is accepted as a representation", component)
		}
		for _, config := range []string{`{temperature: 0}`, `{temprature: 1}`, `{dim: 1}`, `{queue: 0}`, `{momentum: 1}`} {
			if _, err := sdktest.Build(contrast.Plugin(), component, config); err == nil {
				t.Errorf("%s: %s is accepted", component, config)
			}
		}
		l := learner(t, component, `{norm_groups: 1}`)
		plan(t, l, 64)
		if _, err := l.Loss(step(map[string][]float32{"query": {1}, "first": {1}}, 1, 1)); err == nil {
			t.Errorf("%s: taps of the wrong size are accepted", component)
		}
	}
	l := learner(t, "moco", `{queue: 64}`)
	plan(t, l, 32)
	if err := l.(sdk.Stateful).SetState([]sdk.Tensor{{Name: "queue", F32: make([]float32, 3)}, {Name: "cursor", I64: []int64{0, 0}}}); err == nil {
		t.Error("a queue of another size is accepted")
	}
}

func BenchmarkMoCo(b *testing.B) {
	l := learner(b, "moco", `{}`)
	plan(b, l, 128)
	s := step(map[string][]float32{"query": unit(128, 128, 0), "key": unit(128, 128, 1)}, 128, 128)
	b.ReportAllocs()
	for b.Loop() {
		loss(b, l, s)
	}
}
