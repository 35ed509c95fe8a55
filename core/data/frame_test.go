package data

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run

	"github.com/asterism-ssl/asterism/core/protocol"
)

const (
	bandNames = "ugrizyJHK"
	u8        = protocol.DType_U8
	f32       = protocol.DType_F32
)

// reframe brings one sample to a frame.
func reframe(t rapid.TB, src []float32, shape []int, size []int, bands []string) []float32 {
	t.Helper()
	facts := &protocol.SampleFacts{}
	for _, n := range shape {
		facts.Shape = append(facts.Shape, int64(n))
	}
	for i := range shape[len(shape)-1] {
		facts.Bands = append(facts.Bands, bandNames[i:i+1])
	}
	l, err := plan([]*protocol.Catalogue{{Count: 1, Facts: facts, Dtype: f32}}, Frame{size, bands}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFramer(l, 0)
	padded, bad := f.place(shape, len(src))
	if bad != "" {
		t.Fatal(bad)
	}
	dst := make([]float32, l.length())
	for i := range dst {
		dst[i] = -99 // what lay there before must not show
	}
	if _, bad := f.numbers(dst, src, shape, padded); bad != "" {
		t.Fatal(bad)
	}
	return dst
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func TestFrameEveryPixel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rank := rapid.IntRange(0, 3).Draw(t, "rank")
		axis := rapid.IntRange(1, 9)
		in, out := rapid.SliceOfN(axis, rank, rank).Draw(t, "in"), rapid.SliceOfN(axis, rank, rank).Draw(t, "out")
		nb := rapid.IntRange(1, 5).Draw(t, "bands")
		keep := rapid.Permutation([]int{0, 1, 2, 3, 4}[:nb]).Draw(t, "order")[:rapid.IntRange(1, nb).Draw(t, "kept")]
		var bands []string
		for _, b := range keep {
			bands = append(bands, bandNames[b:b+1])
		}
		shape := append(slices.Clone(in), nb)
		src := make([]float32, product(shape))
		for i := range src {
			src[i] = float32(i + 1)
		}
		size := out
		if rank == 0 {
			size = nil
		}
		got := reframe(t, src, shape, size, bands)
		// the naive twin: every pixel of the frame looks for its own
		at := make([]int, rank)
		for p := range product(out) {
			for i, rest := rank-1, p; i >= 0; i-- {
				at[i], rest = rest%out[i], rest/out[i]
			}
			from, inside := 0, true
			for i := range rank {
				x := at[i] - out[i]/2 + in[i]/2
				inside = inside && x >= 0 && x < in[i]
				from = from*in[i] + x
			}
			for k, b := range keep {
				want := float32(0)
				if inside {
					want = src[from*nb+b]
				}
				if got[p*len(keep)+k] != want {
					t.Fatalf("pixel %v band %s is %g, not %g", at, bands[k], got[p*len(keep)+k], want)
				}
			}
		}
	})
}

func TestFramesCompose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		large := rapid.IntRange(n, 20).Draw(t, "large")
		src := make([]float32, n*n)
		for i := range src {
			src[i] = float32(i + 1)
		}
		padded := reframe(t, src, []int{n, n, 1}, []int{large}, nil)
		if back := reframe(t, padded, []int{large, large, 1}, []int{n}, nil); !slices.Equal(back, src) {
			t.Fatalf("padding %d to %d and cropping back gives %v", n, large, back)
		}
		small := rapid.IntRange(1, n).Draw(t, "small")
		direct := reframe(t, src, []int{n, n, 1}, []int{small}, nil)
		if via := reframe(t, padded, []int{large, large, 1}, []int{small}, nil); !slices.Equal(via, direct) {
			t.Fatalf("cropping to %d by way of %d moves the centre", small, large)
		}
	})
}

func TestPixelsThatAreNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	flat := func(n int, v ...float32) []float32 {
		px := make([]float32, n)
		for i := range px {
			px[i] = float32(i % 10)
		}
		copy(px, v)
		return px
	}
	d := dataset(f32, 1, "g", 20, 10).
		add("good", nil, flat(200)...).
		add("few", nil, flat(200, nan, inf)...).
		add("many", nil, flat(200, nan, nan, -inf)...).
		add("more", nil, flat(200, nan, nan, nan, nan, nan)...)
	s, r := stored(t, Frame{}, Options{}, d)
	if r.Kept != 2 || r.Bad != 2 || len(r.Notices) != 2 {
		t.Fatalf("report %+v", r)
	}
	if n := r.Notices[0]; n.Count != 1 || n.Examples[0] != "few" || n.Where != "data.sources.0 images.folder" ||
		n.What != "objects with a few pixels that are not finite, set to the median of their band" {
		t.Errorf("notice %+v", n)
	}
	if n := r.Notices[1]; n.Count != 2 || n.Examples[0] != "many" || !strings.HasPrefix(n.What, "left out: more than 1 % of the pixels are not finite (") {
		t.Errorf("notice %+v", n)
	}
	px := gathered(t, s, 1)
	// 198 finite values, 19 of 0, 19 of 1 and 20 of each of 2…9: the middle two are 5 and 5
	equal(t, "mended pixels", px[:3], []float32{5, 5, 2})

	// The share is of what the frame keeps: NaN at the border goes with the border.
	border := make([]float32, 100)
	for i := range border {
		if i%10 == 0 || i < 10 {
			border[i] = nan
		}
	}
	_, r = stored(t, Frame{Size: []int{4}}, Options{}, dataset(f32, 1, "g", 10, 10).add("a", nil, border...))
	if r.Kept != 1 || len(r.Notices) != 0 {
		t.Errorf("report %+v", r)
	}
}
