package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// exactly fails where got and want differ in any bit.
func (c *checker) exactly(name string, got, want []float32) {
	c.r.Helper()
	for i := range want {
		if a, b := math.Float32bits(got[i]), math.Float32bits(want[i]); a != b {
			c.r.Fatalf("%s: value %d is %x, want %x", name, i, a, b)
		}
	}
}

func TestCopyAndPadRows(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		few := rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(0, 300))
		rows, width := few.Draw(r, "rows"), few.Draw(r, "width")
		fromStride, toStride := width+few.Draw(r, "gap"), width+few.Draw(r, "gap after")
		if rapid.Bool().Draw(r, "one row") {
			fromStride = 0
		}
		length := func(stride int) int { return max(0, (rows-1)*stride+width) }
		x, y := c.array(length(fromStride)), c.array(length(toStride))
		got := c.same(y, func(p *Pool, y []float32) { p.CopyRows(rows, width, x, fromStride, y, toStride) })
		want := slices.Clone(y)
		for i := range rows * width {
			want[i/width*toStride+i%width] = x[i/width*fromStride+i%width]
		}
		c.exactly("CopyRows", got, want)

		at := few.Draw(r, "at")
		cols := at + width + few.Draw(r, "after")
		x = c.array(rows * width)
		got = c.same(c.array(rows*cols), func(p *Pool, y []float32) { p.PadRows(rows, width, at, cols, x, y) })
		want = make([]float32, rows*cols)
		for i, v := range x {
			want[i/width*cols+at+i%width] = v
		}
		c.exactly("PadRows", got, want)
	})
}

func TestFrame(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		small := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(r, name) }
		f := Frame{Batch: small("batch", 0, 4), Channels: small("channels", 1, 20)}
		f.Padded = f.Channels + small("more channels", 0, 2)
		in, out := 1, 1
		for range small("rank", 1, 3) {
			n, pad := small("in", 1, 9), small("pad", 0, 3)
			f.In, f.Pad = append(f.In, n), append(f.Pad, pad)
			in, out = in*n, out*(n+2*pad)
		}
		x := c.array(f.Batch * in * f.Channels)
		got := c.same(c.array(f.Batch*out*f.Padded), func(p *Pool, y []float32) { p.Frame(f, x, y) })
		want := make([]float32, len(got))
		for i, v := range x {
			channel, pixel := i%f.Channels, i/f.Channels
			at, size := 0, 1 // of the pixel in the frame
			for k := len(f.In) - 1; k >= 0; k-- {
				at += (pixel%f.In[k] + f.Pad[k]) * size
				pixel, size = pixel/f.In[k], size*(f.In[k]+2*f.Pad[k])
			}
			want[(pixel*size+at)*f.Padded+channel] = v // what is left of pixel is the sample
		}
		c.exactly(fmt.Sprintf("Frame %+v", f), got, want)
	})
}

func TestTokens(t *testing.T) {
	onEverySet(t, func(r *rapid.T, c *checker) {
		n := Picks{Samples: rapid.IntRange(1, 5).Draw(r, "samples"), Tokens: rapid.IntRange(1, 40).Draw(r, "tokens"), Channels: rapid.IntRange(1, 70).Draw(r, "channels")}
		n.Picked = rapid.IntRange(1, n.Tokens).Draw(r, "picked")
		shuffle := rand.New(rand.NewPCG(c.seed, 0))
		var indices []int32
		for range n.Samples {
			for _, i := range shuffle.Perm(n.Tokens)[:n.Picked] {
				indices = append(indices, int32(i))
			}
		}
		at := func(i int) int { // of a value of the picked tokens, among all
			row := i / n.Channels
			return (row/n.Picked*n.Tokens+int(indices[row]))*n.Channels + i%n.Channels
		}
		all, picked := n.Samples*n.Tokens*n.Channels, n.Samples*n.Picked*n.Channels
		x, y := c.array(all), c.array(picked)

		got := c.same(c.array(picked), func(p *Pool, y []float32) { p.GatherTokens(n, x, indices, y) })
		want := make([]float32, picked)
		for i := range want {
			want[i] = x[at(i)]
		}
		c.exactly("GatherTokens", got, want)

		for name, filling := range map[string][]float32{"zeros": nil, "one for all": c.array(n.Channels), "one for each": c.array(n.Samples * n.Channels)} {
			got := c.same(c.array(all), func(p *Pool, x []float32) { p.ScatterTokens(n, y, indices, filling, x) })
			want := make([]float32, all)
			for i := range want {
				if filling != nil {
					want[i] = filling[(i/(n.Tokens*n.Channels)*n.Channels+i%n.Channels)%len(filling)]
				}
			}
			for i, v := range y {
				want[at(i)] = v
			}
			c.exactly("ScatterTokens into "+name, got, want)
		}

		rest := slices.Clone(x)
		for i := range picked {
			rest[at(i)] = 0
		}
		got = c.same(c.array(n.Samples*n.Channels), func(p *Pool, s []float32) { p.SumRest(n, x, indices, s, false) })
		want = make([]float32, n.Samples*n.Channels)
		naiveSumRows(Rows{n.Samples, n.Tokens, n.Channels}, rest, nil, want)
		c.near("SumRest", got, want, nil, 1e-6*float64(n.Tokens))
		start := c.array(n.Channels)
		got = c.same(start, func(p *Pool, s []float32) { p.SumRest(n, x, indices, s, true) })
		want = slices.Clone(start)
		naiveSumRows(Rows{1, n.Samples * n.Tokens, n.Channels}, rest, nil, want)
		c.near("SumRest over the samples", got, want, nil, 1e-6*float64(n.Samples*n.Tokens))
	})
}

func TestWrongIndicesPanic(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	n := Picks{Samples: 1, Picked: 1, Tokens: 2, Channels: 3}
	for _, i := range []int32{-1, 2} {
		for name, f := range map[string]func(){
			"GatherTokens":  func() { p.GatherTokens(n, make([]float32, 6), []int32{i}, make([]float32, 3)) },
			"ScatterTokens": func() { p.ScatterTokens(n, make([]float32, 3), []int32{i}, nil, make([]float32, 6)) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s takes the index %d of 2 tokens", name, i)
					}
				}()
				f()
			}()
		}
	}
}
