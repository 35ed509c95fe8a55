package supervised_test

import (
	"math"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
	"github.com/asterism-ssl/asterism/plugins/supervised"
)

func regressor(t *testing.T) sdk.Learner {
	t.Helper()
	return sdktest.Configure(t, supervised.Plugin(), "regress", `{label: "z"}`).(sdk.Learner)
}

// The gradient is that of the loss, by finite differences; rows without a label have no part in either.
func TestRegressionsGradientIsThatOfItsLoss(t *testing.T) {
	l := regressor(t)
	p, err := l.Plan(&sdk.ProgramRequest{Representation: []int64{7}, Batch: 4, Labels: []*sdk.LabelFacts{{Column: "z", Count: 9, Minimum: 1, Maximum: 5}}})
	if err != nil {
		t.Fatal(err)
	}
	if !p.LabelledOnly || p.Labels[0] != "z" || p.Heads[0].Model.Parameters[0].Shape[0] != 1 {
		t.Errorf("%v", p)
	}
	at := []float32{0.5, -0.25, 9, 0}
	loss := func(x []float32, gradient []float32) *sdk.LossAnswer {
		answer, err := l.Loss(&sdk.Step{Taps: map[string]sdk.Tensor{"answer": {F32: x}}, Gradients: map[string]sdk.Tensor{"answer": {F32: gradient}},
			Labels: map[string]sdk.Tensor{"z": {F64: []float64{5, 1, math.NaN(), 3}}}})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	gradient := []float32{99, 99, 99, 99}
	answer := loss(at, gradient)
	// In units of half the range: 0.5−1, −0.25+1, 0−0.
	if want := (0.25 + 0.5625) / 3; math.Abs(answer.Loss-want) > 1e-12 || math.Abs(answer.Metrics[0].Value-(1+1.5)/3) > 1e-12 {
		t.Errorf("loss %v, error %v; want %v", answer.Loss, answer.Metrics[0].Value, want)
	}
	for i := range at {
		const h = 1.0 / 64
		up, down := append([]float32(nil), at...), append([]float32(nil), at...)
		up[i], down[i] = up[i]+h, down[i]-h
		scratch := make([]float32, 4)
		want := (loss(up, scratch).Loss - loss(down, scratch).Loss) / (2 * h)
		if math.Abs(float64(gradient[i])-want) > 1e-6 {
			t.Errorf("gradient %d is %v, want %v", i, gradient[i], want)
		}
	}
}

func TestRegressionRefusesWhatIsNoNumber(t *testing.T) {
	for what, facts := range map[string]*sdk.LabelFacts{
		"a column of names": {Column: "z", Count: 9, Categories: []string{"a", "b"}},
		"the same value":    {Column: "z", Count: 9, Minimum: 2, Maximum: 2},
		"no column":         {Column: "other", Count: 9, Maximum: 2},
	} {
		_, err := regressor(t).Plan(&sdk.ProgramRequest{Representation: []int64{7}, Batch: 4, Labels: []*sdk.LabelFacts{facts}})
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(what, "no column")) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := regressor(t).Plan(&sdk.ProgramRequest{Representation: []int64{7}, Batch: 4, Labels: []*sdk.LabelFacts{{Column: "z", Count: 9, Unread: true}}}); err != nil {
		t.Errorf("values that are not read yet: %v", err)
	}
	if _, err := regressor(t).Loss(&sdk.Step{}); err == nil {
		t.Error("a loss before the plan")
	}
}
