package kernel

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

func naiveSoftmaxRows(rows, cols int, x, y []float32) {
	for r := range rows {
		top, sum := math.Inf(-1), 0.0
		for _, v := range x[r*cols : (r+1)*cols] {
			top = math.Max(top, float64(v))
		}
		for _, v := range x[r*cols : (r+1)*cols] {
			sum += math.Exp(float64(v) - top)
		}
		for i, v := range x[r*cols : (r+1)*cols] {
			y[r*cols+i] = float32(math.Exp(float64(v)-top) / sum)
		}
	}
}

func naiveSoftmaxRowsGradient(rows, cols int, y, dy, dx []float32) {
	for r := range rows {
		var along float64
		for i := r * cols; i < (r+1)*cols; i++ {
			along += float64(y[i]) * float64(dy[i])
		}
		for i := r * cols; i < (r+1)*cols; i++ {
			dx[i] = float32(float64(y[i]) * (float64(dy[i]) - along))
		}
	}
}

func TestSoftmaxRows(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		rows, cols := rapid.IntRange(0, 40).Draw(r, "rows"), rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(41, 400)).Draw(r, "cols")
		x, dy := c.array(rows*cols), c.array(rows*cols)
		scale := rapid.SampledFrom([]float32{1, 20, 300}).Draw(r, "scale")
		for i := range x {
			x[i] *= scale
		}
		want := make([]float32, len(x))
		naiveSoftmaxRows(rows, cols, x, want)
		y := c.same(c.array(len(x)), func(p *Pool, y []float32) { p.SoftmaxRows(rows, cols, x, y) })
		c.near("SoftmaxRows", y, want, nil, 1e-7*float64(3+scale))
		c.near("SoftmaxRows in place", c.same(x, func(p *Pool, y []float32) { p.SoftmaxRows(rows, cols, y, y) }), y, nil, 0)
		naiveSoftmaxRowsGradient(rows, cols, y, dy, want)
		dx := c.same(dy, func(p *Pool, dx []float32) { p.SoftmaxRowsGradient(rows, cols, y, dx, dx) })
		c.near("SoftmaxRowsGradient", dx, want, nil, 1e-6)
	})
}

func TestSoftmaxOfWhatIsNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, s := range available() {
		p := newPool(1, s)
		x := []float32{-inf, 1, -inf, 1, nan, 1, 2, 3, inf, 1, 2, 3, -inf, -inf, -inf, -inf}
		p.SoftmaxRows(4, 4, x, x)
		if x[0] != 0 || x[2] != 0 || math.Abs(float64(x[1])-0.5) > 1e-6 {
			t.Errorf("%s: −∞ gets the shares %v", s.name, x[:4])
		}
		for i := 4; i < 16; i += 4 {
			if v := x[i]; v == v {
				t.Errorf("%s: row %d is hidden: %v", s.name, i/4, x[i:i+4])
			}
		}
		p.Close()
	}
}

// attentionTwin is attention in float64: its weights, and everything else from them.
type attentionTwin struct {
	a       *Attention
	samples int
	q, k, v []float32
	weights []float64 // [samples, heads, tokens, keys]
	lse     []float64
}

func naiveAttention(a *Attention, samples int, q, k, v []float32) *attentionTwin {
	n := &attentionTwin{a, samples, q, k, v, make([]float64, samples*a.Heads*a.Tokens*a.Keys), make([]float64, samples*a.Heads*a.Tokens)}
	for i := range n.lse {
		w := n.weights[i*a.Keys : (i+1)*a.Keys]
		var sum float64
		for j := range w {
			for c := range a.Width {
				w[j] += float64(q[n.query(i)+c]) * float64(k[n.key(i, j)+c]) / math.Sqrt(float64(a.Width))
			}
			sum += math.Exp(w[j])
		}
		n.lse[i] = math.Log(sum)
		for j := range w {
			w[j] = math.Exp(w[j] - n.lse[i])
		}
	}
	return n
}

// query and key give where the query and the keys of row i of the weights begin, out where its output does.
func (n *attentionTwin) query(i int) int {
	sample, head, token := i/n.a.Tokens/n.a.Heads, i/n.a.Tokens%n.a.Heads, i%n.a.Tokens
	return (sample*n.a.Tokens+token)*n.a.Stride + head*n.a.Width
}

func (n *attentionTwin) key(i, j int) int {
	sample, head := i/n.a.Tokens/n.a.Heads, i/n.a.Tokens%n.a.Heads
	return (sample*n.a.Keys+j)*n.a.Stride + head*n.a.Width
}

func (n *attentionTwin) out(i int) int {
	sample, head, token := i/n.a.Tokens/n.a.Heads, i/n.a.Tokens%n.a.Heads, i%n.a.Tokens
	return ((sample*n.a.Tokens+token)*n.a.Heads + head) * n.a.Width
}

