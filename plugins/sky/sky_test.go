package sky

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

var ugriz = []string{"u", "g", "r", "i", "z"}

func survey(shape ...int64) *sdk.SampleFacts {
	return &sdk.SampleFacts{Shape: shape, Bands: ugriz[:shape[len(shape)-1]], Flux: sdk.Linear, Unit: "nanomaggy", PixelScale: 0.396}
}

func configured(t testing.TB, component, config string) sdk.Augmenter {
	t.Helper()
	return sdktest.Configure(t, Plugin(), component, config).(sdk.Augmenter)
}

// sample makes one call of an augmentation, with statistics in which band b has median b/10 and MAD 1+b.
func sample(t testing.TB, a sdk.Augmenter, facts *sdk.SampleFacts, in []float32, id uint64) *sdk.Sample {
	t.Helper()
	plan, err := a.Plan(facts)
	if err != nil {
		t.Fatal(err)
	}
	s := &sdk.Sample{In: in, Out: make([]float32, volume(plan.Leaves.Shape)), Facts: facts, OutShape: plan.Leaves.Shape,
		Random: sdk.NewKey(1, "view", "query", "sky/0").At(3, id), Column: map[string]float64{}}
	for b, name := range facts.Bands {
		s.Statistics = append(s.Statistics, &sdk.BandStatistics{Band: name, Median: float64(b) / 10, Mad: 1 + float64(b), Deviation: 9})
	}
	return s
}

func apply(t testing.TB, a sdk.Augmenter, facts *sdk.SampleFacts, in []float32, id uint64) []float32 {
	t.Helper()
	s := sample(t, a, facts, in, id)
	if err := a.Apply(s); err != nil {
		t.Fatal(err)
	}
	return s.Out
}

// The same sample gets the same view whatever else is computed between, and another sample another.
func TestEqualKeysGiveEqualViews(t *testing.T) {
	facts := survey(20, 20, 5)
	in := pixels(20 * 20 * 5)
	for component, config := range map[string]string{
		"rotate": `{}`, "zoom": `{}`, "gain": `{}`, "flip": `{}`, "jitter_crop": `{size: 10, shift: 5}`, "reddening": `{}`, "psf": `{}`, "noise": `{}`,
	} {
		a := configured(t, component, config)
		first := apply(t, a, facts, in, 4)
		other, differ := configured(t, component, config), false
		for id := range uint64(4) {
			differ = differ || !slices.Equal(apply(t, other, facts, in, id), first)
		}
		if !slices.Equal(apply(t, other, facts, in, 4), first) {
			t.Errorf("%s: the view of one sample depends on what was computed before", component)
		}
		if !differ {
			t.Errorf("%s: five samples got one and the same view", component)
		}
	}
}

// No component writes into its input, allocates in a steady loop, or leaves a value of its output unset.
func TestApplyFillsItsOutputAndAllocatesNothing(t *testing.T) {
	facts := survey(20, 20, 5)
	in := pixels(20 * 20 * 5)
	before := slices.Clone(in)
	for component, config := range map[string]string{
		"rotate": `{}`, "zoom": `{}`, "gain": `{}`, "flip": `{}`, "jitter_crop": `{size: 10, shift: 5}`, "center_crop": `{size: 10}`, "reddening": `{}`, "psf": `{}`,
		"noise": `{}`, "normalise": `{stretch: "asinh"}`,
	} {
		a := configured(t, component, config)
		s := sample(t, a, facts, in, 4)
		for i := range s.Out {
			s.Out[i] = float32(math.NaN())
		}
		if err := a.Apply(s); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(s.Out, func(v float32) bool { return v != v }) {
			t.Errorf("%s leaves values unset", component)
		}
		if !slices.Equal(in, before) {
			t.Fatalf("%s writes into its input", component)
		}
		// A pool loses things to the garbage collector, and on purpose under the race detector: a steady cost shows each time.
		least := math.Inf(1)
		for range 100 {
			least = min(least, testing.AllocsPerRun(4, func() { a.Apply(s) }))
		}
		if least > 0 {
			t.Errorf("%s allocates %v times a sample", component, least)
		}
	}
}

