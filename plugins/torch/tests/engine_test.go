package torch_test

import (
	"context"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/plugins/resnet"
	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
	"google.golang.org/grpc/status"
)

// says checks an error as the user sees it.
func says(t *testing.T, err error, kind fault.Kind, parts ...string) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Fatalf("got %v, want a fault of kind %v", err, kind)
	}
	var b strings.Builder
	fault.Print(&b, err)
	for _, p := range parts {
		if !strings.Contains(b.String(), p) {
			t.Errorf("%q is not said in:\n%s", p, &b)
		}
	}
}

func TestConfiguration(t *testing.T) {
	schema, err := os.ReadFile("../engine.cue")
	must(t, err)
	for config, valid := range map[string]bool{
		`{}`: true, `{device: "cuda"}`: true, `{device: "cuda:11", deterministic: false}`: true,
		`{device: "gpu"}`: false, `{device: "cuda:01"}`: false, `{device: "cuda:"}`: false, `{threads: 3}`: false,
	} {
		if _, err := sdktest.Complete(string(schema), config); (err == nil) != valid {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// To describe itself the plugin does not wait for PyTorch.
func TestDescribesItselfWithoutPyTorch(t *testing.T) {
	need(t)
	c := exec.Command("python3", "-X", "importtime", "../plugin.py", "describe")
	c.Env = append(os.Environ(), "PYTHONPATH=../../sdk/python", "PYTHONDONTWRITEBYTECODE=1")
	out, err := c.CombinedOutput()
	must(t, err)
	if !strings.Contains(string(out), `"kind": "ENGINE"`) || !strings.Contains(string(out), "asterism_plugin") || strings.Contains(string(out), " torch\n") {
		t.Errorf("%s", out)
	}
}

func TestMissingDevice(t *testing.T) {
	_, err := configured(running(t), `{"device": "cuda:99", "deterministic": true}`)
	says(t, err, fault.Config, "engine.device", "there is no cuda:99: PyTorch", "sees", "choose cpu")
}

// What the engine cannot compute it names, though the host should not ask for it.
func TestUnknownLayers(t *testing.T) {
	d, err := running(t).Direct(context.Background(), "torch")
	must(t, err)
	i, err := d.Configure(context.Background(), "engine", []byte(`{"device": "cpu", "deterministic": true}`))
	must(t, err)
	for say, m := range map[string]*protocol.Model{
		"asks for opset 9":     {Opset: 9},
		"'encoder.odd' has an": {Opset: 2, Layers: []*protocol.Layer{{Name: "odd", Inputs: []string{"input"}}}},
		"has the activation":   {Opset: 2, Layers: []*protocol.Layer{{Name: "odd", Inputs: []string{"input"}, Op: &protocol.Layer_Activation{Activation: &protocol.Activation{Function: 77}}}}},
	} {
		_, err := protocol.NewEngineClient(d.Conn()).Compile(context.Background(), &protocol.CompileRequest{Instance: i, Network: 1 << 20, Encoder: m, Precision: "float32", Batch: 1})
		var f *protocol.Fault
		for _, d := range status.Convert(err).Details() {
			f, _ = d.(*protocol.Fault)
		}
		if !strings.Contains(f.GetWhat(), say) || f.GetAdvice() == "" {
			t.Errorf("%v with %v, want it to say %q", err, f, say)
		}
	}
}

// Errors of PyTorch that the user can do something about are in the user's words.
func TestErrorsOfPyTorch(t *testing.T) {
	need(t)
	c := exec.Command("python3", "-c", `
import asterism_plugin, torch, machine
def fails(text):
    raise RuntimeError(text)
for f, a in ((torch.empty, [1 << 50]), (fails, ["CUDA out of memory. Tried to allocate 2 GiB."]), (fails, [
    "avg_pool3d_backward_cuda does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True)'. You can turn off determinism"]), (fails, ["odd"])):
    try:
        machine.guarded(True, f, *a)
    except Exception as e:
        print(type(e).__name__, getattr(e, "field", ""), e, "|", getattr(e, "advice", ""))
`)
	c.Env = append(os.Environ(), "PYTHONPATH=..:../../sdk/python", "PYTHONDONTWRITEBYTECODE=1")
	out, err := c.CombinedOutput()
	must(t, err)
	for _, line := range []string{
		"ResourceError  PyTorch has not enough memory: DefaultCPUAllocator: can't allocate memory: you tried to allocate 4503599627370496 bytes | choose a smaller batch",
		"ResourceError  PyTorch has not enough memory: CUDA out of memory | choose a smaller batch",
		"FieldError deterministic true cannot be had here: avg_pool3d_backward_cuda does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True)' | set deterministic: false",
		"RuntimeError  odd | \n",
	} {
		if !strings.Contains(string(out), line) {
			t.Errorf("%q is not said in:\n%s", line, out)
		}
	}
}

// small is a network with all that could differ between runs: convolutions, norms, dropout.
func small(t testing.TB) engine.Program {
	m := describe(t, resnet.Plugin(), "r18", `{width: 8, stem: "small"}`, 16, 16, 3)
	b := sdk.NewModel([]int64{64})
	b.Output("out", b.Linear("fc", b.Dropout("drop", b.Input(), 0.25), sdk.LinearOptions{Out: 5}))
	head, err := b.Model()
	must(t, err)
	return engine.Program{Encoder: m, Heads: []*protocol.Head{{Name: "classes", Input: "representation", Model: head}},
		Passes: []*protocol.Pass{{Name: "only", Heads: []string{"classes"}, Gradient: true}}, Taps: []*protocol.Tap{{Name: "out", Pass: "only", Output: "classes"}}}
}

func compiled(t testing.TB, e *plugin.Engine) engine.Network {
	t.Helper()
	n, err := e.Compile(small(t), engine.Options{Batch: batch, Seed: seed, Threads: 2})
	must(t, err)
	t.Cleanup(func() { n.Close() })
	return n
}

func steps(t testing.TB, n engine.Network, first, count int) []engine.Array {
	t.Helper()
	for step := first; step < first+count; step++ {
		draw(n.Input("only"), "small", string(rune(step)))
		must(t, n.Forward("only", batch, uint64(step)))
		for i, v := range n.Tap("out") {
			n.TapGradient("out")[i] = v / batch
		}
		must(t, n.Backward("only"))
		must(t, n.Step(engine.Optimiser{LR: 0.1, Momentum: 0.9, WeightDecay: 1e-3}))
	}
	state, err := n.State()
	must(t, err)
	return state
}

// In two processes, and from a state half way, training gives the same bits.
func TestSameBits(t *testing.T) {
	one := compiled(t, pytorch(t))
	h := newHost(t)
	t.Cleanup(func() { must(t, h.Close()) })
	e, err := configured(h, `{"device": "cpu", "deterministic": true}`)
	must(t, err)
	two := compiled(t, e)
	half := steps(t, one, 0, 2)
	want := steps(t, one, 2, 2)
	for name, got := range map[string][]engine.Array{
		"another process": steps(t, two, 0, 4),
		"half way":        func() []engine.Array { must(t, two.SetState(half)); return steps(t, two, 2, 2) }(),
	} {
		for i, a := range got {
			if !slices.Equal(a.Data, want[i].Data) {
				t.Errorf("%s: %s has other bits", name, a.Name)
			}
		}
	}
}

// A step with a gradient that is not finite changes nothing, and the next one goes on as if it had not been.
func TestNotFinite(t *testing.T) {
	n := compiled(t, pytorch(t))
	before := steps(t, n, 0, 1)
	must(t, n.Forward("only", batch, 1))
	clear(n.TapGradient("out"))
	n.TapGradient("out")[3] = float32(math.Inf(1))
	must(t, n.Backward("only"))
	says(t, n.Step(engine.Optimiser{LR: 0.1}), fault.Diverged, "the gradient of encoder.bn1.bias is not finite")
	after, err := n.State()
	must(t, err)
	for i, a := range after {
		if !strings.Contains(a.Name, "running_") && !slices.Equal(a.Data, before[i].Data) {
			t.Errorf("%s has moved", a.Name)
		}
	}
	for _, a := range steps(t, n, 2, 1) {
		if norm(a.Data) != norm(a.Data) {
			t.Errorf("%s is not finite afterwards", a.Name)
		}
	}
}
