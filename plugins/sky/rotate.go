package sky

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type rotateConfig struct {
	Degrees      float64 `json:"degrees"`
	QuarterTurns bool    `json:"quarter_turns"`
	Fill         float32 `json:"fill"`
	Axis         int     `json:"axis"`
}

type rotate struct{ rotateConfig }

func newRotate(c rotateConfig) (sdk.Augmenter, error) { return rotate{c}, nil }

// Plan wants images or volumes; quarter turns want a square plane.
func (r rotate) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank("rotate", facts, 2, 3); err != nil {
		return nil, err
	}
	p := r.plane(facts.Shape)
	if r.QuarterTurns && p.height != p.width {
		return nil, sdk.FieldError{Field: "quarter_turns", What: fmt.Sprintf("a quarter turn of a frame of %d×%d does not fit into it", p.height, p.width),
			Advice: "crop to a square first, or leave quarter_turns out"}
	}
	return &sdk.AugmentationPlan{Leaves: leaves(facts), Ranks: []uint32{2, 3}}, nil
}

// Apply draws one angle and rotates every band, and every slice along the axis of a volume, by it.
func (r rotate) Apply(s *sdk.Sample) error {
	p := r.plane(s.Facts.Shape)
	if r.QuarterTurns {
		turn := [4][2]float64{{1, 0}, {0, 1}, {-1, 0}, {0, -1}}[s.Random.Intn(4)]
		p.resample(s.Out, s.In, turn[0], turn[1], r.Fill)
		return nil
	}
	sin, cos := math.Sincos(s.Random.Between(-r.Degrees, r.Degrees) * math.Pi / 180)
	p.resample(s.Out, s.In, cos, sin, r.Fill)
	return nil
}

// plane is where the two rotated axes lie in memory: slices × height × width × inner contiguous values.
type plane struct {
	slices, sliceStride int
	height, rowStride   int
	width, inner        int
}

func (r rotate) plane(shape []int64) plane {
	n, bands := extent(shape)
	b, a := bands*n[2], bands*n[2]*n[1] // strides of the axes 1 and 0
	axis := r.Axis
	if len(shape) == 3 {
		axis = 0 // an image is one slice
	} else if axis < 0 {
		axis += 3
	}
	switch axis {
	case 0:
		return plane{n[0], a, n[1], b, n[2], bands}
	case 1:
		return plane{n[1], b, n[0], a, n[2], bands}
	}
	return plane{1, 0, n[0], a, n[1], b}
}

// resample reads bilinearly about the centre of the plane, ((height−1)/2, (width−1)/2). Output (y, x) is read at
// (cy + sin·(x−cx) + cos·(y−cy), cx + cos·(x−cx) − sin·(y−cy)), which turns the picture counter-clockwise with y
// downwards, and shrinks it by √(sin²+cos²); a point outside counts as fill, and points within one pixel of the edge blend with it. With the sines of
// quarter turns the result is exact. This is what skimage.transform.warp does with order 1 and mode "constant".
func (p plane) resample(out, in []float32, cos, sin float64, fill float32) {
	cy, cx := float64(p.height-1)/2, float64(p.width-1)/2
	shift := p.height + p.width + 2 // makes coordinates positive, so that truncation is the floor
	for slice := range p.slices {
		in := in[slice*p.sliceStride:]
		out := out[slice*p.sliceStride:]
		for y := range p.height {
			sx := cx - cos*cx - sin*(float64(y)-cy) + float64(shift)
			sy := cy - sin*cx + cos*(float64(y)-cy) + float64(shift)
			at := y * p.rowStride
			for x := range p.width {
				fx, fy := sx+cos*float64(x), sy+sin*float64(x)
				ix, iy := int(fx), int(fy)
				wx, wy := float32(fx-float64(ix)), float32(fy-float64(iy))
				ix, iy = ix-shift, iy-shift
				target := out[at : at+p.inner]
				at += p.inner
				if uint(ix) >= uint(p.width-1) || uint(iy) >= uint(p.height-1) {
					p.edge(target, in, ix, iy, wx, wy, fill)
					continue
				}
				from := iy*p.rowStride + ix*p.inner
				top, bottom := in[from:from+2*p.inner], in[from+p.rowStride:][:2*p.inner]
				w11 := wx * wy
				w10, w01 := wy-w11, wx-w11
				w00 := 1 - wx - w10
				if len(target) == 5 { // ugriz, spelled out: no bounds checks
					t, a, b := (*[5]float32)(target), (*[10]float32)(top), (*[10]float32)(bottom)
					t[0] = w00*a[0] + w01*a[5] + w10*b[0] + w11*b[5]
					t[1] = w00*a[1] + w01*a[6] + w10*b[1] + w11*b[6]
					t[2] = w00*a[2] + w01*a[7] + w10*b[2] + w11*b[7]
					t[3] = w00*a[3] + w01*a[8] + w10*b[3] + w11*b[8]
					t[4] = w00*a[4] + w01*a[9] + w10*b[4] + w11*b[9]
					continue
				}
				a, b := top[:len(target)], bottom[:len(target)]
				c, d := top[len(target):][:len(target)], bottom[len(target):][:len(target)]
				for i := range target {
					target[i] = w00*a[i] + w01*c[i] + w10*b[i] + w11*d[i]
				}
			}
		}
	}
}

// edge interpolates one pixel of which a neighbour may lie outside.
func (p plane) edge(out, in []float32, ix, iy int, wx, wy, fill float32) {
	if ix < -1 || iy < -1 || ix >= p.width || iy >= p.height {
		for i := range out {
			out[i] = fill
		}
		return
	}
	for i := range out {
		out[i] = 0
	}
	for k, w := range [4]float32{(1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy} {
		if w == 0 {
			continue
		}
		x, y := ix+k&1, iy+k>>1
		if uint(x) >= uint(p.width) || uint(y) >= uint(p.height) {
			for i := range out {
				out[i] += w * fill
			}
			continue
		}
		from := in[y*p.rowStride+x*p.inner:][:len(out)]
		for i := range out {
			out[i] += w * from[i]
		}
	}
}