func TestQuarterTurnsAreExact(t *testing.T) {
	facts := survey(6, 6, 3)
	in := pixels(6 * 6 * 3)
	a := configured(t, "rotate", `{quarter_turns: true}`)
	turned := func(x []float32, k int) []float32 {
		for range k { // counter-clockwise with y downwards: (y, x) comes from (x, 5−y)
			out := make([]float32, len(x))
			for y := range 6 {
				for c := range 6 {
					copy(out[(y*6+c)*3:][:3], x[(c*6+5-y)*3:])
				}
			}
			x = out
		}
		return x
	}
	seen := map[int]bool{}
	for id := range uint64(40) {
		out := apply(t, a, facts, in, id)
		k := slices.IndexFunc([]int{0, 1, 2, 3}, func(k int) bool { return slices.Equal(out, turned(in, k)) })
		if k < 0 {
			t.Fatalf("sample %d is no quarter turn of its input", id)
		}
		seen[k] = true
	}
	if len(seen) != 4 {
		t.Errorf("40 samples saw only the turns %v", seen)
	}
}

// Rotating a volume about an axis is rotating its slices.
func TestRotateVolumeAboutEachAxis(t *testing.T) {
	const n, bands = 5, 2
	facts := survey(n, n, n, bands)
	in := pixels(n * n * n * bands)
	stride := [3]int{n * n * bands, n * bands, bands}
	for axis := range 3 {
		out := apply(t, configured(t, "rotate", `{axis: `+string(rune('0'+axis))+`}`), facts, in, 8)
		p, q := stride[(axis+1)%3], stride[(axis+2)%3]
		if axis == 1 {
			p, q = q, p // keep the order of the axes
		}
		for k := range n {
			slice := make([]float32, n*n*bands)
			want := make([]float32, 0, n*n*bands)
			for y := range n {
				for x := range n {
					at := k*stride[axis] + y*p + x*q
					copy(slice[(y*n+x)*bands:][:bands], in[at:])
					want = append(want, out[at:at+bands]...)
				}
			}
			got := apply(t, configured(t, "rotate", `{}`), survey(n, n, bands), slice, 8)
			for i := range got {
				if math.Abs(float64(got[i]-want[i])) > 1e-6 {
					t.Fatalf("axis %d, slice %d: the volume and its slice are rotated differently", axis, k)
				}
			}
		}
	}
}

func TestFlipTwiceIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := [3]int{rapid.IntRange(1, 5).Draw(t, "a"), rapid.IntRange(1, 5).Draw(t, "b"), rapid.IntRange(1, 5).Draw(t, "c")}
		bands := rapid.IntRange(1, 4).Draw(t, "bands")
		axes := [3]bool{rapid.Bool().Draw(t, "fa"), rapid.Bool().Draw(t, "fb"), rapid.Bool().Draw(t, "fc")}
		in := pixels(n[0] * n[1] * n[2] * bands)
		once, twice := make([]float32, len(in)), make([]float32, len(in))
		mirror(once, in, n, bands, axes)
		mirror(twice, once, n, bands, axes)
		if !slices.Equal(twice, in) {
			t.Fatal("two flips are not the identity")
		}
		for b := range bands { // the first pixel went to the end of the mirrored axes
			at := 0
			for i := range 3 {
				at *= n[i]
				if axes[i] {
					at += n[i] - 1
				}
			}
			if once[at*bands+b] != in[b] {
				t.Fatal("the corner is not where the flip should put it")
			}
		}
	})
}

func TestFlipKeepsToItsAxes(t *testing.T) {
	in := pixels(4 * 4)
	a := configured(t, "flip", `{axes: [-1], probability: 1}`)
	out := apply(t, a, survey(4, 4, 1), in, 0)
	for y := range 4 {
		for x := range 4 {
			if out[y*4+x] != in[y*4+3-x] {
				t.Fatal("axis −1 alone should be mirrored")
			}
		}
	}
}

// A crop is a window of its input, within ±shift of the centre, and every shift occurs.
func TestCropContent(t *testing.T) {
	const frame, size, shift = 11, 6, 2
	in := pixels(frame * frame * 2)
	facts := survey(frame, frame, 2)
	a := configured(t, "jitter_crop", `{size: 6, shift: 2}`)
	seen := map[[2]int]bool{}
	for id := range uint64(400) {
		out := apply(t, a, facts, in, id)
		found := false
		for dy := -shift; dy <= shift; dy++ {
			for dx := -shift; dx <= shift; dx++ {
				match := true
				for y := range size {
					from := ((2+dy+y)*frame + 2 + dx) * 2
					match = match && slices.Equal(out[y*size*2:][:size*2], in[from:from+size*2])
				}
				if match {
					found, seen[[2]int{dy, dx}] = true, true
				}
			}
		}
		if !found {
			t.Fatalf("sample %d is no window of its input", id)
		}
	}
	if len(seen) != 25 {
		t.Errorf("400 samples saw %d of 25 shifts", len(seen))
	}
	centre := apply(t, configured(t, "center_crop", `{size: [5, 3]}`), facts, in, 0)
	if len(centre) != 5*3*2 || !slices.Equal(centre[:6], in[(3*frame+4)*2:][:6]) {
		t.Error("center_crop does not take the centre")
	}
	line := apply(t, configured(t, "center_crop", `{size: 3}`), survey(9, 1), in[:9], 0)
	if !slices.Equal(line, in[3:6]) {
		t.Error("center_crop of a spectrum does not take its centre")
	}
}

