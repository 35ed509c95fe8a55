// Package thumbnail makes small pictures of samples. It stands apart from core/report so that the run itself can use it.
//
// Linear flux in three or more bands becomes a colour picture by the method of Lupton et al. 2004 (PASP 116, 133): the
// intensity is compressed by asinh and the ratios of the bands, so the colours, are kept. What was stretched already is
// shown as it is. The stretch is each picture's own, from its noise to its brightest pixels: pictures show shapes and
// colours, and brightness cannot be compared between them.
package thumbnail

import (
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Of is the picture of a sample in its own size: pixels are channels-last [spatial…, bands], shape is their shape and bands
// the names of the last axis (nil: unknown).
//
//   - rank 2: colour for two bands and more (red, green and blue from i, r and g where these are there, else from the last,
//     the middle and the first band, as bands run from blue to red), grey for one;
//   - rank 1: a small line plot, a line a band;
//   - rank 3: the maximum along the first axis;
//   - no spatial axis: a line plot of the values.
//
// Values that are not finite are drawn as nothing. A shape that does not fit the pixels gives an empty picture.
func Of(pixels []float32, shape []int, bands []string, flux protocol.Flux) image.Image {
	n := 1
	for _, s := range shape {
		if s <= 0 || n > len(pixels)/s {
			n = -1
			break
		}
		n *= s
	}
	if n != len(pixels) || len(shape) == 0 || len(shape) > 4 {
		return image.NewRGBA(image.Rect(0, 0, 1, 1))
	}
	rank := len(shape) - 1
	channels := shape[rank]
	if len(bands) != channels {
		bands = nil
	}
	switch rank {
	case 0:
		return plot(pixels, channels, 1)
	case 1:
		return plot(pixels, shape[0], channels)
	case 3:
		pixels, shape = project(pixels, shape), shape[1:]
	}
	return picture(pixels, shape[0], shape[1], channels, bands, flux)
}

// project is the maximum along the first axis; values that are not finite lose against all others.
func project(pixels []float32, shape []int) []float32 {
	plane := shape[1] * shape[2] * shape[3]
	top := slices.Clone(pixels[:plane])
	for at := plane; at < len(pixels); at += plane {
		for i, v := range pixels[at : at+plane] {
			if finite(v) && (!finite(top[i]) || v > top[i]) {
				top[i] = v
			}
		}
	}
	return top
}

// primaries says which band is shown in red, green and blue, with what weight.
func primaries(channels int, bands []string, flux protocol.Flux) (band [3]int, weight [3]float32) {
	weight = [3]float32{1, 1, 1}
	find := func(names ...string) (found [3]int, ok bool) {
		for k, name := range names {
			if found[k] = slices.IndexFunc(bands, func(b string) bool { return bandName(b) == name }); found[k] < 0 {
				return found, false
			}
		}
		return found, true
	}
	if found, ok := find("red", "green", "blue"); ok {
		return found, weight
	}
	if found, ok := find("r", "g", "b"); ok {
		return found, weight
	}
	if found, ok := find("i", "r", "g"); ok {
		if flux != protocol.Flux_STRETCHED { // galaxies shall not all be red: the weights of SDSS's own pictures
			weight = [3]float32{4.9 / 6.133, 5.7 / 6.133, 7.8 / 6.133}
		}
		return found, weight
	}
	if flux == protocol.Flux_STRETCHED && channels == 3 {
		return [3]int{0, 1, 2}, weight
	}
	return [3]int{channels - 1, channels / 2, 0}, weight
}

// bandName is the filter's own name: "g" of "sdss_g", "HSC-G" and "g".
func bandName(band string) string {
	parts := strings.FieldsFunc(strings.ToLower(band), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}

func picture(pixels []float32, height, width, channels int, bands []string, flux protocol.Flux) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	rgb := make([]float32, 3*height*width)
	band, weight := [3]int{}, [3]float32{1, 1, 1}
	if channels > 1 {
		band, weight = primaries(channels, bands, flux)
	}
	for i := range height * width {
		at := pixels[i*channels : (i+1)*channels]
		for k := range 3 {
			if v := at[band[k]] * weight[k]; finite(v) {
				rgb[3*i+k] = v
			}
		}
		if channels == 2 { // two bands: green is between
			rgb[3*i+1] = (rgb[3*i] + rgb[3*i+2]) / 2
		}
	}
	low, high := extremes(rgb)
	switch {
	case flux == protocol.Flux_STRETCHED && low >= 0 && high <= 1:
	case flux == protocol.Flux_STRETCHED, flux != protocol.Flux_LINEAR && low >= 0 && high <= 1:
		rescale(rgb, low, high)
	default:
		if flux != protocol.Flux_LINEAR && low < 0 { // of no known kind: what is lowest is dark
			rescale(rgb, low, high)
		}
		lupton(rgb, width)
	}
	for i := range height * width {
		out.SetRGBA(i%width, i/width, color.RGBA{level(rgb[3*i]), level(rgb[3*i+1]), level(rgb[3*i+2]), 255})
	}
	return out
}

// lupton compresses linear intensities in place: with I the mean of the three bands, each band is multiplied by f(I)/I,
// f(I) = asinh(I/β) / asinh(M/β). β is three times the noise, so that noise is just seen, and M, which becomes white, is
// exceeded by one pixel in 500. Where a band exceeds 1, the three are divided by it: a bright core keeps its colour.
func lupton(rgb []float32, width int) {
	n := len(rgb) / 3
	intensity := make([]float64, n)
	for i := range n {
		intensity[i] = (float64(rgb[3*i]) + float64(rgb[3*i+1]) + float64(rgb[3*i+2])) / 3
	}
	sorted := slices.Clone(intensity)
	slices.Sort(sorted)
	top := sorted[(n-1)-(n-1)/500]
	noise := noiseOf(intensity, width)
	top = max(top, 10*noise) // a picture of sky alone stays dark
	if !(top > 0) {
		clear(rgb)
		return
	}
	beta := max(3*noise, top/300)
	for i, v := range intensity {
		var scale float64
		if v > 0 {
			scale = math.Asinh(v/beta) / math.Asinh(top/beta) / v
		}
		var brightest float64
		for k := range 3 {
			c := max(0, float64(rgb[3*i+k])*scale)
			rgb[3*i+k] = float32(c)
			brightest = max(brightest, c)
		}
		if brightest > 1 {
			for k := range 3 {
				rgb[3*i+k] /= float32(brightest)
			}
		}
	}
}

// noiseOf estimates the standard deviation of the noise from the differences of neighbours along rows, by their median: an
// object that fills the picture changes it little.
func noiseOf(v []float64, width int) float64 {
	var d []float64
	for i := range v {
		if i%width > 0 {
			d = append(d, math.Abs(v[i]-v[i-1]))
		}
	}
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return 1.4826 * d[len(d)/2] / math.Sqrt2
}

func rescale(v []float32, low, high float32) {
	if !(high > low) {
		high = low + 1
	}
	for i := range v {
		v[i] = (v[i] - low) / (high - low)
	}
}

func extremes(v []float32) (low, high float32) {
	low, high = float32(math.Inf(1)), float32(math.Inf(-1))
	for _, x := range v {
		low, high = min(low, x), max(high, x)
	}
	return low, high
}

func finite(v float32) bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }

func level(v float32) uint8 { return uint8(math.Round(255 * math.Min(1, math.Max(0, float64(v))))) }
