package sky

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// pixels are the input of every golden.
func pixels(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sin(0.37*float64(i) + 0.1))
	}
	return x
}

func volume(shape []int64) int {
	n := 1
	for _, d := range shape {
		n *= int(d)
	}
	return n
}

type goldens struct {
	Rotate []struct {
		Shape         []int64
		Degrees, Fill float64
		Zoom          float64
		Out           []float64
	}
	Smooth []struct {
		Shape []int64
		Band  int
		Sigma float64
		Out   []float64
	}
}

func readGoldens(t *testing.T) (g goldens) {
	text, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// Rotation is skimage.transform.rotate's, and zoom its warp's, edges and fill included.
func TestRotateAgainstScikitImage(t *testing.T) {
	for _, c := range readGoldens(t).Rotate {
		in := pixels(volume(c.Shape))
		out := make([]float32, len(in))
		zoom := c.Zoom
		sin, cos := math.Sincos(c.Degrees * math.Pi / 180)
		rotate{rotateConfig{Axis: -1}}.plane(c.Shape).resample(out, in, cos/zoom, sin/zoom, float32(c.Fill))
		for i := range out {
			if math.Abs(float64(out[i])-c.Out[i]) > 3e-6 {
				t.Fatalf("%v by %v°, zoomed %v: value %d is %v, scikit-image has %v", c.Shape, c.Degrees, c.Zoom, i, out[i], c.Out[i])
			}
		}
	}
}

// Smoothing is scipy.ndimage.gaussian_filter's, in one to three dimensions, and touches one band only.
func TestSmoothAgainstSciPy(t *testing.T) {
	for _, c := range readGoldens(t).Smooth {
		in := pixels(volume(c.Shape))
		n, bands := extent(c.Shape)
		out := make([]float32, len(in))
		new(smoother).smooth(out, in, n, bands, c.Band, c.Sigma)
		for i := range out {
			if i%bands != c.Band {
				if out[i] != 0 {
					t.Fatalf("%v: smoothing band %d wrote into band %d", c.Shape, c.Band, i%bands)
				}
			} else if math.Abs(float64(out[i])-c.Out[i/bands]) > 2e-6 {
				t.Fatalf("%v σ %v: value %d is %v, SciPy has %v", c.Shape, c.Sigma, i/bands, out[i], c.Out[i/bands])
			}
		}
	}
}