// All bands of an object are dimmed by one and the same E(B−V).
func TestReddening(t *testing.T) {
	in := []float32{1, 2, 3, 4, 5, 5, 4, 3, 2, 1}
	a := configured(t, "reddening", `{}`)
	widest := 0.0
	for id := range uint64(200) {
		out := apply(t, a, survey(1, 2, 5), in, id)
		e := -2.5 * math.Log10(float64(out[0]/in[0])) / 4.239
		widest = max(widest, e)
		if e < 0 || e > 0.5 {
			t.Fatalf("E(B−V) = %v", e)
		}
		for i, r := range []float64{4.239, 3.303, 2.285, 1.698, 1.263, 4.239, 3.303, 2.285, 1.698, 1.263} {
			if got := -2.5 * math.Log10(float64(out[i]/in[i])); math.Abs(got-r*e) > 1e-5 {
				t.Fatalf("value %d is dimmed by %v mag, E(B−V) %v", i, got, e)
			}
		}
	}
	if widest < 0.45 {
		t.Errorf("200 draws of U(0, 0.5) stay below %v", widest)
	}
	d := configured(t, "reddening", `{ebv_max: 0, deredden: "ebv"}`)
	s := sample(t, d, survey(1, 2, 5), in, 1)
	s.Column["ebv"] = 0.1
	if err := d.Apply(s); err != nil || math.Abs(float64(s.Out[2])-3*math.Pow(10, 0.4*0.2285)) > 1e-5 {
		t.Errorf("deredden gives %v, %v", s.Out[2], err)
	}
	s.Column["ebv"] = math.NaN()
	if err := d.Apply(s); err != nil || s.Out[2] != 3 {
		t.Errorf("a missing E(B−V) changes the object: %v, %v", s.Out[2], err)
	}
	decals := &sdk.SampleFacts{Shape: []int64{1, 3}, Bands: []string{"g", "r", "z"}, Flux: sdk.Linear}
	out := apply(t, configured(t, "reddening", `{survey: "decals", coefficients: z: 0}`), decals, []float32{1, 1, 1}, 2)
	if out[2] != 1 || math.Abs(math.Log(float64(out[0]))/math.Log(float64(out[1]))-3.214/2.165) > 1e-4 {
		t.Errorf("DECaLS coefficients: %v", out)
	}
}

// Smoothing keeps the flux of what lies inside the frame, never sharpens, and leaves about half of the draws alone.
func TestPSFOnlyAdds(t *testing.T) {
	const n = 41
	in := make([]float32, n*n*5)
	for b := range 5 {
		in[(n*n/2)*5+b] = 100
	}
	a := configured(t, "psf", `{}`)
	left := 0
	for id := range uint64(60) {
		out := apply(t, a, survey(n, n, 5), in, id)
		for b := range 5 {
			sum, second := 0.0, 0.0
			for i := range n * n {
				v := float64(out[i*5+b])
				sum += v
				second += v * math.Pow(float64(i%n-n/2), 2)
			}
			if math.Abs(sum-100) > 1e-3 {
				t.Fatalf("band %d has flux %v of 100", b, sum)
			}
			if sigma := math.Sqrt(second / sum); sigma > 4 { // SDSS seeing: σ_final is hardly ever 2.5 pixels
				t.Fatalf("band %d got σ = %v pixels", b, sigma)
			}
			if out[(n*n/2)*5+b] == 100 {
				left++
			}
		}
	}
	if left < 105 || left > 195 { // 150 expected of 300; a little more, since σ below 0.05 pixel is left out
		t.Errorf("%d of 300 draws add nothing, want about half", left)
	}
}

func TestPSFWidthIsTheDifference(t *testing.T) {
	// With two fixed widths the draw is certain: equal widths add nothing.
	a := configured(t, "psf", `{unit: "pixel", bands: "*": {shape: 0, scale: 2}}`)
	in := pixels(9 * 9 * 2)
	if !slices.Equal(apply(t, a, survey(9, 9, 2), in, 1), in) {
		t.Error("equal widths should add nothing")
	}
	// A width far beyond the frame is held at the frame's length and ends.
	wide := configured(t, "psf", `{unit: "pixel", bands: "*": {shape: 3, scale: 1000}}`)
	for id := range uint64(6) {
		apply(t, wide, survey(9, 9, 2), in, id)
	}
}

