package supervised_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
	"github.com/asterism-ssl/asterism/plugins/supervised"
)

func Example() {
	p := supervised.Plugin()
	fmt.Println(p.Name, p.Components[0].Name, p.Components[0].Summary)
	// Output: supervised classify cross-entropy of a label's classes
}

func learner(t testing.TB) sdk.Learner {
	t.Helper()
	return sdktest.Configure(t, supervised.Plugin(), "classify", `{label: "T", edges: [0.5, 1.5]}`).(sdk.Learner)
}

func request() *sdk.ProgramRequest {
	return &sdk.ProgramRequest{Representation: []int64{7}, Batch: 5, Labels: []*sdk.LabelFacts{{Column: "T", Count: 9, Maximum: 2}}}
}

// Loss and gradient agree with PyTorch; a row without a label has no part in them.
func TestAgreesWithTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Loss     float64
		Gradient []float64
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	l := learner(t)
	if _, err := l.Plan(request()); err != nil {
		t.Fatal(err)
	}
	logits, gradient := make([]float32, 15), make([]float32, 15)
	for i := range logits {
		logits[i] = float32(3 * math.Sin(1.7*float64(i/3)+2.1*float64(i%3)))
		gradient[i] = 99 // must be overwritten
	}
	answer, err := l.Loss(&sdk.Step{
		Taps:      map[string]sdk.Tensor{"logits": {F32: logits}},
		Gradients: map[string]sdk.Tensor{"logits": {F32: gradient}},
		Labels:    map[string]sdk.Tensor{"T": {F64: []float64{0, 2, math.NaN(), 1, 2}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(answer.Loss-want.Loss) > 1e-6 {
		t.Errorf("the loss is %.8f, not %.8f", answer.Loss, want.Loss)
	}
	for i, w := range want.Gradient {
		if math.Abs(float64(gradient[i])-w) > 1e-6 {
			t.Errorf("gradient %d is %.8f, not %.8f", i, gradient[i], w)
		}
	}
}

func TestProgram(t *testing.T) {
	p, err := learner(t).Plan(request())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Passes) != 1 || !p.Passes[0].Gradient || !p.LabelledOnly || p.Labels[0] != "T" || p.Heads[0].Model.Parameters[0].Shape[0] != 3 {
		t.Errorf("%v", p)
	}
}

func TestRefusals(t *testing.T) {
	for name, change := range map[string]func(*sdk.ProgramRequest){
		"no such column": func(r *sdk.ProgramRequest) { r.Labels[0].Column = "t" },
		"no labels":      func(r *sdk.ProgramRequest) { r.Labels[0].Count = 0 },
		"names":          func(r *sdk.ProgramRequest) { r.Labels[0].Categories = []string{"E", "S"} },
		"a map":          func(r *sdk.ProgramRequest) { r.Representation = []int64{4, 4, 7} },
	} {
		r := request()
		change(r)
		if _, err := learner(t).Plan(r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := learner(t).Loss(&sdk.Step{}); err == nil {
		t.Error("a loss before the plan is accepted")
	}
}
