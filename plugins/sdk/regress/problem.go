package regress

import (
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// problem is the loss that Fit minimises: Σ weight·CE + l2/2·‖W‖², Σ weight = 1, over parameters [W | bias].
type problem struct {
	rows, width, classes int
	l2                   float64
	class                []int
	weight               []float64
	x                    []float32 // [rows, width]

	at       []float64 // where value and slope were computed last
	value    float64
	slope    []float64
	w, wg    []float32 // weights, their gradient
	z        []float32 // [rows, classes]: logits, then their residuals
	q        []float64
	residual []float64 // sums of residuals: the bias's gradient
}

func (p *problem) prepare(x []float32) {
	p.x = x
	p.w, p.wg = make([]float32, p.classes*p.width), make([]float32, p.classes*p.width)
	p.z = make([]float32, p.rows*p.classes)
	p.q, p.residual = make([]float64, p.classes), make([]float64, p.classes)
	p.slope = make([]float64, p.classes*(p.width+1))
}

// still says that no feature varies.
func (p *problem) still() bool {
	return !slices.ContainsFunc(p.x, func(v float32) bool { return v != 0 })
}

func (p *problem) loss(at []float64) float64 {
	p.compute(at)
	return p.value
}

func (p *problem) gradient(slope, at []float64) {
	p.compute(at)
	copy(slope, p.slope)
}

func (p *problem) compute(at []float64) {
	if slices.Equal(at, p.at) {
		return
	}
	p.at = append(p.at[:0], at...)
	weight, bias := at[:p.classes*p.width], at[p.classes*p.width:]
	p.w = narrow(p.w, weight)
	sdk.MatMulNT(p.rows, p.classes, p.width, p.x, p.w, p.z)
	p.value = 0
	clear(p.residual)
	for i := range p.rows {
		logits := p.z[i*p.classes : (i+1)*p.classes]
		norm := softmax(p.q, logits, bias)
		c := p.class[i]
		p.value += p.weight[i] * (norm - float64(logits[c]) - bias[c])
		p.q[c]--
		for k, q := range p.q {
			p.residual[k] += p.weight[i] * q
			logits[k] = float32(p.weight[i] * q)
		}
	}
	sdk.MatMulTN(p.classes, p.width, p.rows, p.z, p.x, p.wg)
	square := 0.0
	for j, w := range weight {
		p.slope[j] = float64(p.wg[j]) + p.l2*w
		square += w * w
	}
	copy(p.slope[len(weight):], p.residual)
	p.value += p.l2 / 2 * square
	if math.IsNaN(p.value) {
		p.value = math.Inf(1)
	}
}