// The noise of band b is normal with σ = factor × MAD_b, one factor for the object, uniform in low…high.
func TestNoise(t *testing.T) {
	const n = 64
	in := make([]float32, n*n*2)
	a := configured(t, "noise", `{}`)
	lowest, highest := math.Inf(1), 0.0
	for id := range uint64(60) {
		out := apply(t, a, survey(n, n, 2), in, id)
		var sigma [2]float64
		var within, cross float64
		for b := range sigma {
			for i := range n * n {
				sigma[b] += float64(out[i*2+b]) * float64(out[i*2+b])
			}
			sigma[b] = math.Sqrt(sigma[b] / (n * n))
		}
		for i := range n * n {
			if math.Abs(float64(out[i*2])) < sigma[0] {
				within++
			}
			cross += float64(out[i*2]) * float64(out[i*2+1])
		}
		lowest, highest = min(lowest, sigma[0]), max(highest, sigma[0])
		// Standard errors with 4096 pixels: of σ 1.1 %, of the fraction within 1σ 0.0073, of the correlation 0.0156.
		if ratio := sigma[1] / sigma[0]; math.Abs(ratio-2) > 0.16 {
			t.Errorf("sample %d: σ ratio of the bands %v, want 2", id, ratio)
		}
		if f := within / (n * n); math.Abs(f-0.6827) > 0.035 {
			t.Errorf("sample %d: %v of the pixels within 1σ, want 0.683", id, f)
		}
		if c := cross / (n * n * sigma[0] * sigma[1]); math.Abs(c) > 0.075 {
			t.Errorf("sample %d: bands are correlated by %v", id, c)
		}
	}
	if lowest < 0.95 || lowest > 1.3 || highest > 3.15 || highest < 2.7 {
		t.Errorf("σ of 60 samples spans %v…%v, want U(1, 3)", lowest, highest)
	}
	flat := sample(t, a, survey(2, 2, 1), []float32{1, 2, 3, 4}, 1)
	flat.Statistics[0].Mad = 0
	if err := a.Apply(flat); err != nil || !slices.Equal(flat.Out, flat.In) {
		t.Error("a band without scatter should get no noise")
	}
}

func TestNormalise(t *testing.T) {
	in := []float32{0, 0.1, 1, 0.1 + 2*1.4826}
	facts := survey(2, 2)
	out := apply(t, configured(t, "normalise", `{}`), facts, in, 0)
	for i, want := range []float64{0, 0, 1 / 1.4826, 1} {
		if math.Abs(float64(out[i])-want) > 1e-6 {
			t.Errorf("value %d is %v, want %v", i, out[i], want)
		}
	}
	out = apply(t, configured(t, "normalise", `{stretch: "asinh", softening: 0.5, centre: false}`), facts, in, 0)
	if want := math.Asinh(2 / 1.4826); math.Abs(float64(out[2])-want) > 1e-6 {
		t.Errorf("asinh gives %v, want %v", out[2], want)
	}
	s := sample(t, configured(t, "normalise", `{}`), facts, in, 0)
	s.Statistics[0].Mad, s.Statistics[1].Mad, s.Statistics[1].Deviation = 0, 0, 0
	if err := configured(t, "normalise", `{}`).Apply(s); err != nil {
		t.Fatal(err)
	}
	if math.Abs(float64(s.Out[2])-1.0/9) > 1e-6 || s.Out[3] != in[3]-0.1 {
		t.Errorf("bands without MAD should fall back on their deviation, then on 1: %v", s.Out)
	}
}