func (n *attentionTwin) forward(y []float64) {
	for i := range n.lse {
		for j := range n.a.Keys {
			for c := range n.a.Width {
				y[n.out(i)+c] += n.weights[i*n.a.Keys+j] * float64(n.v[n.key(i, j)+c])
			}
		}
	}
}

func (n *attentionTwin) backward(dy []float32, dq, dk, dv []float64) {
	scale := 1 / math.Sqrt(float64(n.a.Width))
	for i := range n.lse {
		w := n.weights[i*n.a.Keys : (i+1)*n.a.Keys]
		d := make([]float64, len(w))
		var along float64
		for j := range w {
			for c := range n.a.Width {
				d[j] += float64(dy[n.out(i)+c]) * float64(n.v[n.key(i, j)+c])
				dv[n.key(i, j)+c] += w[j] * float64(dy[n.out(i)+c])
			}
			along += w[j] * d[j]
		}
		for j := range w {
			s := scale * w[j] * (d[j] - along)
			for c := range n.a.Width {
				dq[n.query(i)+c] += s * float64(n.k[n.key(i, j)+c])
				dk[n.key(i, j)+c] += s * float64(n.q[n.query(i)+c])
			}
		}
	}
}

func (c *checker) attention(a Attention, samples int, joint bool) {
	channels := a.Heads * a.Width
	at := fmt.Sprintf(" of %d samples of %d tokens, %d keys, %d heads of %d, joint %v", samples, a.Tokens, a.Keys, a.Heads, a.Width, joint)
	shape := func() *Attention {
		return &Attention{Tokens: a.Tokens, Keys: a.Keys, Heads: a.Heads, Width: a.Width, Stride: a.Stride}
	}
	split := func(x []float32) (q, k, v []float32) {
		if joint {
			return x, x[channels:], x[2*channels:]
		}
		n, m := samples*a.Tokens*channels, samples*a.Keys*channels
		return x[:n], x[n : n+m], x[n+m:]
	}
	a.Stride = channels
	length := samples * (a.Tokens + 2*a.Keys) * channels
	if joint {
		a.Stride = 3 * channels
	}
	x, dy := c.array(length), c.array(samples*a.Tokens*channels)
	q, k, v := split(x)
	n := naiveAttention(&a, samples, q, k, v)
	wantY := make([]float64, len(dy))
	n.forward(wantY)
	stats := c.array(2 * len(n.lse))
	y := c.same(c.array(len(dy)), func(p *Pool, y []float32) { p.Attention(shape(), samples, q, k, v, y, stats) })
	narrow := func(x []float64) []float32 {
		y := make([]float32, len(x))
		round(y, x)
		return y
	}
	c.near("attention"+at, y, narrow(wantY), nil, 2e-6)
	want := make([]float64, length)
	var dq, dk, dv []float64
	if joint {
		dq, dk, dv = want, want[channels:], want[2*channels:]
	} else {
		dq, dk, dv = want[:len(q)], want[len(q):len(q)+len(k)], want[len(q)+len(k):]
	}
	n.backward(dy, dq, dk, dv)
	dx := c.same(c.array(length), func(p *Pool, dx []float32) {
		dq, dk, dv := split(dx)
		p.AttentionGradient(shape(), samples, q, k, v, stats, dy, dq, dk, dv)
	})
	size := make([]float32, length) // dk and dv sum over queries
	for i := range size {
		size[i] = float32(1 + math.Sqrt(float64(a.Tokens*a.Width)))
	}
	c.near("attention's gradient"+at, dx, narrow(want), size, 1e-6)
}

func TestAttention(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		small := func(name string, high int) int { return rapid.IntRange(1, high).Draw(r, name) }
		a := Attention{Tokens: small("tokens", 70), Keys: small("keys", 140), Heads: small("heads", 3),
			Width: rapid.OneOf(rapid.IntRange(1, 20), rapid.SampledFrom([]int{32, 63, 64, 65, 80})).Draw(r, "width")}
		joint := rapid.Bool().Draw(r, "joint")
		if joint {
			a.Keys = a.Tokens
		}
		c.attention(a, small("samples", 2), joint)
	})
}

func TestAttentionOfManyTokens(t *testing.T) {
	for _, s := range available() {
		c := &checker{T: t, r: t, pools: []*Pool{newPool(1, s), newPool(2, s)}, seed: 3}
		c.attention(Attention{Tokens: 197, Keys: 197, Heads: 2, Width: 64}, 1, true)
		c.attention(Attention{Tokens: 5, Keys: 700, Heads: 1, Width: 33}, 1, false)
		release()
		for _, p := range c.pools {
			p.Close()
		}
	}
}
