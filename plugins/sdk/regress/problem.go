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
	blocks   []block
	residual []float64 // sums of residuals: the bias's gradient
}

// block is what the sums over some consecutive rows need for themselves.
type block struct {
	value       float64
	q, residual []float64
}

const blockRows = 128

func (p *problem) prepare(x []float32) {
	p.x = x
	p.w, p.wg = make([]float32, p.classes*p.width), make([]float32, p.classes*p.width)
	p.z = make([]float32, p.rows*p.classes)
	p.residual = make([]float64, p.classes)
	p.blocks = make([]block, (p.rows+blockRows-1)/blockRows)
	for i := range p.blocks {
		p.blocks[i].q, p.blocks[i].residual = make([]float64, p.classes), make([]float64, p.classes)
	}
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
	// Rows go in blocks of a fixed size, so that sums do not depend on the number of cores.
	sdk.Parallel(len(p.blocks), func(i int) { p.rowsOf(i, bias) })
	p.value = 0
	clear(p.residual)
	for _, b := range p.blocks {
		p.value += b.value
		for k, r := range b.residual {
			p.residual[k] += r
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

// rowsOf turns the logits of one block of rows into residuals and sums them.
func (p *problem) rowsOf(block int, bias []float64) {
	b := &p.blocks[block]
	b.value = 0
	clear(b.residual)
	for i := block * blockRows; i < min((block+1)*blockRows, p.rows); i++ {
		logits := p.z[i*p.classes : (i+1)*p.classes]
		c := p.class[i]
		own := float64(logits[c]) + bias[c]
		b.value += p.weight[i] * (softmax(b.q, logits, bias) - own)
		b.q[c]--
		for k, q := range b.q {
			b.residual[k] += p.weight[i] * q
			logits[k] = float32(p.weight[i] * q)
		}
	}
}