// What cannot work is said before anything runs, at the field that is to blame.
func TestPlanRefuses(t *testing.T) {
	jpeg := &sdk.SampleFacts{Shape: []int64{88, 88, 3}, Bands: []string{"red", "green", "blue"}, Flux: sdk.Stretched, Unit: "1"}
	after := func(facts *sdk.SampleFacts, component, config string) *sdk.SampleFacts {
		plan, err := configured(t, component, config).Plan(facts)
		if err != nil {
			t.Fatal(err)
		}
		return plan.Leaves
	}
	image := survey(88, 88, 5)
	unnamed := survey(88, 88, 5)
	unnamed.PixelScale = 0
	infrared := &sdk.SampleFacts{Shape: []int64{8, 8, 1}, Bands: []string{"Ks"}, Flux: sdk.Linear, PixelScale: 1}
	unknown := &sdk.SampleFacts{Shape: []int64{8, 8, 1}, Bands: []string{"r"}}
	for _, c := range []struct {
		component, config string
		facts             *sdk.SampleFacts
		field, want       string
	}{
		{"center_crop", `{size: 100}`, image, "size", "a crop of 100 is larger than the frame 88×88"},
		{"jitter_crop", `{size: 80}`, image, "shift", "a crop of 80 moved by up to 7 leaves the frame 88×88"},
		{"jitter_crop", `{size: [60, 60, 60]}`, image, "size", "3 lengths for samples of 2 spatial dimensions"},
		{"rotate", `{}`, survey(100, 5), "", "cannot work on 1D samples"},
		{"rotate", `{quarter_turns: true}`, survey(4, 6, 5), "quarter_turns", "a quarter turn of a frame of 4×6 does not fit into it"},
		{"flip", `{axes: [2]}`, image, "axes", "no such axis"},
		{"reddening", `{}`, jpeg, "", "needs linear flux, and these pixels are stretched"},
		{"reddening", `{}`, unknown, "", "the data do not say"},
		{"reddening", `{}`, after(image, "normalise", `{stretch: "asinh"}`), "", "needs linear flux, and these pixels are stretched"},
		{"psf", `{}`, after(image, "normalise", `{stretch: "asinh"}`), "", "needs linear flux, and these pixels are stretched"},
		{"reddening", `{}`, infrared, "coefficients", `no extinction coefficient is known for the band "Ks" of sdss`},
		{"reddening", `{survey: "decals"}`, image, "coefficients", `"u" of decals`},
		{"psf", `{}`, infrared, "bands", `no distribution of the PSF is known for the band "Ks" of sdss`},
		{"psf", `{}`, unnamed, "unit", "the data do not give their pixel scale"},
		{"noise", `{}`, after(image, "normalise", `{}`), "", "these pixels are normalised"},
		{"normalise", `{}`, after(image, "normalise", `{}`), "", "normalised already"},
		{"gain", `{}`, after(image, "normalise", `{}`), "", "a gain is a factor on light"},
		{"zoom", `{}`, survey(8, 8, 8, 5), "", "cannot work on 3D samples"},
	} {
		_, err := configured(t, c.component, c.config).Plan(c.facts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want %q", c.component, c.config, err, c.want)
		}
		var field sdk.FieldError
		if errors.As(err, &field); field.Field != c.field {
			t.Errorf("%s %s: blames %q, want %q", c.component, c.config, field.Field, c.field)
		}
	}
	if _, err := sdktest.Build(Plugin(), "noise", `{low: 3, high: 1}`); err == nil || !strings.Contains(err.Error(), "high must be at least low") {
		t.Errorf("noise with high below low: %v", err)
	}
}

// The chain of the EFIGI example: pictures made for display can be rotated, jittered and given noise.
func TestChainOnPictures(t *testing.T) {
	facts := &sdk.SampleFacts{Shape: []int64{88, 88, 3}, Bands: []string{"red", "green", "blue"}, Flux: sdk.Stretched, Unit: "1"}
	x := pixels(88 * 88 * 3)
	for _, c := range [][2]string{{"rotate", `{}`}, {"jitter_crop", `{shift: 7, size: 64}`}, {"noise", `{}`}, {"normalise", `{}`}} {
		a := configured(t, c[0], c[1])
		plan, err := a.Plan(facts)
		if err != nil {
			t.Fatal(err)
		}
		x = apply(t, a, facts, x, 5)
		facts = plan.Leaves
	}
	if len(x) != 64*64*3 || facts.Flux != sdk.Stretched || !slices.Equal(facts.Shape, []int64{64, 64, 3}) {
		t.Errorf("the chain leaves %d values and %v", len(x), facts)
	}
}

// The views of shared/bench/python_augment.py: reddening, rotation, PSF, jitter-crop 107 → 64, noise.
func BenchmarkView(b *testing.B) {
	facts := survey(107, 107, 5)
	x := pixels(107 * 107 * 5)
	var chain []sdk.Augmenter
	var samples []*sdk.Sample
	for _, c := range [][2]string{{"reddening", `{}`}, {"rotate", `{}`}, {"psf", `{unit: "pixel", bands: "*": {shape: 0.3, scale: 1}}`},
		{"jitter_crop", `{}`}, {"noise", `{}`}} {
		a := configured(b, c[0], c[1])
		s := sample(b, a, facts, x, 0)
		plan, _ := a.Plan(facts)
		x, facts = s.Out, plan.Leaves
		chain, samples = append(chain, a), append(samples, s)
	}
	k := sdk.NewKey(1, "view", "bench")
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		for j, a := range chain {
			samples[j].Random = k.At(0, i)
			if err := a.Apply(samples[j]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "views/s")
}
